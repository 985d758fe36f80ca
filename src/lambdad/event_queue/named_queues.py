"""A family of queues, and a record that names each which may hold something, so that they are found after a restart.

The record is written with the first message of a queue in this process, and removed at a later start if the queue is then
empty; so no message is ever without it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from lambdad.model.event import LONGEST_BACKOFF_SECONDS
from lambdad.store.base import Change, Delete, Put, Queue, Records

LONGEST_WAIT_SECONDS = LONGEST_BACKOFF_SECONDS  #: that any event or notice is ever given
_PAGE = 200


class EventStore(Records, Queue, Protocol):
    """What both nouns of one store offer together."""


class NamedQueues:
    """`open` before the first message is sent."""

    def __init__(self, store: EventStore, collection: str, prefix: str) -> None:
        self._store = store
        self._collection = collection
        self._prefix = prefix
        self._named: set[str] = set()

    def queue(self, key: str) -> str:
        return self._prefix + key

    def naming(self, key: str) -> Iterable[Change]:
        """To be committed with the first message of the queue; afterwards call `note`."""
        return () if key in self._named else (Put(self._collection, key, b"{}"),)

    def note(self, key: str) -> None:
        self._named.add(key)

    async def open(self) -> list[str]:
        """The queues that hold messages from before; forgets the others. A clock that was put back meanwhile makes none of
        them wait longer than LONGEST_WAIT_SECONDS."""
        waiting: list[str] = []
        after = ""
        while page := await self._store.list(self._collection, after=after, limit=_PAGE):
            forgotten: list[Change] = []
            for record in page:
                if await self._store.count(self.queue(record.key)):
                    waiting.append(self.queue(record.key))
                    await self._store.bring_forward(self.queue(record.key), within_seconds=LONGEST_WAIT_SECONDS)
                    self._named.add(record.key)
                else:
                    forgotten.append(Delete(self._collection, record.key))
            await self._store.commit(forgotten)
            after = page[-1].key
        return waiting
