"""Placement under any mixture of calls, cancellations, crashes, failing starts and updates: nothing is lost or left behind."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdad.errors import ServiceError

STEP = st.one_of(
    st.tuples(st.just("call"), st.sampled_from("abc"), st.sampled_from(["fine", "exit", "fail", "slow"])),
    st.tuples(st.just("cancel"), st.integers(0, 20)),
    st.tuples(st.just("retire"), st.sampled_from("abc")),
    st.tuples(st.just("refuse"), st.integers(0, 2)),
    st.tuples(st.just("turn"), st.integers(1, 20)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(STEP, max_size=25))
@pytest.mark.parametrize("budget_mb", [384, 10_000])
def test_everything_ends_and_nothing_is_left(make_any_world, version, exits, steps, budget_mb):
    """Each call that was not cancelled gets a result or an AWS error, and closing leaves no environment, lease or memory."""

    async def script(runtime):
        while True:
            request_id, body = await runtime.next()
            if body == b"exit":
                raise exits(code=1)
            if body == b"fail":
                await runtime.fail(request_id, b"{}")
                continue
            if body == b"slow":
                await asyncio.sleep(0.002)
            await runtime.respond(request_id, body)

    async def play():
        world = make_any_world(memory_budget_mb=budget_mb, settle_seconds=0.001)
        world.sandboxes.script = script
        calls = []
        for step, *arguments in steps:
            if step == "call":
                name, payload = arguments
                calls.append(asyncio.create_task(world.invoke(version(name), payload.encode())))
            elif step == "cancel" and calls:
                calls[arguments[0] % len(calls)].cancel()
            elif step == "retire":
                await world.invoker.retire("000000000000", "us-east-1", arguments[0])
            elif step == "refuse":
                world.sandboxes.refuse = arguments[0]
            elif step == "turn":
                for _ in range(arguments[0]):
                    await asyncio.sleep(0)
        world.sandboxes.refuse = 0
        async with asyncio.timeout(60):
            results = await asyncio.gather(*calls, return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    assert isinstance(result, (asyncio.CancelledError, ServiceError)), result
            await world.invoker.close(5)
        await world.close()

    asyncio.run(play())
