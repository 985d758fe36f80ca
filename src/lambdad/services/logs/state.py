"""What the operations work with, and the service's background tasks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable

from lambdad.errors import ServiceError
from lambdad.services.logs.buffer import LogBuffer
from lambdad.services.logs.records import LogRecords
from lambdad.store.base import Records

logger = logging.getLogger(__name__)

_EXPIRY_SECONDS = 3600.0


class LogsState:
    """`run` in a task of its owner until `stop`. `append` of the buffer is the sink for function output."""

    def __init__(
        self, store: Records, *, clock: Callable[[], float] = time.time, expiry_seconds: float = _EXPIRY_SECONDS
    ) -> None:
        self._clock = clock
        self._expiry_seconds = expiry_seconds
        self._is_stopping = False
        self.records = LogRecords(store, now_ms=self.now_ms)
        self.buffer = LogBuffer(self.records)

    def now_ms(self) -> int:
        return int(self._clock() * 1000)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.buffer.run())
            tasks.create_task(self._clean())

    async def stop(self) -> None:
        """Stores what the buffer holds and ends `run`."""
        self._is_stopping = True
        self.records.garbage.set()
        await self.buffer.stop()

    async def remove_expired(self) -> None:
        """Removes the events that are past the retention of their groups."""
        async for scope, group in self.records.all_groups():
            if group.retention_days is not None:
                with contextlib.suppress(ServiceError):  # deleted meanwhile
                    await self.records.expire(scope, group.name)

    async def _clean(self) -> None:
        """Clears away the deleted, and from time to time the expired, first of all what an earlier process left."""
        while not self._is_stopping:
            try:
                await self.records.clear_garbage()
                await self.remove_expired()
            except Exception:
                logger.exception("old logs could not be removed; the next attempt follows")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.records.garbage.wait(), self._expiry_seconds)
