"""A rate that is refilled continuously: what was not used is saved up to the bucket's size and no further."""

from __future__ import annotations


class TokenBucket:
    """Full at first. Size and rate are told at each question, for they may change."""

    __slots__ = ("_left", "_seen")

    def __init__(self, size: float, now: float) -> None:
        self._left = float(size)
        self._seen = now

    def left(self, now: float, per_second: float, size: float) -> float:
        self._left = min(size, self._left + (now - self._seen) * per_second)
        self._seen = now
        return self._left

    def take(self, now: float, per_second: float, size: float) -> bool:
        """Takes one, if there is a whole one."""
        if self.left(now, per_second, size) < 1.0:
            return False
        self._left -= 1.0
        return True
