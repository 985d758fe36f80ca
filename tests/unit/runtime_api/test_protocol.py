"""The Runtime API against runtimes that mean harm, or know no better."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket

import pytest

from lambdad.runtime_api.answers import MAX_RESPONSE_BYTES
from lambdad.runtime_api.protocol import MAX_DEFERRED, MAX_HEAD_BYTES
from lambdad.runtime_api.server import MAX_CONNECTIONS, RuntimeApiServer
from lambdad.runtime_api.session import AnswerKind, RuntimeSession

NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"
PING = b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n"
INVOCATION = b"/2018-06-01/runtime/invocation/"


def said(method: bytes, path: bytes, body: bytes = b"", *headers: bytes) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (method, path), b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def transition(current: str, wanted: str) -> str:
    return f"State transition from {current} to {wanted} failed for runtime. Error: State transition is not allowed"


RUNNING_REFUSALS = [
    ("next before the answer", NEXT, 403, "InvalidStateTransition", transition("Running", "Ready")),
    (
        "init error while running",
        said(b"POST", b"/2018-06-01/runtime/init/error", b"{}"),
        403,
        "InvalidStateTransition",
        transition("Running", "InitError"),
    ),
    ("unknown id", said(b"POST", INVOCATION + b"other/response", b"1"), 400, "InvalidRequestID", "Invalid request ID"),
    ("unknown id, error", said(b"POST", INVOCATION + b"other/error", b"1"), 400, "InvalidRequestID", "Invalid request ID"),
    ("empty id", said(b"POST", INVOCATION + b"/response", b"1"), 400, "InvalidRequestID", "Invalid request ID"),
    (
        "id of another length",
        said(b"POST", INVOCATION + b"x" * 70000 + b"/response", b"1"),
        400,
        "InvalidRequestID",
        "Invalid request ID",
    ),
    ("id with odd bytes", said(b"POST", INVOCATION + b"%00%ff/response", b"1"), 400, "InvalidRequestID", "Invalid request ID"),
    ("wrong verb", said(b"POST", INVOCATION + b"id-1/answer", b"1"), 404, None, None),
    ("verb and more", said(b"POST", INVOCATION + b"id-1/response/more", b"1"), 404, None, None),
    ("no verb", said(b"POST", INVOCATION + b"id-1", b"1"), 404, None, None),
    ("GET of a response", said(b"GET", INVOCATION + b"id-1/response"), 405, None, None),
    ("POST of next", said(b"POST", INVOCATION + b"next", b"1"), 405, None, None),
    ("GET of init error", said(b"GET", b"/2018-06-01/runtime/init/error"), 405, None, None),
    ("unknown path", said(b"GET", b"/2018-06-01/other"), 404, None, None),
    ("path that climbs", said(b"GET", b"/2018-06-01/runtime/../ping"), 404, None, None),
    ("absolute form", said(b"GET", b"http://x/2018-06-01/ping"), 404, None, None),
    ("other version", said(b"GET", b"/2015-03-31/runtime/invocation/next"), 404, None, None),
    ("restore next", said(b"GET", b"/2018-06-01/runtime/restore/next"), 404, None, None),
    ("restore error", said(b"POST", b"/2018-06-01/runtime/restore/error"), 404, None, None),
    ("snap-start credentials", said(b"GET", b"/2021-04-23/credentials"), 404, None, None),
    ("extension", said(b"POST", b"/2020-01-01/extension/register", b"{}"), 404, None, None),
    ("logs", said(b"PUT", b"/2020-08-15/logs", b"{}"), 404, None, None),
    ("telemetry", said(b"PUT", b"/2022-07-01/telemetry", b"{}"), 404, None, None),
]


@pytest.mark.parametrize(("sent", "status", "error_type", "message"), [case[1:] for case in RUNNING_REFUSALS],
                         ids=[case[0] for case in RUNNING_REFUSALS])  # fmt: skip
async def test_refusals_while_running(api, sent, status, error_type, message):
    """A wrong request is refused as AWS does it, and the invocation can still be answered on the same connection."""
    runtime = await api.connect()
    runtime.send(NEXT)
    answer = api.invoke()
    await runtime.answer()
    refused, _, body = await runtime.ask(sent)
    assert refused == status
    if error_type is not None:
        assert json.loads(body) == {"errorMessage": message, "errorType": error_type}
    assert not answer.done()
    assert (await runtime.ask(said(b"POST", INVOCATION + b"id-1/response", b"fine")))[0] == 202
    assert (await answer).body == b"fine"


UNREADABLE = [
    ("not HTTP", b"\x16\x03\x01\x02\x00\x01\x00"),
    ("HTTP/9", b"GET / HTTP/9.9\r\n\r\n"),
    ("no version and headers", b"GET /\r\nHost\r\n\r\n"),
    ("path with odd bytes", b"GET /\xff\xfe HTTP/1.1\r\n\r\n"),
    ("bad header", b"GET / HTTP/1.1\r\nHo st: x\r\n\r\n"),
    ("two lengths", b"POST /x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
    ("negative length", b"POST /x HTTP/1.1\r\nContent-Length: -1\r\n\r\n"),
    ("length and chunks", b"POST /x HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("bad chunk size", b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
    ("huge chunk size", b"POST /x HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n"),
    ("headers without end", b"GET /2018-06-01/ping HTTP/1.1\r\n" + b"X-A: %b\r\n" % (b"a" * 1000) * 1200),
    ("one header without end", b"GET /2018-06-01/ping HTTP/1.1\r\nX: " + b"a" * (MAX_HEAD_BYTES + 300_000)),
    ("path without end", b"GET /" + b"a" * (MAX_HEAD_BYTES + 300_000)),
]


@pytest.mark.parametrize("sent", [case[1] for case in UNREADABLE], ids=[case[0] for case in UNREADABLE])
async def test_unreadable_closes_the_connection_only(api, sent):
    """What cannot be read ends that connection; the runtime's other connection goes on."""
    runtime = await api.connect()
    runtime.send(NEXT)
    assert await api.session.wait_ready()
    hostile = await api.connect()
    hostile.send(sent)
    try:
        async with asyncio.timeout(60):
            while await hostile.reader.read(65536):
                pass
    except ConnectionError:
        pass  # closed with bytes unread
    answer = api.invoke()
    await runtime.answer()
    await runtime.ask(said(b"POST", INVOCATION + b"id-1/response", b"fine"))
    assert (await answer).body == b"fine"


