"""wire/permit.py: an operation's permissions, put to the policies of its caller."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from lambdad.errors import ServiceError
from lambdad.model.permission import Permission, has, member_key, permissions_for
from lambdad.model.policy_document import Kind, PolicyDocument, read_policy
from lambdad.model.policy_evaluation import Subject
from lambdad.model.policy_principal import Names
from lambdad.model.request import Principal, RequestContext
from lambdad.model.service import BoundService, Service
from lambdad.wire.dialect import dialect_of
from lambdad.wire.permit import Permits

HOME, OTHER = "111111111111", "222222222222"
ANN = f"arn:aws:iam::{HOME}:user/ann"
OBJECT = "arn:aws:s3:::b/k"


def document(*statements: Mapping[str, Any], kind: Kind = Kind.IDENTITY) -> PolicyDocument:
    return read_policy(json.dumps({"Version": "2012-10-17", "Statement": list(statements)}), kind)


def allow(action: str, resource: str = "*", **elements: Any) -> dict[str, Any]:
    return {"Effect": "Allow", "Action": action, "Resource": resource, **elements}


def key_resource(context: RequestContext, parameters: Mapping[str, Any]) -> str:
    return f"arn:aws:s3:::b/{parameters['Key']}"


def keys_resource(context: RequestContext, parameters: Mapping[str, Any]) -> list[str]:
    return [f"arn:aws:s3:::b/{key}" for key in parameters["Keys"]]


def foreign(context: RequestContext, parameters: Mapping[str, Any]) -> str:
    return f"arn:aws:lambda:us-east-1:{OTHER}:function:f"


async def policy_of(state: Any, arn: str) -> PolicyDocument | None:
    return state.get(arn)  # type: ignore[no-any-return]


async def tags_of(state: Any, arn: str) -> Mapping[str, str]:
    return {"Team": "red"}


async def outcome(
    *statements: Mapping[str, Any],
    asks: tuple[Permission, ...] | None,
    policies: Mapping[str, PolicyDocument] | None = None,
    service: str = "s3",
    **parameters: Any,
) -> tuple[str, str] | None:
    """None when permitted, else code and message; "withheld" and the actions, where only optional ones are refused."""
    subject = Subject(ANN, HOME, Names(HOME, exact=(ANN,)), identity=(document(*statements),) if statements else ())
    bound = [
        BoundService(Service(name, {}, {}, resource_policy=policy_of, resource_tags=tags_of), policies or {})
        for name in ("s3", "lambda")
    ]
    permits = Permits(bound, lambda principal: subject, lambda: 1_800_000_000.0)
    context = RequestContext(
        "r", service, "Do", HOME, "us-east-1", Principal(HOME, ANN), "10.0.0.1", "http://localhost",
        headers={"user-agent": "test"},
    )  # fmt: skip
    dialect = dialect_of(service, {"s3": "rest-xml", "lambda": "rest-json", "iam": "query", "logs": "json"}[service])
    try:
        withheld = await permits.check(dialect, asks, context, parameters)
    except ServiceError as error:
        return error.code, error.message
    return ("withheld", " ".join(withheld)) if withheld else None


GET = (Permission("s3:GetObject", key_resource),)


async def test_what_is_allowed_is_let_through() -> None:
    """By action and resource of the request's parameters."""
    assert await outcome(allow("s3:GetObject", "arn:aws:s3:::b/k*"), asks=GET, Key="k1") is None
    assert await outcome(allow("s3:GetObject", "arn:aws:s3:::b/x*"), asks=GET, Key="k1") is not None


@pytest.mark.parametrize(
    ("service", "code", "shown"),
    [
        ("s3", "AccessDenied", f'"{OBJECT}"'),
        ("lambda", "AccessDeniedException", OBJECT),
        ("iam", "AccessDenied", OBJECT),
        ("logs", "AccessDeniedException", OBJECT),
    ],
)
async def test_a_refusal_is_in_the_words_of_the_service(service: str, code: str, shown: str) -> None:
    """Code and message as that service gives them."""
    assert await outcome(asks=GET, service=service, Key="k") == (
        code,
        f"User: {ANN} is not authorized to perform: s3:GetObject on resource: {shown} "
        "because no identity-based policy allows the s3:GetObject action",
    )


