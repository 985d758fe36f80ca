"""Events in order out of chunks that overlap in time."""

from __future__ import annotations

import heapq
from collections.abc import AsyncIterator

from lambdad.services.logs.model import Position, StoredEvent
from lambdad.services.logs.records import CHUNK_SPAN_MS, Chunk


async def in_order(chunks: AsyncIterator[Chunk], *, descending: bool = False) -> AsyncIterator[StoredEvent]:
    """All events of the chunks, which come in order of their first event, in order of position.

    Going up, a chunk says that nothing before its first event can still come. Going down, it says that nothing a span after
    its first event can.
    """
    sign = -1 if descending else 1
    waiting: list[tuple[int, int, int, StoredEvent]] = []
    async for chunk in chunks:
        first_ms = chunk.events[0][0]
        complete_ms = first_ms + CHUNK_SPAN_MS if descending else first_ms - 1
        if not descending:
            while waiting and waiting[0][0] <= complete_ms:
                yield heapq.heappop(waiting)[3]
        for index, (timestamp_ms, message) in enumerate(chunk.events):
            position = Position(timestamp_ms, chunk.sequence, index)
            event = StoredEvent(position, chunk.stream, chunk.ingested_ms, message)
            heapq.heappush(waiting, (sign * timestamp_ms, sign * chunk.sequence, sign * index, event))
        if descending:
            while waiting and -waiting[0][0] >= complete_ms:
                yield heapq.heappop(waiting)[3]
    while waiting:
        yield heapq.heappop(waiting)[3]
