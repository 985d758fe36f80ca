"""The server's side of a sandbox's init: asks it for processes, hears of their ends. `zygote_init` has the protocol."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgspec

from lambdad.errors import CannotSnapshot, SandboxEnded, SandboxError
from lambdad.sandbox.base import ExitStatus
from lambdad.sandbox.records import Channel, RecordTooLong, close_all

_FIRST_RUNTIME = 0
_TEMPLATE = -1  #: not started by the init; somebody else tells of its end
_GONE = "the sandbox has ended"
_CANNOT_PACK = {
    errno.EFBIG: "more in /tmp than a clone has room for: what has several names, or holes, counts in full",
    errno.EOPNOTSUPP: "a socket, a pipe or a device in /tmp, which a clone would not have",
}

_Answer = TypeVar("_Answer")


class InitProcess:
    """A process that the init has started: a `SandboxProcess`."""

    def __init__(self, owner: InitConnection, number: int, log_pipe: int, connection: socket.socket | None) -> None:
        os.set_blocking(log_pipe, False)
        self.log_pipe = log_pipe
        self.connection = connection
        self._owner = owner
        self._number = number
        self._end: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()

    @property
    def has_ended(self) -> bool:
        return self._end.done()

    async def exited(self) -> ExitStatus:
        return await asyncio.shield(self._end)

    def signal(self, number: int) -> None:
        if not self._end.done():
            self._owner.send({"do": "signal", "process": self._number, "signal": number})

    def note_end(self, status: ExitStatus) -> None:
        if not self._end.done():
            self._end.set_result(status)


class _Request(NamedTuple):
    answer: asyncio.Future[Any]
    make: Callable[[int, list[int]], Any]


class Seat(NamedTuple):
    """What a runtime that comes from a snapshot needs of its sandbox; `close` what is not taken out of it."""

    log_pipe: int  #: read end
    log: int
    connection: int  #: the server's end
    inside: int  #: the runtime's end
    listener: int  #: at 127.0.0.1:9001

    def close_inner(self) -> None:
        close_all([self.log, self.inside])


class InitConnection:
    """`commands` is the socket to the init. `oom_kills` counts what the kernel has killed inside for want of memory."""

    def __init__(self, commands: socket.socket, oom_kills: Callable[[], int]) -> None:
        self._channel: Channel | None = Channel(commands)
        self._oom_kills = oom_kills
        self._known_oom_kills = 0
        self._processes: dict[int, InitProcess] = {}
        self._early_end: ExitStatus | None = None  #: of the runtime that waited, before anybody had adopted it
        self._requests: dict[int, _Request] = {}
        self._numbers = itertools.count(_FIRST_RUNTIME + 1)
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().add_reader(commands, self._hear)

    def adopt_first_runtime(self, log_pipe: int, connection: socket.socket) -> InitProcess:
        """The runtime that waited for its function, and has now been sent it, unless it has ended meanwhile."""
        process = self._add(_FIRST_RUNTIME, log_pipe, connection)
        if self._early_end is not None:
            self._processes.pop(_FIRST_RUNTIME, None)
            process.note_end(self._early_end)
        return process

    async def run(self, path: str, environment: Mapping[str, str]) -> InitProcess:
        command = {"do": "run", "path": path, "environment": environment}
        return await self._ask(command, lambda number, got: self._add(number, got[0], None))

    async def run_runtime(self, environment: Mapping[str, str]) -> InitProcess:
        command = {"do": "runtime", "environment": environment}
        return await self._ask(command, lambda number, got: self._add(number, got[0], adopt(got[1])))

    async def kill_all(self) -> None:
        await self._ask({"do": "kill"}, lambda number, got: None)

    async def stop_all(self) -> None:
        """By signal; `{"do": "continue"}` undoes it."""
        await self._ask({"do": "stop"}, lambda number, got: None)

    async def open_socket(self) -> socket.socket:
        return await self._ask({"do": "socket"}, lambda number, got: adopt(got[0]))

    async def make_seat(self) -> Seat:
        return await self._ask({"do": "seat"}, lambda number, got: Seat(*got))

    async def adopt_clone(self, pid: int, log_pipe: int, connection: socket.socket) -> InitProcess:
        """A process that was put into the init's care: `pid` as seen inside."""
        return await self._ask({"do": "adopt", "pid": pid}, lambda number, got: self._add(number, log_pipe, connection))

    def add_template(self, log_pipe: int, connection: socket.socket) -> InitProcess:
        return self._add(_TEMPLATE, log_pipe, connection)

    def note_template_end(self, code: int | None, number: int | None) -> None:
        process = self._processes.pop(_TEMPLATE, None)
        if process is not None:
            process.note_end(self._status(code, number))

    async def has_files(self) -> bool:
        """Whether there is something in /tmp. CannotSnapshot if processes were left behind inside, as daemons are."""
        try:
            await self._ask({"do": "check"}, lambda number, got: None)
        except SandboxEnded:
            raise
        except SandboxError as error:
            if str(error) == os.strerror(errno.ENOTEMPTY):
                return True
            raise CannotSnapshot("the function's init left processes running, which a clone would not have") from error
        return False

    async def pack_files(self, into: int, most_bytes: int) -> None:
        """Writes what is in /tmp to a file. CannotSnapshot where that cannot be had twice."""
        try:
            await self._ask({"do": "pack", "most": most_bytes}, lambda number, got: None, [into])
        except SandboxEnded:
            raise
        except SandboxError as error:
            reasons = {os.strerror(number): text for number, text in _CANNOT_PACK.items()}
            what = reasons.get(str(error), f"files in /tmp that a clone cannot have ({str(error).lower()})")
            raise CannotSnapshot(f"the function's init left {what}") from error

    async def unpack_files(self, source: int) -> None:
        await self._ask({"do": "unpack"}, lambda number, got: None, [source])

    async def ended(self) -> None:
        """Waits until the init is gone, and all processes with it."""
        await asyncio.shield(self._ended)

    def send(self, command: Mapping[str, Any], given: Sequence[int] = ()) -> None:
        """Raises SandboxError when the command is too long. Copies of the descriptors in `given` go along."""
        if self._channel is None:
            return
        try:
            self._channel.send(msgspec.json.encode(command), given)
        except RecordTooLong as error:
            raise SandboxError(str(error)) from error
        if self._channel.has_unsent:
            asyncio.get_running_loop().add_writer(self._channel.socket, self._flush)

    def close(self) -> None:
        """The init ends when it finds its socket closed. Every process counts as killed."""
        if self._channel is None:
            return
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._channel.socket)
        loop.remove_writer(self._channel.socket)
        self._channel.close()
        self._channel = None
        for process in self._processes.values():
            process.note_end(self._status(None, signal.SIGKILL))
        for request in self._requests.values():
            if not request.answer.done():
                request.answer.set_exception(SandboxEnded(_GONE))
        self._processes.clear()
        self._ended.set_result(None)

    def _add(self, number: int, log_pipe: int, connection: socket.socket | None) -> InitProcess:
        process = InitProcess(self, number, log_pipe, connection)
        self._processes[number] = process
        if self._channel is None:
            process.note_end(ExitStatus(signal=signal.SIGKILL))
        return process

    async def _ask(
        self, command: Mapping[str, Any], make: Callable[[int, list[int]], _Answer], given: Sequence[int] = ()
    ) -> _Answer:
        """`make` gets the descriptors as soon as they are here: the end of a process may be told in the same breath."""
        if self._channel is None:
            raise SandboxEnded(_GONE)
        number = next(self._numbers)
        answer: asyncio.Future[_Answer] = asyncio.get_running_loop().create_future()
        self._requests[number] = _Request(answer, make)
        try:
            self.send({**command, "number": number}, given)
            return await answer
        except asyncio.CancelledError:
            if answer.done() and not answer.cancelled() and answer.exception() is None:
                _discard(answer.result())
            self.send({"do": "signal", "process": number, "signal": signal.SIGKILL})
            raise
        finally:
            self._requests.pop(number, None)

    def _hear(self) -> None:
        while self._channel is not None and (received := self._channel.receive()) is not None:
            data, descriptors = received
            if not data:
                self.close()
                return
            self._note(msgspec.json.decode(data), descriptors)

    def _note(self, record: dict[str, Any], descriptors: list[int]) -> None:
        if "ended" in record:
            process = self._processes.pop(record["ended"], None)
            if process is not None:
                process.note_end(self._status(record["code"], record["signal"]))
            elif record["ended"] == _FIRST_RUNTIME:
                self._early_end = self._status(record["code"], record["signal"])
            return
        request = self._requests.pop(record["done"] if "done" in record else record["refused"], None)
        if request is None or request.answer.done():
            close_all(descriptors)
        elif "refused" in record:
            request.answer.set_exception(SandboxError(record["reason"]))
        else:
            request.answer.set_result(request.make(record["done"], descriptors))

    def _status(self, code: int | None, number: int | None) -> ExitStatus:
        is_out_of_memory = False
        if number == signal.SIGKILL:
            count = self._oom_kills()
            is_out_of_memory, self._known_oom_kills = count > self._known_oom_kills, count
        return ExitStatus(code, number, is_out_of_memory)

    def _flush(self) -> None:
        if self._channel is not None:
            self._channel.flush()
            if not self._channel.has_unsent:
                asyncio.get_running_loop().remove_writer(self._channel.socket)


def _discard(made: object) -> None:
    if isinstance(made, Seat):
        close_all(made)
    if isinstance(made, InitProcess):
        os.close(made.log_pipe)
        made = made.connection
    if isinstance(made, socket.socket):
        made.close()


def adopt(descriptor: int) -> socket.socket:
    adopted = socket.socket(fileno=descriptor)
    adopted.setblocking(False)
    return adopted