async def test_double_response(api):
    """The second answer to one invocation is refused, and the first stands."""
    runtime = await api.connect()
    runtime.send(NEXT)
    answer = api.invoke()
    await runtime.answer()
    assert (await runtime.ask(said(b"POST", INVOCATION + b"id-1/response", b"first")))[0] == 202
    for verb in (b"response", b"error"):
        status, _, body = await runtime.ask(said(b"POST", INVOCATION + b"id-1/" + verb, b"second"))
        assert (status, json.loads(body)["errorType"]) == (400, "InvalidRequestID")
    assert (await answer).body == b"first"


@pytest.mark.parametrize(("verb", "wanted"), [(b"response", "InvocationResponse"), (b"error", "InvocationErrorResponse")])
async def test_answer_without_invocation(api, verb, wanted):
    """An answer before there was an invocation is a state error."""
    runtime = await api.connect()
    status, _, body = await runtime.ask(said(b"POST", INVOCATION + b"id-1/" + verb, b"1"))
    assert status == 403
    assert json.loads(body) == {"errorMessage": transition("Started", wanted), "errorType": "InvalidStateTransition"}


async def test_second_next_while_one_waits(api):
    """Only one `next` may wait; the other is refused and the first is served."""
    first, second = await api.connect(), await api.connect()
    first.send(NEXT)
    assert await api.session.wait_ready()
    status, _, body = await second.ask(NEXT)
    assert (status, json.loads(body)["errorMessage"]) == (403, transition("Ready", "Ready"))
    api.invoke()
    assert (await first.answer())[0] == 200


