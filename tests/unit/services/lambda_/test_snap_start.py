"""SnapStart: who may have it, and the states of a version until its snapshot is there."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lambdad.errors import SandboxError, ServiceError
from lambdad.model.function import Failure
from lambdad.runtimes.catalog import RUNNABLE
from lambdad.services.lambda_.unsupported import LIMITED
from support.lambda_service import OTHER_CODE, World, refused

SNAP_START = {"ApplyOn": "PublishedVersions"}


async def publish(world: World) -> dict[str, Any]:
    await world.create(SnapStart=SNAP_START)
    published: dict[str, Any] = await world.call("PublishVersion", FunctionName="f")
    return published


async def state_of(world: World, qualifier: str = "1") -> dict[str, Any]:
    read: dict[str, Any] = await world.call("GetFunctionConfiguration", FunctionName="f", Qualifier=qualifier)
    return read


def test_support_says_what_each_runtime_gets() -> None:
    """Every runtime that can be run is in one list or the other, as `check_snap_start` has it."""
    told = LIMITED["CreateFunction"]["SnapStart.ApplyOn"]
    cloned, others = [part.split(": ")[0].split(", ") for part in told.split("; ")[:2]]
    assert {*cloned, *others} == RUNNABLE
    assert cloned[:3] == ["python3.8", "python3.9", "python3.10"]
    assert {"python2.7", "python3.7", "provided.al2023"} <= set(others)
    assert told == LIMITED["UpdateFunctionConfiguration"]["SnapStart.ApplyOn"]


async def test_a_version_is_active_when_its_snapshot_is_there(world: World) -> None:
    """Pending before; an invocation is then refused with 409, and $LATEST is free to be changed and invoked."""
    made = asyncio.Event()
    world.snapshots.outcomes.append(made)
    published = await publish(world)
    assert (published["State"], published["StateReasonCode"]) == ("Pending", "Creating")
    assert published["SnapStart"] == {**SNAP_START, "OptimizationStatus": "On"}
    error = await refused(world.call("Invoke", FunctionName="f", Qualifier="1", Payload=b"{}"))
    assert error.code == "SnapStartNotReadyException"
    await world.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_CODE)
    made.set()
    await world.settled()
    version = await state_of(world)
    assert (version["State"], version["LastUpdateStatus"]) == ("Active", "Successful")
    assert "StateReason" not in version
    assert [prepared.version for prepared in world.snapshots.prepared] == ["1"]
    assert world.snapshots.prepared[0].has_snapshot


async def test_latest_has_no_snapshot(world: World) -> None:
    created = await world.create(SnapStart=SNAP_START)
    assert created["SnapStart"] == {**SNAP_START, "OptimizationStatus": "Off"}
    assert world.snapshots.prepared == []


async def test_a_version_without_a_snapshot_has_failed(world: World) -> None:
    world.snapshots.outcomes.append(Failure("FunctionError.InitTimeout", "The function's init failed: too late"))
    await publish(world)
    await world.settled()
    version = await state_of(world)
    assert (version["State"], version["StateReasonCode"]) == ("Failed", "FunctionError.InitTimeout")
    assert version["StateReason"] == "The function's init failed: too late"
    assert (await state_of(world, "$LATEST"))["State"] == "Active"


async def test_a_sandbox_that_fails_is_an_internal_error(world: World) -> None:
    world.snapshots.outcomes.append(SandboxError("no room"))
    await publish(world)
    await world.settled()
    assert (await state_of(world))["StateReasonCode"] == "InternalError"


async def test_want_of_room_is_waited_out(world: World) -> None:
    """The snapshot is tried again, later and later."""
    throttled = ServiceError("TooManyRequestsException", "Rate Exceeded.")
    world.snapshots.outcomes += [throttled, throttled]
    await publish(world)
    await world.settled()
    assert (await state_of(world))["State"] == "Active"
    assert world.pauses == [1.0, 2.0]


async def test_a_pending_version_is_taken_up_by_the_next_server(world: World) -> None:
    world.snapshots.outcomes.append(asyncio.Event())
    await publish(world)
    await world.state.settler.stop()
    world.snapshots.outcomes.clear()
    again = world.restarted()
    await again.settler.start()
    await again.settler.settled(("123456789012", "us-east-1", "f"))
    stored = await again.functions.find(("123456789012", "us-east-1", "f"))
    assert stored is not None
    assert stored.versions["1"].state == "Active"


async def test_a_version_may_be_deleted_while_its_snapshot_is_made(world: World) -> None:
    made = asyncio.Event()
    world.snapshots.outcomes.append(made)
    await publish(world)
    await world.call("DeleteFunction", FunctionName="f", Qualifier="1")
    made.set()
    await world.settled()
    assert (await refused(state_of(world))).code == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"Runtime": "provided.al2023"}, "provided.al2023 is not supported for SnapStart enabled functions."),
        ({"Runtime": "python3.7"}, "python3.7 is not supported for SnapStart enabled functions."),
        ({"EphemeralStorage": {"Size": 513}}, "SnapStart does not support ephemeral storage of more than 512 MB"),
    ],
)
async def test_what_cannot_have_it_is_refused(world: World, settings: dict[str, Any], message: str) -> None:
    """At creation and at an update."""
    world.runtimes.names = ("python3.7", "python3.12", "provided.al2023")
    error = await refused(world.create(SnapStart=SNAP_START, **settings))
    assert (error.code, message in error.message) == ("InvalidParameterValueException", True)
    await world.create(**settings)
    error = await refused(world.call("UpdateFunctionConfiguration", FunctionName="f", SnapStart=SNAP_START))
    assert message in error.message


async def test_a_backend_without_snapshots_refuses_it(world: World) -> None:
    """Also at publishing, when the function was made on another machine."""
    await world.create(SnapStart=SNAP_START)
    world.state.snapshot_problem = "functions that are not isolated cannot be cloned"
    message = "SnapStart is not supported on this machine: functions that are not isolated cannot be cloned."
    for call in (
        world.call("PublishVersion", FunctionName="f"),
        world.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_CODE, Publish=True),
        world.create("g", SnapStart=SNAP_START),
    ):
        assert (await refused(call)).message == message
    await world.create("g", SnapStart={"ApplyOn": "None"})
