"""How logs are kept; no other module knows.

    log-group   <account>:<region>:<group>                                   the group
    log-stream  <group id>:<stream>                                          the stream
    log-chunk   <stream id>:<first ms>:<sequence>                            some of a stream's events, in order of time
    log-time    <group id>:<first ms>:<sequence>:<stream id>   "<last ms>"   finds a group's chunks by time
    log-garbage <group id> or <group id>:<stream id>                         what is deleted and still has to be cleared

A chunk spans less than CHUNK_SPAN_MS, so that whoever reads chunks in order of their first event knows which events can
still come. Names have no colon. Writers of one group take turns.
"""

from __future__ import annotations

import asyncio
import heapq
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar
from weakref import WeakValueDictionary

import msgspec

from lambdad.errors import ServiceError
from lambdad.model.invocation import LogEvent
from lambdad.services.logs.model import LogGroup, LogStream, Scope, event_bytes, no_group, no_stream
from lambdad.store.base import Change, Delete, Put, Record, Records

CHUNK_SPAN_MS = 30_000
_CHUNK_BYTES = 128 * 1024
_GROUPS, _STREAMS, _CHUNKS, _TIMES, _GARBAGE = "log-group", "log-stream", "log-chunk", "log-time", "log-garbage"
_CHUNKS_PER_PAGE = 16
_RECORDS_PER_PAGE = 200
_LATEST_MS = 10**15 - 1

_Noun = TypeVar("_Noun")


class Chunk(msgspec.Struct, frozen=True, array_like=True):
    stream: str
    ingested_ms: int
    sequence: int
    events: tuple[tuple[int, str], ...]  #: in order of time, never empty

    @property
    def order(self) -> tuple[int, int]:
        return (self.events[0][0], self.sequence)


class _HasName(Protocol):
    @property
    def name(self) -> str: ...


_chunk_decoder = msgspec.json.Decoder(Chunk)
_group_decoder = msgspec.json.Decoder(LogGroup)
_stream_decoder = msgspec.json.Decoder(LogStream)


