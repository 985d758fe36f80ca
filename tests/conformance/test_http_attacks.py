"""Bytes that are not quite HTTP, or not in time, against the real listener and front: refused, and nothing else harmed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from lambdad.model.request import RequestContext
from lambdad.model.service import BoundService, Service
from lambdad.wire.front import Front
from lambdad.wire.listener import MAX_HEAD_BYTES, MAX_HEADERS, HttpListener

GET = b"GET /2015-03-31/functions HTTP/1.1\r\n"
POST = b"POST /2015-03-31/functions/echo/invocations HTTP/1.1\r\n"
HOST = b"Host: lambda.local\r\n"
LAST = GET + HOST + b"Connection: close\r\n\r\n"
FOLLOWED = LAST  #: a request that must be answered, with 200, after what comes before it
FUNCTIONS = b'{"Functions":[]}'


async def list_functions(state: None, context: RequestContext, request: Mapping[str, Any]) -> Any:
    return {"Functions": []}


async def invoke(state: None, context: RequestContext, request: Mapping[str, Any]) -> Any:
    return {"StatusCode": 200, "Payload": request.get("Payload", b"")}


async def list_objects(state: None, context: RequestContext, request: Mapping[str, Any]) -> Any:
    return {"Name": request["Bucket"]}


async def download(state: None, context: RequestContext, request: Mapping[str, Any]) -> Any:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 1000
            await asyncio.sleep(0)

    return {"Body": pieces(), "ContentLength": 100_000}


SERVICES = [
    BoundService(Service(name="lambda", operations={"ListFunctions": list_functions, "Invoke": invoke}, not_yet={}), None),
    BoundService(Service(name="s3", operations={"ListObjectsV2": list_objects, "GetObject": download}, not_yet={}), None),
]


class Served:
    def __init__(self, port: int) -> None:
        self.port = port

    async def send(self, *pieces: bytes) -> bytes:
        """All that comes back until the server closes; a server that neither answers nor closes fails the test."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            async with asyncio.timeout(60):
                return await self._exchange(reader, writer, pieces)
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, pieces: tuple[bytes, ...]) -> bytes:
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
        except ConnectionError:
            return b""


@pytest.fixture
async def served(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Served]:
    async for each in serve(caplog, patience_seconds=60):
        yield each


@pytest.fixture
async def impatient(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Served]:
    async for each in serve(caplog, patience_seconds=0.3):
        yield each


@pytest.fixture
async def lenient(caplog: pytest.LogCaptureFixture) -> AsyncIterator[Served]:
    async for each in serve(caplog, patience_seconds=2):
        yield each


async def serve(caplog: pytest.LogCaptureFixture, *, patience_seconds: float) -> AsyncIterator[Served]:
    """Nothing that a client sends is an error of the server, so nothing may be logged as one."""
    caplog.set_level(logging.WARNING)
    front = Front(SERVICES, lookup=lambda key: None, auth_required=False)
    listener = HttpListener(front, patience_seconds=patience_seconds)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        listening = await listener.listen(sock)
        yield Served(sock.getsockname()[1])
        await listener.drain([listening], grace_seconds=5)
    assert [record.getMessage() for record in caplog.records] == []


async def test_a_crowd_is_kept_out(caplog: pytest.LogCaptureFixture) -> None:
    """Through a socket with room for three, the fourth connection is cut off; when one of them goes there is room again."""
    listener = HttpListener(Front(SERVICES, lookup=lambda key: None, auth_required=False))
    with socket.create_server(("127.0.0.1", 0)) as sock:
        listening = await listener.listen(sock, max_connections=3)
        served = Served(sock.getsockname()[1])
        crowd = [await asyncio.open_connection("127.0.0.1", served.port) for _ in range(3)]
        for reader, writer in crowd:  # each is let in, and answered
            writer.write(GET + HOST + b"\r\n")
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        for _ in range(5):
            reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
            with contextlib.suppress(ConnectionError):
                assert await reader.read() == b""
            writer.close()
        crowd[0][1].close()
        async with asyncio.timeout(60):
            while not await _is_answered(served):
                await asyncio.sleep(0)
        for _, writer in crowd:
            writer.close()
        await listener.drain([listening], grace_seconds=5)


