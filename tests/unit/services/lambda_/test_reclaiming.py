"""Functions that nobody invokes become Inactive, give back what they hold, and have it made again by the next invocation."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace as with_members

from lambdad.errors import SandboxError
from lambdad.model.event import decode_event
from lambdad.model.function import Failure
from lambdad.services.lambda_.reclaiming import RESTORE_PAUSE_SECONDS, Reclaimer
from lambdad.services.lambda_.record_keys import LAST_USES
from lambdad.services.lambda_.records import LastUse
from lambdad.services.lambda_.resolve import EventFunctions
from lambdad.services.lambda_.state import LambdaState
from lambdad.store.base import Change
from support.image_layers import Entry
from support.images import image, write_layout
from support.lambda_service import ACCOUNT, IDLE_SECONDS, REGION, ROLE, World, refused

KEY = (ACCOUNT, REGION, "f")
DAY = 86400.0
SNAP_START = {"SnapStart": {"ApplyOn": "PublishedVersions"}}
IDLE = ("Inactive", "Idle", "The function is currently idle.")
BASE = [Entry("base")]


@pytest.fixture
def uri(world: World) -> str:
    return written(world, "one")


def written(world: World, name: str, *contents: str) -> str:
    """The address of an image of two layers, of which every image here has the first one."""
    folder = write_layout(world.image_folder / name, {"v": image(BASE, [Entry(name), *map(Entry, contents)])})
    return f"oci:{folder}:v"


async def create(world: World, uri: str, name: str = "f") -> None:
    request = {"FunctionName": name, "Role": ROLE, "PackageType": "Image", "Code": {"ImageUri": uri}}
    await world.call("CreateFunction", **request)
    await world.settled(name)


async def publish(world: World) -> None:
    """Version 1, with SnapStart."""
    await world.create(**SNAP_START)
    await world.call("PublishVersion", FunctionName="f")
    await world.settled()


async def pass_days(world: World, days: float, state: LambdaState | None = None) -> None:
    """With a sweep before, when what nothing was known of begins to be idle, and one at the end."""
    reclaimer = (state or world.state).reclaimer
    await reclaimer.sweep()
    world.now[0] += days * DAY
    await reclaimer.sweep()


async def shown(world: World, qualifier: str = "$LATEST", name: str = "f") -> dict[str, Any]:
    read: dict[str, Any] = await world.call("GetFunctionConfiguration", FunctionName=name, Qualifier=qualifier)
    return read


async def state_of(world: World, qualifier: str = "$LATEST", name: str = "f") -> tuple[Any, ...]:
    read = await shown(world, qualifier, name)
    return read["State"], read.get("StateReasonCode"), read.get("StateReason")


async def trees(world: World, name: str = "f", number: str = "$LATEST") -> list[bool]:
    """Whether the files are there, layer by layer."""
    stored = await world.state.functions.find((ACCOUNT, REGION, name))
    assert stored is not None
    reading = stored.function.latest if number == "$LATEST" else stored.versions[number]
    assert reading.configuration.image is not None
    return [world.code_store.path(stack).exists() for stack in reading.configuration.image.stacks()]


async def lose_layer(world: World) -> Path:
    """Where the bytes of the last layer of `f` were; they are beside it now."""
    stored = await world.state.functions.find(KEY)
    assert stored is not None
    assert stored.function.latest.configuration.image is not None
    path = world.blobs.path(stored.function.latest.configuration.image.image.layers[-1].digest)
    return path.rename(path.with_suffix(".lost")).with_suffix("")


async def known_uses(world: World) -> dict[str, float | None]:
    return {f"{use.key[2]}:{use.version}": use.at async for use in world.state.records.last_uses()}


async def test_an_idle_image_is_removed_and_the_next_invocation_has_it_made_again(world: World, uri: str) -> None:
    """Inactive after 14 days; the invocation is refused as on AWS, the function Pending, then Active and as it was before."""
    await create(world, uri)
    before = await shown(world)
    await pass_days(world, 13.9)
    assert await state_of(world) == ("Active", None, None)
    await pass_days(world, 14)
    assert await state_of(world) == IDLE
    assert await trees(world) == [False, False]
    assert world.invoker.retired[-1] == (*KEY, "$LATEST")
    error = await refused(world.call("Invoke", FunctionName="f", Payload=b"{}"))
    assert (error.code, error.status) == ("CodeArtifactUserPendingException", 409)
    assert error.message == "Lambda is initializing your function. It will be ready to invoke shortly."
    assert await state_of(world) == ("Pending", "Restoring", "The function is being restored.")
    error = await refused(world.call("Invoke", FunctionName="f", Payload=b"{}"))
    assert error.code == "CodeArtifactUserPendingException"
    await world.settled()
    assert await trees(world) == [True, True]
    assert await shown(world) == before
    assert (await world.call("Invoke", FunctionName="f", Payload=b"{}"))["StatusCode"] == 200


async def test_a_layer_that_others_use_stays(world: World, uri: str) -> None:
    """Of an idle function goes what is its own alone; a published version of the same image is idle by itself."""
    await create(world, uri)
    await create(world, written(world, "other"), "g")
    await world.call("PublishVersion", FunctionName="f")
    await world.state.reclaimer.sweep()
    world.now[0] += 14 * DAY
    await world.call("Invoke", FunctionName="g", Payload=b"{}")
    await world.call("Invoke", FunctionName="f", Qualifier="1", Payload=b"{}")
    await world.state.reclaimer.sweep()
    assert [await state_of(world), await state_of(world, "1")] == [IDLE, ("Active", None, None)]
    assert await trees(world) == [True, True]
    world.now[0] += 14 * DAY
    await world.call("Invoke", FunctionName="g", Payload=b"{}")
    await world.state.reclaimer.sweep()
    assert await state_of(world, "1") == IDLE
    assert await trees(world) == [True, False]
    assert await trees(world, "g") == [True, True]


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


async def test_an_idle_version_with_snap_start_gives_up_its_snapshot(world: World) -> None:
    """It has the error that it has while it is published; $LATEST, a zip, holds nothing and stays Active."""
    await publish(world)
    await pass_days(world, 14)
    assert await state_of(world, "1") == IDLE
    assert await state_of(world) == ("Active", None, None)
    assert world.invoker.retired[-1] == (*KEY, "1")
    error = await refused(world.call("Invoke", FunctionName="f", Qualifier="1", Payload=b"{}"))
    assert (error.code, error.message) == (
        "SnapStartNotReadyException",
        "Lambda is initializing your function. It will be ready to invoke once your function state becomes ACTIVE.",
    )
    await world.settled()
    assert await state_of(world, "1") == ("Active", None, None)
    assert [version.version for version in world.snapshots.prepared] == ["1", "1"]


async def test_functions_that_hold_nothing_stay_active(world: World) -> None:
    """Zips without SnapStart: they are not even looked at."""
    await world.create()
    await world.call("PublishVersion", FunctionName="f")
    await pass_days(world, 1000)
    assert await known_uses(world) == {}
    assert [await state_of(world), await state_of(world, "1")] == [("Active", None, None)] * 2


async def test_an_invocation_writes_nothing_and_is_remembered(world: World, uri: str) -> None:
    """What a sweep has written down, and what a stop has, is known to the next server; what a kill interrupts is forgotten."""
    await create(world, uri)
    await world.state.reclaimer.sweep()
    began = world.now[0]
    commits: list[Sequence[Change]] = []
    commit = world.store.commit

    async def counted(changes: Sequence[Change]) -> None:
        commits.append(changes)
        await commit(changes)

    world.store.commit = counted  # type: ignore[method-assign]
    world.now[0] += 10 * DAY
    await world.call("Invoke", FunctionName="f", Payload=b"{}")
    assert commits == []
    assert await known_uses(world) == {"f:$LATEST": began}
    await world.state.reclaimer.stop()
    assert (await known_uses(world), len(commits)) == ({"f:$LATEST": began + 10 * DAY}, 1)
    world.state = world.restarted()
    world.now[0] += 13 * DAY
    await world.state.reclaimer.sweep()
    assert await state_of(world) == ("Active", None, None)
    await world.call("Invoke", FunctionName="f", Payload=b"{}")
    world.state = world.restarted()  # nothing was written since
    world.now[0] += 1 * DAY
    await world.state.reclaimer.sweep()
    assert await state_of(world) == IDLE


async def test_what_could_not_be_written_down_is_written_later(
    world: World, uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A store in trouble makes nobody idle, and keeps no server from its end."""
    await create(world, uri)
    await world.state.reclaimer.sweep()
    world.now[0] += 14 * DAY
    await world.call("Invoke", FunctionName="f", Payload=b"{}")
    commit = world.store.commit

    async def failing(changes: Sequence[Change]) -> None:
        raise OSError("the disk is gone")

    world.store.commit = failing  # type: ignore[method-assign]
    with pytest.raises(OSError, match="gone"):
        await world.state.reclaimer.sweep()
    await world.state.reclaimer.stop()
    assert "may be Inactive early" in caplog.text
    world.store.commit = commit  # type: ignore[method-assign]
    await world.state.reclaimer.sweep()
    assert await known_uses(world) == {"f:$LATEST": world.now[0]}
    assert await state_of(world) == ("Active", None, None)


