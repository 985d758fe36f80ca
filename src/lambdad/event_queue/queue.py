"""Takes asynchronous events durably: one queue per function."""

from __future__ import annotations

from collections.abc import Callable

from lambdad.event_queue.counters import EventCounters
from lambdad.event_queue.named_queues import EventStore, NamedQueues
from lambdad.model.event import QueuedEvent, encode_event
from lambdad.store.base import Send

#: Collection of the records that name queues; key "<account>:<region>:<function>".
_QUEUES = "event-queue"
_PREFIX = "event:"


class EventQueue:
    def __init__(self, store: EventStore, counters: EventCounters | None = None) -> None:
        self.store = store
        self._counters = counters or EventCounters()
        self._queues = NamedQueues(store, _QUEUES, _PREFIX)
        self._on_accept: Callable[[str], None] | None = None

    async def accept(self, event: QueuedEvent) -> None:
        """Returns when the event is on stable storage. The same request id is taken once while it is queued."""
        key = ":".join(event.function_key)
        queue = self._queues.queue(key)
        await self.store.commit([Send(queue, event.request_id, encode_event(event)), *self._queues.naming(key)])
        self._queues.note(key)
        self._counters.received += 1
        if self._on_accept:
            self._on_accept(queue)

    def on_accept(self, notify: Callable[[str], None]) -> None:
        """Tells the one dispatcher the name of a queue that has got an event."""
        self._on_accept = notify

    async def open(self) -> list[str]:
        """Names of the queues that hold events from before. To be called before the first `accept`."""
        return await self._queues.open()


def queue_name(key: str) -> str:
    return _PREFIX + key
