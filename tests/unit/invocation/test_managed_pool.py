"""Managed instances: environments that take several invocations at once, how many there are, and who is refused."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from lambdad.errors import ServiceError
from lambdad.invocation import managed_environment
from lambdad.invocation.managed import ManagedPlan
from lambdad.model.log_settings import LogSettings
from lambdad.model.managed import ManagedInstances, ScalingConfig
from unit.invocation.conftest import FakeRuntime

FUNCTION = ("000000000000", "us-east-1", "f")
PROVIDER = ("000000000000", "us-east-1", "p")


@pytest.fixture
def managed(version):
    """A version with environments for so many invocations at once."""

    def make(concurrency=2, vcpus=1.0, **others):
        others.setdefault("log_settings", LogSettings("JSON"))
        made = version("f", managed=ManagedInstances(PROVIDER, concurrency, vcpus), **others)
        return replace(made, version="1", provisioned_for=(*FUNCTION, "1"))

    return make


class Workers:
    """A runtime with as many workers as it may have, each on a connection of its own."""

    def __init__(self, world) -> None:
        self.world = world
        self.running: list[str] = []
        self.most = 0
        self.gate = asyncio.Event()
        self.changed = asyncio.Condition()

    async def script(self, runtime) -> None:
        number = int(runtime.spec.environment["AWS_LAMBDA_MAX_CONCURRENCY"])
        workers = [FakeRuntime(runtime.spec, runtime._address, runtime.output) for _ in range(number)]
        tasks = [asyncio.ensure_future(self.work(worker)) for worker in workers]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            for worker in workers:
                worker.close()

    async def work(self, worker) -> None:
        while True:
            request_id, body = await worker.next()
            self.running.append(request_id)
            self.most = max(self.most, len(self.running))
            async with self.changed:
                self.changed.notify_all()
            try:
                if body == b"die":
                    worker.close()
                    await asyncio.Event().wait()
                if body == b"error":
                    await worker.fail(request_id, b'{"errorType":"E"}')
                    continue
                if body == b"stream":
                    await worker.respond(request_id, b"piece by piece", "Lambda-Runtime-Function-Response-Mode: streaming")
                    continue
                if body == b"wait":
                    await self.gate.wait()
                await worker.respond(request_id, body)
            finally:
                self.running.remove(request_id)

    async def until(self, number: int) -> None:
        async with asyncio.timeout(60), self.changed:
            await self.changed.wait_for(lambda: len(self.running) >= number)


@pytest.fixture
def workers(world) -> Workers:
    workers = Workers(world)
    world.sandboxes.script = workers.script
    return workers


async def have(world, version, minimum=1, maximum=1):
    world.managed.plan(FUNCTION, {version.environment_key: ManagedPlan(version, ScalingConfig(minimum, maximum))})
    assert await world.managed.prepare(version) is None
    return version


async def settle(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def test_one_environment_runs_several_at_once(world, managed, workers):
    """As many invocations as it has places run side by side, and each gets its own answer."""
    version = await have(world, managed(concurrency=4))
    assert world.sandboxes.started[0].spec.environment["AWS_LAMBDA_INITIALIZATION_TYPE"] == "lambda-managed-instances"
    pool = world.managed.pool(version)
    await settle(lambda: next(iter(pool._members)).free == 4)
    calls = [asyncio.create_task(world.invoke(version, b"wait")) for _ in range(4)]
    await workers.until(4)
    assert world.invoker.counts().busy == 1
    workers.gate.set()
    assert [result.payload for result in await asyncio.gather(*calls)] == [b"wait"] * 4
    for number in range(50):
        assert (await world.invoke(version, b"%d" % number)).payload == b"%d" % number
    assert len(world.sandboxes.started) == 1


async def test_who_finds_no_place_is_refused(make_world, managed):
    """With every place taken and no more environments allowed, the next call is throttled; nothing is started for it."""
    world = make_world(settle_seconds=0.01)
    workers = Workers(world)
    world.sandboxes.script = workers.script
    version = await have(world, managed(concurrency=1))
    first = asyncio.create_task(world.invoke(version, b"wait"))
    await workers.until(1)
    with pytest.raises(ServiceError) as refused:
        await world.invoke(version, b"{}")
    assert refused.value.code == "TooManyRequestsException"
    assert world.concurrency.counts().throttles == {"ConcurrentInvocationLimitExceeded": 1}
    workers.gate.set()
    await first
    environment = next(iter(world.managed.pool(version)._members))
    await settle(lambda: environment.free == 1)
    assert (await world.invoke(version, b"{}")).payload == b"{}"
    assert len(world.sandboxes.started) == 1


async def test_one_that_came_too_late_for_its_maximum_gets_no_invocation(make_world, managed):
    """What was begun under a larger maximum, and is ready under a smaller one, is taken down and serves nobody who waits."""
    world = make_world(settle_seconds=1.0)
    workers = Workers(world)
    held = asyncio.Event()

    async def script(runtime):
        if runtime.spec is not world.sandboxes.started[0].spec:
            await held.wait()
        await workers.script(runtime)

    world.sandboxes.script = script
    version = managed(concurrency=1)
    key = {version.environment_key: ManagedPlan(version, ScalingConfig(2, 2))}
    world.managed.plan(FUNCTION, key)
    pool = world.managed.pool(version)
    await settle(lambda: pool.size == 1 and len(world.sandboxes.started) == 2)
    await have(world, version, minimum=1, maximum=1)
    first = asyncio.create_task(world.invoke(version, b"wait"))
    await workers.until(1)
    second = asyncio.create_task(world.invoke(version, b"{}"))
    await settle(lambda: len(pool._waiters) == 1)
    held.set()
    with pytest.raises(ServiceError):
        await second
    assert (pool.size, workers.most) == (1, 1)
    workers.gate.set()
    await first


async def test_more_are_started_for_a_load_and_stopped_after_it(world, managed, workers):
    """Half of the places in use means one more environment, up to the maximum; in the end the minimum stays."""
    world.managed._parts.scale_down_seconds = 0.05
    version = await have(world, managed(concurrency=2), minimum=1, maximum=3)
    pool = world.managed.pool(version)
    calls = []
    for number in range(1, 5):
        await settle(lambda: any(each.free for each in pool._members))
        calls.append(asyncio.create_task(world.invoke(version, b"wait")))
        await workers.until(number)
    await settle(lambda: pool.size == 3)
    workers.gate.set()
    await asyncio.gather(*calls)
    await settle(lambda: pool.size == 1)
    await settle(lambda: world.sandboxes.running == 1)
    assert len(world.sandboxes.started) == 3


async def test_a_timeout_is_one_invocations_alone(world, managed, workers):
    """Its caller is told; the one beside it goes on, and so does the code, whose place is taken until it has answered."""
    version = await have(world, managed(concurrency=2, timeout_seconds=1))
    pool = world.managed.pool(version)
    environment = next(iter(pool._members))
    await settle(lambda: environment.free == 2)
    late = await world.invoke(version, b"wait")
    assert late.function_error == "Unhandled" and b"Task timed out after 1.00 seconds" in late.payload
    assert environment.free == 1 and environment.in_flight == 0
    assert (await world.invoke(version, b"{}")).payload == b"{}"
    workers.gate.set()
    await settle(lambda: environment.free == 2)
    told = [json.loads(line) for line in world.lines()]
    reports = {event["record"]["requestId"]: event["record"] for event in told if event["type"] == "platform.report"}
    assert reports["request-1"]["status"] == "timeout" and reports["request-2"]["status"] == "success"
    assert set(reports["request-1"]["metrics"]) == {"durationMs"}


async def test_code_that_never_ends(make_world, managed, monkeypatch):
    """Once all places have been taken for a while by what nobody waits for any more, another environment comes in its place."""
    monkeypatch.setattr(managed_environment, "STUCK_SECONDS", 0.1)
    world = make_world(settle_seconds=0.01)
    workers = Workers(world)
    world.sandboxes.script = workers.script
    version = await have(world, managed(concurrency=2, timeout_seconds=1))
    pool = world.managed.pool(version)
    environment = next(iter(pool._members))
    await settle(lambda: environment.free == 2)
    for _ in range(20):
        assert (await world.invoke(version, b"{}")).payload == b"{}"
        await settle(lambda: environment.free == 2)
    calls = [asyncio.create_task(world.invoke(version, b"wait")) for _ in range(2)]
    results = await asyncio.gather(*calls)
    assert all(b"Task timed out" in result.payload for result in results)
    assert environment._giving_up is not None
    await settle(lambda: environment not in pool._members and pool.size == 1)
    successor = next(iter(pool._members))
    await settle(lambda: successor.free == 2)
    assert (await world.invoke(version, b"{}")).payload == b"{}"
    assert len(world.sandboxes.started) == 2
    await settle(lambda: successor.free == 2)
    assert successor._giving_up is None


async def test_a_worker_that_dies_takes_its_own_invocation(world, managed, workers):
    """The caller is told that the runtime has ended, the others go on, and the environment has one place less."""
    version = await have(world, managed(concurrency=3))
    environment = next(iter(world.managed.pool(version)._members))
    await settle(lambda: environment.free == 3)
    beside = asyncio.create_task(world.invoke(version, b"wait"))
    await workers.until(1)
    dead = await world.invoke(version, b"die")
    assert dead.function_error == "Unhandled" and b"Runtime exited without providing a reason" in dead.payload
    workers.gate.set()
    assert (await beside).payload == b"wait"
    await settle(lambda: environment.free == 2)
    assert len(world.sandboxes.started) == 1


async def test_a_runtime_that_ends_fails_all_that_it_had(world, managed, workers, exits):
    """Every invocation under way gets the error of the exit, and another environment takes the place."""
    version = await have(world, managed(concurrency=2))
    environment = next(iter(world.managed.pool(version)._members))
    await settle(lambda: environment.free == 2)
    calls = [asyncio.create_task(world.invoke(version, b"wait")) for _ in range(2)]
    await workers.until(2)
    world.sandboxes.started[0].runtime._task.cancel()
    results = await asyncio.gather(*calls)
    assert all(result.function_error == "Unhandled" for result in results)
    assert all(b"Runtime exited with error: signal: killed" in result.payload for result in results)
    workers.gate.set()
    assert (await world.invoke(version, b"again")).payload == b"again"
    assert len(world.sandboxes.started) == 2


async def test_an_error_that_the_function_posts(world, managed, workers):
    """It goes to its caller, and the place is free again."""
    version = await have(world, managed(concurrency=1))
    for _ in range(3):
        assert (await world.invoke(version, b"error")).payload == b'{"errorType":"E"}'
    assert len(world.sandboxes.started) == 1


async def test_a_caller_who_leaves(world, managed, workers):
    """The function goes on without him; the place is free when it has answered."""
    version = await have(world, managed(concurrency=1))
    leaving = asyncio.create_task(world.invoke(version, b"wait"))
    await workers.until(1)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    workers.gate.set()
    assert (await world.invoke(version, b"{}")).payload == b"{}"


async def test_an_event_that_is_tried_again_beside_its_first_try(make_world, managed):
    """The same request id never runs twice in one environment, so that no answer is taken for the other's."""
    world = make_world(settle_seconds=0.01)
    workers = Workers(world)
    world.sandboxes.script = workers.script
    version = await have(world, managed(concurrency=2, timeout_seconds=1))
    invocation = world.invocation(version, b"wait")
    assert b"timed out" in (await world.invoker.invoke(invocation)).payload
    with pytest.raises(ServiceError):
        await world.invoker.invoke(invocation)
    workers.gate.set()
    environment = next(iter(world.managed.pool(version)._members))
    await settle(lambda: environment.free == 2)
    assert (await world.invoker.invoke(invocation)).payload == b"wait"


