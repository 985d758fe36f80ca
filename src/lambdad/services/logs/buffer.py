"""Takes function output without waiting, and writes it in batches in the background."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from lambdad.model.invocation import LogBatch, LogEvent
from lambdad.services.logs.model import Scope, storable
from lambdad.services.logs.records import LogRecords
from lambdad.store.base import InsufficientStorage

logger = logging.getLogger(__name__)

_FLUSH_SECONDS = 0.2
# Sizes here are of memory, which for short lines is many times that of their text.
_FLUSH_BYTES = 1 << 20  #: as much waiting is written at once
_SLICE_BYTES = 512 << 10  #: as much goes into one commit: what prepares it holds up everything else
_STREAM_BYTES = 4 << 20  #: most that one stream may have waiting
_TOTAL_BYTES = 64 << 20
_EVENT_BYTES = 96  #: of memory, beside the text


@dataclass(slots=True)
class _Waiting:
    events: deque[LogEvent] = field(default_factory=deque)
    bytes: int = 0
    dropped: int = 0
    dropped_ms: int = 0  #: time of the last one dropped


class LogBuffer:
    """When output comes faster than it can be stored, a stream's oldest lines give way, and a line says how many."""

    def __init__(
        self,
        records: LogRecords,
        *,
        flush_seconds: float = _FLUSH_SECONDS,
        stream_bytes: int = _STREAM_BYTES,
        total_bytes: int = _TOTAL_BYTES,
    ) -> None:
        self._records = records
        self._flush_seconds = flush_seconds
        self._stream_bytes = stream_bytes
        self._total_bytes = total_bytes
        self._waiting: dict[tuple[Scope, str], dict[str, _Waiting]] = {}
        self._bytes = 0  #: of all that waits or is being written
        self._is_full = asyncio.Event()
        self._has_some = asyncio.Event()
        self._is_stopping = False
        self._flushing = asyncio.Lock()

    def append(self, batch: LogBatch) -> None:
        """A log sink: never waits, never fails."""
        streams = self._waiting.setdefault((Scope(batch.account_id, batch.region), batch.group), {})
        waiting = streams.setdefault(batch.stream, _Waiting())
        size = sum(map(memory_of, batch.events))
        waiting.events.extend(batch.events)
        waiting.bytes += size
        self._bytes += size
        while waiting.events and (waiting.bytes > self._stream_bytes or self._bytes > self._total_bytes):
            oldest = waiting.events.popleft()
            size = memory_of(oldest)
            waiting.bytes -= size
            self._bytes -= size
            waiting.dropped += 1
            waiting.dropped_ms = oldest.timestamp_ms
        self._has_some.set()
        if self._bytes >= _FLUSH_BYTES:
            self._is_full.set()

    def is_full_for(self, account_id: str, region: str, group: str, stream: str) -> bool:
        """This stream has so much waiting that whoever writes to it had better wait."""
        streams = self._waiting.get((Scope(account_id, region), group))
        waiting = None if streams is None else streams.get(stream)
        return waiting is not None and waiting.bytes > self._stream_bytes // 2

    async def flush(self) -> None:
        """Returns when everything that was appended before is stored, or has been given up with a word in the server's log."""
        async with self._flushing:
            taken, self._waiting = self._waiting, {}
            self._has_some.clear()
            self._is_full.clear()
            await asyncio.gather(*(self._write(scope, group, streams) for (scope, group), streams in taken.items()))

    async def run(self) -> None:
        """Flushes until `stop`."""
        while not self._is_stopping:
            await self._has_some.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_full.wait(), self._flush_seconds)
            await self.flush()

    async def stop(self) -> None:
        """Stores what is there and ends `run`."""
        self._is_stopping = True
        await self.flush()
        self._has_some.set()
        self._is_full.set()

    async def _write(self, scope: Scope, group: str, streams: dict[str, _Waiting]) -> None:
        for events_of, size in _slices(streams):
            try:
                await self._records.write(scope, group, events_of, create_missing=True)
            except InsufficientStorage as full:
                logger.warning("%d lines of log group %s are lost: %s", _count(events_of), group, full)
            except Exception:
                logger.exception("%d lines of log group %s could not be stored and are lost", _count(events_of), group)
            finally:
                self._bytes -= size


def _slices(streams: dict[str, _Waiting]) -> Iterator[tuple[dict[str, list[LogEvent]], int]]:
    """What goes into one commit each, and the memory that it frees."""
    events_of: dict[str, list[LogEvent]] = {}
    size = 0
    for name, waiting in streams.items():
        lines = events_of[name] = _notice(waiting)
        for event in waiting.events:
            lines.append(LogEvent(event.timestamp_ms, f"{storable(event.message)}\n"))
            size += memory_of(event)
            if size >= _SLICE_BYTES:
                yield events_of, size
                lines, size = [], 0
                events_of = {name: lines}
        if waiting.events and not lines:
            del events_of[name]
    if events_of:
        yield events_of, size


def _notice(waiting: _Waiting) -> list[LogEvent]:
    if not waiting.dropped:
        return []
    text = f"lambdad: {waiting.dropped} lines dropped, because they came faster than they could be stored\n"
    return [LogEvent(waiting.dropped_ms, text)]


def memory_of(event: LogEvent) -> int:
    """About what an event that waits takes."""
    return event.message.__sizeof__() + _EVENT_BYTES


def _count(events_of: dict[str, list[LogEvent]]) -> int:
    return sum(map(len, events_of.values()))
