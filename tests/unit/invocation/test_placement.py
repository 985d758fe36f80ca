"""Which environment an invocation gets, and when environments come and go."""

from __future__ import annotations

import asyncio

import pytest

from lambdad.errors import ServiceError


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
        async with self.arrived:
            await self.arrived.wait_for(lambda: self.running >= number)


@pytest.fixture
def gate(world) -> Gate:
    gate = Gate()
    world.sandboxes.script = gate.script
    return gate


async def settle(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def test_one_environment_for_calls_in_turn(world, version):
    """Calls one after the other share an environment."""
    for number in range(20):
        assert (await world.invoke(version(), b"%d" % number)).payload == b"%d" % number
    assert len(world.sandboxes.started) == 1


async def test_an_environment_for_each_concurrent_call(world, version, gate):
    """Concurrent calls have environments of their own; afterwards all are idle, and the last used is used first."""
    calls = [asyncio.create_task(world.invoke(version())) for _ in range(5)]
    await gate.wait_for(5)
    assert world.invoker.counts().busy == 5
    gate.open.set()
    await asyncio.gather(*calls)
    await settle(lambda: world.invoker.counts().idle == 5)
    await asyncio.gather(*(world.invoke(version()) for _ in range(5)))
    assert len(world.sandboxes.started) == 5


async def test_freed_before_new(world, version):
    """A call that waits for a new environment is served by one that is freed first; the new one then idles."""
    first_go, new_go = asyncio.Event(), asyncio.Event()

    async def script(runtime):
        if len(world.sandboxes.started) > 1:
            await new_go.wait()
        while True:
            request_id, body = await runtime.next()
            if body == b"first":
                await first_go.wait()
            await runtime.respond(request_id, body)

    world.sandboxes.script = script
    first = asyncio.create_task(world.invoke(version(), b"first"))
    await settle(lambda: world.invoker.counts().busy == 1)
    second = asyncio.create_task(world.invoke(version(), b"second"))
    await settle(lambda: len(world.sandboxes.started) == 2)
    first_go.set()
    assert (await second).payload == b"second"
    await first
    new_go.set()
    await settle(lambda: world.invoker.counts().idle == 2)


async def test_idle_environments_expire(make_world, version):
    """An environment that was not used for long enough is stopped."""
    world = make_world(idle_seconds=0.02)
    await world.invoke(version())
    await settle(lambda: world.sandboxes.running == 0)
    assert (await world.invoke(version())).function_error is None


async def test_eviction(make_world, version):
    """When memory is short, the least recently used idle environment of any function makes room."""
    world = make_world(memory_budget_mb=256)
    await world.invoke(version("a"))
    await world.invoke(version("b"))
    await world.invoke(version("c"))
    await settle(lambda: world.invoker.counts().stopping == 0)
    assert world.sandboxes.most == 2
    assert [sandbox.is_stopped for sandbox in world.sandboxes.started] == [True, False, False]


async def test_no_room(make_world, version):
    """When memory is short and nothing is idle, the call is throttled and nothing leaks."""
    world = make_world(memory_budget_mb=128, settle_seconds=0.02)
    gate = Gate()
    world.sandboxes.script = gate.script
    call = asyncio.create_task(world.invoke(version("a")))
    await gate.wait_for(1)
    with pytest.raises(ServiceError) as refused:
        await world.invoke(version("b"))
    assert refused.value.code == "TooManyRequestsException"
    gate.open.set()
    await call
    await settle(lambda: world.invoker.counts().idle == 1)
    assert (await world.invoke(version("b"))).function_error is None


async def test_retire(world, version, gate):
    """A change ends idle environments at once and busy ones after their call; new calls get the new revision."""
    gate.open.set()
    await asyncio.gather(*(world.invoke(version()) for _ in range(2)))
    await settle(lambda: world.invoker.counts().idle == 2)
    gate.open.clear()
    gate.running = 0
    busy = asyncio.create_task(world.invoke(version()))
    await gate.wait_for(1)
    await world.invoker.retire("000000000000", "us-east-1", "f")
    await settle(lambda: world.sandboxes.running == 1)
    fresh = asyncio.create_task(world.invoke(version(revision="r2")))
    await gate.wait_for(2)
    assert world.sandboxes.running == 2
    gate.open.set()
    assert (await busy).function_error is None
    await fresh
    await settle(lambda: world.sandboxes.running == 1)


async def test_retire_after_an_update_leaves_what_is_new(world, version):
    """A call that came between the commit and the end of the old environments has made a new one: it stays."""
    await world.invoke(version())
    await world.invoke(version(revision="r2"))
    await settle(lambda: world.invoker.counts().idle == 2)
    await world.invoker.retire("000000000000", "us-east-1", "f", "$LATEST", "r2")
    await settle(lambda: world.sandboxes.running == 1)
    await world.invoke(version(revision="r2"))
    assert len(world.sandboxes.started) == 2


async def test_retire_of_another_function(world, version):
    """Retiring touches only that function, or only that version."""
    await world.invoke(version("f", version="1"))
    await world.invoke(version("g"))
    await world.invoker.retire("000000000000", "us-east-1", "f", "$LATEST")
    await world.invoker.retire("000000000000", "us-east-1", "h")
    await settle(lambda: world.invoker.counts().idle == 2)
    assert world.sandboxes.running == 2


async def test_start_failure(world, version):
    """An environment that cannot be made is a system error for one call; counts stay exact."""
    world.sandboxes.refuse = 1
    with pytest.raises(ServiceError) as refused:
        await world.invoke(version())
    assert (refused.value.code, refused.value.status) == ("ServiceException", 500)
    assert world.invoker.counts().memory_mb == 0
    assert (await world.invoke(version())).function_error is None


async def test_failures_of_one_function_leave_others_alone(world, version, exits):
    """While one function never gets through Init, another is served."""

    async def script(runtime):
        if runtime.spec.environment["AWS_LAMBDA_FUNCTION_NAME"] == "bad":
            raise exits(code=1)
        while True:
            request_id, body = await runtime.next()
            await runtime.respond(request_id, body)

    world.sandboxes.script = script
    bad = [asyncio.create_task(world.invoke(version("bad"))) for _ in range(20)]
    good = await asyncio.gather(*(world.invoke(version("good"), b"%d" % number) for number in range(20)))
    assert [result.payload for result in good] == [b"%d" % number for number in range(20)]
    assert {result.function_error for result in await asyncio.gather(*bad)} == {"Unhandled"}


async def test_cancelled_while_waiting(world, version):
    """A caller who gives up before there is an environment starts nothing; the environment serves the next call."""
    go = asyncio.Event()

    async def script(runtime):
        await go.wait()
        request_id, body = await runtime.next()
        await runtime.respond(request_id, body)
        await runtime.next()

    world.sandboxes.script = script
    caller = asyncio.create_task(world.invoke(version(), b"gone"))
    await settle(lambda: world.sandboxes.started)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    go.set()
    assert (await world.invoke(version(), b"here")).payload == b"here"
    assert len(world.sandboxes.started) == 1


async def test_throttle(world, version, gate):
    """Above the account's concurrency calls are throttled as AWS does it, and not one call below."""
    world.limit = 3
    calls = [asyncio.create_task(world.invoke(version(str(number)))) for number in range(3)]
    await gate.wait_for(3)
    with pytest.raises(ServiceError) as refused:
        await world.invoke(version())
    assert refused.value.code == "TooManyRequestsException"
    assert refused.value.message == "Rate Exceeded."
    assert refused.value.members == {"Reason": "ConcurrentInvocationLimitExceeded", "Type": "User"}
    assert "retry-after" in refused.value.headers
    gate.open.set()
    await asyncio.gather(*calls)
    assert (await world.invoke(version())).function_error is None


async def test_close_drains(world, version, gate):
    """Closing lets running functions end; then nothing is taken any more."""
    call = asyncio.create_task(world.invoke(version(), b"1"))
    await gate.wait_for(1)
    closing = asyncio.create_task(world.invoker.close(5))
    await asyncio.sleep(0)
    with pytest.raises(ServiceError) as refused:
        await world.invoke(version())
    assert refused.value.status == 503
    gate.open.set()
    await closing
    assert (await call).payload == b"1"
    assert world.sandboxes.running == 0


async def test_close_does_not_wait_for_ever(world, version, gate):
    """A function that does not end within the grace is stopped, and its caller is told."""
    call = asyncio.create_task(world.invoke(version()))
    await gate.wait_for(1)
    await world.invoker.close(0.01)
    assert b"Sandbox.Failure" in (await call).payload


async def test_close_while_starting(world, version):
    """Environments that are just being made are gone when closing returns; who waits for one is refused."""

    async def script(runtime):
        await asyncio.Event().wait()

    world.sandboxes.script = script
    call = asyncio.create_task(world.invoke(version()))
    await asyncio.sleep(0)
    await world.invoker.close(0)
    with pytest.raises(ServiceError):
        await call
    assert world.sandboxes.running == 0


async def test_an_answer_that_is_not_the_end(make_world, version):
    """A function that answers and works on is not waited for: the next call gets another environment."""
    world = make_world(settle_seconds=0.001)
    go = asyncio.Event()

    async def script(runtime):
        while True:
            request_id, body = await runtime.next()
            await runtime.respond(request_id, body)
            if len(world.sandboxes.started) == 1:
                await go.wait()

    world.sandboxes.script = script
    await world.invoke(version(), b"1")
    assert (await world.invoke(version(), b"2")).payload == b"2"
    assert len(world.sandboxes.started) == 2
    go.set()
    await settle(lambda: world.invoker.counts().idle == 2)


async def test_ended_between_being_chosen_and_taken_while_closing(world, version):
    """Who was handed an environment that ended at once is refused when the server closes, and does not start another."""
    environment = await world.placement.take(version())

    async def never_ready(runtime):
        await asyncio.Event().wait()

    world.sandboxes.script = never_ready
    call = asyncio.create_task(world.placement.take(version()))
    await settle(lambda: len(world.sandboxes.started) == 2)
    stopping = asyncio.create_task(environment.stop())
    world.placement.give_back(environment)
    await world.placement.close(0)
    await stopping
    with pytest.raises(ServiceError) as refused:
        async with asyncio.timeout(60):
            await call
    assert refused.value.status == 503
    assert len(world.sandboxes.started) == 2


async def test_no_room_for_a_later_call(make_world, version):
    """When there is no room for a further environment, who waits for one that is being made still gets it."""
    world = make_world(memory_budget_mb=256, settle_seconds=0.001)
    go = asyncio.Event()

    async def answers_and_works_on(runtime):
        request_id, body = await runtime.next()
        await runtime.respond(request_id, body)
        await asyncio.Event().wait()

    async def starts_slowly(runtime):
        await go.wait()
        while True:
            request_id, body = await runtime.next()
            await runtime.respond(request_id, body)

    world.sandboxes.script = answers_and_works_on
    await world.invoke(version("a"))
    world.sandboxes.script = starts_slowly
    first = asyncio.create_task(world.invoke(version("b"), b"first"))
    await settle(lambda: len(world.sandboxes.started) == 2)
    with pytest.raises(ServiceError) as refused:
        await world.invoke(version("b"), b"later")
    assert refused.value.code == "TooManyRequestsException"
    go.set()
    assert (await first).payload == b"first"
