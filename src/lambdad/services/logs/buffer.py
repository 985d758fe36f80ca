"""Takes function output without waiting, and writes it in batches in the background."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass, field

from lambdad.model.invocation import LogBatch, LogEvent
from lambdad.services.logs.model import Scope, event_bytes, storable
from lambdad.services.logs.records import LogRecords
from lambdad.store.base import InsufficientStorage

logger = logging.getLogger(__name__)

_FLUSH_SECONDS = 0.2
_FLUSH_BYTES = 1 << 20  #: as much waiting is written at once
_STREAM_BYTES = 4 << 20  #: most that one stream may have waiting
_TOTAL_BYTES = 64 << 20


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
        self._bytes = 0
        self._is_full = asyncio.Event()
        self._has_some = asyncio.Event()
        self._is_stopping = False
        self._flushing = asyncio.Lock()

    def append(self, batch: LogBatch) -> None:
        """A log sink: never waits, never fails."""
        streams = self._waiting.setdefault((Scope(batch.account_id, batch.region), batch.group), {})
        waiting = streams.setdefault(batch.stream, _Waiting())
        for event in batch.events:
            size = event_bytes(event.message)
            waiting.events.append(event)
            waiting.bytes += size
            self._bytes += size
        while waiting.events and (waiting.bytes > self._stream_bytes or self._bytes > self._total_bytes):
            oldest = waiting.events.popleft()
            size = event_bytes(oldest.message)
            waiting.bytes -= size
            self._bytes -= size
            waiting.dropped += 1
            waiting.dropped_ms = oldest.timestamp_ms
        self._has_some.set()
        if self._bytes >= _FLUSH_BYTES:
            self._is_full.set()

    async def flush(self) -> None:
        """Returns when everything that was appended before is stored, or has been given up with a word in the server's log."""
        async with self._flushing:
            taken, self._waiting = self._waiting, {}
            self._bytes = 0
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
        events_of = {name: _lines(waiting) for name, waiting in streams.items()}
        try:
            await self._records.write(scope, group, events_of, create_missing=True)
        except InsufficientStorage as full:
            lost = sum(len(waiting.events) for waiting in streams.values())
            logger.warning("%d lines of log group %s are lost: %s", lost, group, full)
        except Exception:
            lost = sum(len(waiting.events) for waiting in streams.values())
            logger.exception("%d lines of log group %s could not be stored and are lost", lost, group)


def _lines(waiting: _Waiting) -> list[LogEvent]:
    """As Lambda writes them: each with its newline, which also keeps an empty line from being an empty event."""
    events = [LogEvent(event.timestamp_ms, f"{storable(event.message)}\n") for event in waiting.events]
    if waiting.dropped:
        text = f"lambdad: {waiting.dropped} lines dropped, because they came faster than they could be stored\n"
        events.insert(0, LogEvent(waiting.dropped_ms, text))
    return events
