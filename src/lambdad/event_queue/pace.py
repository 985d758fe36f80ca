"""How fast one function's events are taken: more at once while that helps, fewer after a throttle. Pure rules."""

from __future__ import annotations

from dataclasses import dataclass

_LONGEST_PAUSE_SECONDS = 10.0
#: An invocation counts as slowed down by the others when it took this many times as long as the fastest, and a little more.
_SLOWED_TIMES = 2.0
_SLOWED_SECONDS = 0.003
STALL_SECONDS = 0.25
_FORGETTING = 0.01  #: share by which the memory of the fastest one moves towards each that is slower


@dataclass(slots=True)
class Pace:
    """Rises by one with each invocation that took about as long as the fastest, and falls by one when they slow each other
    down: a machine that is busy gets no further environments to share it. A throttled function is probed by one event at a
    time, with pauses between.
    """

    most: int  #: never more at once than this
    least: int = 4  #: slowness alone brings it no lower
    at_once: int = 8
    not_before: float = 0.0  #: no event is taken before this time
    _throttles: int = 0  #: in a row
    _fastest: float = float("inf")

    def succeeded(self, seconds: float) -> None:
        """An invocation has ended after this long, whatever the function answered."""
        self._throttles = 0
        self.not_before = 0.0
        self._fastest = min(seconds, self._fastest + (seconds - self._fastest) * _FORGETTING)
        if seconds <= self._fastest * _SLOWED_TIMES + _SLOWED_SECONDS:
            self.at_once = min(self.most, self.at_once + 1)
        elif self.at_once > self.least:
            self.at_once -= 1
        else:
            self.at_once = min(self.least, self.at_once + 1)

    def stalled(self) -> None:
        """For STALL_SECONDS none has ended though as many run as may: long ones, which must not be waited for to learn that."""
        self.at_once = min(self.most, self.at_once + max(1, self.at_once // 4))

    def throttled(self, now: float) -> None:
        """Several throttles while a pause runs count as one: they are answers to the same burst."""
        if now < self.not_before:
            return
        self.at_once = max(1, self.at_once // 2)
        if self.at_once == 1:
            self.not_before = now + min(_LONGEST_PAUSE_SECONDS, 2.0**self._throttles)
            self._throttles = min(self._throttles + 1, 8)

    def clock_was_put_back(self, now: float) -> None:
        self.not_before = min(self.not_before, now + _LONGEST_PAUSE_SECONDS)


@dataclass(slots=True)
class Arrivals:
    """How thickly events arrive: what is being accepted comes before what waits to be run."""

    many: int = 50  #: so many in a slice are a flood
    slice_seconds: float = 0.05
    _slice_start: float = float("-inf")
    _count: int = 0
    _previous: int = 0

    def add(self, now: float) -> None:
        elapsed = now - self._slice_start
        if elapsed >= self.slice_seconds:
            self._previous = self._count if elapsed < 2 * self.slice_seconds else 0
            self._slice_start, self._count = now, 0
        self._count += 1

    def are_many(self, now: float) -> bool:
        elapsed = now - self._slice_start
        if elapsed >= 2 * self.slice_seconds:
            return False
        return max(self._count, self._previous if elapsed < self.slice_seconds else 0) >= self.many
