"""Whole resource policies: what is taken, what is refused and why, and which are public."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.model.policy import Caller, allows, service_caller
from lambdad.model.policy_document import MalformedPolicy
from lambdad.model.resource_policy import PublicPolicy, read_resource_policy

ARN = "arn:aws:lambda:us-east-1:111111111111:function:f"
BUCKET = "arn:aws:s3:::bucket"
S3 = service_caller("s3.amazonaws.com", BUCKET, "111111111111")
USER = Caller(principal_arn="arn:aws:iam::222222222222:user/u", account_id="222222222222")
STATEMENT: dict[str, Any] = {
    "Effect": "Allow",
    "Principal": {"Service": "s3.amazonaws.com"},
    "Action": "lambda:InvokeFunction",
    "Resource": ARN,
}


def policy_text(*statements: Any, **more: Any) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements), **more})


def read(text: str, arn: str = ARN) -> Any:
    return read_resource_policy(text, arn, "r")


def test_a_document_is_kept_as_it_was_put() -> None:
    """Its version, its Id or none, and its statements in their order, one or several."""
    assert read(policy_text(STATEMENT)).document() == {"Version": "2012-10-17", "Statement": [STATEMENT]}
    old = {"Version": "2008-10-17", "Id": "mine", "Statement": STATEMENT}
    assert read(json.dumps(old)).document() == {**old, "Statement": [STATEMENT]}
    assert read(json.dumps({"Statement": [STATEMENT]})).document()["Version"] == "2008-10-17"


def test_a_denial_decides() -> None:
    """What AddPermission cannot say: a statement that denies keeps out whom another lets in."""
    anyone = {**STATEMENT, "Principal": {"AWS": "222222222222"}, "Action": "lambda:*"}
    denial = {**STATEMENT, "Effect": "Deny", "Principal": {"AWS": "arn:aws:iam::222222222222:user/u"}}
    assert allows(read(policy_text(anyone)), USER, "lambda:InvokeFunction", ARN)
    assert not allows(read(policy_text(anyone, denial)), USER, "lambda:InvokeFunction", ARN)
    assert allows(read(policy_text(anyone, denial)), USER, "lambda:GetFunction", ARN)
    assert not allows(read(policy_text(anyone)), S3, "lambda:InvokeFunction", ARN)


@pytest.mark.parametrize(
    "statement",
    [
        {**STATEMENT, "Sid": "my-own_sid.1"},
        {**STATEMENT, "Sid": ""},
        {**STATEMENT, "Action": ["lambda:InvokeFunction", "lambda:Get*"]},
        {**STATEMENT, "Action": "*"},
        {**STATEMENT, "Resource": "*"},
        {**STATEMENT, "Resource": ["arn:aws:lambda:*:*:function:f*", "arn:aws:s3:::b/*"]},
        {**STATEMENT, "Resource": "arn:aws:lambda:us-east-1:111111111111:function:${aws:username}"},
        {**STATEMENT, "Principal": {"AWS": ["111111111111", "arn:aws:iam::222222222222:role/r"]}},
        {**STATEMENT, "Effect": "Deny", "Principal": "*"},
        {**STATEMENT, "Effect": "Deny", "NotPrincipal": {"AWS": "111111111111"}, "Principal": None},
        {
            **STATEMENT,
            "Condition": {"NumericLessThan": {"aws:MultiFactorAuthAge": 3600}, "Bool": {"aws:SecureTransport": True}},
        },
    ],
)
def test_documents_that_are_taken(statement: dict[str, Any]) -> None:
    """Every element of the policy language that has an effect on this resource."""
    stated = {element: value for element, value in statement.items() if value is not None}
    assert read(policy_text(stated)).statements == (stated,)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not valid JSON"),
        ("{", "not valid JSON"),
        ("{" * 100_000, "not valid JSON"),
        ('{"Statement":' + "[" * 100_000 + "]" * 100_000 + "}", "not valid JSON"),
        (policy_text(STATEMENT).replace('"Version"', '"Statement": [], "Version"'), "not valid JSON"),
        (policy_text({**STATEMENT, "Sid": "\ud800"}), "not valid JSON"),
        (policy_text(STATEMENT, Id=float("nan")), "not valid JSON"),
        ("[]", "Syntax"),
        ("null", "Syntax"),
        ('"text"', "Syntax"),
        ("{}", "Syntax"),
        (policy_text(), "Syntax"),
        (policy_text("s"), "Syntax"),
        (policy_text([STATEMENT]), "Syntax"),
        (policy_text(STATEMENT, Version="2012-10-18"), "Syntax"),
        (policy_text(STATEMENT, Id=7), "Syntax"),
        (policy_text(STATEMENT, Statements=[]), "Syntax"),
        (policy_text({**STATEMENT, "Effect": "allow"}), "Syntax"),
        (policy_text({**STATEMENT, "More": 1}), "Syntax"),
        (policy_text({**STATEMENT, "NotAction": "lambda:GetFunction"}), "Syntax"),
        (policy_text({**STATEMENT, "Action": []}), "must contain actions"),
        (policy_text({**STATEMENT, "Action": 1}), "Syntax"),
        (policy_text({**STATEMENT, "Action": "s3:GetObject"}), "actions of Lambda only; got s3:GetObject"),
        (policy_text({**STATEMENT, "Action": ["lambda:InvokeFunction", "lambda:"]}), "actions of Lambda only"),
        (policy_text({**STATEMENT, "Resource": f"{ARN}:1"}), f"put on: {ARN}"),
        (policy_text({**STATEMENT, "Resource": []}), "must contain resources"),
        (policy_text({key: value for key, value in STATEMENT.items() if key != "Resource"}), "must contain resources"),
        (policy_text({key: value for key, value in STATEMENT.items() if key != "Principal"}), "required field Principal"),
        (policy_text({**STATEMENT, "Principal": {}}), "Invalid principal"),
        (policy_text({**STATEMENT, "Principal": "somebody"}), "Invalid principal"),
        (policy_text({**STATEMENT, "Principal": {"AWS": "somebody"}}), 'Invalid principal in policy: "AWS":"somebody"'),
        (policy_text({**STATEMENT, "Principal": {"AWS": []}}), "Invalid principal"),
        (policy_text({**STATEMENT, "Principal": {"AWS": [1]}}), "Invalid principal"),
        (policy_text({**STATEMENT, "Principal": {"Federated": "graph.facebook.com"}}), '"Federated":"graph.facebook.com"'),
        (policy_text({**STATEMENT, "Principal": {"CanonicalUser": "79a59d"}}), '"CanonicalUser":"79a59d"'),
        (policy_text({**STATEMENT, "Principal": {"Service": "*"}}), '"Service":"*"'),
        (policy_text({**STATEMENT, "Condition": []}), "Syntax"),
        (policy_text({**STATEMENT, "Condition": {"StringIs": {"aws:SourceArn": "a"}}}), "Invalid Condition type : StringIs"),
        (policy_text({**STATEMENT, "Condition": {"StringEquals": {"aws:SourceArn": {"a": 1}}}}), "Syntax"),
        (policy_text({**STATEMENT, "Condition": {"StringEquals": {"aws:SourceArn": 2**64}}}), "too large"),
        (policy_text({**STATEMENT, "Condition": {"StringEquals": {"aws:SourceArn": 5}}}).replace("5", "5e999"), "too large"),
        (policy_text({**STATEMENT, "Condition": {"IpAddress": {"aws:SourceIp": "here"}}}), "Syntax"),
        (policy_text({**STATEMENT, "Sid": "a b"}), "Statement IDs"),
        (policy_text({**STATEMENT, "Sid": ["a"]}), "Statement IDs"),
        (policy_text({**STATEMENT, "Sid": "a" * 101}), "Statement IDs"),
        (policy_text({**STATEMENT, "Sid": "a"}, {**STATEMENT, "Sid": "a"}), "must be unique"),
        (
            policy_text({**{k: v for k, v in STATEMENT.items() if k != "Resource"}, "NotResource": "*"}),
            "must be about the resource",
        ),
    ],
)  # fmt: skip
def test_documents_that_are_refused(text: str, reason: str) -> None:
    """Each way to be malformed, and each statement without an effect here, with its reason."""
    with pytest.raises(MalformedPolicy) as refused:
        read(text)
    assert reason in str(refused.value)


@pytest.mark.parametrize(
    ("more", "is_public"),
    [
        ({"Principal": "*"}, True),
        ({"Principal": {"AWS": "*"}}, True),
        ({"Principal": {"AWS": ["111111111111", "*"]}}, True),
        ({"Principal": None, "NotPrincipal": {"AWS": "111111111111"}}, True),
        ({"Principal": "*", "Condition": {"StringEquals": {"aws:PrincipalOrgID": "o-1234567890"}}}, False),
        ({"Principal": "*", "Condition": {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}}, False),
        ({"Principal": "*", "Condition": {"ArnLike": {"aws:SourceArn": "*"}}}, True),
        ({"Principal": "*", "Condition": {"StringLike": {"aws:SourceAccount": ["111111111111", "*"]}}}, True),
        ({"Principal": "*", "Condition": {"StringNotEquals": {"aws:SourceAccount": "111111111111"}}}, True),
        ({"Principal": "*", "Condition": {"StringEqualsIfExists": {"aws:SourceAccount": "111111111111"}}}, True),
        ({"Principal": "*", "Condition": {"ForAllValues:StringEquals": {"aws:PrincipalOrgPaths": "a"}}}, True),
        ({"Principal": "*", "Condition": {"Null": {"aws:PrincipalOrgID": "true"}}}, True),
        ({"Principal": "*", "Condition": {"StringEquals": {"aws:RequestedRegion": "us-east-1"}}}, True),
        ({"Principal": "*", "Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}}, True),
        ({"Principal": "*", "Condition": {"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}}, False),
        ({"Principal": "*", "Condition": {"IpAddress": {"aws:SourceIp": ["0.0.0.0/1", "128.0.0.0/1"]}}}, True),
        ({"Principal": "*", "Condition": {"IpAddress": {"aws:SourceIp": "2000::/3"}}}, True),
        ({"Principal": "*", "Condition": {"IpAddress": {"aws:SourceIp": "2001:db8::/32"}}}, False),
        ({"Principal": "*", "Condition": {"StringLike": {"aws:SourceIp": "1*"}}}, True),
        ({"Principal": "*", "Condition": {"StringEquals": {"aws:PrincipalAccount": "${aws:PrincipalAccount}"}}}, True),
        ({"Principal": "*", "Condition": {"StringLike": {"aws:userid": "${aws:userid}"}}}, True),
        ({"Principal": "*", "Condition": {"StringLike": {"aws:PrincipalOrgID": "o-*"}}}, True),
        ({"Principal": "*", "Condition": {"StringLike": {"aws:PrincipalOrgPaths": "o-1234567890/*"}}}, False),
        ({"Principal": "*", "Condition": {"StringLike": {"aws:userid": "AROAEXAMPLEEXAMPLE12:*"}}}, False),
        ({"Principal": "*", "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:*:*:*:*"}}}, True),
        ({"Principal": "*", "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:*:topic"}}}, True),
        ({"Principal": "*", "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:sns:*:111111111111:*"}}}, False),
        ({"Principal": "*", "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::bucket*"}}}, False),
        ({"Principal": "*", "Condition": {"ArnLike": {"aws:SourceArn": "arn:aws:s3:::*"}}}, True),
        ({"Principal": "*", "Condition": {"StringLike": {"aws:PrincipalArn": "arn:aws:iam::*:root"}}}, True),
        ({"Principal": "*", "Condition": {"StringLike": {"aws:PrincipalArn": "*arn*"}}}, True),
        ({"Principal": "*", "Condition": {"StringLike": {"aws:PrincipalArn": "arn:aws:iam::111111111111*"}}}, False),
        ({"Principal": "*", "Condition": {"Bool": {"lambda:InvokedViaFunctionUrl": "false"}}}, True),
        ({"Principal": "*", "Condition": {"Bool": {"lambda:InvokedViaFunctionUrl": True}}}, False),
        ({"Principal": "*", "Effect": "Deny"}, False),
        ({}, False),
    ],
)
def test_public_policies(more: dict[str, Any], is_public: bool) -> None:
    """Anybody is let in unless a condition says, by what somebody is or comes from, who is meant."""
    text = policy_text(STATEMENT, {element: value for element, value in {**STATEMENT, **more}.items() if value is not None})
    if is_public:
        with pytest.raises(PublicPolicy):
            read(text)
    else:
        assert len(read(text).statements) == 2


_SCALARS = st.sampled_from(
    [None, True, 0, 2**70, 1.5, float("inf"), "", "*", "\ud800", "Allow", ARN, "lambda:*", "111111111111"]
)
_FLAT = _SCALARS | st.lists(_SCALARS, max_size=2)
_NESTED = _FLAT | st.dictionaries(
    st.sampled_from(["AWS", "Service", "StringEquals", "Null", "aws:SourceArn"]), _FLAT, max_size=2
)
_VALUES = _NESTED | st.dictionaries(st.sampled_from(["AWS", "StringLike", "NumericEquals", "x"]), _NESTED, max_size=2)


@given(st.dictionaries(st.sampled_from([*STATEMENT, "Sid", "Condition", "NotAction", "NotResource"]), _VALUES, max_size=3))
def test_whatever_stands_in_a_statement_it_is_read_or_refused(statement: dict[str, Any]) -> None:
    """No value of any element has another outcome than the two refusals or a policy that gives the document back."""
    text = policy_text({**STATEMENT, **statement})
    try:
        policy = read(text)
    except (MalformedPolicy, PublicPolicy):
        return
    assert policy.document()["Statement"] == json.loads(text)["Statement"]
    assert json.loads(msgspec.json.encode(policy.document()))["Statement"] == json.loads(text)["Statement"]
