"""Serves the Runtime API of one execution environment on the sockets of its sandbox."""

from __future__ import annotations

import asyncio
import socket

from lambdad.runtime_api.answers import MAX_RESPONSE_BYTES
from lambdad.runtime_api.protocol import RuntimeApiConnection
from lambdad.runtime_api.session import RuntimeSession

#: A runtime needs one connection, a streaming or threaded one a few.
MAX_CONNECTIONS = 16
#: All bodies being received at one time: one response, and something beside it.
MAX_BUFFERED_BYTES = MAX_RESPONSE_BYTES + 1024 * 1024
#: Of a runtime that takes several invocations, so many responses of the largest size may come at one time.
MAX_RESPONSES_AT_ONCE = 8


class RuntimeApiServer:
    """Whoever connects is inside the one environment that `session` belongs to, so ids of others are unknown here."""

    def __init__(self, session: RuntimeSession, loop: asyncio.AbstractEventLoop, concurrency: int = 1) -> None:
        """`concurrency` is how many invocations the runtime may have at once."""
        self.session = session
        self._most_connections = MAX_CONNECTIONS + concurrency - 1
        self._most_buffered = MAX_BUFFERED_BYTES + MAX_RESPONSE_BYTES * (min(concurrency, MAX_RESPONSES_AT_ONCE) - 1)
        self._loop = loop
        self._servers: list[asyncio.Server] = []
        self._listeners: list[socket.socket] = []
        self._connections: set[RuntimeApiConnection] = set()
        self._buffered = 0
        self._quiet: asyncio.Event = asyncio.Event()
        self._renewed = asyncio.Event()
        self._renewed.set()
        self._is_closed = False

    async def open(self, listener: socket.socket, also: socket.socket | None = None) -> None:
        """Serves these listening sockets."""
        self._listeners = [each for each in (listener, also) if each is not None]
        for each in self._listeners:
            each.setblocking(False)
            self._servers.append(await self._loop.create_server(self._let_in, sock=each))

    async def adopt(self, connection: socket.socket) -> None:
        """Serves a connection that was made otherwise."""
        connection.setblocking(False)
        await self._loop.connect_accepted_socket(self._connection, connection)

    def renew(self, session: RuntimeSession) -> None:
        """Goes on with another session. To be called when every process of the one before is dead: what they have sent, and
        whoever of them still waits to be let in, is cut off. No process of the new one may begin before it is `renewed`."""
        self._abort_connections()
        for listener in self._listeners:
            _turn_away(listener)
        self.session = session
        if not self._listeners:
            return  # nobody can have been let in; who waits for the listeners to be served is of this session
        # asyncio asks for the protocol of a connection in the turn after it was let in. uvloop asks at once: of a process that
        # began in the turn of this call, still within it.
        self._renewed.clear()
        self._loop.call_soon(self._renewed.set)

    async def renewed(self) -> None:
        """From now on whoever connects is of the session that `renew` was told."""
        await self._renewed.wait()

    async def drained(self, limit_seconds: float) -> None:
        """Waits until every connection was closed by its other side, so that all that was sent has been read.

        To be called when the runtime's process has ended; the limit is for sockets that a surviving child still holds.
        """
        if not self._connections:
            return
        self._quiet.clear()
        try:
            await asyncio.wait_for(self._quiet.wait(), limit_seconds)
        except TimeoutError:
            return

    async def close(self) -> None:
        self._is_closed = True  # for those who were let in and are told of in the next turn
        while self._servers:
            self._servers.pop().close()
        self._abort_connections()

    def _abort_connections(self) -> None:
        for connection in list(self._connections):
            connection.abort()

    def _connection(self) -> RuntimeApiConnection:
        return RuntimeApiConnection(self)

    def _let_in(self) -> RuntimeApiConnection:
        connection = RuntimeApiConnection(self)
        if not self._renewed.is_set():
            connection.abort()
        return connection

    # ConnectionOwner

    def opened(self, connection: RuntimeApiConnection) -> bool:
        self._connections.add(connection)
        # One that was let in before `renew` and is told of it only now is of the process before.
        is_of_now = connection.session is self.session and not self._is_closed
        return is_of_now and len(self._connections) <= self._most_connections

    def closed(self, connection: RuntimeApiConnection) -> None:
        self._connections.discard(connection)
        connection.session.connection_lost(connection)
        if not self._connections:
            self._quiet.set()

    def may_buffer(self, size: int) -> bool:
        self._buffered += size
        return self._buffered <= self._most_buffered


def _turn_away(listener: socket.socket) -> None:
    """Closes every connection that waits to be let in."""
    while True:
        try:
            stale, _ = listener.accept()
        except OSError:  # nobody is there
            return
        stale.close()
