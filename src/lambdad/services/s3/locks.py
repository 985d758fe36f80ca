"""Who has to wait for whom: one writer of an object at a time, and no writer while its bucket is being deleted.

The order that excludes deadlocks: an upload's lock, then the bucket (`writing` or `closing`), then an object's lock.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Locks:
    """Locks by name; a name that nobody holds or awaits costs nothing."""

    def __init__(self) -> None:
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}
        self._writers: dict[str, int] = {}
        self._idle = asyncio.Condition()

    @asynccontextmanager
    async def hold(self, name: str) -> AsyncIterator[None]:
        lock, users = self._locks.get(name) or (asyncio.Lock(), 0)
        self._locks[name] = (lock, users + 1)
        try:
            async with lock:
                yield
        finally:
            lock, users = self._locks[name]
            if users == 1:
                del self._locks[name]
            else:
                self._locks[name] = (lock, users - 1)

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