async def test_next_after_init_error(api):
    """A runtime that reported an init error gets no invocations."""
    runtime = await api.connect()
    init_error = said(b"POST", b"/2018-06-01/runtime/init/error", b"{}")
    assert (await runtime.ask(init_error))[0] == 202
    assert json.loads((await runtime.ask(NEXT))[2])["errorMessage"] == transition("InitError", "Ready")
    assert json.loads((await runtime.ask(init_error))[2])["errorMessage"] == transition("InitError", "InitError")


@pytest.mark.parametrize("is_chunked", [False, True])
async def test_response_too_large(api, is_chunked):
    """One byte more than the limit: 413 for the runtime, and the connection and environment live on."""
    runtime = await api.connect()
    runtime.send(NEXT)
    answer = api.invoke()
    await runtime.answer()
    body = b"x" * (MAX_RESPONSE_BYTES + 1)
    path = INVOCATION + b"id-1/response"
    if is_chunked:
        head = b"POST %b HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" % path
        sent = head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        sent = said(b"POST", path, body)
    status, _, refusal = await runtime.ask(sent + NEXT)
    assert status == 413
    assert json.loads(refusal) == {
        "errorMessage": "Exceeded maximum allowed payload size (6291556 bytes).",
        "errorType": "RequestEntityTooLarge",
    }
    assert (await answer).kind is AnswerKind.TOO_LARGE
    api.invoke("id-2")
    assert (await runtime.answer())[1]["lambda-runtime-aws-request-id"] == "id-2"
    assert api.server._buffered == 0


async def test_largest_response(api):
    """A response of exactly the limit passes."""
    runtime = await api.connect()
    runtime.send(NEXT)
    answer = api.invoke()
    await runtime.answer()
    body = b"x" * MAX_RESPONSE_BYTES
    assert (await runtime.ask(said(b"POST", INVOCATION + b"id-1/response", body)))[0] == 202
    assert (await answer).body == body
    assert api.server._buffered == 0


async def test_endless_response(api):
    """A body that never ends is not kept: the invoker is told as soon as it is too large."""
    runtime = await api.connect()
    runtime.send(NEXT)
    answer = api.invoke()
    await runtime.answer()
    runtime.send(b"POST %bid-1/response HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" % INVOCATION)
    while not answer.done():
        runtime.send(b"10000\r\n%b\r\n" % (b"x" * 65536))
        await runtime.writer.drain()
    assert (await answer).kind is AnswerKind.TOO_LARGE
    assert api.server._buffered == 0


async def test_too_large_under_a_wrong_id(api):
    """A large body for another id is refused for the id, and touches nothing."""
    runtime = await api.connect()
    runtime.send(NEXT)
    answer = api.invoke()
    await runtime.answer()
    status, _, body = await runtime.ask(said(b"POST", INVOCATION + b"other/response", b"x" * (MAX_RESPONSE_BYTES + 1)))
    assert (status, json.loads(body)["errorType"]) == (400, "InvalidRequestID")
    assert not answer.done()


async def test_truncated_response(api):
    """A body that ends early is no response; the runtime may send it again on another connection."""
    runtime = await api.connect()
    runtime.send(NEXT)
    answer = api.invoke()
    await runtime.answer()
    runtime.send(b"POST %bid-1/response HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc" % INVOCATION)
    runtime.writer.write_eof()
    status, _, body = await runtime.answer()
    assert status == 400
    assert json.loads(body) == {"errorMessage": "HTTP request detected as truncated", "errorType": "TruncatedHTTPRequest"}
    assert await runtime.is_closed()
    assert not answer.done()
    again = await api.connect()
    assert (await again.ask(said(b"POST", INVOCATION + b"id-1/response", b"0123456789")))[0] == 202
    assert (await answer).body == b"0123456789"


