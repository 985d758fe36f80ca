"""Functions that nobody invokes become Inactive and give back what they hold: which, when, and what is remembered of it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

import pytest

from lambdad.services.lambda_.reclaiming import Reclaimer
from lambdad.services.lambda_.record_keys import LAST_USES
from lambdad.services.lambda_.records import LastUse
from lambdad.store.base import Change
from support.idle_functions import (
    DAY,
    IDLE,
    KEY,
    create,
    known_uses,
    pass_days,
    publish,
    shown,
    state_of,
    trees,
    written,
)
from support.lambda_service import IDLE_SECONDS, World, refused


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
