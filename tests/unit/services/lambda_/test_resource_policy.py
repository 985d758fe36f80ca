"""Resource policies put, read and deleted as whole documents, beside AddPermission."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from lambdad.delivery import Sender
from lambdad.errors import ServiceError
from support.lambda_service import ACCOUNT, OTHER_ACCOUNT, REGION, World, refused

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
PERMISSION = {"FunctionName": "f", "StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}
BUCKET = Sender("s3.amazonaws.com", "arn:aws:s3:::bucket", ACCOUNT)


def document(resource: str = ARN, principal: Any = None, **more: Any) -> str:
    statement = {
        "Sid": "other",
        "Effect": "Allow",
        "Principal": principal or {"AWS": f"arn:aws:iam::{OTHER_ACCOUNT}:root"},
        "Action": "lambda:InvokeFunction",
        "Resource": resource,
        **more,
    }
    return json.dumps({"Version": "2012-10-17", "Id": "mine", "Statement": [statement]})


def sids(policy: dict[str, Any]) -> list[str]:
    return [statement["Sid"] for statement in json.loads(policy["Policy"])["Statement"]]


async def test_both_ways_to_a_policy_have_one_truth(world: World) -> None:
    """A document replaces what AddPermission built, AddPermission adds to it, RemovePermission takes from it."""
    await world.create()
    await world.call("AddPermission", **PERMISSION)
    put = await world.call("PutResourcePolicy", ResourceArn=ARN, Policy=document())
    assert await world.call("GetPolicy", FunctionName="f") == put == await world.call("GetResourcePolicy", ResourceArn=ARN)
    assert json.loads(put["Policy"]) == json.loads(document())
    await world.call("AddPermission", **PERMISSION)
    both = await world.call("GetResourcePolicy", ResourceArn=ARN)
    assert sids(both) == ["other", "s3"]
    assert json.loads(both["Policy"])["Id"] == "mine"
    await world.call("RemovePermission", FunctionName="f", StatementId="other")
    assert sids(await world.call("GetPolicy", FunctionName="f")) == ["s3"]
    await world.call("DeleteResourcePolicy", ResourceArn=ARN)
    for look in (world.call("GetPolicy", FunctionName="f"), world.call("GetResourcePolicy", ResourceArn=ARN)):
        assert (await refused(look)).message == "The resource you requested does not exist."
    error = await refused(world.call("DeleteResourcePolicy", ResourceArn=ARN))
    assert (error.code, error.message) == ("ResourceNotFoundException", "No policy is associated with the given resource.")


async def test_what_is_read_can_be_put_again(world: World) -> None:
    """A policy that AddPermission built, with all its conditions, is a document that PutResourcePolicy takes."""
    await world.create()
    await world.call("AddPermission", **PERMISSION, SourceArn="arn:aws:s3:::bucket", SourceAccount=ACCOUNT)
    await world.call("AddPermission", **{**PERMISSION, "StatementId": "b-2", "Principal": OTHER_ACCOUNT}, EventSourceToken="t")
    url = {"Action": "lambda:InvokeFunctionUrl", "Principal": "*", "FunctionUrlAuthType": "NONE"}
    await world.call("AddPermission", **{**PERMISSION, "StatementId": "url", **url})
    via = {"Principal": "*", "InvokedViaFunctionUrl": True, "PrincipalOrgID": "o-1234567890"}
    await world.call("AddPermission", **{**PERMISSION, "StatementId": "via", **via})
    built = await world.call("GetPolicy", FunctionName="f")
    put = await world.call("PutResourcePolicy", ResourceArn=ARN, Policy=built["Policy"], RevisionId=built["RevisionId"])
    assert put["Policy"] == built["Policy"]
    assert put["RevisionId"] != built["RevisionId"]


async def test_policies_belong_to_a_qualifier(world: World) -> None:
    """Function, version and alias have each their own, which goes with the version or alias."""
    await world.create(Publish=True)
    await world.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    for qualifier in ("1", "live"):
        arn = f"{ARN}:{qualifier}"
        await world.call("PutResourcePolicy", ResourceArn=arn, Policy=document(arn))
        assert "Policy" in await world.call("GetPolicy", FunctionName="f", Qualifier=qualifier)
    assert (await refused(world.call("GetResourcePolicy", ResourceArn=ARN))).code == "ResourceNotFoundException"
    await world.call("DeleteAlias", FunctionName="f", Name="live")
    error = await refused(world.call("GetResourcePolicy", ResourceArn=f"{ARN}:live"))
    assert error.message == f"Cannot find alias arn: {ARN}:live"
    assert "Policy" in await world.call("GetResourcePolicy", ResourceArn=f"{ARN}:1")


async def test_a_document_lets_in_and_keeps_out_senders(world: World) -> None:
    """Events of a service come in by the policy that was put, until a denial is in it."""
    await world.create()
    s3 = {"Service": "s3.amazonaws.com"}
    with pytest.raises(ServiceError):
        await world.delivery.check(ARN, BUCKET)
    await world.call("PutResourcePolicy", ResourceArn=ARN, Policy=document(principal=s3))
    await world.delivery.check(ARN, BUCKET)
    both = json.loads(document(principal=s3))
    both["Statement"].append(json.loads(document(principal="*", Sid="no", Effect="Deny"))["Statement"][0])
    await world.call("PutResourcePolicy", ResourceArn=ARN, Policy=json.dumps(both))
    with pytest.raises(ServiceError):
        await world.delivery.check(ARN, BUCKET)


async def test_a_stale_revision_changes_nothing(world: World) -> None:
    """Whoever changed the policy in between, and of whatever age."""
    created = await world.create()
    first = await world.call("PutResourcePolicy", ResourceArn=ARN, Policy=document())
    await world.call("AddPermission", **PERMISSION)
    before = await world.call("GetResourcePolicy", ResourceArn=ARN)
    for revision in (first["RevisionId"], created["RevisionId"]):
        for operation, more in (("PutResourcePolicy", {"Policy": document()}), ("DeleteResourcePolicy", {})):
            error = await refused(world.call(operation, ResourceArn=ARN, RevisionId=revision, **more))
            assert error.code == "PreconditionFailedException"
            assert "Call the GetResourcePolicy API" in error.message
    assert await world.call("GetResourcePolicy", ResourceArn=ARN) == before
    await world.call("DeleteResourcePolicy", ResourceArn=ARN, RevisionId=before["RevisionId"])
    error = await refused(world.call("PutResourcePolicy", ResourceArn=ARN, Policy=document(), RevisionId=before["RevisionId"]))
    assert error.code == "PreconditionFailedException"


async def test_of_several_changes_with_one_revision_one_is_made(world: World) -> None:
    """The others are told that theirs is stale."""
    await world.create()
    first = await world.call("PutResourcePolicy", ResourceArn=ARN, Policy=document())
    changes = [
        world.call("PutResourcePolicy", ResourceArn=ARN, Policy=document(Sid=f"s{number}"), RevisionId=first["RevisionId"])
        for number in range(8)
    ]
    outcomes = await asyncio.gather(*changes, return_exceptions=True)
    made = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    assert [await world.call("GetResourcePolicy", ResourceArn=ARN)] == made
    errors = [outcome.code for outcome in outcomes if isinstance(outcome, ServiceError)]
    assert errors == ["PreconditionFailedException"] * 7


async def test_a_policy_survives_a_restart(world: World) -> None:
    """With its version and Id."""
    await world.create()
    put = await world.call("PutResourcePolicy", ResourceArn=ARN, Policy=document().replace("2012", "2008"))
    world.state = world.restarted()
    assert await world.call("GetResourcePolicy", ResourceArn=ARN) == put
    assert json.loads(put["Policy"])["Version"] == "2008-10-17"


@pytest.mark.parametrize(
    ("arn", "policy", "code", "message"),
    [
        (f"{ARN}:$LATEST", document(), "InvalidParameterValueException", "do not support adding policies for $LATEST"),
        (f"{ARN}:7", document(f"{ARN}:7"), "ResourceNotFoundException", f"Function not found: {ARN}:7"),
        (f"{ARN}x", document(f"{ARN}x"), "ResourceNotFoundException", "Function not found"),
        (ARN.replace(ACCOUNT, OTHER_ACCOUNT), document(), "AccessDeniedException", "lambda:PutResourcePolicy"),
        (ARN.replace(REGION, "eu-west-1"), document(), "ResourceNotFoundException", "not reachable in this region"),
        (ARN.replace("function:f", "runtime/a"), document(), "InvalidParameterValueException", "Only functions"),
        (ARN, "{", "InvalidParameterValueException", "The policy document is malformed: The policy is not valid JSON."),
        (ARN, document(f"{ARN}:1"), "InvalidParameterValueException", f"put on: {ARN}"),
        (ARN, document(principal="*"), "PublicPolicyException", "would grant public access"),
        (
            ARN,
            document(Condition={"StringEquals": {"aws:a": "\u00e9" * 10_240}}),
            "PolicyLengthExceededException",
            "limit (20480)",
        ),
    ],
)
async def test_refusals(world: World, arn: str, policy: str, code: str, message: str) -> None:
    """A refused document leaves the policy as it was."""
    await world.create()
    before = await world.call("PutResourcePolicy", ResourceArn=ARN, Policy=document())
    error = await refused(world.call("PutResourcePolicy", ResourceArn=arn, Policy=policy))
    assert error.code == code
    assert message in error.message
    assert await world.call("GetResourcePolicy", ResourceArn=ARN) == before
