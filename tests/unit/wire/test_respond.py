"""Answers that are made while they are sent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

from lambdad.model.request import RequestContext
from unit.wire.serving import Recorder, front_over, serving

PIECE = 64 * 1024
REQUEST = b"POST /2021-11-15/functions/f/response-streaming-invocations HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"


class Endless:
    """Events without end."""

    def __init__(self) -> None:
        self.made = 0
        self.closed = asyncio.Event()

    def __aiter__(self) -> AsyncIterator[Mapping[str, Any]]:
        return self

    async def __anext__(self) -> Mapping[str, Any]:
        self.made += 1
        await asyncio.sleep(0)
        return {"PayloadChunk": {"Payload": bytes(PIECE)}}

    async def aclose(self) -> None:
        self.closed.set()


async def test_a_reader_that_reads_nothing_holds_up_the_source(state: Recorder) -> None:
    """No more is made than fits on the way to it; it goes on when something is read, and ends when the reader has left."""
    source = Endless()

    async def answer(context: RequestContext, request: Mapping[str, Any]) -> Any:
        return {"StatusCode": 200, "EventStream": source}

    state.answers["InvokeWithResponseStream"] = answer
    loop = asyncio.get_running_loop()
    async with serving(front_over(state)) as port:
        with socket.socket() as reader:
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, PIECE)
            reader.setblocking(False)
            await loop.sock_connect(reader, ("127.0.0.1", port))
            await loop.sock_sendall(reader, REQUEST)
            waiting = await _held_up(source)
            assert waiting * PIECE < 16 * 1024 * 1024
            while source.made == waiting:
                assert await loop.sock_recv(reader, PIECE)
        await asyncio.wait_for(source.closed.wait(), 60)


async def _held_up(source: Endless) -> int:
    """How much was made when it stopped: nothing more for a thousand turns of the loop."""
    made, turns = 0, 0
    while turns < 1000:
        await asyncio.sleep(0)
        turns = turns + 1 if source.made == made > 0 else 0
        made = source.made
    return made