async def test_an_operation_that_nobody_described_is_refused() -> None:
    """Even to who may do everything; one that asks for nothing is free."""
    refused = await outcome(allow("*"), asks=None)
    assert refused is not None
    assert refused[0] == "AccessDenied"
    assert await outcome(asks=()) is None


async def test_all_permissions_and_all_resources_must_be_allowed() -> None:
    """The first that is not is named; what does not apply is not asked for."""
    asks = (Permission("s3:PutObject", keys_resource), Permission("s3:PutObjectTagging", applies=has("Tagging")))
    may_put = allow("s3:PutObject", "arn:aws:s3:::b/a*")
    assert await outcome(may_put, asks=asks, Keys=["a1", "a2"]) is None
    refused = await outcome(may_put, asks=asks, Keys=["a1", "b1"])
    assert refused is not None
    assert '"arn:aws:s3:::b/b1"' in refused[1]
    refused = await outcome(may_put, asks=asks, Keys=["a1"], Tagging="a=b")
    assert refused is not None
    assert "s3:PutObjectTagging" in refused[1]


async def test_what_is_optional_is_withheld_and_no_more() -> None:
    """The operation goes on, and is told what its caller may not."""
    asks = (*GET, Permission("s3:GetObjectTagging", key_resource, is_optional=True))
    assert await outcome(allow("s3:*"), asks=asks, Key="k") is None
    assert await outcome(allow("s3:GetObject"), asks=asks, Key="k") == ("withheld", "s3:GetObjectTagging")
    refused = await outcome(allow("s3:GetObjectTagging"), asks=asks, Key="k")
    assert refused is not None
    assert refused[0] == "AccessDenied"


@pytest.mark.parametrize(
    ("operator", "key", "value"),
    [
        ("IpAddress", "aws:SourceIp", "10.0.0.0/8"),
        ("StringEquals", "aws:RequestedRegion", "us-east-1"),
        ("StringEquals", "aws:UserAgent", "test"),
        ("DateGreaterThan", "aws:CurrentTime", "2027-01-15T07:59:59Z"),
        ("DateLessThan", "aws:CurrentTime", "2027-01-15T08:00:01Z"),
        ("NumericEquals", "aws:EpochTime", "1800000000"),
        ("Bool", "aws:SecureTransport", "false"),
        ("Bool", "aws:ViaAWSService", "false"),
        ("Null", "aws:Referer", "true"),
        ("StringEquals", "aws:RequestTag/Team", "blue"),
        ("ForAllValues:StringEquals", "aws:TagKeys", ["Team", "x"]),
        ("StringEquals", "s3:prefix", "k"),
        ("StringEquals", "aws:ResourceTag/team", "red"),
        ("StringEquals", "s3:ResourceTag/Team", "red"),
    ],
)
async def test_conditions_see_the_request(operator: str, key: str, value: Any) -> None:
    """What surrounds it, its members, and the tags it sets and those of its resource."""
    asks = (Permission("s3:GetObject", key_resource, {"s3:prefix": member_key("Key")}),)
    conditional = allow("s3:*", Condition={operator: {key: value}})
    assert await outcome(conditional, asks=asks, Key="k", Tags=[{"Key": "Team", "Value": "blue"}]) is None
    opposite = {"Effect": "Deny", "Action": "*", "Resource": "*", "Condition": {operator: {key: value}}}
    assert await outcome(allow("*"), opposite, asks=asks, Key="k", Tags=[{"Key": "Team", "Value": "blue"}]) is not None


async def test_another_accounts_resource_needs_its_policy() -> None:
    """The account is the one in the ARN."""
    asks = (Permission("lambda:InvokeFunction", foreign),)
    admits = document({**allow("lambda:*"), "Principal": {"AWS": HOME}}, kind=Kind.RESOURCE)
    arn = f"arn:aws:lambda:us-east-1:{OTHER}:function:f"
    assert await outcome(allow("lambda:*"), asks=asks, service="lambda", policies={arn: admits}) is None
    refused = await outcome(allow("lambda:*"), asks=asks, service="lambda")
    assert refused is not None
    assert "because no resource-based policy allows" in refused[1]
    assert await outcome(asks=asks, service="lambda", policies={arn: admits}) is not None


async def test_operations_may_share_a_rule() -> None:
    """Each with the action of its own name."""
    made = permissions_for("s3", ("GetObject", "PutObject"), key_resource)
    assert [made[name][0].action for name in made] == ["s3:GetObject", "s3:PutObject"]
