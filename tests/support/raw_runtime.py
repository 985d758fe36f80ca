"""A Runtime API served on a real socket without a sandbox, and runtimes that say exactly the bytes they are told to."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from lambdad.runtime_api.credentials import ContainerCredentials
from lambdad.runtime_api.server import RuntimeApiServer
from lambdad.runtime_api.session import Beginning, InvocationRequest, RuntimeAnswer, RuntimeSession


class Client:
    """A runtime that says exactly the bytes it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        lines = head.split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(lines[0].split()[1]), headers, body

    async def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        self.send(data)
        return await self.answer()

    async def is_closed(self) -> bool:
        try:
            return await self.reader.read(1) == b""
        except ConnectionError:
            return True

    async def rest(self) -> bytes:
        """All that comes until the connection is closed, in whatever way."""
        said = b""
        try:
            async with asyncio.timeout(60):
                while data := await self.reader.read(65536):
                    said += data
        except ConnectionError:
            return said
        return said


@dataclass
class Api:
    session: RuntimeSession
    server: RuntimeApiServer
    address: tuple[str, int]
    clients: list[Client]
    connection: socket.socket

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection(*self.address, limit=2**24))
        self.clients.append(client)
        return client

    async def connect_by_pair(self) -> Client:
        client = Client(*await asyncio.open_connection(sock=self.connection, limit=2**24))
        self.clients.append(client)
        return client

    def invoke(
        self, request_id: str = "id-1", payload: bytes = b"{}", *, wants_stream: bool = False
    ) -> asyncio.Future[RuntimeAnswer]:
        return self.session.invoke(invocation(request_id, payload, wants_stream=wants_stream))

    def renew(self) -> RuntimeSession:
        """The environment was reset: every process of before is dead, and another one will come."""
        self.session.end()
        self.session = RuntimeSession(asyncio.get_running_loop())
        self.server.renew(self.session)
        return self.session


def invocation(request_id: str = "id-1", payload: bytes = b"{}", *, wants_stream: bool = False) -> InvocationRequest:
    arn, trace = "arn:aws:lambda:us-east-1:0:function:f", "Root=1-2-3;Sampled=0"
    return InvocationRequest(request_id, payload, 1_700_000_000_000, arn, trace, wants_stream=wants_stream)


@asynccontextmanager
async def serving(beginning: Beginning = Beginning.INIT, credentials: ContainerCredentials | None = None) -> AsyncIterator[Api]:
    loop = asyncio.get_running_loop()
    session = RuntimeSession(loop, beginning=beginning, credentials=credentials)
    server = RuntimeApiServer(session, loop)
    listener = socket.create_server(("127.0.0.1", 0))
    address = listener.getsockname()
    ours, theirs = socket.socketpair()
    await server.adopt(ours)
    await server.open(listener)
    served = Api(session, server, address, [], theirs)
    try:
        yield served
    finally:
        await server.close()
        for client in served.clients:
            client.writer.close()
        theirs.close()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