async def test_never(world: World, uri: str) -> None:
    """Switched off, nothing becomes Inactive, and what is wakes; uses are written down for when it is switched on."""
    await create(world, uri)
    await create(world, uri, "g")
    await pass_days(world, 14)
    state = world.state
    state.reclaimer = Reclaimer(state.records, state.functions, state.settler, None, clock=lambda: world.now[0])
    await refused(world.call("Invoke", FunctionName="f", Payload=b"{}"))
    await world.settled()
    await pass_days(world, 1000)
    assert [await state_of(world), await state_of(world, name="g")] == [("Active", None, None), IDLE]
    await world.call("Invoke", FunctionName="f", Payload=b"{}")
    await state.reclaimer.stop()
    assert await known_uses(world) == {"f:$LATEST": world.now[0]}


async def test_a_clock_that_was_ahead_keeps_nobody_awake_for_ever(world: World, uri: str) -> None:
    """A use that is said to be in the future counts from now on."""
    await create(world, uri)
    world.now[0] += 3650 * DAY
    await world.state.reclaimer.sweep()
    world.now[0] -= 3650 * DAY
    await pass_days(world, 14)
    assert await state_of(world) == IDLE


async def test_provisioned_concurrency_keeps_a_version_active(world: World, uri: str) -> None:
    """By itself or by an alias; an alias that takes it to an idle version wakes that one."""
    await create(world, uri)
    for number in ("1", "2", "3"):
        await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=int(number))
        await world.settled()
        await world.call("PublishVersion", FunctionName="f")
    await world.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="2")
    for qualifier in ("1", "live"):
        provisioned = {"FunctionName": "f", "Qualifier": qualifier, "ProvisionedConcurrentExecutions": 1}
        await world.call("PutProvisionedConcurrencyConfig", **provisioned)
    await pass_days(world, 14)
    states = [(await state_of(world, number))[0] for number in ("1", "2", "3", "$LATEST")]
    assert states == ["Active", "Active", "Inactive", "Inactive"]
    error = await refused(
        world.call("PutProvisionedConcurrencyConfig", FunctionName="f", Qualifier="3", ProvisionedConcurrentExecutions=1)
    )
    assert error.code == "ResourceConflictException"
    await world.call("UpdateAlias", FunctionName="f", Name="live", FunctionVersion="3")
    assert (await state_of(world, "3"))[:2] == ("Pending", "Restoring")
    await world.settled()
    assert (await state_of(world, "3"))[0] == "Active"
    assert [share.version.version for share in world.pools.plans[KEY]["live"].shares] == ["3"]


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