async def test_an_init_that_fails(world, managed):
    """The version is told why, once for all; the pool tries again later."""

    async def script(runtime):
        await runtime.ask("POST", "init/error", b'{"errorMessage":"no","errorType":"Bad"}', "Content-Type: application/json")

    world.sandboxes.script = script
    version = managed()
    world.managed.plan(FUNCTION, {version.environment_key: ManagedPlan(version, ScalingConfig(1, 1))})
    failed = await world.managed.prepare(version)
    assert (failed.code, failed.reason) == ("FunctionError.RuntimeInitError", "Bad: no")
    with pytest.raises(ServiceError) as refused:
        await world.invoke(version)
    assert refused.value.code == "TooManyRequestsException"


async def test_a_runtime_that_ends_right_after_init(world, managed):
    """It is not started again at once, and again, for ever: there is a pause, in which callers are refused."""
    version = managed()

    async def script(runtime):
        asking = asyncio.create_task(runtime.next())
        try:
            await settle(lambda: world.managed.pool(version).size)
        finally:
            asking.cancel()

    world.sandboxes.script = script
    await have(world, version)
    pool = world.managed.pool(version)
    await settle(lambda: pool._failures.is_pausing)
    await settle(lambda: world.sandboxes.running == 0)
    assert len(world.sandboxes.started) == 1
    with pytest.raises(ServiceError) as refused:
        await world.invoke(version)
    assert refused.value.code == "TooManyRequestsException"
    world.sandboxes.script = Workers(world).script
    pool._failures._pause.cancel()
    pool._failures._pause_ends()
    await settle(lambda: pool.size == 1)
    assert (await world.invoke(version, b"{}")).payload == b"{}"


