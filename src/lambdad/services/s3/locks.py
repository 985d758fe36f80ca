"""Who has to wait for whom: one writer of an object at a time, and no writer while its bucket is being deleted.

The order that excludes deadlocks: an upload's lock, then the bucket (`writing` or `closing`), then an object's lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from lambdad.store.keyed_locks import KeyedLocks


class Locks(KeyedLocks):
    def __init__(self) -> None:
        super().__init__()
        self._writers: dict[str, int] = {}
        self._idle = asyncio.Condition()

    @asynccontextmanager
    async def writing(self, bucket: str) -> AsyncIterator[None]:
        """Shared by all who change what is in the bucket."""
        async with self.hold(f"{bucket} is closing"):
            self._writers[bucket] = self._writers.get(bucket, 0) + 1
        try:
            yield
        finally:
            await self._leave(bucket)

    @asynccontextmanager
    async def closing(self, bucket: str) -> AsyncIterator[None]:
        """Alone with the bucket: waits for those who write, and lets no further one begin."""
        async with self.hold(f"{bucket} is closing"):
            async with self._idle:
                await self._idle.wait_for(lambda: bucket not in self._writers)
            yield

    async def _leave(self, bucket: str) -> None:
        self._writers[bucket] -= 1
        if self._writers[bucket]:
            return
        del self._writers[bucket]
        async with self._idle:
            self._idle.notify_all()
