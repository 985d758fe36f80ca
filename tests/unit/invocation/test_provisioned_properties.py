"""Provisioned environments under any mixture of calls, cancellations, crashes, failing starts and changes of what is wanted."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdad.errors import ServiceError
from lambdad.model.provisioned_concurrency import ProvisionedPlan, ProvisionedShare

pytestmark = pytest.mark.long  # it also tries the fakes below it hard: some seeds have ended with a socket of theirs left open

FUNCTION = ("000000000000", "us-east-1", "f")
KEY = (*FUNCTION, "live")
STEP = st.one_of(
    st.tuples(st.just("call"), st.sampled_from(["fine", "exit", "fail", "slow"]), st.integers(1, 2), st.booleans()),
    st.tuples(st.just("plan"), st.integers(0, 4), st.integers(0, 3)),
    st.tuples(st.just("cancel"), st.integers(0, 20)),
    st.tuples(st.just("refuse"), st.integers(0, 3)),
    st.tuples(st.just("turn"), st.integers(1, 60)),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(steps=st.lists(STEP, max_size=25), last=st.integers(0, 3))
@pytest.mark.parametrize("budget_mb", [512, 10_000])
def test_what_is_wanted_last_is_there_in_the_end(make_any_world, version, exits, steps, last, budget_mb):
    """Every call gets a result or an AWS error; when all is over there are as many environments as were wanted last, of the
    version wanted last; every count of concurrency is zero, and closing leaves nothing."""

    def reading(number, is_qualified):
        return version(version=str(number), revision=f"r{number}", provisioned_for=KEY if is_qualified else None)

    def plan(first, second, at):
        counts = [(reading(1, True), first), (reading(2, True), second)]
        shares = tuple(ProvisionedShare(each, count) for each, count in counts if count)
        return {"live": ProvisionedPlan(first + second, at, shares)} if shares else {}

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
        world = make_any_world(memory_budget_mb=budget_mb, settle_seconds=0.001, retry_seconds=0.001)
        world.sandboxes.script = script
        calls = []
        for number, (step, *arguments) in enumerate(steps):
            if step == "call":
                payload, of, is_qualified = arguments
                calls.append(asyncio.create_task(world.invoke(reading(of, is_qualified), payload.encode())))
            elif step == "plan":
                world.provisioned.plan(FUNCTION, plan(*arguments, float(number)))
            elif step == "cancel" and calls:
                calls[arguments[0] % len(calls)].cancel()
            elif step == "refuse":
                world.sandboxes.refuse = arguments[0]
            elif step == "turn":
                for _ in range(arguments[0]):
                    await asyncio.sleep(0)
        world.sandboxes.refuse = 0
        async with asyncio.timeout(60):
            for result in await asyncio.gather(*calls, return_exceptions=True):
                if isinstance(result, BaseException):
                    assert isinstance(result, (asyncio.CancelledError, ServiceError)), result
            world.provisioned.plan(FUNCTION, plan(0, last, 1000.0))
            while True:
                counts, in_use = world.provisioned.counts(), world.concurrency.counts()
                is_there = counts == (0, last, 0, 0) and world.provisioned.figures()["allocated"] == last
                if is_there and (in_use.unreserved, in_use.reserved, in_use.provisioned) == (0, 0, 0):
                    break
                await asyncio.sleep(0.001)
            if last:
                assert world.provisioned.status(KEY).status == "READY"
            await world.invoker.close(5)
        await world.close()

    asyncio.run(play())
