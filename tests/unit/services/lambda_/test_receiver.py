"""Events from other services: admitted by the resource policy, taken by the queue."""

from __future__ import annotations

import json

import pytest

from lambdad.delivery import Sender
from lambdad.model.event import decode_event
from lambdad.services.lambda_.receiver import LambdaReceiver
from support.lambda_service import ACCOUNT, OTHER_ACCOUNT, REGION, ROLE, World, refused

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
BUCKET = Sender("s3.amazonaws.com", "arn:aws:s3:::bucket", ACCOUNT)
PERMISSION = {"FunctionName": "f", "StatementId": "s3", "Action": "lambda:InvokeFunction", "Principal": "s3.amazonaws.com"}


async def test_admitted_event_is_queued_once(world: World) -> None:
    """An admitted event is in the queue on return, and the same request id only once."""
    await world.create()
    await world.call("AddPermission", **PERMISSION, SourceArn="arn:aws:s3:::bucket", SourceAccount=ACCOUNT)
    receiver = LambdaReceiver(world.state)
    await receiver.check(ARN, BUCKET)
    for _ in range(2):
        await receiver.accept(ARN, BUCKET, b'{"Records":[]}', request_id="one")
    [body] = await world.events()
    event = decode_event(body)
    assert (event.request_id, event.payload, event.invoked_function_arn) == ("one", b'{"Records":[]}', ARN)


@pytest.mark.parametrize(
    "sender",
    [
        Sender("sns.amazonaws.com", "arn:aws:s3:::bucket", ACCOUNT),
        Sender("s3.amazonaws.com", "arn:aws:s3:::bucket2", ACCOUNT),
        Sender("s3.amazonaws.com", "arn:aws:s3:::bucket", OTHER_ACCOUNT),
    ],
)
async def test_others_are_refused(world: World, sender: Sender) -> None:
    """Another service, bucket or account is not let in, and nothing is queued."""
    await world.create()
    await world.call("AddPermission", **PERMISSION, SourceArn="arn:aws:s3:::bucket", SourceAccount=ACCOUNT)
    receiver = LambdaReceiver(world.state)
    error = await refused(receiver.accept(ARN, sender, b"{}", request_id="one"))
    assert error.code == "AccessDeniedException"
    assert await world.events() == []


async def test_missing_targets(world: World) -> None:
    """A function without a policy admits nobody; functions and qualifiers must exist; other ARNs are no functions."""
    await world.create()
    receiver = LambdaReceiver(world.state)
    assert (await refused(receiver.check(ARN, BUCKET))).code == "AccessDeniedException"
    assert (await refused(receiver.check(f"{ARN}x", BUCKET))).code == "ResourceNotFoundException"
    assert (await refused(receiver.check(f"{ARN}:3", BUCKET))).code == "ResourceNotFoundException"
    for arn in ("f", "arn:aws:lambda:us-east-1:1:layer:l", "arn:aws:sqs:us-east-1:123456789012:q"):
        assert (await refused(receiver.check(arn, BUCKET))).code == "InvalidParameterValueException"


async def test_policy_of_the_alias_counts(world: World) -> None:
    """A target with a qualifier is judged by that qualifier's policy."""
    await world.create(Publish=True)
    await world.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    await world.call("AddPermission", **PERMISSION)
    receiver = LambdaReceiver(world.state)
    assert (await refused(receiver.check(f"{ARN}:live", BUCKET))).code == "AccessDeniedException"
    await world.call("AddPermission", **PERMISSION, Qualifier="live")
    await receiver.check(f"{ARN}:live", BUCKET)


async def test_functions_of_one_account_send_to_each_other(world: World) -> None:
    """A role needs no resource policy within its account; another account's role needs one that names it."""
    await world.create()
    receiver = LambdaReceiver(world.state)
    own = Sender("lambda.amazonaws.com", f"{ARN}2", ACCOUNT, ROLE)
    await receiver.accept(ARN, own, b"{}", request_id="one")
    assert len(await world.events()) == 1
    assert (await refused(receiver.check(f"{ARN}x", own))).code == "ResourceNotFoundException"
    role = ROLE.replace(ACCOUNT, OTHER_ACCOUNT)
    other = Sender("lambda.amazonaws.com", f"{ARN}2".replace(ACCOUNT, OTHER_ACCOUNT), OTHER_ACCOUNT, role)
    error = await refused(receiver.check(ARN, other))
    assert error.code == "AccessDeniedException"
    assert role in error.message
    await world.call("AddPermission", **{**PERMISSION, "Principal": role})
    await receiver.check(ARN, other)


async def test_a_policy_keeps_roles_of_its_own_account_out(world: World) -> None:
    """What the target denies reaches it by no destination either."""
    await world.create()
    statement = {"Effect": "Deny", "Principal": {"AWS": ROLE}, "Action": "lambda:InvokeFunction", "Resource": ARN}
    policy = json.dumps({"Version": "2012-10-17", "Statement": statement})
    await world.call("PutResourcePolicy", ResourceArn=ARN, Policy=policy)
    receiver = LambdaReceiver(world.state)
    error = await refused(
        receiver.accept(ARN, Sender("lambda.amazonaws.com", f"{ARN}2", ACCOUNT, ROLE), b"{}", request_id="one")
    )
    assert error.code == "AccessDeniedException"
    assert error.message.endswith("with an explicit deny in a resource-based policy")
    assert await world.events() == []
    await receiver.check(ARN, Sender("lambda.amazonaws.com", f"{ARN}2", ACCOUNT, f"{ROLE}2"))
