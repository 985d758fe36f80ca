"""Locks."""

from __future__ import annotations

import asyncio

from lambdad.services.s3.locks import Locks


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
