"""Sends a Reply over ASGI: bodies only where HTTP has them, iterators closed whatever happens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from email.utils import formatdate
from typing import Any

from lambdad.wire.body import Receive
from lambdad.wire.http import Reply, header_bytes

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class HttpDate:
    """The Date header, made once a second."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._second = 0
        self._text = b""

    def __call__(self) -> bytes:
        now = int(self._clock())
        if now != self._second:
            self._second, self._text = now, formatdate(now, usegmt=True).encode()
        return self._text


async def send_reply(reply: Reply, method: str, date: bytes, receive: Receive, send: Send) -> None:
    body = reply.body
    try:
        has_body = method != "HEAD" and reply.status not in (204, 304)
        headers = _raw_headers(reply, date, has_body=has_body, method=method)
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        if isinstance(body, bytes):
            await send({"type": "http.response.body", "body": body if has_body else b""})
        elif not has_body:
            await send({"type": "http.response.body", "body": b""})
        else:
            await send_stream(body, receive, send)
    finally:
        if not isinstance(body, bytes):
            await close_iterator(body)


async def close_iterator(body: AsyncIterator[bytes]) -> None:
    """An async generator holds files and leases until it is closed; other iterators may have nothing to close."""
    close = getattr(body, "aclose", None)
    if close is not None:
        await close()


def _raw_headers(reply: Reply, date: bytes, *, has_body: bool, method: str) -> list[tuple[bytes, bytes]]:
    headers = [(b"date", date)]
    length: bytes | None = None
    if isinstance(reply.body, bytes) and has_body:
        length = str(len(reply.body)).encode()
    for name, value in reply.headers.items():
        if name == "content-length":
            if length is None and reply.status not in (204, 304):
                headers.append((b"content-length", value.encode()))
        else:
            headers.append((name.lower().encode("ascii"), header_bytes(value)))
    if length is not None:
        headers.append((b"content-length", length))
    return headers


async def send_stream(body: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
    """Stops making the body as soon as the client has gone, even while the next piece is awaited."""
    pump = asyncio.ensure_future(_pump(body, send))
    gone = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait((pump, gone), return_when=asyncio.FIRST_COMPLETED)
        if pump.done():
            pump.result()
    finally:
        for task in (pump, gone):
            task.cancel()
        await asyncio.gather(pump, gone, return_exceptions=True)


async def _pump(body: AsyncIterator[bytes], send: Send) -> None:
    async for piece in body:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _disconnected(receive: Receive) -> None:
    message: Mapping[str, Any] = {}
    while message.get("type") != "http.disconnect":
        message = await receive()
