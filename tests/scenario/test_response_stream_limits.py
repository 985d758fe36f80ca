"""The size and the pace of streamed responses, and what they take of the server's memory, at full length."""

from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.server import Server, running, wait_until
from support.streaming_function import Streams, steps

pytestmark = [pytest.mark.root, pytest.mark.long]

MEBIBYTE = 1024 * 1024
LIMIT = 200 * MEBIBYTE
UNPACED, PER_SECOND = 6 * MEBIBYTE, 2 * MEBIBYTE
MOST_MEMORY_MB = 40  #: that the server may grow by, for three streams that would be 600 MB


def read(streams: Streams, size: int) -> tuple[int, float, dict[str, Any]]:
    """How much came of a response of that size, in how many seconds, and how it ended."""
    began = time.monotonic()
    received, end = 0, {}
    for event in streams.invoke("long", steps(("fill", size)))["EventStream"]:
        received += len(event.get("PayloadChunk", {}).get("Payload", b""))
        end = event.get("InvokeComplete", end)
    return received, time.monotonic() - began, end


def peak_mb(server: Server) -> float:
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def test_two_hundred_megabytes(tmp_path: Path) -> None:
    """200 MB arrive whole, at AWS's pace; a byte more is cut off and said to be too large. Beside them a reader that takes
    nothing makes its function wait until it has gone, and the server holds none of the three in its memory."""
    with running(tmp_path) as server:
        streams = Streams(server)
        streams.create("long", Timeout=600)
        read(streams, UNPACED)
        before = peak_mb(server)
        event = steps(("fill", LIMIT), ("put", "long-ended"))
        path = "/2021-11-15/functions/long/response-streaming-invocations"
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(event)}\r\n\r\n"
        with ThreadPoolExecutor(2) as pool, socket.create_connection(("127.0.0.1", server.port)) as idle:
            idle.sendall(head.encode() + event)
            whole, longer = (pool.submit(read, streams, size) for size in (LIMIT, LIMIT + 1))
            received, seconds, end = whole.result()
            assert (received, end) == (LIMIT, {})
            assert seconds >= (LIMIT - UNPACED) / PER_SECOND
            received, _, end = longer.result()
            assert (received, end["ErrorCode"]) == (LIMIT, "Function.ResponseSizeTooLarge")
            assert not streams.left("long-ended"), "who takes nothing makes the function wait"
        wait_until(lambda: streams.left("long-ended"), 60, "the function whose reader has gone")
        assert peak_mb(server) - before < MOST_MEMORY_MB
