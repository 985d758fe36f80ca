"""Locks."""

from __future__ import annotations

import asyncio

import pytest

from lambdad.services.s3.locks import Locks, to_the_end


async def test_one_holds_a_name_at_a_time() -> None:
    """Holders of one name follow each other, holders of others do not wait, and nothing is remembered afterwards."""
    locks, inside, order = Locks(), 0, []

    async def work(number: int) -> None:
        nonlocal inside
        async with locks.hold("name"):
            inside += 1
            assert inside == 1
            await asyncio.sleep(0)
            inside -= 1
            order.append(number)

    async with locks.hold("other"):
        await asyncio.gather(*map(work, range(10)))
    assert order == list(range(10))
    assert not locks._locks


async def test_closing_waits_for_writers_and_keeps_new_ones_out() -> None:
    """Whoever closes a bucket is alone with it."""
    locks, steps = Locks(), []
    go_on = asyncio.Event()

    async def write() -> None:
        async with locks.writing("b"):
            await go_on.wait()
            steps.append("written")

    async def close() -> None:
        async with locks.closing("b"):
            steps.append("closing")
            await asyncio.sleep(0)
            steps.append("closed")

    async def write_later() -> None:
        async with locks.writing("b"):
            steps.append("later")

    tasks = [asyncio.ensure_future(write()), asyncio.ensure_future(write())]
    await asyncio.sleep(0)
    tasks.append(asyncio.ensure_future(close()))
    await asyncio.sleep(0)
    tasks.append(asyncio.ensure_future(write_later()))
    await asyncio.sleep(0)
    assert steps == []
    go_on.set()
    await asyncio.gather(*tasks)
    assert steps == ["written", "written", "closing", "closed", "later"]
    assert not locks._writers


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