class LogRecords:
    def __init__(
        self, records: Records, *, now_ms: Callable[[], int], new_id: Callable[[], str] = lambda: uuid.uuid4().hex
    ) -> None:
        self._records = records
        self._now_ms = now_ms
        self._new_id = new_id
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._last_sequence = 0
        self.garbage = asyncio.Event()  #: set when a deleted group waits for `clear_garbage`

    # Groups

    async def group(self, scope: Scope, name: str) -> LogGroup:
        record = await self._records.get(_GROUPS, _group_key(scope, name))
        if record is None:
            raise no_group()
        return _group_decoder.decode(record.value)

    async def groups(self, scope: Scope, *, prefix: str = "", after: str = "") -> AsyncIterator[LogGroup]:
        """In order of name, those after a name."""
        after_key = _group_key(scope, after) if after else ""
        async for record in self._each(_GROUPS, _group_key(scope, prefix), after_key):
            yield _group_decoder.decode(record.value)

    async def all_groups(self) -> AsyncIterator[tuple[Scope, LogGroup]]:
        async for record in self._each(_GROUPS, "", ""):
            account_id, region, _ = record.key.split(":", 2)
            yield Scope(account_id, region), _group_decoder.decode(record.value)

    async def create_group(self, scope: Scope, name: str, tags: dict[str, str]) -> None:
        async with self._lock(scope, name):
            if await self._records.get(_GROUPS, _group_key(scope, name)):
                raise ServiceError("ResourceAlreadyExistsException", "The specified log group already exists")
            await self._records.commit([self._put_group(scope, self._new_group(name, tags))])

    async def change_group(self, scope: Scope, name: str, change: Callable[[LogGroup], LogGroup]) -> None:
        async with self._lock(scope, name):
            await self._records.commit([self._put_group(scope, change(await self.group(scope, name)))])

    async def delete_group(self, scope: Scope, name: str) -> None:
        async with self._lock(scope, name):
            group = await self.group(scope, name)
            garbage = Put(_GARBAGE, group.group_id, b"{}")
            await self._records.commit([Delete(_GROUPS, _group_key(scope, name)), garbage])
        self.garbage.set()

    # Streams

    async def stream(self, group: LogGroup, name: str) -> LogStream:
        record = await self._records.get(_STREAMS, f"{group.group_id}:{name}")
        if record is None:
            raise no_stream()
        return _stream_decoder.decode(record.value)

    async def streams(
        self, group: LogGroup, *, prefix: str = "", after: str = "", descending: bool = False
    ) -> AsyncIterator[LogStream]:
        after_key = f"{group.group_id}:{after}" if after else ""
        async for record in self._each(_STREAMS, f"{group.group_id}:{prefix}", after_key, descending=descending):
            yield _stream_decoder.decode(record.value)

    async def create_stream(self, scope: Scope, group_name: str, name: str) -> None:
        async with self._lock(scope, group_name):
            group = await self.group(scope, group_name)
            if await self._records.get(_STREAMS, f"{group.group_id}:{name}"):
                raise ServiceError("ResourceAlreadyExistsException", "The specified log stream already exists")
            await self._records.commit([self._put_stream(group, self._new_stream(name))])

    async def delete_stream(self, scope: Scope, group_name: str, name: str) -> None:
        """Its events are gone on return."""
        async with self._lock(scope, group_name):
            group = await self.group(scope, group_name)
            stream = await self.stream(group, name)
            garbage_key = f"{group.group_id}:{stream.stream_id}"
            garbage = Put(_GARBAGE, garbage_key, b"{}")
            await self._records.commit([Delete(_STREAMS, f"{group.group_id}:{name}"), garbage])
            removed = await self._clear_stream(group.group_id, stream.stream_id)
            group = replace(group, stored_bytes=max(0, group.stored_bytes - removed))
            await self._records.commit([Delete(_GARBAGE, garbage_key), self._put_group(scope, group)])

    # Events

    async def write(
        self, scope: Scope, group_name: str, events_of: Mapping[str, Sequence[LogEvent]], *, create_missing: bool = False
    ) -> None:
        """Adds events to streams of one group, in one transaction."""
        async with self._lock(scope, group_name):
            group = await self._group_to_write(scope, group_name, create_missing)
            changes: list[Change] = []
            size = 0
            for name, events in events_of.items():
                stream = await self._stream_to_write(group, name, create_missing)
                changes += self._chunk_changes(group, stream, events)
                changes.append(self._put_stream(group, _with_events(stream, events, self._now_ms())))
                size += sum(event_bytes(event.message) for event in events)
            changes.append(self._put_group(scope, replace(group, stored_bytes=group.stored_bytes + size)))
            await self._records.commit(changes)

    async def stream_chunks(self, stream: LogStream, start_ms: int, end_ms: int, *, descending: bool) -> AsyncIterator[Chunk]:
        """Every chunk of the stream that can have events in [start, end], in order of `Chunk.order`."""
        low, high = _time_bounds(stream.stream_id, start_ms, end_ms)
        after = high if descending else low
        while page := await self._records.list(
            _CHUNKS, prefix=f"{stream.stream_id}:", after=after, limit=_CHUNKS_PER_PAGE, descending=descending
        ):
            for record in page:
                if not low <= record.key < high:
                    return
                yield _chunk_decoder.decode(record.value)
            after = page[-1].key
            await asyncio.sleep(0)  # others have their turn

    async def group_chunks(
        self, group: LogGroup, start_ms: int, end_ms: int, *, descending: bool, only: frozenset[str] | None = None
    ) -> AsyncIterator[Chunk]:
        """As `stream_chunks` for all streams of a group, or for those whose ids are in `only`."""
        low, high = _time_bounds(group.group_id, start_ms, end_ms)
        after = high if descending else low
        async for record in self._each(_TIMES, f"{group.group_id}:", after, descending=descending):
            if not low <= record.key < high:
                return
            _, first, sequence, stream_id = record.key.split(":")
            if int(record.value) < start_ms or (only is not None and stream_id not in only):
                continue
            chunk = await self._records.get(_CHUNKS, f"{stream_id}:{first}:{sequence}")
            if chunk:
                yield _chunk_decoder.decode(chunk.value)

    # Upkeep

    async def clear_garbage(self) -> None:
        """Removes what is left of deleted groups and streams, a bounded piece at a time."""
        self.garbage.clear()
        async for record in self._each(_GARBAGE, "", ""):
            group_id, _, stream_id = record.key.partition(":")
            if stream_id:
                await self._clear_stream(group_id, stream_id)
            else:
                await self._clear_group(group_id)
            await self._records.commit([Delete(_GARBAGE, record.key)])

    async def expire(self, scope: Scope, name: str) -> None:
        """Removes the chunks whose events have all expired."""
        async with self._lock(scope, name):
            group = await self.group(scope, name)
            oldest_ms = group.oldest_kept_ms(self._now_ms())
            if not oldest_ms:
                return
            removed = await self._clear_chunks(group.group_id, before_ms=oldest_ms)
            if removed:
                group = replace(group, stored_bytes=max(0, group.stored_bytes - removed))
                await self._records.commit([self._put_group(scope, group)])

    async def _clear_group(self, group_id: str) -> None:
        await self._clear_chunks(group_id, before_ms=_LATEST_MS)
        while page := await self._records.list(_STREAMS, prefix=f"{group_id}:", limit=_RECORDS_PER_PAGE):
            await self._records.commit([Delete(_STREAMS, record.key) for record in page])

    async def _clear_chunks(self, group_id: str, *, before_ms: int) -> int:
        """Removes a group's chunks that end before a time; returns the bytes of their events."""
        removed = 0
        after = ""
        high = f"{group_id}:{before_ms:015d}"
        while page := await self._records.list(_TIMES, prefix=f"{group_id}:", after=after, limit=_RECORDS_PER_PAGE):
            changes: list[Change] = []
            for record in page:
                if record.key >= high:
                    break
                if int(record.value) < before_ms:
                    _, first, sequence, stream_id = record.key.split(":")
                    chunk_key = f"{stream_id}:{first}:{sequence}"
                    removed += _chunk_size(await self._records.get(_CHUNKS, chunk_key))
                    changes += [Delete(_TIMES, record.key), Delete(_CHUNKS, chunk_key)]
            await self._records.commit(changes)
            if page[-1].key >= high:
                break
            after = page[-1].key
        return removed

    async def _clear_stream(self, group_id: str, stream_id: str) -> int:
        removed = 0
        while page := await self._records.list(_CHUNKS, prefix=f"{stream_id}:", limit=_CHUNKS_PER_PAGE):
            changes: list[Change] = []
            for record in page:
                _, first, sequence = record.key.split(":")
                removed += _chunk_size(record)
                changes += [Delete(_TIMES, f"{group_id}:{first}:{sequence}:{stream_id}"), Delete(_CHUNKS, record.key)]
            await self._records.commit(changes)
        return removed

    async def _each(self, collection: str, prefix: str, after: str, *, descending: bool = False) -> AsyncIterator[Record]:
        while page := await self._records.list(
            collection, prefix=prefix, after=after, limit=_RECORDS_PER_PAGE, descending=descending
        ):
            for record in page:
                yield record
            after = page[-1].key
            await asyncio.sleep(0)  # others have their turn

    async def _group_to_write(self, scope: Scope, name: str, create_missing: bool) -> LogGroup:
        record = await self._records.get(_GROUPS, _group_key(scope, name))
        if record:
            return _group_decoder.decode(record.value)
        if not create_missing:
            raise no_group()
        return self._new_group(name, {})

    async def _stream_to_write(self, group: LogGroup, name: str, create_missing: bool) -> LogStream:
        record = await self._records.get(_STREAMS, f"{group.group_id}:{name}")
        if record:
            return _stream_decoder.decode(record.value)
        if not create_missing:
            raise no_stream()
        return self._new_stream(name)

    def _chunk_changes(self, group: LogGroup, stream: LogStream, events: Sequence[LogEvent]) -> Iterator[Put]:
        for part in _split(sorted(events, key=lambda event: event.timestamp_ms)):
            sequence = self._next_sequence()
            first_ms, last_ms = part[0].timestamp_ms, part[-1].timestamp_ms
            chunk = Chunk(stream.name, self._now_ms(), sequence, tuple((event.timestamp_ms, event.message) for event in part))
            place = f"{first_ms:015d}:{sequence:020d}"
            yield Put(_CHUNKS, f"{stream.stream_id}:{place}", msgspec.json.encode(chunk))
            yield Put(_TIMES, f"{group.group_id}:{place}:{stream.stream_id}", str(last_ms).encode())

    def _next_sequence(self) -> int:
        """Rises through restarts too, as the clock does."""
        self._last_sequence = max(self._last_sequence + 1, self._now_ms() * 1_000_000)
        return self._last_sequence

    def _new_group(self, name: str, tags: dict[str, str]) -> LogGroup:
        return LogGroup(group_id=self._new_id(), name=name, created_ms=self._now_ms(), tags=tags)

    def _new_stream(self, name: str) -> LogStream:
        return LogStream(stream_id=self._new_id(), name=name, created_ms=self._now_ms())

    def _put_group(self, scope: Scope, group: LogGroup) -> Put:
        return Put(_GROUPS, _group_key(scope, group.name), msgspec.json.encode(group))

    def _put_stream(self, group: LogGroup, stream: LogStream) -> Put:
        return Put(_STREAMS, f"{group.group_id}:{stream.name}", msgspec.json.encode(stream))

    def _lock(self, scope: Scope, name: str) -> asyncio.Lock:
        return self._locks.setdefault(_group_key(scope, name), asyncio.Lock())