async def test_slow_body_does_not_block_another(api):
    """While one connection dribbles a body, another one may answer."""
    slow = await api.connect()
    slow.send(NEXT)
    answer = api.invoke()
    await slow.answer()
    slow.send(b"POST %bid-1/response HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc" % INVOCATION)
    other = await api.connect()
    assert (await other.ask(said(b"POST", INVOCATION + b"id-1/response", b"quick")))[0] == 202
    assert (await answer).body == b"quick"
    assert (await slow.ask(b"defghij"))[0] == 400


async def test_many_connections(api):
    """More connections than a runtime can need are closed; those that were there first work."""
    clients = [await api.connect() for _ in range(MAX_CONNECTIONS - 1)]  # and the one made ahead
    for client in clients:
        assert (await client.ask(PING))[0] == 200
    surplus = await api.connect()
    assert await surplus.is_closed()
    assert (await clients[0].ask(PING))[2] == b"pong"


async def test_bodies_of_many_connections_are_bounded(api):
    """Connections together cannot make the server hold more than one response and a little."""
    clients = [await api.connect() for _ in range(4)]
    for client in clients:
        client.send(b"POST %bid-1/response HTTP/1.1\r\nContent-Length: 6000000\r\n\r\n" % INVOCATION + b"x" * 3_000_000)
    closed = [asyncio.ensure_future(client.is_closed()) for client in clients]
    async with asyncio.timeout(60):
        await asyncio.wait(closed, return_when=asyncio.FIRST_COMPLETED)
    assert api.server._buffered <= MAX_RESPONSE_BYTES + 1024 * 1024 + 300_000
    for future in closed:
        future.cancel()


async def test_requests_behind_a_waiting_next(api):
    """What was sent behind a waiting `next` is answered after it, in order; too much of it closes the connection."""
    runtime = await api.connect()
    runtime.send(NEXT + PING + said(b"POST", INVOCATION + b"id-1/response", b"guessed") + PING)
    assert await api.session.wait_ready()
    answer = api.invoke()
    assert [(await runtime.answer())[0] for _ in range(4)] == [200, 200, 202, 200]
    assert (await answer).body == b"guessed"
    flooding = await api.connect()
    flooding.send(NEXT + PING * (MAX_DEFERRED + 1))
    assert await flooding.is_closed()


async def test_flood_of_pings_without_reading(api):
    """A client that asks and never reads is not read from any further, and others are served."""
    deaf = await api.connect()
    deaf.send(PING * 200_000)
    other = await api.connect()
    for _ in range(10):
        assert (await other.ask(PING))[0] == 200
    deaf.writer.transport.abort()


async def test_connection_close_is_honoured(api):
    """`Connection: close` and HTTP/1.0 end the connection after the answer, also after an invocation."""
    for sent in (b"GET /2018-06-01/ping HTTP/1.0\r\n\r\n", said(b"GET", b"/2018-06-01/ping", b"", b"Connection: close")):
        client = await api.connect()
        assert (await client.ask(sent))[2] == b"pong"
        assert await client.is_closed()
    client = await api.connect()
    client.send(said(b"GET", INVOCATION + b"next", b"", b"Connection: close"))
    answer = api.invoke()
    assert (await client.answer())[0] == 200
    assert await client.is_closed()
    other = await api.connect()
    assert (await other.ask(said(b"POST", INVOCATION + b"id-1/error", b"{}", b"Connection: close")))[0] == 202
    assert (await answer).kind is AnswerKind.ERROR


