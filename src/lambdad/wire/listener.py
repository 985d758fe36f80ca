"""HTTP on sockets that are already listening: uvicorn's protocol class, with a bound on what comes before a body.

uvicorn's own server owns the process (signals, sockets, lifespan); here one application is served on many sockets, which come
and go with execution environments.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

MAX_HEAD_BYTES = 1024 * 1024  #: request line and headers together (AWS: 1 MB)
KEEP_ALIVE_SECONDS = 75
_BACKLOG = 2048


class BoundedHttpProtocol(HttpToolsProtocol):
    """Closes the connection when request line and headers do not end within MAX_HEAD_BYTES."""

    _head_bytes = 0
    _in_head = True

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.send_400_response("The request's headers are too large.")
                return
        super().data_received(data)

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()


class Listening:
    """One socket being served."""

    def __init__(self, server: asyncio.Server) -> None:
        self._server = server

    async def close(self) -> None:
        """Takes no more connections; those that are open go on."""
        self._server.close()


class HttpListener:
    """Serves an ASGI application on any number of listening sockets."""

    def __init__(self, application: Callable[..., Any]) -> None:
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
        self._state = ServerState()

    async def listen(self, sock: socket.socket) -> Listening:
        loop = asyncio.get_running_loop()
        if sock.family == socket.AF_UNIX:
            return Listening(await loop.create_unix_server(self._protocol, sock=sock, backlog=_BACKLOG))
        return Listening(await loop.create_server(self._protocol, sock=sock, backlog=_BACKLOG))

    async def drain(self, listenings: Sequence[Listening], *, grace_seconds: float) -> None:
        """Closes the sockets and idle connections, and lets requests under way end for this long."""
        for listening in listenings:
            await listening.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(tuple(self._state.tasks), timeout=grace_seconds)

    def _protocol(self) -> asyncio.Protocol:
        return BoundedHttpProtocol(config=self._config, server_state=self._state, app_state={})
