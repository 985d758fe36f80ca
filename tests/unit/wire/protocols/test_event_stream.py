"""Events as messages, read by botocore's own reader, which checks lengths and checksums."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

import pytest
from botocore.eventstream import EventStreamBuffer
from botocore.parsers import create_parser
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdad.wire.dialect import dialect_of
from lambdad.wire.http import Reply
from lambdad.wire.protocols import codec_for
from lambdad.wire.spec import ServiceSpec

Event = Mapping[str, Mapping[str, Any]]

SPEC = ServiceSpec("lambda")
STREAM = SPEC.operation("InvokeWithResponseStream").get_event_stream_output()
WRITE = codec_for(SPEC, dialect_of("lambda", "rest-json")).writer("InvokeWithResponseStream")
COMPLETE = st.dictionaries(st.sampled_from(["ErrorCode", "ErrorDetails", "LogResult"]), st.text())
EVENTS = st.lists(
    st.one_of(
        st.builds(lambda piece: {"PayloadChunk": {"Payload": piece}}, st.binary()),
        st.builds(lambda members: {"InvokeComplete": members}, COMPLETE),
    )
)


class Source:
    """Events, and whether it was closed."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._events = iter(events)
        self.is_closed = False

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        try:
            return next(self._events)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        self.is_closed = True


def written(source: AsyncIterator[Event]) -> Reply:
    return WRITE({"StatusCode": 200, "ExecutedVersion": "7", "EventStream": source}, "id")


async def body_of(reply: Reply) -> list[bytes]:
    assert not isinstance(reply.body, bytes)
    return [piece async for piece in reply.body]


@settings(max_examples=30)
@given(EVENTS, st.integers(min_value=1, max_value=50))
def test_botocore_reads_what_was_sent(events: Sequence[Event], step: int) -> None:
    """Each event is one message, whatever its bytes and however the messages are cut on their way."""
    pieces = asyncio.run(body_of(written(Source(events))))
    assert len(pieces) == len(events)
    data = b"".join(pieces)
    buffer = EventStreamBuffer()
    parser = create_parser("rest-json")._event_stream_parser
    read = []
    for start in range(0, len(data), step):
        buffer.add_data(data[start : start + step])
        read += [parser.parse(message.to_response_dict(), STREAM) for message in buffer]
    assert read == events


async def test_the_head_says_what_comes() -> None:
    """The stream's content type is that of event streams; the other members are headers."""
    reply = written(Source([]))
    assert reply.status == 200
    assert reply.headers == {"content-type": "application/vnd.amazon.eventstream", "x-amz-executed-version": "7"}
    assert await body_of(reply) == []


@pytest.mark.parametrize("is_begun", [True, False])
async def test_closing_closes_the_source(is_begun: bool) -> None:
    """Also when nobody has asked for the first message."""
    source = Source([{"InvokeComplete": {}}])
    body: Any = written(source).body
    if is_begun:
        await anext(body)
    await body.aclose()
    assert source.is_closed
