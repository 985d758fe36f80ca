"""Resource policies of functions, as AddPermission builds them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.lambda_service import ACCOUNT, REGION, World, refused

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
PERMISSION = {"FunctionName": "f", "StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}


async def test_statement_and_document(world: World) -> None:
    """The statement has AWS's key order and conditions, the document AWS's frame."""
    await world.create()
    added = await world.call("AddPermission", **PERMISSION, SourceArn="arn:aws:s3:::bucket", SourceAccount=ACCOUNT)
    statement = (
        '{"Sid":"s3","Effect":"Allow","Principal":{"Service":"s3.amazonaws.com"},"Action":"lambda:InvokeFunction",'
        f'"Resource":"{ARN}","Condition":{{"StringEquals":{{"AWS:SourceAccount":"{ACCOUNT}"}},'
        '"ArnLike":{"AWS:SourceArn":"arn:aws:s3:::bucket"}}}'
    )
    assert added == {"Statement": statement}
    policy = await world.call("GetPolicy", FunctionName="f")
    assert policy["Policy"] == f'{{"Version":"2012-10-17","Id":"default","Statement":[{statement}]}}'


@pytest.mark.parametrize(
    ("principal", "element"),
    [
        ("*", "*"),
        (ACCOUNT, {"AWS": f"arn:aws:iam::{ACCOUNT}:root"}),
        (f"arn:aws:iam::{ACCOUNT}:user/u", {"AWS": f"arn:aws:iam::{ACCOUNT}:user/u"}),
        ("events.amazonaws.com", {"Service": "events.amazonaws.com"}),
        ("alexa-appkit.amazon.com", {"Service": "alexa-appkit.amazon.com"}),
    ],
)
async def test_principals(world: World, principal: str, element: Any) -> None:
    """Each kind of principal has its element."""
    await world.create()
    added = await world.call("AddPermission", **{**PERMISSION, "Principal": principal})
    assert json.loads(added["Statement"])["Principal"] == element


@pytest.mark.parametrize(
    ("action", "member", "operator"),
    [
        ("lambda:InvokeFunctionUrl", {"FunctionUrlAuthType": "NONE"}, {"StringEquals": {"lambda:FunctionUrlAuthType": "NONE"}}),
        ("lambda:InvokeFunction", {"InvokedViaFunctionUrl": True}, {"Bool": {"lambda:InvokedViaFunctionUrl": "true"}}),
    ],
)
async def test_conditions_on_function_urls_go_with_their_action(
    world: World, action: str, member: dict[str, Any], operator: dict[str, Any]
) -> None:
    """On another action they would never hold, so they are refused there."""
    await world.create()
    permission = {**PERMISSION, "Principal": "*", **member}
    added = await world.call("AddPermission", **{**permission, "Action": action})
    assert json.loads(added["Statement"])["Condition"] == operator
    error = await refused(world.call("AddPermission", **{**permission, "StatementId": "b", "Action": "lambda:GetFunction"}))
    assert error.message == f"{next(iter(member))} is only supported for {action} action"


async def test_policies_belong_to_a_qualifier(world: World) -> None:
    """A version's policy is its own, and its resource carries the qualifier."""
    await world.create(Publish=True)
    added = await world.call("AddPermission", **PERMISSION, Qualifier="1")
    assert json.loads(added["Statement"])["Resource"] == f"{ARN}:1"
    assert (await refused(world.call("GetPolicy", FunctionName="f"))).message == "The resource you requested does not exist."
    assert "Policy" in await world.call("GetPolicy", FunctionName="f", Qualifier="1")


async def test_remove(world: World) -> None:
    """The last statement takes the policy with it."""
    await world.create()
    error = await refused(world.call("RemovePermission", FunctionName="f", StatementId="s3"))
    assert error.message == "No policy is associated with the given resource."
    await world.call("AddPermission", **PERMISSION)
    error = await refused(world.call("RemovePermission", FunctionName="f", StatementId="other"))
    assert error.message == "Statement other is not found in resource policy."
    await world.call("RemovePermission", FunctionName="f", StatementId="s3")
    assert (await refused(world.call("GetPolicy", FunctionName="f"))).code == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (
            {"Principal": "nobody"},
            "InvalidParameterValueException",
            "The provided principal was invalid. Please check the principal and try again.",
        ),
        (
            {"Qualifier": "$LATEST"},
            "InvalidParameterValueException",
            "We currently do not support adding policies for $LATEST.",
        ),
        ({"Qualifier": "7"}, "ResourceNotFoundException", f"Function not found: {ARN}:7"),
        ({"Qualifier": "none"}, "ResourceNotFoundException", f"Cannot find alias arn: {ARN}:none"),
        ({"FunctionName": "none"}, "ResourceNotFoundException", "Function not found"),
        (
            {},
            "ResourceConflictException",
            "The statement id (s3) provided already exists. "
            "Please provide a new statement id, or remove the existing statement.",
        ),
        ({"StatementId": "n", "RevisionId": "stale"}, "PreconditionFailedException", "Call the GetPolicy API"),
        ({"StatementId": "n", "SourceArn": "arn:aws:s3:::" + "x" * 21_000}, "PolicyLengthExceededException", "limit (20480)"),
    ],
)
async def test_refusals(world: World, change: dict[str, Any], code: str, message: str) -> None:
    """A refused permission leaves the policy as it was."""
    await world.create()
    await world.call("AddPermission", **PERMISSION)
    before = await world.call("GetPolicy", FunctionName="f")
    error = await refused(world.call("AddPermission", **{**PERMISSION, **change}))
    assert error.code == code
    assert message in error.message
    assert await world.call("GetPolicy", FunctionName="f") == before


@pytest.mark.parametrize("qualifier", [None, "1", "live"])
async def test_a_revision_is_of_function_and_policy_together(world: World, qualifier: str | None) -> None:
    """AddPermission and RemovePermission go by the revision that GetFunction or GetAlias shows, and change it. For that nothing
    runs anew, and there is nothing new to publish."""
    await world.create(Publish=True)
    await world.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    which = {} if qualifier is None else {"Qualifier": qualifier}

    async def shown() -> str:
        if qualifier == "live":
            return str((await world.call("GetAlias", FunctionName="f", Name="live"))["RevisionId"])
        return str((await world.call("GetFunctionConfiguration", FunctionName="f", **which))["RevisionId"])

    await world.call("Invoke", FunctionName="f", Payload=b"1")
    first = await shown()
    await world.call("AddPermission", **PERMISSION, **which, RevisionId=first)
    second = await shown()
    assert second != first
    assert (await world.call("GetPolicy", FunctionName="f", **which))["RevisionId"] == second
    assert (
        await refused(world.call("RemovePermission", FunctionName="f", StatementId="s3", **which, RevisionId=first))
    ).code == ("PreconditionFailedException")
    await world.call("RemovePermission", FunctionName="f", StatementId="s3", **which, RevisionId=second)
    third = await shown()
    assert third not in (first, second)
    await world.call("Invoke", FunctionName="f", Payload=b"1")
    before, after = [invocation.version.revision_id for invocation in world.invoker.invocations]
    assert before == after
    assert (await world.call("PublishVersion", FunctionName="f"))["Version"] == "1"
    updated = await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    assert updated["RevisionId"] not in (first, second, third)
