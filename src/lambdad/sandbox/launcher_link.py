"""The server's side of a launcher: the process, the questions it was asked, and the answers to those who asked."""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import sys
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import msgspec

from lambdad.errors import FileSystemTrouble, SandboxError, StartupError
from lambdad.sandbox.base import UnpackLimits, UnpackReport
from lambdad.sandbox.records import (
    CannotOpen,
    Channel,
    Failed,
    GiveUp,
    Merge,
    Opened,
    RecordTooLong,
    Refused,
    Remove,
    Removed,
    SocketOpened,
    Started,
    Stopped,
    Unpack,
    Unpacked,
    UnpackLayer,
    close_all,
)
from lambdad.sandbox.start_record import absolute
from lambdad.store.to_the_end import to_the_end

#: What is said of the end of a launcher that nobody closed.
LOSS = "the launcher has ended; no sandbox can be made until the server is started again"
_LAUNCH = """
import sys
sys.path.insert(0, {path!r})
from {module} import main
main({connection}, {settings!r})
"""

_UNPACKING_AT_ONCE = 4

_Made = TypeVar("_Made")


class _Question(NamedTuple):
    answer: asyncio.Future[Any]
    make: Callable[[Any, list[int]], Any]


class LauncherLink:
    """`module` has the launcher's `main`, which understands `to_launcher` and says `to_server`, two unions of records."""

    def __init__(self, module: str, to_launcher: Any, to_server: Any) -> None:
        self.lost = asyncio.Event()  #: it has ended though nobody closed it
        self.process: asyncio.subprocess.Process | None = None
        self.command_prefix: Sequence[str] = ()  #: for tests, who have it started by another user
        self.numbers = itertools.count()  #: of the questions that are not about a sandbox
        self._module = module
        self._to_launcher = to_launcher
        self._to_server = to_server
        self._channel: Channel | None = None
        self._opened: asyncio.Future[Opened] | None = None
        self._questions: dict[Hashable, _Question] = {}
        self._note_loss: Callable[[], None] = lambda: None
        self._hear_event: Callable[[Any], None] = lambda record: None
        self._unpacking = asyncio.Semaphore(_UNPACKING_AT_ONCE)
        self._unpacking_layers = asyncio.Semaphore(_UNPACKING_AT_ONCE)  # which take longer, and no zip waits for them

    @property
    def is_open(self) -> bool:
        return self._channel is not None

    async def open(
        self,
        settings: msgspec.Struct,
        note_loss: Callable[[], None],
        hear_event: Callable[[Any], None] = lambda record: None,
    ) -> Opened:
        """Starts the launcher; its first words. StartupError with its reason. `note_loss` is called at its end, whatever the
        cause, and `hear_event` with every record that answers no question."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            code = _LAUNCH.format(
                path=os.fspath(Path(__file__).parents[2]),
                module=self._module,
                connection=theirs.fileno(),
                settings=msgspec.json.encode(settings).decode(),
            )
            self.process = await asyncio.create_subprocess_exec(
                *self.command_prefix,
                *(sys.executable, "-I", "-c", code),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.lost.clear()
        self._channel = Channel(ours)
        self._note_loss, self._hear_event = note_loss, hear_event
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
        record: msgspec.Struct,
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

    async def unpack(self, archive: Path, destination: Path, limits: UnpackLimits) -> UnpackReport:
        async with self._unpacking:
            descriptor = os.open(archive, os.O_RDONLY | os.O_CLOEXEC)
            try:
                request = next(self.numbers)
                record = Unpack(request, absolute(destination), limits.unpacked_bytes, limits.files)
                return await self.ask(request, record, _unpack_report, [descriptor])
            finally:
                os.close(descriptor)

    async def merge(self, trees: Sequence[Path], destination: Path, limits: UnpackLimits) -> UnpackReport:
        async with self._unpacking:
            request = next(self.numbers)
            places = tuple(absolute(tree) for tree in trees)
            record = Merge(request, absolute(destination), places, limits.unpacked_bytes, limits.files)
            return await self.ask(request, record, _unpack_report)

    async def unpack_layer(self, layer: Path, below: Path | None, destination: Path, limits: UnpackLimits) -> UnpackReport:
        async with self._unpacking_layers:
            descriptor = os.open(layer, os.O_RDONLY | os.O_CLOEXEC)
            try:
                request = next(self.numbers)
                tree = None if below is None else absolute(below)
                bounds = (limits.unpacked_bytes, limits.files, limits.disk_bytes, limits.inodes)
                record = UnpackLayer(request, absolute(destination), tree, *bounds)
                asked = asyncio.ensure_future(self.ask(request, record, _unpack_report, [descriptor]))
                try:
                    return await asyncio.shield(asked)
                except asyncio.CancelledError:
                    await self._give_up(request, asked, destination)
                    raise
            finally:
                os.close(descriptor)

    async def _give_up(self, request: int, asked: asyncio.Future[UnpackReport], tree: Path) -> None:
        """Returns when the unpacking has ended, and left nothing."""

        async def end() -> None:
            await asyncio.sleep(0)  # what it is to end has been sent then
            if not asked.done() and self.is_open:
                self.send(GiveUp(request))
            await asyncio.wait((asked,))
            if asked.exception() is None and asked.result().refusal is None:  # it was faster
                await self.remove(tree)

        await to_the_end(end())

    async def remove(self, tree: Path) -> None:
        request = next(self.numbers)
        await self.ask(request, Remove(request, absolute(tree)), lambda record, _: None)

    def send(self, record: msgspec.Struct, descriptors: Sequence[int] = ()) -> None:
        if self._channel is None:
            raise SandboxError(LOSS)
        data = msgspec.json.encode(record)
        try:
            msgspec.json.decode(data, type=self._to_launcher)  # the launcher would end rather than guess what is meant
            self._channel.send(data, descriptors)
        except (msgspec.ValidationError, RecordTooLong) as error:
            raise SandboxError(f"no sandbox can be made like this: {error}") from error
        if self._channel.has_unsent:
            asyncio.get_running_loop().add_writer(self._channel.socket, self._flush)

    async def close(self) -> None:
        """The launcher ends when its socket closes, and takes everything with it."""
        if self.process is not None:
            self._lose()
            await self.process.wait()
            self.process = None

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
            self._note(msgspec.json.decode(data, type=self._to_server), descriptors)

    def _note(self, record: Any, descriptors: list[int]) -> None:
        if isinstance(record, Opened | CannotOpen):
            if self._opened is not None and not self._opened.done():
                if isinstance(record, Opened):
                    self._opened.set_result(record)
                else:
                    self._opened.set_exception(StartupError(record.reason))
            return
        key = _key(record)
        if key is None:
            self._hear_event(record)
            return
        question = self._questions.pop(key, None)
        if question is None or question.answer.done():
            close_all(descriptors)
        elif isinstance(record, Refused) and record.file_system_trouble:
            question.answer.set_exception(FileSystemTrouble(record.file_system_trouble, record.reason))
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
                question.answer.set_exception(SandboxError(LOSS))
        self._questions.clear()
        self._note_loss()


def _key(record: Any) -> Hashable | None:
    """Questions about a sandbox go by its name and what is wanted, all others by their number. None of what is no answer."""
    if isinstance(record, Started | Refused):
        return ("start", record.sandbox_id)
    if isinstance(record, Stopped):
        return ("stop", record.sandbox_id)
    return record.request if isinstance(record, Unpacked | Removed | SocketOpened | Failed) else None


def _unpack_report(answer: Unpacked, descriptors: list[int]) -> UnpackReport:
    told = (answer.unpacked_bytes, answer.refusal, answer.detail, answer.diff_id, answer.disk_bytes, answer.inodes)
    return UnpackReport(*told)
