"""Wakes the tasks of this process that wait for a queue. Not durable, and not needed for correctness: waiters look again."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable


class Wakeups:
    """Used from the event loop's thread only."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}

    def notify(self, queues: Iterable[str]) -> None:
        for queue in queues:
            for future in self._waiting.get(queue, ()):
                if not future.done():
                    future.set_result(None)

    async def wait(self, queue: str, *, timeout_seconds: float) -> None:
        """Returns at the next `notify` of the queue or after the timeout. Registers before its first suspension."""
        future = asyncio.get_running_loop().create_future()
        waiters = self._waiting.setdefault(queue, set())
        waiters.add(future)
        try:
            await asyncio.wait((future,), timeout=timeout_seconds)
        finally:
            waiters.discard(future)
            if not waiters and self._waiting.get(queue) is waiters:
                del self._waiting[queue]
