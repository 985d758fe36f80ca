"""One function's share of the dispatcher: how many of its events run, and the pool that all functions draw on."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field

from lambdad.event_queue.pace import Arrivals, Pace


@dataclass(slots=True)
class Lane:
    """Lives while its queue holds events."""

    queue: str
    pace: Pace
    arrivals: Arrivals = field(default_factory=Arrivals)
    in_flight: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)  #: an event ended, or a shared slot came free


class Slots:
    """Every lane may have `guaranteed` events in flight, whatever the others do; beyond that all share `shared` slots."""

    def __init__(self, *, shared: int, guaranteed: int) -> None:
        self._free = shared
        self._guaranteed = guaranteed
        self._queued: deque[Lane] = deque()

    def available(self, lane: Lane) -> int:
        allowed = max(0, self._guaranteed - lane.in_flight) + self._free
        return max(0, min(lane.pace.at_once - lane.in_flight, allowed))

    def take(self, lane: Lane) -> None:
        if lane.in_flight >= self._guaranteed:
            self._free -= 1
        lane.in_flight += 1

    def give_back(self, lane: Lane) -> None:
        lane.in_flight -= 1
        lane.changed.set()
        if lane.in_flight >= self._guaranteed:
            self._free += 1
            if self._queued:
                self._queued.popleft().changed.set()

    def call_when_free(self, lane: Lane) -> None:
        """Lanes that found the shared slots taken are called in their order."""
        if lane not in self._queued:
            self._queued.append(lane)

    def forget(self, lane: Lane) -> None:
        if lane in self._queued:
            self._queued.remove(lane)
