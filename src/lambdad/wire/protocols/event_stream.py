"""application/vnd.amazon.eventstream: the messages in which an operation sends events while they happen."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from zlib import crc32

CONTENT_TYPE = "application/vnd.amazon.eventstream"

_PRELUDE = struct.Struct("!II")
_WORD = struct.Struct("!I")
_AROUND = 16  #: bytes of a message that are neither headers nor payload: two lengths and two checksums
_STRING = 7  #: the type of a header's value

Event = Mapping[str, Mapping[str, Any]]
Encode = Callable[[Mapping[str, Any]], bytes]


def message(headers: bytes, payload: bytes) -> bytes:
    prelude = _PRELUDE.pack(_AROUND + len(headers) + len(payload), len(headers))
    head = b"".join((prelude, _WORD.pack(crc32(prelude)), headers))
    return b"".join((head, payload, _WORD.pack(crc32(payload, crc32(head)))))


def encoded_headers(headers: Mapping[str, str]) -> bytes:
    """Their values are short texts."""
    parts = []
    for name, text in headers.items():
        value = text.encode()
        parts.append(struct.pack(f"!B{len(name)}sBH", len(name), name.encode("ascii"), _STRING, len(value)) + value)
    return b"".join(parts)


class EventStreamFormat:
    """The events of one operation: each a member of the stream's shape, as `{name: its members}`."""

    def __init__(self, shape: Any, content_type: str, writer_of: Callable[[Mapping[str, Any]], Encode]) -> None:
        """`content_type` and `writer_of` are of the protocol, for events that have members and no payload of their own."""
        self._writers = {
            name: _event_writer(name, event_shape, content_type, writer_of) for name, event_shape in shape.members.items()
        }

    def encode(self, event: Event) -> bytes:
        [(name, members)] = event.items()
        return self._writers[name](members)


class EncodedEvents:
    """The messages of a stream of events, made as they are asked for."""

    def __init__(self, events: AsyncIterator[Event], encode: Callable[[Event], bytes]) -> None:
        self._events = events
        self._encode = encode

    def __aiter__(self) -> EncodedEvents:
        return self

    async def __anext__(self) -> bytes:
        return self._encode(await anext(self._events))

    async def aclose(self) -> None:
        """A source may hold something until it is closed, whether or not anybody has iterated it."""
        close = getattr(self._events, "aclose", None)
        if close is not None:
            await close()


def _event_writer(
    name: str, shape: Any, content_type: str, writer_of: Callable[[Mapping[str, Any]], Encode]
) -> Callable[[Mapping[str, Any]], bytes]:
    payload = next((member for member, s in shape.members.items() if s.serialization.get("eventpayload")), None)
    if payload is None:
        write = writer_of(shape.members)
        headers = _headers(name, content_type)
        return lambda members: message(headers, write(members))
    if shape.members[payload].type_name != "blob":
        raise NotImplementedError(f"events whose payload is a {shape.members[payload].type_name}")
    raw_headers = _headers(name, "application/octet-stream")
    return lambda members: message(raw_headers, members[payload])


def _headers(name: str, content_type: str) -> bytes:
    return encoded_headers({":event-type": name, ":content-type": content_type, ":message-type": "event"})