async def test_the_vcpus_of_a_provider(world, managed, workers):
    """No more environments than its vCPUs are enough for, of all versions together; what ends makes room."""
    world.managed.limit(PROVIDER, 3)
    version = await have(world, managed(vcpus=2.0))
    other = replace(version, version="2", provisioned_for=(*FUNCTION, "2"))
    plans = {each.environment_key: ManagedPlan(each, ScalingConfig(1, 1)) for each in (version, other)}
    world.managed.plan(FUNCTION, plans)
    failed = await world.managed.prepare(other)
    assert failed.code == "CapacityProviderScalingLimitExceeded"
    world.managed.plan(FUNCTION, {})
    await settle(lambda: world.managed.counts() == (0, 0, 0, 0))
    await have(world, other)


async def test_no_memory_left(make_world, managed):
    """What the server's memory has no room for is not started, and the version is told so."""
    world = make_world(memory_budget_mb=100)
    version = managed()
    world.managed.plan(FUNCTION, {version.environment_key: ManagedPlan(version, ScalingConfig(1, 1))})
    assert (await world.managed.prepare(version)).code == "InsufficientCapacity"


async def test_a_version_that_is_no_longer_wanted(world, managed, workers):
    """Its running invocation ends well, then its environment goes, with its memory and its vCPUs."""
    version = await have(world, managed(concurrency=1))
    running = asyncio.create_task(world.invoke(version, b"wait"))
    await workers.until(1)
    world.managed.plan(FUNCTION, {})
    with pytest.raises(ServiceError):
        await world.invoke(version)
    workers.gate.set()
    assert (await running).payload == b"wait"
    await settle(lambda: world.sandboxes.running == 0)
    await settle(lambda: world.placement.counts().memory_mb == 0)
    assert world.managed._budget(PROVIDER).used == 0