async def _is_answered(served: Served) -> bool:
    try:
        return statuses(await served.send(LAST)) == [200]
    except ConnectionError:
        return False


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


REFUSED = {
    "length and coding": POST + HOST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "coding and length": POST + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "one length twice": POST + HOST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "two lengths": POST + HOST + b"Content-Length: 2\r\nContent-Length: 5\r\n\r\n{}",
    "a list of lengths": POST + HOST + b"Content-Length: 2, 2\r\n\r\n{}",
    "a negative length": POST + HOST + b"Content-Length: -2\r\n\r\n{}",
    "a signed length": POST + HOST + b"Content-Length: +2\r\n\r\n{}",
    "a hexadecimal length": POST + HOST + b"Content-Length: 0x2\r\n\r\n{}",
    "a length beyond 64 bits": POST + HOST + b"Content-Length: 99999999999999999999\r\n\r\n{}",
    "a coding that is not decoded": POST + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + HOST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": POST + HOST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "two coding headers": POST + HOST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "almost chunked": POST + HOST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "a space before the colon": POST + HOST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a folded coding": POST + HOST + b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 2\r\n\r\n{}",
    "a chunk size that is no number": POST + HOST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
    "a negative chunk size": POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    "a chunk size beyond 64 bits": POST + HOST + b"Transfer-Encoding: chunked\r\n\r\nFFFFFFFFFFFFFFFFFF\r\n\r\n",
    "a chunk size with 0x": POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
    "chunks with bare line feeds": POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n",
    "a folded header": GET + HOST + b"X-A: a\r\n b\r\n\r\n",
    "bare line feeds": GET.replace(b"\r\n", b"\n") + b"Host: x\n\n",
    "one bare line feed": GET + b"Host: x\nX-Y: z\r\n\r\n",
    "a bare carriage return": GET + b"Host: x\rX-Y: z\r\n\r\n",
    "NUL in a value": GET + HOST + b"X-A: a\x00b\r\n\r\n",
    "NUL in a name": GET + HOST + b"X-\x00A: ab\r\n\r\n",
    "NUL in the path": b"GET /a\x00b HTTP/1.1\r\n" + HOST + b"\r\n",
    "bytes beyond ASCII in the path": b"GET /\xff\xfe HTTP/1.1\r\n" + HOST + b"\r\n",
    "no Host": GET + b"\r\n",
    "two Hosts": GET + b"Host: a\r\nHost: b\r\n\r\n",
    "too many headers": GET + HOST + b"".join(b"X-%d: 1\r\n" % number for number in range(MAX_HEADERS)) + b"\r\n",
    "one header too often": GET + HOST + b"a:\r\n" * 250_000 + b"\r\n",
    "a header without end": GET + HOST + b"X: " + b"a" * (MAX_HEAD_BYTES + 1),
    "a path without end": b"GET /" + b"a" * (MAX_HEAD_BYTES + 1),
    "a chunk line without end": POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n1;" + b"a" * (MAX_HEAD_BYTES + 1),
    "trailers without end": POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * (MAX_HEAD_BYTES // 6 + 2),
    "CONNECT to an authority": b"CONNECT x:443 HTTP/1.1\r\n" + HOST + b"\r\n",
    "CONNECT to a path": b"CONNECT /2015-03-31/functions HTTP/1.1\r\n" + HOST + b"\r\n",
    "the asterisk": b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n",
    "the asterisk with GET": b"GET * HTTP/1.1\r\n" + HOST + b"\r\n",
    "an absolute target without a host": b"GET http:///// HTTP/1.1\r\n" + HOST + b"\r\n",
    "an absolute target with half an address": b"GET http://[::1 HTTP/1.1\r\n" + HOST + b"\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "HTTP/9.9": b"GET / HTTP/9.9\r\n" + HOST + b"\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 500,
    "a method of its own": b"FOO / HTTP/1.1\r\n" + HOST + b"\r\n",
    "a space before the method": b" GET / HTTP/1.1\r\n" + HOST + b"\r\n",
}


@pytest.mark.parametrize("attack", REFUSED.values(), ids=REFUSED.keys())
async def test_refused(served: Served, attack: bytes) -> None:
    """The answer is one 400, and the connection is closed, so that nothing behind it is taken for a request."""
    answer = await served.send(attack, FOLLOWED)
    assert FUNCTIONS not in answer
    assert statuses(answer) in ([400], [])  # a peer that is still sending may lose the answer when the connection closes
    assert statuses(await served.send(LAST)) == [200]


FORM = b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 8\r\n\r\nAction=%"
H2C = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n"
WEB_SOCKET = b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
SLASHES = b"Authorization: AWS4-HMAC-SHA256 Credential=////, SignedHeaders=;;, Signature=\r\n"

ANSWERED = {
    "a chunked body": (POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 200),
    "a body that no one reads": (GET + HOST + b"Content-Length: 5\r\n\r\nhello", 200),
    "a long body that is refused": (b"POST /x HTTP/1.1\r\n" + HOST + b"Content-Length: 500000\r\n\r\n" + b"a" * 500_000, 405),
    "a body over the limit": (POST + HOST + b"Content-Length: 80000000\r\n\r\n" + b"a" * 80_000_000, 413),
    "an absolute target": (b"GET http://other/2015-03-31/functions HTTP/1.1\r\n" + HOST + b"\r\n", 200),
    "a Host that is no host": (GET + b"Host: a b/<>\xff\r\n\r\n", 200),
    "an empty Host": (GET + b"Host:\r\n\r\n", 200),
    "the wish for another protocol": (GET + HOST + H2C + b"\r\n", 200),
    "the wish for a WebSocket": (GET + HOST + WEB_SOCKET + b"\r\n", 200),
    "empty lines before": (b"\r\n\r\n" + GET + HOST + b"\r\n", 200),
    "an Origin that is no URL": (GET + HOST + b"Origin: http://[::1\r\n\r\n", 403),
    "an Origin of null": (GET + HOST + b"Origin: null\r\n\r\n", 403),
    "an Authorization of slashes": (GET + HOST + SLASHES + b"\r\n", 200),
    "headers beyond ASCII": (GET + HOST + b"X-Amz-Target: \xff.\xfe\r\nAuthorization: \xff\r\n\r\n", 200),
    "a form that is not encoded": (b"POST / HTTP/1.1\r\n" + HOST + FORM, 400),
}


@pytest.mark.parametrize(("request_bytes", "status"), ANSWERED.values(), ids=ANSWERED.keys())
async def test_answered_and_the_next_request_too(served: Served, request_bytes: bytes, status: int) -> None:
    """What is odd but has one meaning is answered, and the connection serves the request behind it, whole or in pieces."""
    assert statuses(await served.send(request_bytes + FOLLOWED)) == [status, 200]
    if len(request_bytes) < 1000:
        assert statuses(await served.send(*(bytes([each]) for each in request_bytes + FOLLOWED))) == [status, 200]


async def test_http_1_0_without_host(served: Served) -> None:
    """A client of HTTP/1.0 need not name a host; its connection ends with the answer."""
    assert statuses(await served.send(b"GET /2015-03-31/functions HTTP/1.0\r\n\r\n")) == [200]


async def test_a_wish_for_another_protocol_with_a_body(served: Served) -> None:
    """Java's client asks for HTTP/2 with its first request: the body of such a request arrives, and the next request too."""
    wish = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\nContent-Length: 14\r\n\r\n"
    answer = await served.send(POST + HOST + wish + b'{"a": "b"}    ' + FOLLOWED)
    assert statuses(answer) == [200, 200]
    assert b'{"a": "b"}    ' in answer


async def test_pipelining(served: Served) -> None:
    """Requests sent without waiting are answered in their order."""
    many = [POST + HOST + b"Content-Length: 6\r\n\r\n" + json.dumps(number).encode().rjust(6) for number in range(300)]
    answer = await served.send(b"".join(many) + FOLLOWED)
    assert statuses(answer) == [200] * 301
    places = [answer.index(b"\r\n\r\n" + json.dumps(number).encode().rjust(6)) for number in range(300)]
    assert places == sorted(places)


async def test_trailers_are_not_headers(served: Served) -> None:
    """What stands behind a chunked body cannot name another service, account or host for the request before it."""
    trailers = b"X-Amz-Target: Logs_20140328.DescribeLogGroups\r\nHost: bucket.s3.amazonaws.com\r\nExpect: 100-continue\r\n"
    answer = await served.send(
        POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n" + trailers + b"\r\n" + FOLLOWED
    )
    assert statuses(answer) == [200, 200]


async def test_a_refusal_before_the_body_was_asked_for(served: Served) -> None:
    """Whether a client that waits for "100 Continue" still sends the body of a refused request cannot be known, so the
    connection ends; an accepted one is asked for its body and the connection goes on."""
    waiting = HOST + b"Expect: 100-continue\r\nContent-Length: 4\r\n\r\n"
    answer = await served.send(b"PATCH /bucket HTTP/1.1\r\n" + waiting)
    assert statuses(answer) == [405]
    assert b"connection: close\r\n" in answer
    assert statuses(await served.send(POST + waiting, b'"hi"' + FOLLOWED)) == [100, 200, 200]


async def test_rubbish_behind_a_request(served: Served) -> None:
    """The request before the rubbish gets its own answer, whole, and then the connection ends."""
    answer = await served.send(GET + HOST + b"\r\n" + b"rubbish\r\n\r\n")
    assert statuses(answer) == [200]
    assert answer.endswith(FUNCTIONS)
    answer = await served.send(b"GET /bucket/key HTTP/1.1\r\n" + HOST + b"\r\n", b"rubbish\r\n\r\n" * 10)
    assert statuses(answer) == [200]
    assert answer.endswith(b"x" * 100_000)


async def test_rubbish_within_a_body(served: Served) -> None:
    """A body whose chunks break off into rubbish is refused, and its operation not called."""
    answer = await served.send(POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n", b"rubbish")
    assert statuses(answer) == [400]


@pytest.mark.parametrize(
    "beginning",
    [b"", GET + b"Hos", POST + HOST + b"Content-Length: 5\r\n\r\n{", GET + HOST + b"Content-Length: 5\r\n\r\n{"],
    ids=["nothing", "half a head", "half a body", "half a body that no one reads"],
)
async def test_a_client_that_stops(impatient: Served, beginning: bytes) -> None:
    """A connection whose client does not get on with its request is closed after a while, however far the request was."""
    assert 200 not in statuses(await impatient.send(beginning)) or b"Content-Length" in beginning


async def test_a_head_that_trickles(impatient: Served) -> None:
    """A head must be complete in time, so a byte now and then does not keep a connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", impatient.port)
    writer.write(GET + HOST)

    async def trickle() -> None:
        while True:
            writer.write(b"X-A: b\r\n")
            await asyncio.sleep(0.05)

    trickling = asyncio.create_task(trickle())
    received = b""
    async with asyncio.timeout(60):
        with contextlib.suppress(ConnectionError):  # a byte may come when the server has closed
            while piece := await reader.read(65536):
                received += piece
    assert statuses(received) == [400]
    trickling.cancel()
    writer.close()


async def test_a_body_that_takes_its_time(lenient: Served) -> None:
    """A body may take longer than the patience as long as it goes on coming."""
    pieces = [POST + HOST + b"Connection: close\r\nContent-Length: 25\r\n\r\n", *[b"1"] * 25]
    reader, writer = await asyncio.open_connection("127.0.0.1", lenient.port)
    for piece in pieces:
        writer.write(piece)
        await asyncio.sleep(0.1)
    async with asyncio.timeout(60):
        assert statuses(await reader.read()) == [200]
    writer.close()
