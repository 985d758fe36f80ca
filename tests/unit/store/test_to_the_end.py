"""Commits whose callers go away."""

from __future__ import annotations

import asyncio

import pytest

from lambdad.store.to_the_end import to_the_end


async def test_a_step_runs_to_its_end_though_cancelled() -> None:
    """Cancelling the caller, however often, does not break the step, and the caller is cancelled after it."""
    go_on, done = asyncio.Event(), []

    async def step() -> None:
        await go_on.wait()
        done.append(True)

    task = asyncio.ensure_future(to_the_end(step()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done == [True]


async def test_a_step_s_result_and_error_are_the_caller_s() -> None:
    """Without a cancellation the caller sees what the step did."""

    async def fail() -> None:
        raise KeyError("x")

    assert await to_the_end(asyncio.sleep(0, "result")) == "result"
    with pytest.raises(KeyError):
        await to_the_end(fail())
