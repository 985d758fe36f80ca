"""What was Inactive is made ready again: by the next invocation, by an update, or not, with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from msgspec.structs import replace as with_members

from lambdad.errors import SandboxError
from lambdad.model.event import decode_event
from lambdad.model.function import Failure
from lambdad.services.lambda_.reclaiming import RESTORE_PAUSE_SECONDS
from lambdad.services.lambda_.resolve import EventFunctions
from lambdad.store.base import Change
from support.idle_functions import (
    DAY,
    IDLE,
    create,
    lose_layer,
    pass_days,
    publish,
    shown,
    state_of,
    trees,
    written,
)
from support.lambda_service import IDLE_SECONDS, World, refused


@pytest.mark.parametrize(
    ("operation", "request_of"),
    [
        ("Invoke", {"InvocationType": "RequestResponse"}),
        ("Invoke", {"InvocationType": "Event"}),
        ("InvokeAsync", {"InvokeArgs": b"{}"}),
        ("InvokeWithResponseStream", {}),
    ],
)
async def test_every_way_of_invoking_wakes(world: World, uri: str, operation: str, request_of: dict[str, Any]) -> None:
    """What is refused is not queued."""
    await create(world, uri)
    await pass_days(world, 14)
    error = await refused(world.call(operation, FunctionName="f", **request_of))
    assert (error.code, error.status) == ("CodeArtifactUserPendingException", 409)
    assert await world.events() == []
    await world.settled()
    assert await state_of(world) == ("Active", None, None)


async def test_a_dry_run_is_refused_and_wakes_nobody(world: World, uri: str) -> None:
    """Nor does it keep anybody awake."""
    await create(world, uri)
    await world.state.reclaimer.sweep()
    world.now[0] += 14 * DAY
    answered = await world.call("Invoke", FunctionName="f", InvocationType="DryRun")
    assert answered["StatusCode"] == 204
    await world.state.reclaimer.sweep()
    assert await state_of(world) == IDLE
    error = await refused(world.call("Invoke", FunctionName="f", InvocationType="DryRun"))
    assert error.code == "CodeArtifactUserPendingException"
    await world.settled()
    assert await state_of(world) == IDLE


async def test_a_queued_event_wakes(world: World, uri: str) -> None:
    """Its attempt is refused with what has it tried again."""
    await create(world, uri)
    await pass_days(world, 14)
    await world.create("other")
    await world.call("Invoke", FunctionName="other", InvocationType="Event", Payload=b"{}")
    event = with_members(decode_event((await world.events("other"))[0]), function_name="f")
    functions = EventFunctions(world.state)
    assert (await refused(functions.resolve(event))).code == "CodeArtifactUserPendingException"
    await world.settled()
    assert (await functions.resolve(event)).function_name == "f"


async def test_an_update_makes_an_idle_function_active(world: World, uri: str) -> None:
    """Inactive while it is under way, and refused as before; a configuration is enough."""
    await create(world, uri)
    await pass_days(world, 14)
    for request in ({"operation": "UpdateFunctionCode", "ImageUri": written(world, "two")}, {"Timeout": 9}):
        operation = request.pop("operation", "UpdateFunctionConfiguration")
        updated = await world.call(operation, FunctionName="f", **request)
        assert (updated["State"], updated["StateReasonCode"], updated["LastUpdateStatus"]) == ("Inactive", "Idle", "InProgress")
        error = await refused(world.call("Invoke", FunctionName="f", Payload=b"{}"))
        assert error.code == "CodeArtifactUserPendingException"
        await world.settled()
        assert await state_of(world) == ("Active", None, None)
        assert await trees(world) == [True, True]
        await world.call("Invoke", FunctionName="f", Payload=b"{}")
        await pass_days(world, 14)
        assert await state_of(world) == IDLE


async def test_an_idle_function_whose_update_fails_wakes_with_the_code_before(world: World, uri: str) -> None:
    """The update stays Failed, and the function Inactive until it is invoked; it can be idle again, and be updated."""
    await create(world, uri)
    await pass_days(world, 14)
    await world.call("UpdateFunctionCode", FunctionName="f", ImageUri=written(world, "two"))
    await lose_layer(world)
    await world.settled()
    failed = await shown(world)
    assert await state_of(world) == IDLE
    assert (failed["LastUpdateStatus"], failed["LastUpdateStatusReasonCode"]) == ("Failed", "InternalError")
    for _ in range(2):
        await refused(world.call("Invoke", FunctionName="f", Payload=b"{}"))
        await world.settled()
        awake = await shown(world)
        assert (awake["State"], awake["LastUpdateStatus"]) == ("Active", "Failed")
        assert awake["LastUpdateStatusReason"] == failed["LastUpdateStatusReason"]
        await world.call("Invoke", FunctionName="f", Payload=b"{}")
        ran = world.invoker.invocations[-1].version.image
        assert ran is not None
        assert ran.uri == uri
        assert all(world.code_store.path(stack).exists() for stack in ran.stacks())
        await pass_days(world, 14)
        assert await state_of(world) == IDLE
        assert not any(world.code_store.path(stack).exists() for stack in ran.stacks())
    await world.call("UpdateFunctionCode", FunctionName="f", ImageUri=written(world, "three"))
    await world.settled()
    assert (await shown(world))["LastUpdateStatus"] == "Successful"
    await world.call("Invoke", FunctionName="f", Payload=b"{}")


async def test_a_version_of_an_idle_function(world: World, uri: str) -> None:
    """It is made ready by itself; $LATEST stays as it is. What was published already is shown as it stands."""
    await create(world, uri)
    await pass_days(world, 14)
    published = await world.call("PublishVersion", FunctionName="f")
    assert (published["State"], published["StateReasonCode"]) == ("Pending", "Creating")
    await world.settled()
    assert [await state_of(world), await state_of(world, "1")] == [IDLE, ("Active", None, None)]
    assert await trees(world, number="1") == [True, True]
    await world.call("Invoke", FunctionName="f", Qualifier="1", Payload=b"{}")
    await pass_days(world, 14)
    again = await world.call("PublishVersion", FunctionName="f")
    assert (again["Version"], again["State"]) == ("1", "Inactive")


async def test_what_cannot_be_restored_is_inactive_again(world: World, uri: str) -> None:
    """With the reason; an invocation half a minute later tries once more, and one before does not."""
    await create(world, uri)
    await pass_days(world, 14)
    lost = await lose_layer(world)
    for _ in range(2):
        await refused(world.call("Invoke", FunctionName="f", Payload=b"{}"))
        assert (await state_of(world))[0] == "Pending"
        await world.settled()
        world.now[0] += RESTORE_PAUSE_SECONDS - 1
        error = await refused(world.call("Invoke", FunctionName="f", Payload=b"{}"))
        assert error.code == "CodeArtifactUserPendingException"
        assert (await state_of(world))[0] == "Inactive"
        world.now[0] += 1
        state, code, reason = await state_of(world)
        assert (state, code) == ("Inactive", "InternalError")
        assert lost.name in reason
        assert await trees(world) == [False, False]
    lost.with_suffix(".lost").rename(lost)
    await refused(world.call("Invoke", FunctionName="f", Payload=b"{}"))
    await world.settled()
    assert await state_of(world) == ("Active", None, None)


async def test_a_version_that_cannot_be_restored_fails_no_update(world: World, uri: str) -> None:
    """Nor does an update that fails keep a version from being restored; the two are made ready at the same time."""
    await create(world, uri)
    await world.call("PublishVersion", FunctionName="f")
    await pass_days(world, 14)
    lost = await lose_layer(world)
    await refused(world.call("Invoke", FunctionName="f", Qualifier="1", Payload=b"{}"))
    await world.call("UpdateFunctionCode", FunctionName="f", ImageUri=written(world, "two"))
    await world.settled()
    assert (await shown(world))["LastUpdateStatus"] == "Successful"
    assert (await state_of(world, "1"))[:2] == ("Inactive", "InternalError")
    lost.with_suffix(".lost").rename(lost)
    world.now[0] += RESTORE_PAUSE_SECONDS
    await refused(world.call("Invoke", FunctionName="f", Qualifier="1", Payload=b"{}"))
    await world.call("UpdateFunctionCode", FunctionName="f", ImageUri=written(world, "three"))
    await lose_layer(world)
    await world.settled()
    assert (await shown(world))["LastUpdateStatus"] == "Failed"
    assert await state_of(world, "1") == ("Active", None, None)


async def test_a_snapshot_that_cannot_be_made_again(world: World) -> None:
    """The function's own failure, and ours."""
    await publish(world)
    await pass_days(world, 14)
    failures = [Failure("FunctionError.RuntimeInitError", "init failed"), SandboxError("no room on the disk")]
    reasons = [("FunctionError.RuntimeInitError", "init failed"), ("InternalError", "no room on the disk")]
    for failure, reason in zip(failures, reasons, strict=True):
        world.now[0] += RESTORE_PAUSE_SECONDS
        world.snapshots.outcomes.append(failure)
        await refused(world.call("Invoke", FunctionName="f", Qualifier="1", Payload=b"{}"))
        await world.settled()
        assert await state_of(world, "1") == ("Inactive", *reason)


async def test_an_invocation_that_comes_between_has_it_restored_at_once(world: World, uri: str) -> None:
    """It was let in before the state was written, and it runs; nobody has to call again for the function to be ready."""
    await create(world, uri)
    await world.state.reclaimer.sweep()
    world.now[0] += IDLE_SECONDS
    commit = world.store.commit

    async def with_invocation(changes: Sequence[Change]) -> None:
        world.store.commit = commit  # type: ignore[method-assign]
        await world.call("Invoke", FunctionName="f", Payload=b"{}")
        await commit(changes)

    world.store.commit = with_invocation  # type: ignore[method-assign]
    await world.state.reclaimer.sweep()
    assert len(world.invoker.invocations) == 1
    await world.settled()
    assert await state_of(world) == ("Active", None, None)
    assert await trees(world) == [True, True]