async def merged(sources: Sequence[AsyncIterator[Chunk]], *, descending: bool) -> AsyncIterator[Chunk]:
    """Chunks of several streams in order of `Chunk.order`."""
    sign = -1 if descending else 1
    heads: list[tuple[tuple[int, int], int, Chunk]] = []

    async def advance(number: int) -> None:
        chunk = await anext(sources[number], None)
        if chunk:
            heapq.heappush(heads, ((sign * chunk.order[0], sign * chunk.order[1]), number, chunk))

    for number in range(len(sources)):
        await advance(number)
    while heads:
        _, number, chunk = heapq.heappop(heads)
        yield chunk
        await advance(number)


def _group_key(scope: Scope, name: str) -> str:
    return f"{scope.account_id}:{scope.region}:{name}"


def _time_bounds(owner_id: str, start_ms: int, end_ms: int) -> tuple[str, str]:
    """Keys between which chunks stand that can have events in [start, end]."""
    low = max(0, min(start_ms - CHUNK_SPAN_MS, _LATEST_MS))
    high = max(0, min(end_ms + 1, _LATEST_MS))
    return f"{owner_id}:{low:015d}", f"{owner_id}:{high:015d}"


def _split(events: Sequence[LogEvent]) -> Iterator[Sequence[LogEvent]]:
    """Parts that each fit a chunk, of events in order of time."""
    start = size = 0
    for number, event in enumerate(events):
        spans = event.timestamp_ms - events[start].timestamp_ms
        if number > start and (spans >= CHUNK_SPAN_MS or size >= _CHUNK_BYTES):
            yield events[start:number]
            start, size = number, 0
        size += event_bytes(event.message)
    if events:
        yield events[start:]


def _with_events(stream: LogStream, events: Sequence[LogEvent], now_ms: int) -> LogStream:
    if not events:
        return stream
    times = [event.timestamp_ms for event in events]
    first = min(times) if stream.first_event_ms is None else min(stream.first_event_ms, *times)
    last = max(times) if stream.last_event_ms is None else max(stream.last_event_ms, *times)
    return replace(stream, first_event_ms=first, last_event_ms=last, last_ingestion_ms=now_ms)


def _chunk_size(record: Record | None) -> int:
    if record is None:
        return 0
    return sum(event_bytes(message) for _, message in _chunk_decoder.decode(record.value).events)
