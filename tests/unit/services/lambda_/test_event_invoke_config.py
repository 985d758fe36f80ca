"""Retries, age and destinations of asynchronous invocations: configured, shown, and gone with what they were for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from lambdad.delivery import PLAIN, Envelope, Sender
from lambdad.errors import ServiceError
from lambdad.model.event import QueuedEvent
from lambdad.model.retry import EventPolicy
from lambdad.services.lambda_.resolve import EventFunctions
from support.lambda_service import ACCOUNT, OTHER_ACCOUNT, REGION, ROLE, World, refused

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
OTHER = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:g"
QUEUE = f"arn:aws:sqs:{REGION}:{ACCOUNT}:q"
TOPIC = f"arn:aws:sns:{REGION}:{ACCOUNT}:t"
INVALID, NOT_FOUND = "InvalidParameterValueException", "ResourceNotFoundException"


class Target:
    """A service elsewhere, in which there is what `there` names."""

    def __init__(self, *there: str) -> None:
        self.there = there
        self.senders: list[Sender] = []

    async def check(self, target_arn: str, sender: Sender) -> None:
        self.senders.append(sender)
        if target_arn not in self.there:
            raise ServiceError("NonExistent", "There is no such thing.")

    async def accept(
        self, target_arn: str, sender: Sender, payload: bytes, *, request_id: str, envelope: Envelope = PLAIN
    ) -> None:
        raise AssertionError("nothing is sent by configuring")


def destinations(on_success: str | None = None, on_failure: str | None = None) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if on_success is not None:
        config["OnSuccess"] = {"Destination": on_success}
    if on_failure is not None:
        config["OnFailure"] = {"Destination": on_failure}
    return {"DestinationConfig": config}


async def policy(world: World, qualifier: str | None = None, version: str | None = None) -> EventPolicy:
    event = QueuedEvent(
        request_id="r", account_id=ACCOUNT, region=REGION, function_name="f", qualifier=qualifier,
        invoked_function_arn=ARN, payload=b"{}", trace_header="", accepted_at=0,
    )  # fmt: skip
    return await EventFunctions(world.state).event_policy(event, version)


@pytest.fixture
async def functions(world: World) -> World:
    """Functions f, with a version 1 and an alias "live", and g."""
    await world.create("f", Publish=True)
    await world.create("g")
    await world.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    return world


async def test_put_and_get(functions: World) -> None:
    """What was put is shown with the qualified ARN and the time; members that were left out are not shown."""
    put = await functions.call("PutFunctionEventInvokeConfig", FunctionName="f", MaximumRetryAttempts=0)
    assert put == {
        "LastModified": datetime.fromtimestamp(functions.now[0], UTC),
        "FunctionArn": f"{ARN}:$LATEST",
        "MaximumRetryAttempts": 0,
        "DestinationConfig": {"OnSuccess": {}, "OnFailure": {}},
    }
    for name in ("f", ARN, f"{ARN}:$LATEST", "f:$LATEST"):
        assert await functions.call("GetFunctionEventInvokeConfig", FunctionName=name) == put
    assert await policy(functions) == EventPolicy(maximum_retries=0, role=ROLE)


async def test_put_replaces_and_update_keeps(functions: World) -> None:
    """Put replaces everything; update only what it names, the destinations as one."""
    call = functions.call
    await call("PutFunctionEventInvokeConfig", FunctionName="f", MaximumRetryAttempts=1, MaximumEventAgeInSeconds=60)
    await call("PutFunctionEventInvokeConfig", FunctionName="f", MaximumEventAgeInSeconds=120, **destinations(OTHER))
    assert await policy(functions) == EventPolicy(maximum_age_seconds=120, on_success=OTHER, role=ROLE)
    functions.now[0] += 10
    updated = await call("UpdateFunctionEventInvokeConfig", FunctionName="f", MaximumRetryAttempts=0)
    assert updated["LastModified"] == datetime.fromtimestamp(functions.now[0], UTC)
    assert await policy(functions) == EventPolicy(0, 120, on_success=OTHER, role=ROLE)
    await call("UpdateFunctionEventInvokeConfig", FunctionName="f", **destinations(on_failure=OTHER))
    assert await policy(functions) == EventPolicy(0, 120, on_failure=OTHER, role=ROLE)
    await call("UpdateFunctionEventInvokeConfig", FunctionName="f", **destinations(on_failure=""))
    assert await policy(functions) == EventPolicy(0, 120, role=ROLE)


async def test_each_qualifier_has_its_own(functions: World) -> None:
    """What is configured for an alias or version holds for invocations of just that one; it survives a restart."""
    for qualifier, retries in (("live", 0), ("1", 1)):
        await functions.call(
            "PutFunctionEventInvokeConfig", FunctionName="f", Qualifier=qualifier, MaximumRetryAttempts=retries
        )
    functions.state = functions.restarted()
    assert [(await policy(functions, qualifier)).maximum_retries for qualifier in ("live", "1", "$LATEST", None)] == [
        0,
        1,
        2,
        2,
    ]


async def test_list(functions: World) -> None:
    """By qualifier, in pages."""
    assert await functions.call("ListFunctionEventInvokeConfigs", FunctionName="f") == {"FunctionEventInvokeConfigs": []}
    for qualifier in ("live", "1", "$LATEST"):
        await functions.call("PutFunctionEventInvokeConfig", FunctionName="f", Qualifier=qualifier, MaximumRetryAttempts=0)
    seen, marker = [], {}
    while True:
        page = await functions.call("ListFunctionEventInvokeConfigs", FunctionName="f", MaxItems=2, **marker)
        seen += [config["FunctionArn"].rpartition(":")[2] for config in page["FunctionEventInvokeConfigs"]]
        if "NextMarker" not in page:
            break
        assert len(page["FunctionEventInvokeConfigs"]) == 2
        marker = {"Marker": page["NextMarker"]}
    assert seen == ["$LATEST", "1", "live"]
    error = await refused(functions.call("ListFunctionEventInvokeConfigs", FunctionName="f", Marker="é"))
    assert error.code == INVALID
    error = await refused(functions.call("ListFunctionEventInvokeConfigs", FunctionName="none"))
    assert (error.code, error.message) == (NOT_FOUND, "The function doesn't exist.")


async def test_delete(functions: World) -> None:
    """A deleted one is gone, the others stay; what is not there cannot be deleted."""
    for qualifier in ("live", "$LATEST"):
        await functions.call("PutFunctionEventInvokeConfig", FunctionName="f", Qualifier=qualifier, MaximumRetryAttempts=0)
    answer = await functions.answer("DeleteFunctionEventInvokeConfig", FunctionName="f")
    assert answer.status == 204
    for operation in ("GetFunctionEventInvokeConfig", "DeleteFunctionEventInvokeConfig"):
        error = await refused(functions.call(operation, FunctionName="f"))
        assert (error.code, error.message) == (NOT_FOUND, f"The function {ARN}:$LATEST doesn't have an EventInvokeConfig")
    assert await functions.call("GetFunctionEventInvokeConfig", FunctionName="f:live")


@pytest.mark.parametrize("owner", ["alias", "version", "function"])
async def test_it_goes_with_its_owner(functions: World, owner: str) -> None:
    """Who makes the alias, version or function anew does not find the old one's settings."""
    call = functions.call
    await call("DeleteAlias", FunctionName="f", Name="live")
    await call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="$LATEST")
    qualifier = {"alias": "live", "version": "1", "function": "$LATEST"}[owner]
    await call("PutFunctionEventInvokeConfig", FunctionName="f", Qualifier=qualifier, MaximumRetryAttempts=0)
    if owner == "alias":
        await call("DeleteAlias", FunctionName="f", Name="live")
        await call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="$LATEST")
    elif owner == "version":
        await call("DeleteFunction", FunctionName="f", Qualifier="1")
    else:
        await call("DeleteFunction", FunctionName="f")
        await functions.create("f")
    functions.state = functions.restarted()
    assert (await policy(functions, qualifier)).maximum_retries == 2
    assert await functions.store.list("lambda-event-invoke-config") == []


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        ({}, INVALID, "You must specify at least one of error handling or destination setting."),
        ({"FunctionName": "none", "MaximumRetryAttempts": 1}, NOT_FOUND, "The function doesn't exist."),
        ({"Qualifier": "9", "MaximumRetryAttempts": 1}, NOT_FOUND, "The function doesn't exist."),
        ({"Qualifier": "none", "MaximumRetryAttempts": 1}, NOT_FOUND, "The function doesn't exist."),
        (destinations(ARN), INVALID, "You can't specify the function as a destination for itself."),
        (destinations(f"{ARN}:live"), INVALID, "You can't specify the function as a destination for itself."),
        (destinations(f"{OTHER}x"), INVALID, f"The destination ARN {OTHER}x is invalid."),
        (destinations(f"{OTHER}:9"), INVALID, f"The destination ARN {OTHER}:9 is invalid."),
        (
            destinations("arn:aws:s3:::bucket", OTHER),
            INVALID,
            "The provided destination config DestinationConfig(onSuccess=OnSuccess(destination=arn:aws:s3:::bucket), "
            f"onFailure=OnFailure(destination={OTHER})) is invalid.",
        ),
        (
            destinations(on_failure="kafka://topic"),
            INVALID,
            "The provided destination config DestinationConfig(onSuccess=null, "
            "onFailure=OnFailure(destination=kafka://topic)) is invalid.",
        ),
        (
            destinations(QUEUE),
            INVALID,
            f"The destination ARN {QUEUE} is invalid: there is no SQS here. "
            "Name an endpoint of it in the setting endpoint_sqs.",
        ),
        (
            destinations(on_failure=f"arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default"),
            INVALID,
            f"The destination ARN arn:aws:events:{REGION}:{ACCOUNT}:event-bus/default is invalid: "
            "there is no EventBridge here. Name an endpoint of it in the setting endpoint_events.",
        ),
        (destinations(f"{QUEUE}.fifo"), INVALID, f"The destination ARN {QUEUE}.fifo is invalid."),
        (destinations(f"{TOPIC}.fifo"), INVALID, "FIFO-type Amazon SNS topics aren't supported as a destination."),
    ],
)
@pytest.mark.parametrize("operation", ["PutFunctionEventInvokeConfig", "UpdateFunctionEventInvokeConfig"])
async def test_refusals(functions: World, operation: str, request_: dict[str, Any], code: str, message: str) -> None:
    """Each with AWS's words, and what stood before still stands."""
    await functions.call("PutFunctionEventInvokeConfig", FunctionName="f", MaximumRetryAttempts=1)
    error = await refused(functions.call(operation, **{"FunctionName": "f", **request_}))
    assert (error.code, error.message) == (code, message)
    assert await policy(functions) == EventPolicy(1, role=ROLE)


