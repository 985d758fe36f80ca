"""What an external extension prints, as lines of the function's log."""

from __future__ import annotations

import asyncio

from lambdad.invocation.logs import FunctionLog
from lambdad.invocation.output_lines import OutputLines
from lambdad.invocation.output_pipe import OutputPipe


class ExtensionOutput:
    """Owns the read end of the extension's pipe. A flood pauses the reading, and the pipe the extension."""

    def __init__(self, pipe: int, loop: asyncio.AbstractEventLoop, log: FunctionLog) -> None:
        self._log = log
        self._lines = OutputLines()
        self._pipe = OutputPipe(pipe, loop, self._take, shared=log.shared, is_full=log.is_sink_full)

    def close(self) -> None:
        """Reads what is left and gives the pipe back. May be repeated."""
        lost = self._pipe.close()
        for line in self._lines.finish(0):
            self._log.extension_line(line.message)
        if lost:
            self._log.tell_of_loss(lost)

    def _take(self, data: bytes) -> int:
        lines = self._lines.feed(data, 0)
        for line in lines:
            self._log.extension_line(line.message)
        return len(lines) * (1 + self._log.listeners)