async def test_states_outlive_the_server(world: World, uri: str) -> None:
    """Inactive stays so, and what is being restored is restored by the next one."""
    await create(world, uri)
    await pass_days(world, 14)
    world.state = world.restarted()
    await world.state.settler.start()
    await world.settled()
    assert await state_of(world) == IDLE
    await refused(world.call("Invoke", FunctionName="f", Payload=b"{}"))
    await world.state.settler.stop()
    assert (await state_of(world))[0] == "Pending"
    world.state = world.restarted()
    await world.state.settler.start()
    await world.settled()
    assert await state_of(world) == ("Active", None, None)
    await world.state.settler.stop()


async def test_an_idle_function_is_deleted_without_a_trace(world: World, uri: str) -> None:
    """With what is remembered of its versions, whichever state they are in."""
    await create(world, uri)
    await pass_days(world, 14)
    await world.call("PublishVersion", FunctionName="f")
    await world.settled()
    assert set(await known_uses(world)) == {"f:1"}
    await world.call("DeleteFunction", FunctionName="f")
    assert await world.store.list(LAST_USES) == []
    await world.state.reclaimer.sweep()
    assert not [entry for entry in world.blobs._directory.glob("*/*/*") if entry.is_file()]


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


async def test_what_was_invoked_or_changed_in_the_meantime_stays(world: World, uri: str) -> None:
    """Between the look at the records and the look at the function."""
    await create(world, uri)
    await world.state.reclaimer.sweep()
    world.now[0] += IDLE_SECONDS
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    await world.settled()
    await world.state.reclaimer.sweep()
    assert await state_of(world) == ("Active", None, None)
    world.now[0] += IDLE_SECONDS
    records, retired = world.state.records, list(world.invoker.retired)
    last_uses = records.last_uses

    async def then_invoked() -> AsyncIterator[LastUse]:
        async for use in last_uses():
            yield use
        await world.call("Invoke", FunctionName="f", Payload=b"{}")

    records.last_uses = then_invoked  # type: ignore[method-assign]
    await world.state.reclaimer.sweep()
    assert await state_of(world) == ("Active", None, None)
    assert world.invoker.retired == retired


async def test_a_version_that_goes_while_it_is_written_down(world: World, uri: str) -> None:
    """Nothing of it comes back."""
    await create(world, uri)
    uses = [use async for use in world.state.records.last_uses()]
    await world.call("DeleteFunction", FunctionName="f")
    world.state.reclaimer.note_use(KEY, "$LATEST")
    records = world.state.records

    async def stale() -> AsyncIterator[LastUse]:
        for use in uses:
            yield use

    records.last_uses = stale  # type: ignore[method-assign]
    await world.state.reclaimer.sweep()
    assert await world.store.list(LAST_USES) == []
