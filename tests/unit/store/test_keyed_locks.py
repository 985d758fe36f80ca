"""Locks by name."""

from __future__ import annotations

import asyncio

from lambdad.store.keyed_locks import KeyedLocks


async def test_one_at_a_time_for_a_key() -> None:
    """Holders of one key come one after the other, of another key at once, and nothing is kept afterwards."""
    locks = KeyedLocks()
    inside: list[str] = []
    go_on = asyncio.Event()

    async def hold(key: str) -> None:
        async with locks.hold(key):
            inside.append(key)
            await go_on.wait()

    tasks = [asyncio.create_task(hold(key)) for key in ("a", "a", "b")]
    while len(inside) < 2:
        await asyncio.sleep(0)
    assert sorted(inside) == ["a", "b"]
    tasks[1].cancel()
    go_on.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not locks._locks
