"""Takes asynchronous events durably: one queue per function, and a record that names each queue that may hold events.

The record lets the dispatcher find its work after a restart. It is written with the first event of a function in this
process, and removed at a later start if the queue is then empty; so no accepted event is ever without it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from lambdad.model.event import QueuedEvent, encode_event
from lambdad.store.base import Change, Delete, Put, Queue, Records, Send

#: Collection of the records that name queues; key "<account>:<region>:<function>".
_QUEUES = "event-queue"


class EventStore(Records, Queue, Protocol):
    """What both nouns of one store offer together."""


class EventQueue:
    def __init__(self, store: EventStore) -> None:
        self.store = store
        self._named: set[str] = set()
        self._on_accept: Callable[[str], None] | None = None

    async def accept(self, event: QueuedEvent) -> None:
        """Returns when the event is on stable storage. The same request id is taken once while it is queued."""
        key = ":".join(event.function_key)
        queue = queue_name(key)
        changes: list[Change] = [Send(queue, event.request_id, encode_event(event))]
        if key not in self._named:
            changes.append(Put(_QUEUES, key, b"{}"))
        await self.store.commit(changes)
        self._named.add(key)
        if self._on_accept:
            self._on_accept(queue)

    def on_accept(self, notify: Callable[[str], None]) -> None:
        """Tells the one dispatcher the name of a queue that has got an event."""
        self._on_accept = notify

    async def open(self) -> list[str]:
        """Names of the queues that hold events from before; forgets the others. To be called before the first `accept`."""
        waiting: list[str] = []
        after = ""
        while page := await self.store.list(_QUEUES, after=after, limit=200):
            forgotten: list[Change] = []
            for record in page:
                if await self.store.count(queue_name(record.key)):
                    waiting.append(queue_name(record.key))
                    self._named.add(record.key)
                else:
                    forgotten.append(Delete(_QUEUES, record.key))
            await self.store.commit(forgotten)
            after = page[-1].key
        return waiting


def queue_name(key: str) -> str:
    return f"event:{key}"
