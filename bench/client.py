"""A client that costs little: prepared request bytes over keep-alive sockets, so that the server is what is measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

import uvloop


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds of each request, in order of their end, and of the whole run."""

    each: Sequence[float]
    total: float

    def percentile(self, share: float) -> float:
        ordered = sorted(self.each)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))]

    @property
    def per_second(self) -> float:
        return len(self.each) / self.total


def invoke_request(function: str, payload: bytes = b'{"n":1}', invocation_type: str = "RequestResponse") -> bytes:
    head = (
        f"POST /2015-03-31/functions/{function}/invocations HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"X-Amz-Invocation-Type: {invocation_type}\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n"
        "Authorization: AWS4-HMAC-SHA256 Credential=test/20261123/us-east-1/lambda/aws4_request, "
        "SignedHeaders=host, Signature=0\r\nX-Amz-Date: 20261123T000000Z\r\n\r\n"
    )
    return head.encode() + payload


def stream_request(function: str) -> bytes:
    return (
        f"POST /2021-11-15/functions/{function}/response-streaming-invocations HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        "Content-Length: 2\r\n\r\n{}"
    ).encode()


def first_bytes(port: int, function: str, *, requests: int) -> Timings:
    """One streamed response after the other, whose first piece is the time at which the function wrote it, in nanoseconds."""
    return uvloop.run(_first_bytes(port, stream_request(function), requests))


async def _first_bytes(port: int, request: bytes, requests: int) -> Timings:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    seconds: list[float] = []
    began = time.perf_counter()
    for _ in range(requests):
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"Unexpected answer:\n{head.decode()}")
        size = int(await reader.readline(), 16)
        message = await reader.readexactly(size)
        now = time.time_ns()
        headers_size = int.from_bytes(message[4:8], "big")
        seconds.append((now - int(message[12 + headers_size : -4])) / 1e9)
        await reader.readuntil(b"\r\n0\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return Timings(seconds, time.perf_counter() - began)


def run(
    port: int, request: bytes, *, connections: int, requests: int, status: int, fails: bool = False, pause: float = 0.0
) -> Timings:
    """Sends `requests` copies over `connections` keep-alive connections, each waiting for its answer, and then for `pause`
    seconds, before the next. Every answer must be, or must not be, an error of the function's."""
    return uvloop.run(_run(port, request, connections, requests, status, fails, pause))


async def _run(port: int, request: bytes, connections: int, requests: int, status: int, fails: bool, pause: float) -> Timings:
    left = iter(range(requests))
    seconds: list[float] = []
    expected = b"HTTP/1.1 %d " % status

    async def one_client() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in left:
            began = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = _content_length(head)
            body = await reader.readexactly(length) if length else b""
            seconds.append(time.perf_counter() - began)
            if not head.startswith(expected) or (b"x-amz-function-error" in head.lower()) is not fails:
                raise SystemExit(f"Unexpected answer:\n{head.decode()}{body[:500]!r}")
            if pause:
                await asyncio.sleep(pause)
        writer.close()
        await writer.wait_closed()

    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one_client())
    return Timings(seconds, time.perf_counter() - began)


def _content_length(head: bytes) -> int:
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line[15:])
    return 0
