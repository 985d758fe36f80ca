"""Answers the sandboxes' questions for names by passing them on to the machine's own resolvers, wherever those are.

They are often on the machine's loopback (127.0.0.53), where no sandbox gets. Questions and answers pass as they are. This
process reads what functions send, so it has no privilege, and what one function asks for leaves room for the others.
"""

from __future__ import annotations

import asyncio
import contextlib
import encodings.idna  # noqa: F401 - `getaddrinfo` wants it; by then this process can read next to no file
import socket
import struct
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

CONFIGURATION = Path("/etc/resolv.conf")
_QUESTIONS_OF_ONE, _CONNECTIONS_OF_ONE = 64, 8  #: that may wait for an answer
_WAITING, _CONNECTIONS = 512, 128  #: of all together
_PATIENCE_SECONDS = 2.0  #: with one resolver, before the next is asked
_ROUNDS = 2
_CONNECTION_SECONDS = 15.0
_HEADER = struct.Struct(">HHHHHH")
_MAX_DATAGRAM, _READ_AT_ONCE = 65_535, 64
_IS_ANSWER, _CANNOT = 0x8000, 0x8082  # response; with recursion available, "server failure"
_KEPT_FLAGS = 0x7900  # operation and "recursion desired", as asked

Upstream = tuple[str, int]


def serve(questions: socket.socket, listener: socket.socket) -> None:
    """Never returns. `questions` is a UDP socket, `listener` a listening TCP socket."""
    asyncio.run(_serve(questions, listener))


async def _serve(questions: socket.socket, listener: socket.socket) -> None:
    upstreams = Upstreams(CONFIGURATION)
    relay = Relay(upstreams)
    asker = Asker(questions, upstreams)
    async with await asyncio.start_server(relay.serve, sock=listener) as server:
        asker.start()
        await server.serve_forever()


class Upstreams:
    """The resolvers that the machine asks; read anew when its configuration has changed."""

    def __init__(self, configuration: Path) -> None:
        self._configuration = configuration
        self._read_at: int | None = None
        self._known: list[Upstream] = []

    def now(self) -> list[Upstream]:
        try:
            changed_at = self._configuration.stat().st_mtime_ns
            if changed_at != self._read_at:
                self._known = nameservers(self._configuration.read_text(encoding="utf-8", errors="replace"))
                self._read_at = changed_at
        except OSError:  # there is none, or it is being replaced: as the C library sees it
            return self._known or nameservers("")
        return self._known


def nameservers(configuration: str) -> list[Upstream]:
    """Those of a resolv.conf; without any, the machine itself is one."""
    lines = [line.split() for line in configuration.splitlines()]
    return [(words[1], 53) for words in lines if len(words) > 1 and words[0] == "nameserver"] or [("127.0.0.1", 53)]


class Asker:
    """UDP: one socket for each question, so that nobody can guess where its answer is expected."""

    def __init__(self, questions: socket.socket, upstreams: Upstreams) -> None:
        questions.setblocking(False)
        self._questions = questions
        self._upstreams = upstreams
        self._waiting: Counter[str] = Counter()
        self._pending: set[_Question] = set()
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        self._loop.add_reader(self._questions, self._read)

    def stop(self) -> None:
        self._loop.remove_reader(self._questions)
        for pending in self._pending:
            pending.close()

    def _read(self) -> None:
        for _ in range(_READ_AT_ONCE):
            try:
                question, client = self._questions.recvfrom(_MAX_DATAGRAM)
            except OSError:  # none left, or the kernel tells that a client did not wait for its answer
                return
            is_question = len(question) >= _HEADER.size and not _HEADER.unpack_from(question)[1] & _IS_ANSWER
            if is_question and self._waiting[client[0]] < _QUESTIONS_OF_ONE and self._waiting.total() < _WAITING:
                self._waiting[client[0]] += 1
                pending = _Question(self._loop, question, self._upstreams.now() * _ROUNDS, partial(self._answer, client))
                self._pending.add(pending)
                pending.ask_next()

    def _answer(self, client: tuple[str, int], pending: _Question, answer: bytes | None) -> None:
        self._pending.discard(pending)
        self._waiting[client[0]] -= 1
        if not self._waiting[client[0]]:
            del self._waiting[client[0]]
        if answer is not None:
            with contextlib.suppress(OSError):  # its sandbox is gone, or does not read
                self._questions.sendto(answer, client)


