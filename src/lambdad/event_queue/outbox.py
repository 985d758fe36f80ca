"""Word of ended events on its way to destinations and dead-letter queues: durable from the moment the event ends.

One queue per target, so that one that cannot be reached holds up no other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from lambdad.delivery import Envelope, Sender
from lambdad.event_queue.named_queues import EventStore, NamedQueues
from lambdad.store.base import Change, Send

#: Collection of the records that name queues; key: the ARN of the target.
_QUEUES = "event-delivery-queue"
_PREFIX = "event-delivery:"

Kind = Literal["destination", "dead-letter"]


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One thing to be told to one target."""

    kind: Kind
    target_arn: str  #: as it is configured
    address: str  #: what delivery is asked for: the target, and with S3 the object's ARN
    sender: Sender
    envelope: Envelope
    event_id: str  #: request id of the event that has ended
    request_id: str  #: of the invocation, where the target is a function; the same at each try
    created_at: float  #: seconds since the epoch
    payload: bytes


class _Header(msgspec.Struct, frozen=True):
    kind: Kind
    target_arn: str
    address: str
    sender: Sender
    envelope: Envelope
    event_id: str
    request_id: str
    created_at: float


class Outbox:
    def __init__(self, store: EventStore) -> None:
        self.store = store
        self._queues = NamedQueues(store, _QUEUES, _PREFIX)
        self._on_send: Callable[[str], None] | None = None

    async def commit(self, changes: Sequence[Change], notices: Sequence[Notice]) -> None:
        """Makes the changes and takes the notices, all in one commit. Conflict as `Records.commit`."""
        sends: list[Change] = []
        for notice in notices:
            message_id = f"{notice.event_id}/{notice.kind}"
            sends.append(Send(self._queues.queue(notice.target_arn), message_id, encode_notice(notice)))
            sends.extend(self._queues.naming(notice.target_arn))
        await self.store.commit([*changes, *sends])
        for notice in notices:
            self._queues.note(notice.target_arn)
            if self._on_send:
                self._on_send(self._queues.queue(notice.target_arn))

    def on_send(self, notify: Callable[[str], None]) -> None:
        """Tells the one deliverer the name of a queue that has got a notice."""
        self._on_send = notify

    async def open(self) -> list[str]:
        """Names of the queues that hold notices from before. To be called before the first `commit`."""
        return await self._queues.open()


def encode_notice(notice: Notice) -> bytes:
    """A line of JSON, then the payload's own bytes."""
    header = _Header(**{name: getattr(notice, name) for name in _Header.__struct_fields__})
    return msgspec.json.encode(header) + b"\n" + notice.payload


def decode_notice(data: bytes) -> Notice:
    """ValueError when the bytes are no encoded notice."""
    header_line, separator, payload = data.partition(b"\n")
    if not separator:
        raise ValueError("an encoded notice has a header line")
    header = msgspec.json.decode(header_line, type=_Header)
    return Notice(payload=payload, **{name: getattr(header, name) for name in _Header.__struct_fields__})
