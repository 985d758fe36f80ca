"""What an external extension prints, as lines of the function's log."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from lambdad.invocation.logs import FLOW_BYTES, FLOW_SECONDS, MAX_LINE_BYTES, PAUSE_SECONDS, READ_BYTES


class ExtensionOutput:
    """Owns the read end of the extension's pipe. A flood pauses the reading, and the pipe the extension."""

    def __init__(self, pipe: int, loop: asyncio.AbstractEventLoop, emit: Callable[[str], None]) -> None:
        self._pipe = pipe
        self._loop = loop
        self._emit = emit
        self._partial = b""
        self._flow_bytes = 0
        self._flow_since = loop.time()
        self._resume: asyncio.TimerHandle | None = None
        loop.add_reader(pipe, self._readable)

    def close(self) -> None:
        """Reads what is left and gives the pipe back. May be repeated."""
        for _ in range(FLOW_BYTES // READ_BYTES):
            if self._pipe < 0 or not self._read():
                break
        self._close_pipe()

    def _readable(self) -> None:
        now = self._loop.time()
        if now - self._flow_since >= FLOW_SECONDS:
            self._flow_bytes, self._flow_since = 0, now
        if self._flow_bytes >= FLOW_BYTES:
            self._loop.remove_reader(self._pipe)
            self._resume = self._loop.call_later(PAUSE_SECONDS, self._resume_reading)
        else:
            self._read()

    def _resume_reading(self) -> None:
        self._resume = None
        self._loop.add_reader(self._pipe, self._readable)

    def _read(self) -> bool:
        try:
            data = os.read(self._pipe, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._close_pipe()
            return False
        self._flow_bytes += len(data)
        *lines, self._partial = (self._partial + data).split(b"\n")
        if len(self._partial) > MAX_LINE_BYTES:
            lines.append(self._partial)
            self._partial = b""
        for line in lines:
            self._say(line)
        return True

    def _close_pipe(self) -> None:
        if self._pipe < 0:
            return
        if self._resume is not None:
            self._resume.cancel()
        else:
            self._loop.remove_reader(self._pipe)
        os.close(self._pipe)
        self._pipe = -1
        if self._partial:
            self._say(self._partial)
            self._partial = b""

    def _say(self, line: bytes) -> None:
        for start in range(0, max(1, len(line)), MAX_LINE_BYTES):
            self._emit(line[start : start + MAX_LINE_BYTES].decode("utf-8", "replace"))