class _Question:
    """One question on its way from resolver to resolver."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        question: bytes,
        attempts: list[Upstream],
        answer: Callable[[_Question, bytes | None], None],
    ) -> None:
        self._loop = loop
        self._question = question
        self._attempts = attempts
        self._answer = answer
        self._socket: socket.socket | None = None
        self._timer: asyncio.TimerHandle | None = None

    def ask_next(self) -> None:
        """And tells when there is an answer, or nobody left to ask."""
        self.close()
        while self._attempts:
            upstream = self._attempts.pop(0)
            try:
                self._socket = _connected(upstream, self._question)
            except OSError:  # no way there now
                continue
            self._loop.add_reader(self._socket, self._read)
            self._timer = self._loop.call_later(_PATIENCE_SECONDS, self.ask_next)
            return
        self._answer(self, failure(self._question))

    def _read(self) -> None:
        assert self._socket is not None
        try:
            answer = self._socket.recv(_MAX_DATAGRAM)
        except BlockingIOError:
            return
        except OSError:  # nobody listens there
            self.ask_next()
            return
        if answers(answer, self._question):
            self.close()
            self._answer(self, answer)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._socket is not None:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None


def _connected(upstream: Upstream, question: bytes) -> socket.socket:
    address, port = upstream
    family, kind, _, _, target = socket.getaddrinfo(address, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST)[0]
    connection = socket.socket(family, kind | socket.SOCK_NONBLOCK)
    try:
        connection.connect(target)
        connection.send(question)
    except OSError:
        connection.close()
        raise
    return connection


def answers(answer: bytes, question: bytes) -> bool:
    return len(answer) >= _HEADER.size and answer[:2] == question[:2] and bool(answer[2] & 0x80)


def failure(question: bytes) -> bytes | None:
    """Says that no answer can be had. None for what is no question."""
    end = _end_of_question(question)
    if end is None:
        return None
    number, flags, *_ = _HEADER.unpack_from(question)
    return _HEADER.pack(number, flags & _KEPT_FLAGS | _CANNOT, 1, 0, 0, 0) + question[_HEADER.size : end]


def _end_of_question(question: bytes) -> int | None:
    """Where the first question ends."""
    position = _HEADER.size
    while position < len(question):
        length = question[position]
        if length > 63:
            return None
        position += 1 + length
        if length == 0:
            return position + 4 if position + 4 <= len(question) else None
    return None


class Relay:
    """TCP: bytes pass both ways."""

    def __init__(self, upstreams: Upstreams) -> None:
        self._upstreams = upstreams
        self._open: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = writer.get_extra_info("peername")[0]
        if self._open[client] >= _CONNECTIONS_OF_ONE or self._open.total() >= _CONNECTIONS:
            writer.transport.abort()
            return
        self._open[client] += 1
        try:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_CONNECTION_SECONDS):
                    await self._relay(reader, writer)
        finally:
            writer.transport.abort()
            self._open[client] -= 1

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for upstream in self._upstreams.now():
            try:
                async with asyncio.timeout(_PATIENCE_SECONDS):
                    upstream_reader, upstream_writer = await asyncio.open_connection(*upstream)
            except (OSError, TimeoutError):
                continue
            try:
                async with asyncio.TaskGroup() as both_ways:
                    both_ways.create_task(_pass_on(reader, upstream_writer))
                    both_ways.create_task(_pass_on(upstream_reader, writer))
            finally:
                upstream_writer.transport.abort()
            return


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    """Until either side has had enough."""
    with contextlib.suppress(OSError):
        while chunk := await source.read(_MAX_DATAGRAM):
            target.write(chunk)
            await target.drain()
        target.write_eof()
