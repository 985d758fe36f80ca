"""HTTP on sockets that are already listening: uvicorn's protocol class, with a bound on what comes before a body.

uvicorn's own server owns the process (signals, sockets, lifespan); here one application is served on many sockets, which come
and go with execution environments.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Sequence
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

MAX_HEAD_BYTES = 1024 * 1024  #: request line and headers together (AWS: 1 MB)
MAX_HEADERS = 1000
KEEP_ALIVE_SECONDS = 75
PATIENCE_SECONDS = 60  #: with a client that has begun a request and sends nothing more of it
_BACKLOG = 2048

logger = logging.getLogger(__name__)


class _Refused(Exception):
    """A request that the parser lets through; raised in its callback, it ends the connection like what the parser refuses."""


class Room:
    """For the connections that may be open through one socket at a time."""

    def __init__(self, size: int) -> None:
        self._free = size

    def enter(self) -> bool:
        """False when it is full."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    def leave(self) -> None:
        self._free += 1


class BoundedHttpProtocol(HttpToolsProtocol):
    """Bounds what comes before, between and after the bytes of a body, and refuses what two readers could read differently.

    The front sees only requests with one Host, no coding but `chunked`, and headers that came before the body.
    """

    patience_seconds: float = PATIENCE_SECONDS
    room: Room | None = None  #: where connections through the same socket are counted

    _unread_bytes = 0  #: since the connection began, a head ended or a piece of a body came: head, chunk lines, trailers
    _in_head = True
    _in_request = True  #: a new connection owes a request
    _since = 0.0  #: when the client was last seen to get on with its request
    _watch: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.room is not None and not self.room.enter():
            self.room = None
            transport.abort()
            return
        self._since = self.loop.time()
        self._watch = self.loop.call_later(self.patience_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if self.room is not None:
            self.room.leave()
        self._unset_keepalive_if_required()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        if not self._in_request:
            self._in_request = True
            self._since = self.loop.time()
        elif not self._in_head:
            self._since = self.loop.time()
        self._unread_bytes += len(data)
        if self._unread_bytes > MAX_HEAD_BYTES:
            self.send_400_response("The request's headers are too large.")
            return
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._read_as_plain(data[upgrade.args[0] :])
        except httptools.HttpParserError:
            self.send_400_response("Invalid HTTP request received.")

    def send_400_response(self, msg: str) -> None:
        """Never into the answer of another request: those that came before it on the connection are answered first."""
        logger.info("Refused what %s sent: %s", self.client, msg)
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            super().send_400_response(msg)
        elif self._in_head:
            self._in_request = False
            self.transport.pause_reading()
            cycle.keep_alive = False
        elif cycle.response_started or self.pipeline:
            self.transport.close()
        else:
            super().send_400_response(msg)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        super()._start_asgi_task(cycle, _closing_if_unread(app) if cycle.waiting_for_100_continue else app)

    def on_message_begin(self) -> None:
        self._in_head = True
        self._unread_bytes = 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:
            return  # a trailer: it must not pass for a header
        if len(self.headers) >= MAX_HEADERS:
            raise _Refused
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._is_unambiguous():
            raise _Refused
        if self.parser.should_upgrade():
            return  # what comes next is HttpParserUpgrade
        super().on_headers_complete()
        self._in_head = False
        self._unread_bytes = 0

    def on_body(self, body: bytes) -> None:
        self._unread_bytes = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._in_head = True
        self._in_request = False
        self._unread_bytes = 0
        super().on_message_complete()

    def _read_as_plain(self, rest: bytes) -> None:
        """Nothing here speaks another protocol, so who asks for one, as Java's client does for HTTP/2, is answered in this.

        The parser has given the connection up, body and all: a new one reads the request without the wish.
        """
        wanted = [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        first_line = self.parser.get_method() + b" " + self.url + b" HTTP/1.1"
        self.parser = httptools.HttpRequestParser(self)
        self.data_received(b"\r\n".join([first_line, *wanted, b"", b""]) + rest)

    def _is_unambiguous(self) -> bool:
        hosts = sum(name == b"host" for name, _ in self.headers)
        codings = [value.strip().lower() for name, value in self.headers if name == b"transfer-encoding"]
        is_complete = hosts == 1 or (hosts == 0 and self.parser.get_http_version() != "1.1")
        return is_complete and codings in ([], [b"chunked"]) and self.parser.get_method() != b"CONNECT" and self.url != b"*"

    def _look(self) -> None:
        """Gives up a client that has stopped in the middle of a request; one that this server keeps waiting may wait."""
        now = self.loop.time()
        is_waiting_for_us = self.flow.read_paused or (self.cycle is not None and self.cycle.waiting_for_100_continue)
        if not self._in_request or is_waiting_for_us:
            self._since = now
        if now - self._since >= self.patience_seconds:
            self.send_400_response("The request did not come to its end in time.")
        else:
            self._watch = self.loop.call_later(self._since + self.patience_seconds - now, self._look)


def _closing_if_unread(application: Callable[..., Any]) -> Callable[..., Any]:
    """A client that waits for leave to send its body may send it or not when it is refused: nothing more can be read."""

    async def closing(scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        is_asked_for = False

        async def asking() -> Any:
            nonlocal is_asked_for
            is_asked_for = True
            return await receive()

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start" and not is_asked_for:
                message = {**message, "headers": [*message["headers"], (b"connection", b"close")]}
            await send(message)

        await application(scope, asking, sending)

    return closing


def _is_news(record: logging.LogRecord) -> bool:
    """An application leaves an answer unfinished to have its connection cut, and has said why; uvicorn calls that an error."""
    return record.msg != "ASGI callable returned without completing response."


class Listening:
    """One socket being served, for as long as this object is kept: uvloop closes a Unix socket whose server is collected."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server

    async def close(self) -> None:
        """Takes no more connections; those that are open go on."""
        self._server.close()


class HttpListener:
    """Serves an ASGI application on any number of listening sockets."""

    def __init__(self, application: Callable[..., Any], *, patience_seconds: float = PATIENCE_SECONDS) -> None:
        self._patience_seconds = patience_seconds
        self._config = uvicorn.Config(
            application,
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
        )
        self._config.load()
        logging.getLogger("uvicorn.error").addFilter(_is_news)
        self._state = ServerState()

    async def listen(self, sock: socket.socket, *, max_connections: int | None = None) -> Listening:
        """Of connections beyond `max_connections` at a time each is cut off as soon as it is made."""
        loop = asyncio.get_running_loop()
        room = None if max_connections is None else Room(max_connections)

        def protocol() -> asyncio.Protocol:
            return self._protocol(room)

        if sock.family == socket.AF_UNIX:
            return Listening(await loop.create_unix_server(protocol, sock=sock, backlog=_BACKLOG))
        return Listening(await loop.create_server(protocol, sock=sock, backlog=_BACKLOG))

    async def drain(self, listenings: Sequence[Listening], *, grace_seconds: float) -> None:
        """Closes the sockets and idle connections, and lets requests under way end for this long."""
        for listening in listenings:
            await listening.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(tuple(self._state.tasks), timeout=grace_seconds)

    def _protocol(self, room: Room | None) -> asyncio.Protocol:
        protocol = BoundedHttpProtocol(config=self._config, server_state=self._state, app_state={})
        protocol.patience_seconds = self._patience_seconds
        protocol.room = room
        return protocol
