"""What an external extension prints, as lines of the function's log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from lambdad.invocation.output_lines import OutputLines
from lambdad.invocation.output_pipe import Allowance, OutputPipe


class ExtensionOutput:
    """Owns the read end of the extension's pipe. A flood pauses the reading, and the pipe the extension."""

    def __init__(self, pipe: int, loop: asyncio.AbstractEventLoop, emit: Callable[[str], None], shared: Allowance) -> None:
        self._emit = emit
        self._lines = OutputLines()
        self._pipe = OutputPipe(pipe, loop, self._take, shared=shared)

    def close(self) -> None:
        """Reads what is left and gives the pipe back. May be repeated."""
        self._pipe.close()
        for line in self._lines.finish(0):
            self._emit(line.message)

    def _take(self, data: bytes) -> int:
        lines = self._lines.feed(data, 0)
        for line in lines:
            self._emit(line.message)
        return len(lines)