async def test_upgrade_is_ignored(api):
    """An offer of HTTP/2 is read as HTTP/1.1, however often it comes."""
    offer = b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABk\r\n\r\n"
    client = await api.connect()
    client.send(b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n" + offer + PING)
    assert [(await client.answer())[2] for _ in range(2)] == [b"pong", b"pong"]
    flood = await api.connect()
    flood.send((b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n" + offer) * 3000)
    for _ in range(3000):
        assert (await flood.answer())[0] == 200


async def test_expect_continue(api):
    """A client that waits for 100 Continue gets it."""
    runtime = await api.connect()
    runtime.send(NEXT)
    answer = api.invoke()
    await runtime.answer()
    runtime.send(b"POST %bid-1/response HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n" % INVOCATION)
    assert await runtime.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (await runtime.ask(b"ok"))[0] == 202
    assert (await answer).body == b"ok"


async def test_wrong_response_mode(api):
    """A response mode other than streaming is refused, and the invoker gets an error without a payload."""
    runtime = await api.connect()
    runtime.send(NEXT)
    answer = api.invoke()
    await runtime.answer()
    sent = said(b"POST", INVOCATION + b"id-1/response", b"1", b"Lambda-Runtime-Function-Response-Mode: buffered")
    status, _, body = await runtime.ask(sent)
    assert status == 400
    assert json.loads(body) == {"errorMessage": "Invalid function response mode", "errorType": "InvalidFunctionResponseMode"}
    assert (await answer).kind is AnswerKind.INVALID_RESPONSE_MODE


async def test_query_is_ignored(api):
    """A query behind the path changes nothing."""
    client = await api.connect()
    assert (await client.ask(said(b"GET", b"/2018-06-01/ping?x=y?z")))[2] == b"pong"


async def test_small_chunks_of_a_large_response(api):
    """Chunk framing does not count as header bytes, however small the chunks."""
    runtime = await api.connect()
    runtime.send(NEXT)
    answer = api.invoke()
    await runtime.answer()
    runtime.send(b"POST %bid-1/response HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" % INVOCATION)
    runtime.send(b"1\r\nx\r\n" * 300_000 + b"0\r\n\r\n")
    assert (await runtime.answer())[0] == 202
    assert (await answer).body == b"x" * 300_000


async def test_next_with_a_body(api):
    """A body sent with `next` is of no use and is not counted for longer than it takes to read it."""
    runtime = await api.connect()
    for number in range(3):
        runtime.send(said(b"GET", INVOCATION + b"next", b"x" * 4 * 1024 * 1024))
        answer = api.invoke(f"id-{number}")
        assert (await runtime.answer())[0] == 200
        assert (await runtime.ask(said(b"POST", INVOCATION + b"id-%d/response" % number, b"1")))[0] == 202
        await answer


@pytest.mark.parametrize("turns", range(4))
async def test_connection_let_in_at_a_reset(api, turns):
    """A connection of a dead process counts for nothing, at whatever moment of its being let in the session is renewed."""
    with socket.create_connection(api.address) as old:
        old.sendall(said(b"POST", b"/2018-06-01/runtime/init/error", b"{}") + NEXT)
        for _ in range(turns):
            await asyncio.sleep(0)
        session = api.renew()
        old.setblocking(False)
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(60):
                while await asyncio.get_running_loop().sock_recv(old, 4096):
                    pass  # what was answered before the reset
    assert session.init_error is None
    assert not session.is_ready


async def test_connection_before_the_server_is_open():
    """A runtime that has connected before its listener is served is of the session that the server is opened with."""
    loop = asyncio.get_running_loop()
    server = RuntimeApiServer(RuntimeSession(loop), loop)
    with socket.create_server(("127.0.0.1", 0)) as listener, socket.create_connection(listener.getsockname()) as early:
        early.sendall(NEXT)
        early.setblocking(False)
        session = RuntimeSession(loop)
        ready = session.ready()
        server.renew(session)
        await server.open(listener)
        try:
            async with asyncio.timeout(60):
                assert await ready
        finally:
            await server.close()