async def test_update_needs_one_that_stands(functions: World) -> None:
    """Update makes none."""
    error = await refused(functions.call("UpdateFunctionEventInvokeConfig", FunctionName="f:live", MaximumRetryAttempts=1))
    assert (error.code, error.message) == (NOT_FOUND, f"The function {ARN}:live doesn't have an EventInvokeConfig")


async def test_another_accounts_function(functions: World) -> None:
    """Nobody else may look at it or change it; as a destination it must let the role in."""
    error = await refused(functions.call("GetFunctionEventInvokeConfig", account=OTHER_ACCOUNT, FunctionName=ARN))
    assert error.code == "AccessDeniedException"


async def test_targets_elsewhere_are_asked_for(functions: World) -> None:
    """With an endpoint, a target that is there is taken, and one that is not is refused with its service's reason."""
    target = Target(QUEUE)
    functions.delivery.register("sqs", target)
    await functions.call("PutFunctionEventInvokeConfig", FunctionName="f", **destinations(QUEUE, QUEUE))
    assert [(sender.source_arn, sender.source_account, sender.role_arn) for sender in target.senders] == [(ARN, ACCOUNT, ROLE)]
    error = await refused(functions.call("PutFunctionEventInvokeConfig", FunctionName="f", **destinations(f"{QUEUE}2")))
    assert error.message == f"The destination ARN {QUEUE}2 is invalid: There is no such thing."


