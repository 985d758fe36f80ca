"""Environments that a version or alias has ready."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from lambdad.errors import ServiceError
from lambdad.model.concurrency import ConcurrencyLimits
from lambdad.model.provisioned_concurrency import ProvisionedPlan, ProvisionedShare

FUNCTION = ("000000000000", "us-east-1", "f")
KEY = (*FUNCTION, "live")


class Gate:
    """A function that answers when told."""

    def __init__(self) -> None:
        self.running = 0
        self.arrived = asyncio.Condition()
        self.open = asyncio.Event()

    async def script(self, runtime) -> None:
        while True:
            request_id, body = await runtime.next()
            async with self.arrived:
                self.running += 1
                self.arrived.notify_all()
            await self.open.wait()
            await runtime.respond(request_id, body)

    async def wait_for(self, number: int) -> None:
        async with asyncio.timeout(60), self.arrived:
            await self.arrived.wait_for(lambda: self.running >= number)


@pytest.fixture
def one(version):
    """A reading of version 1 as the alias "live" has it."""
    return version(version="1", provisioned_for=KEY)


def plan(world, *shares, at=0.0, problem=None):
    requested = sum(count for _, count in shares)
    parts = tuple(ProvisionedShare(version, count) for version, count in shares)
    world.provisioned.plan(FUNCTION, {"live": ProvisionedPlan(requested, at, parts, problem)})


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def ready(world, count) -> None:
    await until(lambda: world.provisioned.status(KEY).status == "READY" and world.provisioned.status(KEY).allocated == count)


def started_as(world) -> list[str]:
    return [sandbox.spec.environment["AWS_LAMBDA_INITIALIZATION_TYPE"] for sandbox in world.sandboxes.started]


async def test_started_ahead_and_used_first(world, one):
    """As many as were asked for are there before any call, say what they are, and serve the calls of their qualifier."""
    plan(world, (one, 3))
    assert world.provisioned.status(KEY).status == "IN_PROGRESS"
    await ready(world, 3)
    assert started_as(world) == ["provisioned-concurrency"] * 3
    await asyncio.gather(*(world.invoke(one) for _ in range(3)))
    assert len(world.sandboxes.started) == 3
    assert world.placement.counts().memory_mb == 3 * 128
    await until(lambda: world.invoker.counts().idle == 3)


async def test_calls_in_turn_do_not_spill_over(world, one):
    """A client that calls again before the runtime has asked for its next invocation waits for it a moment."""
    plan(world, (one, 1))
    await ready(world, 1)
    for _ in range(9):
        assert (await world.invoke(one)).function_error is None
    assert len(world.sandboxes.started) == 1
    assert world.concurrency.spilled_over == 0


async def test_spills_over_and_only_the_qualifier_uses_them(world, one, version):
    """Calls beyond them get on-demand environments, which say so; calls of another qualifier always do."""
    gate = Gate()
    world.sandboxes.script = gate.script
    plan(world, (one, 2))
    await ready(world, 2)
    calls = [asyncio.create_task(world.invoke(one)) for _ in range(3)]
    await gate.wait_for(3)
    figures = world.invoker.concurrency_figures()
    assert figures["in_use"] == {"unreserved": 1, "reserved": 0, "provisioned": 2}
    assert figures["spilled_over"] == 1
    other = asyncio.create_task(world.invoke(version(version="1")))
    await gate.wait_for(4)
    assert sorted(started_as(world)) == ["on-demand"] * 2 + ["provisioned-concurrency"] * 2
    gate.open.set()
    assert all(result.function_error is None for result in await asyncio.gather(*calls, other))
    assert world.invoker.concurrency_figures()["in_use"] == {"unreserved": 0, "reserved": 0, "provisioned": 0}


async def test_spill_over_is_bound_by_concurrency(world, one):
    """With no on-demand unit left the provisioned environments still serve, and what spills over is throttled."""
    world.concurrency._limits = lambda version: ConcurrencyLimits(reserved=0)
    gate = Gate()
    world.sandboxes.script = gate.script
    plan(world, (one, 1))
    await ready(world, 1)
    call = asyncio.create_task(world.invoke(one))
    await gate.wait_for(1)
    with pytest.raises(ServiceError) as refused:
        await world.invoke(one)
    assert refused.value.members["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    assert world.concurrency.spilled_over == 0
    gate.open.set()
    await call


async def test_ten_requests_a_second_each(world, one):
    """Beyond ten calls a second for each environment, calls spill over although one is free."""
    now = [0.0]
    world.provisioned._parts.monotonic = lambda: now[0]
    plan(world, (one, 1))
    await ready(world, 1)
    for _ in range(11):
        await world.invoke(one)
        await until(lambda: world.invoker.counts().busy == 0)
    assert started_as(world) == ["provisioned-concurrency", "on-demand"]
    now[0] = 0.1
    await world.invoke(one)
    assert world.concurrency.spilled_over == 1


async def test_they_freeze_and_do_not_expire(make_world, one):
    """An idle one is frozen as on-demand ones are, and is there whatever time passes and whoever else needs memory."""
    world = make_world(idle_seconds=0.01, settle_seconds=0.1, memory_budget_mb=256)
    plan(world, (one, 1))
    await ready(world, 1)
    await until(lambda: world.sandboxes.started[0].is_frozen)
    await world.invoke(replace(one, function_name="a", provisioned_for=None))
    await until(lambda: world.invoker.counts().busy == 0)
    await world.invoke(replace(one, function_name="b", provisioned_for=None))
    assert not world.sandboxes.started[0].is_stopped
    assert (await world.invoke(one)).function_error is None
    assert not world.sandboxes.started[0].is_frozen


@pytest.mark.parametrize("end", ["in a call", "while idle"])
async def test_replaced_when_it_ends(world, one, exits, end):
    """One whose process ends, in a call or between calls, is replaced by another that is initialised."""
    die, runtimes = asyncio.Event(), []

    async def script(runtime):
        runtimes.append(runtime)
        idle = asyncio.create_task(die.wait() if len(runtimes) == 1 else asyncio.Event().wait())
        while True:
            asking = asyncio.create_task(runtime.next())
            await asyncio.wait([asking, idle], return_when=asyncio.FIRST_COMPLETED)
            if idle.done():
                asking.cancel()
                raise exits(code=3)
            request_id, body = asking.result()
            if body == b"exit":
                raise exits(code=3)
            await runtime.respond(request_id, body)

    world.sandboxes.script = script
    plan(world, (one, 1))
    await ready(world, 1)
    await world.invoke(one)
    if end == "in a call":
        assert (await world.invoke(one, b"exit")).function_error == "Unhandled"
    else:
        die.set()
    await until(lambda: len(world.sandboxes.started) == 2)
    await ready(world, 1)
    assert (await world.invoke(one)).function_error is None
    assert started_as(world) == ["provisioned-concurrency"] * 2


async def test_a_failed_init(make_world, one, exits):
    """FAILED with AWS's reason; the calls spill over; it is tried again, later and later, or at once when asked for again."""
    world = make_world()
    broken = [True]

    async def script(runtime):
        if broken[0] and runtime.spec.environment["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency":
            raise exits(code=1)
        while True:
            request_id, body = await runtime.next()
            await runtime.respond(request_id, body)

    world.sandboxes.script = script
    plan(world, (one, 2))
    await until(lambda: world.provisioned.status(KEY).status == "FAILED")
    status = world.provisioned.status(KEY)
    assert (status.allocated, status.available, status.reason) == (0, 0, "FUNCTION_ERROR_INIT_FAILURE")
    await until(lambda: world.sandboxes.running == 0)
    assert len(world.sandboxes.started) <= 2
    assert (await world.invoke(one)).function_error is None
    broken[0] = False
    plan(world, (one, 2), at=1.0)
    assert world.provisioned.status(KEY).status == "IN_PROGRESS"
    await ready(world, 2)


async def test_an_init_that_ends_after_it_succeeded(make_world, one, exits):
    """A process that ends by itself after each Init is not restarted in a tight loop."""
    world = make_world()

    async def script(runtime):
        asking = asyncio.create_task(runtime.next())
        await until(lambda: world.provisioned.status(KEY).allocated == 1)
        asking.cancel()
        raise exits(code=0)

    world.sandboxes.script = script
    plan(world, (one, 1))
    await until(lambda: world.provisioned.status(KEY).status == "FAILED")
    assert world.provisioned.status(KEY).reason == "FUNCTION_ERROR_RUNTIME_EXIT"
    await until(lambda: world.sandboxes.running == 0)
    assert len(world.sandboxes.started) == 1


async def test_no_room_and_then_room(make_world, one, version):
    """Where memory is short some are there and the status says why the others are not; they come when there is room."""
    world = make_world(memory_budget_mb=256, retry_seconds=0.01)
    gate = Gate()
    world.sandboxes.script = gate.script
    busy = asyncio.create_task(world.invoke(version("other")))
    await gate.wait_for(1)
    plan(world, (one, 2))
    await until(lambda: world.provisioned.status(KEY).status == "FAILED")
    await until(lambda: world.provisioned.status(KEY).allocated == 1)
    assert "memory" in (world.provisioned.status(KEY).reason or "")
    gate.open.set()
    await busy
    await ready(world, 2)


async def test_a_machine_that_refuses(make_world, one):
    """A sandbox that cannot be made is tried again, and nothing is left of the ones that failed."""
    world = make_world(retry_seconds=0.001)
    world.sandboxes.refuse = 3
    plan(world, (one, 2))
    await ready(world, 2)
    assert world.sandboxes.running == 2
    assert world.placement.counts().memory_mb == 2 * 128


async def test_an_alias_that_moves(world, one):
    """The new version's environments are there before the old one's end, also before busy ones do."""
    gate = Gate()
    world.sandboxes.script = gate.script
    plan(world, (one, 2))
    await ready(world, 2)
    busy = asyncio.create_task(world.invoke(one))
    await gate.wait_for(1)
    two = replace(one, version="2", revision_id="r2")
    most = world.sandboxes.running
    plan(world, (two, 2))
    await until(lambda: world.provisioned.status(KEY).status == "READY")
    await until(lambda: world.sandboxes.running == 3)  # two new ones, and the busy one
    assert world.sandboxes.most == most + 2
    moved = asyncio.create_task(world.invoke(two))
    await gate.wait_for(2)
    gate.open.set()
    assert (await busy).executed_version == "1"
    assert (await moved).executed_version == "2"
    await until(lambda: world.sandboxes.running == 2)
    assert len(world.sandboxes.started) == 4


async def test_fewer_and_none(world, one):
    """Idle ones over the new number end at once; with the configuration all do, busy ones after their call; nothing stays."""
    gate = Gate()
    world.sandboxes.script = gate.script
    plan(world, (one, 4))
    await ready(world, 4)
    busy = asyncio.create_task(world.invoke(one))
    await gate.wait_for(1)
    plan(world, (one, 2))
    await until(lambda: world.sandboxes.running == 2)
    world.provisioned.plan(FUNCTION, {})
    await until(lambda: world.sandboxes.running == 1)
    gate.open.set()
    assert (await busy).function_error is None
    await until(lambda: world.sandboxes.running == 0)
    await until(lambda: world.placement.counts().memory_mb == 0)
    assert (await world.invoke(one)).function_error is None
    assert started_as(world)[-1] == "on-demand"


async def test_taken_away_during_a_long_init(world, one):
    """An Init that nobody waits for any more is ended and not waited for."""

    async def script(runtime):
        await asyncio.Event().wait()

    world.sandboxes.script = script
    plan(world, (one, 2))
    await until(lambda: world.invoker.counts().starting == 2 and world.sandboxes.running == 2)
    assert world.provisioned.status(KEY).status == "IN_PROGRESS"
    world.provisioned.plan(FUNCTION, {})
    await until(lambda: world.sandboxes.running == 0)
    await until(lambda: world.placement.counts().memory_mb == 0)


async def test_a_caller_that_goes_away(world, one):
    """The function goes on in its provisioned environment; unit and environment are back when it has ended."""
    gate = Gate()
    world.sandboxes.script = gate.script
    plan(world, (one, 1))
    await ready(world, 1)
    call = asyncio.create_task(world.invoke(one))
    await gate.wait_for(1)
    call.cancel()
    await asyncio.wait([call])
    assert world.concurrency.counts().provisioned == 1
    gate.open.set()
    await until(lambda: world.concurrency.counts().provisioned == 0)
    assert (await world.invoke(one)).function_error is None
    assert len(world.sandboxes.started) == 1


async def test_a_failed_version_says_why(world):
    """A version that can never run is FAILED with its own reason, and starts nothing."""
    plan(world, problem="Version 1 is Failed: no such runtime")
    world.provisioned.plan(FUNCTION, {"live": ProvisionedPlan(2, 0.0, (), "Version 1 is Failed: no such runtime")})
    status = world.provisioned.status(KEY)
    assert (status.status, status.reason) == ("FAILED", "Version 1 is Failed: no such runtime")
    assert world.sandboxes.started == []
