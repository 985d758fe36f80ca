"""The contract of durable state: Records, Queue and Blobs. `tests/contract/test_store.py` and `tests/contract/test_blobs.py`
hold every implementation to it.

Keys are text compared by their UTF-8 bytes. Collections and queues need no declaration. Everything committed is on stable
storage when the awaited call returns. One process owns a data folder.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import msgspec


class Conflict(Exception):
    """A change expected another state of its record; nothing of the transaction was done."""


class InsufficientStorage(Exception):
    """The disk is full; nothing of the transaction or blob was kept. Later ones work again when there is room."""


class Record(msgspec.Struct, frozen=True):
    key: str
    value: bytes
    revision: int  #: 1 at first, rises with each Put


class Put(msgspec.Struct, frozen=True):
    """Writes a record. With `if_absent` the key must be free; with `if_revision` it must stand at that revision."""

    collection: str
    key: str
    value: bytes
    if_absent: bool = False
    if_revision: int | None = None


class Delete(msgspec.Struct, frozen=True):
    """Removes a record, silently where there is none, unless `if_revision` is given."""

    collection: str
    key: str
    if_revision: int | None = None


class Send(msgspec.Struct, frozen=True):
    """Puts a message on a queue, visible from `visible_at` (seconds since the epoch)."""

    queue: str
    message_id: str  #: unique; sending an id that the queue still holds does nothing
    body: bytes
    visible_at: float = 0.0


class Finish(msgspec.Struct, frozen=True):
    """Ends a received message, as `Queue.delete`, with what follows from it; Conflict when the receipt is no longer valid."""

    queue: str
    receipt: str


Change = Put | Delete | Send | Finish


class Records(Protocol):
    async def get(self, collection: str, key: str) -> Record | None: ...

    async def list(
        self, collection: str, *, prefix: str = "", after: str = "", limit: int = 1000, descending: bool = False
    ) -> Sequence[Record]:
        """Records whose key starts with `prefix` and is greater than `after`, in key order, at most `limit`.

        With `descending` the order is reversed, and a non-empty `after` asks for keys less than it.
        """
        ...

    async def commit(self, changes: Sequence[Change]) -> None:
        """All of the changes or, with Conflict, none; durable on return. An empty sequence does nothing."""
        ...


class Message(msgspec.Struct, frozen=True):
    queue: str
    message_id: str
    body: bytes
    receive_count: int  #: 1 at the first receipt
    sent_at: float
    receipt: str  #: valid until the lease ends or the message is received again
    note: bytes = b""  #: what the last release that gave one has written beside the body


class Queue(Protocol):
    """At-least-once messages; sent by `Records.commit([Send(...)])`, so that they can share a transaction with records."""

    async def receive(self, queue: str, *, limit: int, lease_seconds: float) -> Sequence[Message]:
        """Up to `limit` visible messages, oldest visible first, each invisible to others for `lease_seconds`."""
        ...

    async def delete(self, queue: str, receipts: Sequence[str]) -> None:
        """Ends the messages, durably; receipts that are no longer valid are passed over."""
        ...

    async def release(self, queue: str, receipt: str, *, visible_at: float, note: bytes | None = None) -> None:
        """Gives a message back, to be seen again from `visible_at`. A `note` replaces the one before; keep it short."""
        ...

    async def bring_forward(self, queue: str, *, within_seconds: float) -> None:
        """No message that nobody holds waits longer than this from now: for when the clock was put back."""
        ...

    async def extend(self, queue: str, receipt: str, *, lease_seconds: float) -> bool:
        """Prolongs the lease; False when the receipt is no longer valid."""
        ...

    async def count(self, queue: str) -> int: ...

    async def wait(self, queue: str, *, timeout_seconds: float) -> None:
        """Returns at the next send or release to `queue` by this process, when a message becomes visible, or at the timeout."""
        ...


@dataclass(frozen=True, slots=True)
class Blob:
    digest: str  #: hex SHA-256 of the content
    size: int


class BlobWriter(Protocol):
    async def write(self, data: bytes) -> None: ...

    async def finish(self) -> Blob:
        """Makes the content durable under its digest. Once only; after it no write."""
        ...


class Blobs(Protocol):
    """Content-addressed bytes. A blob lives while a reference record (`references`) names it or a writer pins it."""

    def receive(self) -> AbstractAsyncContextManager[BlobWriter]:
        """A writer. Leaving the block without `finish` keeps nothing; after `finish` the blob is pinned until the block is
        left, so commit the reference inside it."""
        ...

    def read(self, digest: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[bytes]:
        """The bytes [start, end) in pieces of at most 1 MiB. KeyError when there is no such blob."""
        ...

    def path(self, digest: str) -> Path:
        """A local file with the content, to be opened only for reading. KeyError when there is no such blob."""
        ...

    def pin(self, digest: str) -> AbstractAsyncContextManager[None]:
        """Keeps the content while the block runs, so that a further reference can be committed. KeyError on entering when
        there is no such blob."""
        ...

    async def release(self, digest: str) -> None:
        """Removes the content unless something refers to it or pins it. Call after the reference's Delete is committed."""
        ...


#: Collection of reference records; key "<digest>/<owner>". `refer` and `unrefer` make the changes to commit with the owner.
REFERENCES = "blob-reference"


def refer(digest: str, owner: str) -> Put:
    """A change that keeps the blob alive for `owner` ("s3/bucket/key/version", "lambda/...")."""
    return Put(REFERENCES, f"{digest}/{owner}", b"")


def unrefer(digest: str, owner: str) -> Delete:
    """The end of `refer`; call `Blobs.release(digest)` after its commit."""
    return Delete(REFERENCES, f"{digest}/{owner}")
