"""Rising numbers for events and message ids: they follow the clock, and rise also when the clock or the server does not."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lambdad.services.s3 import records as kept
from lambdad.store.base import Records

_RESERVED_NANOSECONDS = 60 * 10**9


class Sequencer:
    """Before a number is given out, a bound above it is on stable storage; a new start begins at that bound."""

    def __init__(self, records: Records, clock: Callable[[], float]) -> None:
        self._records = records
        self._clock = clock
        self._last = 0
        self._bound = 0
        self._reserving = asyncio.Lock()

    async def next(self) -> int:
        while True:
            value = max(self._last + 1, int(self._clock() * 1e9))
            if value < self._bound:
                self._last = value
                return value
            async with self._reserving:
                await self._reserve()

    async def _reserve(self) -> None:
        if not self._bound:
            self._last = await kept.sequencer_bound(self._records)
        wanted = max(self._last + 1, int(self._clock() * 1e9))
        if wanted >= self._bound:
            bound = wanted + _RESERVED_NANOSECONDS
            await self._records.commit([kept.put_sequencer_bound(bound)])
            self._bound = bound
