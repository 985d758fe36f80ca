"""The sequencer."""

from __future__ import annotations

import asyncio
from typing import Any

from lambdad.services.s3.sequencer import Sequencer
from lambdad.store.memory import MemoryStore


class Counting(MemoryStore):
    commits = 0

    async def commit(self, changes: Any) -> None:
        self.commits += 1
        await super().commit(changes)


async def test_numbers_rise_over_restarts_and_clocks() -> None:
    """A new start with a clock that went back continues above every number given out before."""
    store, now, seen = MemoryStore(), 1_700_000_000.0, []
    for start in range(5):
        sequencer = Sequencer(store, lambda: now - start * 3600)  # noqa: B023 - the clock of this start
        seen += [await sequencer.next() for _ in range(10)]
    assert sorted(set(seen)) == seen


async def test_numbers_follow_the_clock_and_rarely_write() -> None:
    """The store hears of a bound now and then, not of each number."""
    store, clock = Counting(), iter(range(1_700_000_000, 1_700_010_000))
    sequencer = Sequencer(store, lambda: float(next(clock)))
    seen = [await sequencer.next() for _ in range(600)]
    assert sorted(set(seen)) == seen
    assert store.commits <= 11


async def test_numbers_given_out_at_once_differ() -> None:
    """Concurrent callers get different numbers, also at the very first."""
    sequencer = Sequencer(MemoryStore(), lambda: 1.0)
    seen = await asyncio.gather(*(sequencer.next() for _ in range(100)))
    assert len(set(seen)) == 100