async def test_from_nothing(world, managed, workers):
    """With a minimum of none the first call has one started and waits for it."""
    version = managed()
    world.managed.plan(FUNCTION, {version.environment_key: ManagedPlan(version, ScalingConfig(0, 1))})
    assert await world.managed.prepare(version) is None
    assert world.sandboxes.started == []
    assert (await world.invoke(version, b"first")).payload == b"first"


async def test_a_streamed_response(world, managed, workers):
    """It is passed on as of any other function, and the invocation is reported when it has ended."""
    version = await have(world, managed(concurrency=1))
    result = await world.invoke(version, b"stream", wants_stream=True)
    assert [piece async for piece in result.stream] == [b"piece by piece"]
    assert (await result.stream.end()).error_type is None
    assert (await world.invoke(version, b"{}")).payload == b"{}"
    told = [json.loads(line) for line in world.lines()]
    sizes = [event["record"]["requestId"] for event in told if event["type"] == "platform.report"]
    assert sizes == ["request-1", "request-2"]


async def test_a_server_that_stops(make_any_world, managed):
    """What runs when the grace is over fails as stopped, and nothing of it is left."""
    world = make_any_world()
    workers = Workers(world)
    world.sandboxes.script = workers.script
    version = await have(world, managed(concurrency=2))
    call = asyncio.create_task(world.invoke(version, b"wait"))
    await workers.until(1)
    await world.close()
    result = await call
    assert result.function_error == "Unhandled" and b"The execution environment was stopped" in result.payload


async def test_a_storm_of_calls_and_of_callers_who_leave(make_any_world, managed):
    """Whatever the order of calls, leavers and dying workers: each answer is its own caller's, and nothing is left behind."""
    world = make_any_world(settle_seconds=0.5)
    workers = Workers(world)
    world.sandboxes.script = workers.script
    version = await have(world, managed(concurrency=3), minimum=1, maximum=4)
    calls = {}
    for number in range(120):
        payload = b"die" if number % 40 == 39 else b"%d" % number
        calls[asyncio.create_task(world.invoke(version, payload))] = payload
        if number % 7 == 3:
            list(calls)[-1].cancel()
        if number % 5 == 0:
            await asyncio.sleep(0.001)
    async with asyncio.timeout(60):
        results = await asyncio.gather(*calls, return_exceptions=True)
    answered = 0
    for result, payload in zip(results, calls.values(), strict=True):
        if isinstance(result, BaseException):
            assert isinstance(result, asyncio.CancelledError) or result.code == "TooManyRequestsException", result
        elif payload == b"die":
            assert result.function_error == "Unhandled"
        else:
            assert result.payload == payload
            answered += 1
    assert answered > 20
    await world.close()


async def test_a_place_that_is_lost_before_it_is_taken(make_world, managed):
    """A caller who was handed the place of a worker that dies in that moment gets another one, or is refused."""
    world = make_world(settle_seconds=1.0)
    workers = Workers(world)
    world.sandboxes.script = workers.script
    version = await have(world, managed(concurrency=1))
    pool = world.managed.pool(version)
    environment = next(iter(pool._members))
    first = asyncio.create_task(world.invoke(version, b"wait"))
    await workers.until(1)
    second = asyncio.create_task(world.invoke(version, b"{}"))
    await settle(lambda: len(pool._waiters) == 1)
    offered = pool._offer

    def offer_and_die(free):
        offered(free)
        if not pool._waiters:
            slot = next(iter(environment._session._slots))
            environment._session.connection_lost(slot.taker)

    environment.on_change = offer_and_die
    workers.gate.set()
    assert (await first).payload == b"wait"
    with pytest.raises(ServiceError) as refused:
        await second
    assert refused.value.code == "TooManyRequestsException"
    assert environment.in_flight == 0
