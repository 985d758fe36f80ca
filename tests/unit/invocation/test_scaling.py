"""How fast a function may gain environments."""

from __future__ import annotations

import asyncio

import pytest

from lambdad.errors import ServiceError
from lambdad.invocation.scaling import ScalingRate

F, G = ("000000000000", "us-east-1", "f"), ("000000000000", "us-east-1", "g")


def gain(scaling: ScalingRate, function=F) -> bool:
    try:
        scaling.check(function)
    except ServiceError as error:
        assert error.code == "TooManyRequestsException"
        assert error.members["Reason"] == "ConcurrentInvocationLimitExceeded"
        assert error.headers["retry-after"] == "1"
        return False
    scaling.note_start(function)
    return True


def test_aws_rate():
    """1,000 at once, 100 more each second, never more than 1,000 saved, and each function by itself."""
    now = [0.0]
    scaling = ScalingRate(monotonic=lambda: now[0])
    assert sum(gain(scaling) for _ in range(1100)) == 1000
    assert gain(scaling, G)
    now[0] = 1.0
    assert sum(gain(scaling) for _ in range(200)) == 100
    now[0] = 1000.0
    assert sum(gain(scaling) for _ in range(1100)) == 1000


def test_functions_at_rest_are_forgotten():
    """Memory does not grow with every function that ever ran; those in the middle of a burst keep their bucket."""
    now = [0.0]
    scaling = ScalingRate(burst=2, per_minute=60, monotonic=lambda: now[0])
    for number in range(1000):
        gain(scaling, ("000000000000", "us-east-1", f"old{number}"))
    now[0] = 10.0
    assert gain(scaling) and gain(scaling)
    for number in range(1000):
        gain(scaling, ("000000000000", "us-east-1", f"new{number}"))
    assert len(scaling._buckets) < 1100
    assert not gain(scaling)


async def test_a_burst_beyond_it_is_throttled(make_world, version):
    """Calls that would need more environments than the function may gain get 429; those that found one run, and the memory and
    the units of the others are given back."""
    now = [0.0]
    world = make_world(scaling=ScalingRate(burst=3, per_minute=60, monotonic=lambda: now[0]))
    release = asyncio.Event()

    async def script(runtime):
        while True:
            request_id, body = await runtime.next()
            await release.wait()
            await runtime.respond(request_id, body)

    world.sandboxes.script = script
    calls = [asyncio.create_task(world.invoke(version())) for _ in range(5)]
    done, waiting = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED, timeout=60)
    while len(done) < 2:
        more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=60)
        done |= more
    for refused in done:
        with pytest.raises(ServiceError, match="TooManyRequestsException"):
            refused.result()
    release.set()
    for served in waiting:
        assert (await served).function_error is None
    assert world.concurrency.counts().throttles == {"ConcurrentInvocationLimitExceeded": 2}
    assert (await world.invoke(version())).function_error is None  # the ones it has are not bounded
    assert len(world.sandboxes.started) == 3
    now[0] = 1.0
    busy = [asyncio.create_task(world.invoke(version())) for _ in range(3)]
    assert all(result.function_error is None for result in await asyncio.gather(*busy))