async def test_dead_letter_queue(functions: World) -> None:
    """Part of the version's configuration: kept with it when it is published, shown, and taken away by an empty ARN."""
    functions.delivery.register("sqs", Target(QUEUE))
    functions.delivery.register("sns", Target(TOPIC))
    call = functions.call
    shown = await call("UpdateFunctionConfiguration", FunctionName="f", DeadLetterConfig={"TargetArn": QUEUE})
    assert shown["DeadLetterConfig"] == {"TargetArn": QUEUE}
    await functions.settled()
    await call("PublishVersion", FunctionName="f")
    await call("UpdateFunctionConfiguration", FunctionName="f", DeadLetterConfig={"TargetArn": TOPIC})
    await functions.settled()
    await call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    await functions.settled()
    assert [(await policy(functions, each)).dead_letter for each in (None, "1", "2", "live")] == [TOPIC, None, QUEUE, None]
    assert (await policy(functions, "live", version="2")).dead_letter == QUEUE
    shown = await call("UpdateFunctionConfiguration", FunctionName="f", DeadLetterConfig={"TargetArn": ""})
    assert "DeadLetterConfig" not in shown


@pytest.mark.parametrize(
    ("target_arn", "message"),
    [
        (OTHER, f"Invalid dead letter queue ARN: {OTHER} is neither an SQS queue nor an SNS topic"),
        ("arn:aws:sqs", "Invalid dead letter queue ARN: arn:aws:sqs is neither an SQS queue nor an SNS topic"),
        (f"{QUEUE}.fifo", "Invalid dead letter queue ARN: FIFO SQS queue is not supported for dead letter configuration"),
        (f"{TOPIC}.fifo", "Invalid dead letter queue ARN: FIFO SNS topic is not supported for dead letter configuration"),
        (f"{QUEUE}2", f"Invalid dead letter queue ARN: {QUEUE}2: There is no such thing."),
        (
            TOPIC,
            f"Invalid dead letter queue ARN: {TOPIC}: there is no SNS here. "
            "Name an endpoint of it in the setting endpoint_sns.",
        ),
    ],
)
async def test_dead_letter_queues_that_are_refused(functions: World, target_arn: str, message: str) -> None:
    """At creation as at an update, before anything is kept."""
    functions.delivery.register("sqs", Target(QUEUE))
    config = {"DeadLetterConfig": {"TargetArn": target_arn}}
    error = await refused(functions.call("UpdateFunctionConfiguration", FunctionName="f", **config))
    assert (error.code, error.message) == (INVALID, message)
    error = await refused(functions.create("h", **config))
    assert error.message == message
    assert (await refused(functions.call("GetFunction", FunctionName="h"))).code == NOT_FOUND


async def test_policy_of_a_function_that_is_gone(functions: World) -> None:
    """It is AWS's default: the dispatcher finds out by itself that there is nothing to run."""
    await functions.call("DeleteFunction", FunctionName="f")
    assert await policy(functions) == EventPolicy()
