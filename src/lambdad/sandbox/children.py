"""Programs that the launcher of OCI sandboxes runs, without ever waiting for one alone, and whatever they leave behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from lambdad.sandbox import linux

_ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
_DEFAULT_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ, signal.SIGCHLD)
_MAX_OUTPUT_BYTES = 64 * 1024


class Finished(NamedTuple):
    code: int  #: negative when a signal killed it
    output: str  #: what it said, last


class Children:
    """The processes of this process, those that its children have left to it included: all are reaped as they end."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[int, asyncio.Future[int]] = {}
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        self._loop.add_signal_handler(signal.SIGCHLD, self._reap)

    async def run(self, arguments: Sequence[str | Path], *, stdin: int, seconds: float) -> Finished:
        """Runs a program to its end, which comes after `seconds` at the latest: TimeoutError then. Its output is what arrives
        by then, since programs that it has started may hold on to it."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(reader, False)
        output = bytearray()
        try:
            try:
                pid = self._spawn([os.fspath(argument) for argument in arguments], stdin, writer)
            finally:
                os.close(writer)
            end = self._waiting[pid] = self._loop.create_future()
            self._loop.add_reader(reader, self._collect, reader, output)
            try:
                code = await self._end_of(pid, end, seconds)
            finally:
                self._loop.remove_reader(reader)
            self._collect(reader, output)
            return Finished(code, output.decode(errors="replace").strip())
        finally:
            os.close(reader)

    def close(self) -> None:
        self._loop.remove_signal_handler(signal.SIGCHLD)

    async def _end_of(self, pid: int, end: asyncio.Future[int], seconds: float) -> int:
        """It is not left half-way when nobody wants it any more: what it has begun would stay behind."""
        try:
            return await asyncio.wait_for(asyncio.shield(end), seconds)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # in the table until `_reap`, which ends the waiting
            await end
            raise
        except asyncio.CancelledError:
            await end
            raise

    def _collect(self, pipe: int, output: bytearray) -> None:
        """Takes what is there, and keeps the last of it."""
        with contextlib.suppress(BlockingIOError):
            while chunk := os.read(pipe, _MAX_OUTPUT_BYTES):
                output += chunk
                del output[:-_MAX_OUTPUT_BYTES]
            self._loop.remove_reader(pipe)

    def _spawn(self, arguments: list[str], stdin: int, output: int) -> int:
        actions = [(os.POSIX_SPAWN_DUP2, source, target) for source, target in ((stdin, 0), (output, 1), (output, 2))]
        return os.posix_spawn(
            arguments[0], arguments, _ENVIRONMENT, file_actions=actions, setsigmask=(), setsigdef=_DEFAULT_SIGNALS
        )

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            end = self._waiting.pop(pid, None)
            if end is not None and not end.done():
                end.set_result(os.waitstatus_to_exitcode(status))
