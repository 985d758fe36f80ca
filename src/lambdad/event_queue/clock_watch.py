"""Notices that the wall clock was put back: what waits for a time of before would wait too long."""

from __future__ import annotations

import time
from collections.abc import Callable

_TOLERANCE_SECONDS = 1.0  #: between two looks; a clock that is slewed moves less


class ClockWatch:
    def __init__(self, clock: Callable[[], float], *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._offset = self._look()

    def was_put_back(self) -> bool:
        """Since the last look."""
        before, self._offset = self._offset, self._look()
        return self._offset < before - _TOLERANCE_SECONDS

    def _look(self) -> float:
        return self._clock() - self._monotonic()
