"""The server's side of a launcher: the process, the questions it was asked, and the answers to those who asked."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from lambdad.errors import SandboxError, StartupError
from lambdad.sandbox.records import (
    CannotOpen,
    Channel,
    Failed,
    Opened,
    RecordTooLong,
    Refused,
    Started,
    Stopped,
    ToOciLauncher,
    ToOciServer,
    close_all,
)

_LAUNCH = """
import sys
sys.path.insert(0, {path!r})
from {module} import main
main({connection}, {settings!r})
"""

_Made = TypeVar("_Made")


class _Question(NamedTuple):
    answer: asyncio.Future[Any]
    make: Callable[[Any, list[int]], Any]


class LauncherLink:
    """`module` has the launcher's `main`; `loss` is the sentence that says it has ended."""

    def __init__(self, module: str, loss: str) -> None:
        self.lost = asyncio.Event()  #: it has ended though nobody closed it
        self._module = module
        self._loss = loss
        self._channel: Channel | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._opened: asyncio.Future[Opened] | None = None
        self._questions: dict[Hashable, _Question] = {}
        self._note_loss: Callable[[], None] = lambda: None

    @property
    def is_open(self) -> bool:
        return self._channel is not None

    async def open(self, settings: msgspec.Struct, note_loss: Callable[[], None]) -> Opened:
        """Starts the launcher; its first words. StartupError with its reason. `note_loss` is called at its end, whatever the
        cause."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            code = _LAUNCH.format(
                path=os.fspath(Path(__file__).parents[2]),
                module=self._module,
                connection=theirs.fileno(),
                settings=msgspec.json.encode(settings).decode(),
            )
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-I", "-c", code),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.lost.clear()
        self._channel = Channel(ours)
        self._note_loss = note_loss
        loop = asyncio.get_running_loop()
        self._opened = loop.create_future()
        loop.add_reader(ours, self._hear)
        try:
            return await self._opened
        except StartupError:
            await self.close()
            raise

    async def ask(
        self,
        key: Hashable,
        record: ToOciLauncher,
        make: Callable[[Any, list[int]], _Made],
        descriptors: Sequence[int] = (),
    ) -> _Made:
        """What `make` makes of the answer and its descriptors, as soon as they are here. `_key` of the answer is `key`."""
        answer: asyncio.Future[_Made] = asyncio.get_running_loop().create_future()
        self._questions[key] = _Question(answer, make)
        try:
            self.send(record, descriptors)
            return await answer
        finally:
            self._questions.pop(key, None)

    def send(self, record: ToOciLauncher, descriptors: Sequence[int] = ()) -> None:
        if self._channel is None:
            raise SandboxError(self._loss)
        data = msgspec.json.encode(record)
        try:
            msgspec.json.decode(data, type=ToOciLauncher)  # the launcher would end rather than guess what is meant
            self._channel.send(data, descriptors)
        except (msgspec.ValidationError, RecordTooLong) as error:
            raise SandboxError(f"no sandbox can be made like this: {error}") from error
        if self._channel.has_unsent:
            asyncio.get_running_loop().add_writer(self._channel.socket, self._flush)

    async def close(self) -> None:
        """The launcher ends when its socket closes, and takes everything with it."""
        if self._process is not None:
            self._lose()
            await self._process.wait()
            self._process = None

    def _flush(self) -> None:
        if self._channel is not None:
            self._channel.flush()
            if not self._channel.has_unsent:
                asyncio.get_running_loop().remove_writer(self._channel.socket)

    def _hear(self) -> None:
        while self._channel is not None and (received := self._channel.receive()) is not None:
            data, descriptors = received
            if not data:
                self._lose()
                self.lost.set()
                return
            self._note(msgspec.json.decode(data, type=ToOciServer), descriptors)

    def _note(self, record: ToOciServer, descriptors: list[int]) -> None:
        if isinstance(record, Opened | CannotOpen):
            if self._opened is not None and not self._opened.done():
                if isinstance(record, Opened):
                    self._opened.set_result(record)
                else:
                    self._opened.set_exception(StartupError(record.reason))
            return
        question = self._questions.pop(_key(record), None)
        if question is None or question.answer.done():
            close_all(descriptors)
        elif isinstance(record, Refused | Failed):
            question.answer.set_exception(SandboxError(record.reason))
        else:
            question.answer.set_result(question.make(record, descriptors))

    def _lose(self) -> None:
        """Nothing more comes from the launcher: every sandbox is dead, every wait is over."""
        if self._channel is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._channel.socket)
        loop.remove_writer(self._channel.socket)
        self._channel.close()
        self._channel = None
        if self._opened is not None and not self._opened.done():
            self._opened.set_exception(StartupError("the launcher ended before it was ready; its reason is above"))
        for question in self._questions.values():
            if not question.answer.done():
                question.answer.set_exception(SandboxError(self._loss))
        self._questions.clear()
        self._note_loss()


def _key(record: Any) -> Hashable:
    """Questions about a sandbox go by its name and what is wanted, all others by their number."""
    if isinstance(record, Started | Refused):
        return ("start", record.sandbox_id)
    if isinstance(record, Stopped):
        return ("stop", record.sandbox_id)
    number: int = record.request
    return number
