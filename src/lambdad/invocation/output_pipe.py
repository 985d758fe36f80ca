"""The read end of a pipe that a function or an extension writes into, read no faster than all others can bear.

A flood of output costs this server neither memory nor much time: reading pauses, the pipe fills, and whoever writes waits.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import termios
from array import array
from collections.abc import Callable

#: What is read at once: more where lines are long, less where they are short, so that no turn of the loop takes long.
FIRST_READ_BYTES = 4096
_LEAST_READ_BYTES, _MOST_READ_BYTES = 1024, 32 * 1024
_FEW_LINES, _MANY_LINES = 64, 256
#: What one line costs beside its bytes: a short one takes as long to handle as so many bytes do.
LINE_COST = 256
#: What is read at most in one go where nothing may be left over: a pipe full of lines of eight letters.
LAST_COST = 2 * 1024 * 1024
#: What one pipe may have read on its behalf at once, and how much comes back in a second.
BURST = 4 * 1024 * 1024
RATE = 4 * 1024 * 1024
#: The same for all pipes together. One that writes little is read even when others have used this up.
SHARED_BURST = 16 * 1024 * 1024
SHARED_RATE = 8 * 1024 * 1024
LITTLE_BURST = 256 * 1024
LITTLE_RATE = 128 * 1024
PAUSE_SECONDS = 0.05


class Allowance:
    """So much at once, and so much more with every second that passes. May be overdrawn by as much."""

    __slots__ = ("_burst", "_left", "_rate", "_since")

    def __init__(self, burst: float, rate: float) -> None:
        self._burst = burst
        self._rate = rate
        self._left = burst
        self._since = 0.0

    def has_some(self, now: float) -> bool:
        if self._left < self._burst:
            self._left = min(self._burst, self._left + (now - self._since) * self._rate)
        self._since = now
        return self._left > 0

    def take(self, cost: float) -> None:
        self._left = max(-self._burst, self._left - cost)


def shared_allowance() -> Allowance:
    """For all pipes of one server."""
    return Allowance(SHARED_BURST, SHARED_RATE)


class OutputPipe:
    """Owns the descriptor. `take` is given what was read and returns how many lines it had; `is_full` says whether what it
    becomes has nowhere to go at the moment."""

    def __init__(
        self,
        pipe: int,
        loop: asyncio.AbstractEventLoop,
        take: Callable[[bytes], int],
        *,
        shared: Allowance,
        is_full: Callable[[], bool] = lambda: False,
    ) -> None:
        self._pipe = pipe
        self._loop = loop
        self._take = take
        self._is_full = is_full
        self._size = FIRST_READ_BYTES
        self._own = Allowance(BURST, RATE)
        self._little = Allowance(LITTLE_BURST, LITTLE_RATE)
        self._shared = shared
        self._resume: asyncio.TimerHandle | None = None
        loop.add_reader(pipe, self._readable)

    def drain(self) -> None:
        """Reads what is in the pipe at this moment; of a flood of short lines only some."""
        left = LAST_COST
        while left > 0 and self._pipe >= 0:
            size = self._size
            read, cost = self._read()
            left -= cost
            if read < size:
                return

    def close(self) -> int:
        """Reads what is left and gives the pipe back; returns how many bytes it could not wait to read. May be repeated."""
        self.drain()
        left = _bytes_in(self._pipe) if self._pipe >= 0 else 0
        self._close()
        return left

    def _readable(self) -> None:
        if self._is_full() or self._must_wait():
            self._loop.remove_reader(self._pipe)
            self._resume = self._loop.call_later(PAUSE_SECONDS, self._resume_reading)
        else:
            self._read()

    def _must_wait(self) -> bool:
        now = self._loop.time()
        return not (self._own.has_some(now) and (self._shared.has_some(now) or self._little.has_some(now)))

    def _resume_reading(self) -> None:
        self._resume = None
        if self._pipe >= 0:
            self._loop.add_reader(self._pipe, self._readable)

    def _read(self) -> tuple[int, int]:
        """Takes one piece; returns its size, 0 when there is none, and what it has cost."""
        try:
            data = os.read(self._pipe, self._size)
        except BlockingIOError:
            return 0, 0
        if not data:
            self._close()
            return 0, 0
        lines = self._take(data)
        if lines > _MANY_LINES:
            self._size = max(_LEAST_READ_BYTES, self._size // 2)
        elif lines < _FEW_LINES and len(data) == self._size:
            self._size = min(_MOST_READ_BYTES, self._size * 2)
        cost = len(data) + LINE_COST * lines
        self._own.take(cost)
        self._little.take(cost)
        self._shared.take(cost)
        return len(data), cost

    def _close(self) -> None:
        if self._pipe < 0:
            return
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        else:
            self._loop.remove_reader(self._pipe)
        os.close(self._pipe)
        self._pipe = -1


def _bytes_in(pipe: int) -> int:
    number = array("i", [0])
    fcntl.ioctl(pipe, termios.FIONREAD, number)
    return number[0]
