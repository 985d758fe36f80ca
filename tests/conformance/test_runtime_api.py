"""The Runtime API 2018-06-01 over raw sockets: every state with every request, every status and text, and runtimes that lie.

What AWS answers is written out in the tables; nothing in them is computed from the code under test.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from lambdad.runtime_api import runtime
from lambdad.runtime_api.session import AnswerKind, InvocationRequest
from support.raw_runtime import Api, Client, serving

ROOT = b"/2018-06-01"
INVOCATION = ROOT + b"/runtime/invocation/"
LIMIT = 6_291_556
ACCEPTED = (202, b'{"status":"OK"}\n')
WAITS = "waits for an invocation"


def said(method: bytes, path: bytes, body: bytes = b"", *headers: bytes) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (method, path), b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def answered(request_id: bytes, body: bytes = b"1", *headers: bytes) -> bytes:
    return said(b"POST", INVOCATION + request_id + b"/response", body, *headers)


NEXT = said(b"GET", INVOCATION + b"next")
PING = said(b"GET", ROOT + b"/ping")
INIT_ERROR = said(b"POST", ROOT + b"/runtime/init/error", b'{"errorMessage":"m","errorType":"T"}')
STREAM_HEAD = (
    b"POST %bid-1/response HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
    b"Lambda-Runtime-Function-Response-Mode: streaming\r\n\r\n" % INVOCATION
)


def refused(status: int, error_type: str, message: str) -> tuple[int, bytes]:
    return status, b'{"errorMessage":"%b","errorType":"%b"}\n' % (message.encode(), error_type.encode())


def forbidden(current: str, wanted: str) -> tuple[int, bytes]:
    text = f"State transition from {current} to {wanted} failed for runtime. Error: State transition is not allowed"
    return refused(403, "InvalidStateTransition", text)


BAD_ID = refused(400, "InvalidRequestID", "Invalid request ID")
BAD_MODE = refused(400, "InvalidFunctionResponseMode", "Invalid function response mode")
TRUNCATED = refused(400, "TruncatedHTTPRequest", "HTTP request detected as truncated")
TOO_LARGE = refused(413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size (6291556 bytes).")
OUR_FAULT = refused(500, "InternalServerError", "Internal Server Error")


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving() as served:
        yield served


async def running(api: Api, request_id: str = "id-1", **wants: bool) -> tuple[Client, asyncio.Future]:
    """A runtime that has this invocation, and the future of its answer."""
    client = await api.connect()
    client.send(NEXT)
    answer = api.invoke(request_id, **wants)
    assert (await client.answer())[1]["lambda-runtime-aws-request-id"] == request_id
    return client, answer


# States


async def be_started(api: Api) -> None:
    return None


async def be_init_error(api: Api) -> None:
    assert (await (await api.connect()).ask(INIT_ERROR))[0] == 202


async def be_ready(api: Api) -> None:
    (await api.connect()).send(NEXT)
    assert await api.session.wait_ready()


async def be_running(api: Api) -> None:
    await running(api)


async def be_streaming(api: Api) -> None:
    client, answer = await running(api, wants_stream=True)
    client.send(STREAM_HEAD)
    assert (await answer).kind is AnswerKind.STREAM


async def be_answered(api: Api) -> None:
    client, _ = await running(api)
    assert (await client.ask(answered(b"id-1")))[0] == 202


async def be_ended(api: Api) -> None:
    await be_answered(api)
    api.session.end()


REQUESTS = {
    "next": NEXT,
    "response": answered(b"id-1"),
    "error": said(b"POST", INVOCATION + b"id-1/error", b"{}"),
    "response with a foreign id": answered(b"id-2"),
    "error with a foreign id": said(b"POST", INVOCATION + b"id-2/error", b"{}"),
    "response with an empty id": answered(b""),
    "init error": INIT_ERROR,
    "ping": PING,
}
#: The answers to the requests above, in their order.
STATES: dict[str, tuple[Callable[[Api], Awaitable[None]], list[tuple[int, bytes] | str]]] = {
    "Started": (
        be_started,
        [
            WAITS,
            forbidden("Started", "InvocationResponse"),
            forbidden("Started", "InvocationErrorResponse"),
            forbidden("Started", "InvocationResponse"),
            forbidden("Started", "InvocationErrorResponse"),
            BAD_ID,
            ACCEPTED,
            (200, b"pong"),
        ],
    ),
    "InitError": (
        be_init_error,
        [
            forbidden("InitError", "Ready"),
            forbidden("InitError", "InvocationResponse"),
            forbidden("InitError", "InvocationErrorResponse"),
            forbidden("InitError", "InvocationResponse"),
            forbidden("InitError", "InvocationErrorResponse"),
            BAD_ID,
            forbidden("InitError", "InitError"),
            (200, b"pong"),
        ],
    ),
    "Ready": (
        be_ready,
        [
            forbidden("Ready", "Ready"),
            forbidden("Ready", "InvocationResponse"),
            forbidden("Ready", "InvocationErrorResponse"),
            forbidden("Ready", "InvocationResponse"),
            forbidden("Ready", "InvocationErrorResponse"),
            BAD_ID,
            forbidden("Ready", "InitError"),
            (200, b"pong"),
        ],
    ),
    "Running": (
        be_running,
        [
            forbidden("Running", "Ready"),
            ACCEPTED,
            ACCEPTED,
            BAD_ID,
            BAD_ID,
            BAD_ID,
            forbidden("Running", "InitError"),
            (200, b"pong"),
        ],
    ),
    "InvocationResponse": (
        be_streaming,
        [
            forbidden("InvocationResponse", "Ready"),
            forbidden("InvocationResponse", "InvocationResponse"),
            forbidden("InvocationResponse", "InvocationErrorResponse"),
            BAD_ID,
            BAD_ID,
            BAD_ID,
            forbidden("InvocationResponse", "InitError"),
            (200, b"pong"),
        ],
    ),
    "RuntimeResponseSentState": (
        be_answered,
        [
            WAITS,
            BAD_ID,
            BAD_ID,
            forbidden("RuntimeResponseSentState", "InvocationResponse"),
            forbidden("RuntimeResponseSentState", "InvocationErrorResponse"),
            BAD_ID,
            forbidden("RuntimeResponseSentState", "InitError"),
            (200, b"pong"),
        ],
    ),
    "after the session's end": (
        be_ended,
        [
            OUR_FAULT,
            BAD_ID,
            BAD_ID,
            forbidden("RuntimeResponseSentState", "InvocationResponse"),
            forbidden("RuntimeResponseSentState", "InvocationErrorResponse"),
            BAD_ID,
            forbidden("RuntimeResponseSentState", "InitError"),
            (200, b"pong"),
        ],
    ),
}
CASES = [
    pytest.param(prepare, REQUESTS[name], expected, id=f"{state}: {name}")
    for state, (prepare, row) in STATES.items()
    for name, expected in zip(REQUESTS, row, strict=True)
]


@pytest.mark.parametrize(("prepare", "sent", "expected"), CASES)
async def test_every_request_in_every_state(api, prepare, sent, expected):
    """Each request has in each state the status and the text that AWS gives it, and a refused one changes nothing."""
    await prepare(api)
    before = api.session.state
    client = await api.connect()
    if expected is WAITS:
        client.send(sent)
        assert await api.session.wait_ready()
        api.invoke("id-9")
        assert (await client.answer())[1]["lambda-runtime-aws-request-id"] == "id-9"
        return
    status, headers, body = await client.ask(sent)
    assert (status, body) == expected
    assert headers["content-type"] == ("text/plain; charset=utf-8" if sent is PING else "application/json")
    if status >= 400:
        assert api.session.state is before


# Routes

ROUTES = {
    INVOCATION + b"next": b"GET",
    INVOCATION + b"id-1/response": b"POST",
    INVOCATION + b"id-1/error": b"POST",
    ROOT + b"/runtime/init/error": b"POST",
    ROOT + b"/ping": b"GET",
}
METHODS = [b"GET", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"PROPFIND"]


@pytest.mark.parametrize("path", ROUTES)
async def test_wrong_method(api, path):
    """Each route has one method; the others are answered with 405, which one is allowed, and no body."""
    client, answer = await running(api)
    for method in METHODS:
        if method != ROUTES[path]:
            status, headers, body = await client.ask(said(method, path, b"x"))
            assert (status, headers["allow"], body) == (405, ROUTES[path].decode(), b"")
    assert not answer.done()


UNKNOWN = [
    b"/",
    b"//",
    b"*",
    ROOT,
    ROOT + b"/",
    ROOT + b"/ping/",
    ROOT + b"/PING",
    ROOT + b"/runtime/invocation",
    INVOCATION,
    INVOCATION + b"next/",
    INVOCATION + b"Next",
    INVOCATION + b"id-1",
    INVOCATION + b"id-1/",
    INVOCATION + b"id-1/Response",
    INVOCATION + b"id-1/response/",
    INVOCATION + b"id-1/response%2f..",
    INVOCATION + b"id-1/other/../response",
    INVOCATION + b"id-1//response",
    ROOT + b"/runtime/init",
    ROOT + b"/runtime/init/error/more",
    b"/2018-06-01%2fping",
    b"/2018-06-02/ping",
    b"/latest/meta-data/",
    b"/2015-03-31/functions/function/invocations",
    b"http://127.0.0.1/2018-06-01/ping",
]


@pytest.mark.parametrize("path", UNKNOWN, ids=bytes.decode)
async def test_unknown_path(api, path):
    """What is not a route is not found, whatever it resembles, and the connection goes on."""
    client, answer = await running(api)
    for method in (b"GET", b"POST"):
        status, _, body = await client.ask(said(method, path, b"x"))
        assert (status, body) == (404, b"404 page not found\n")
    assert (await client.ask(answered(b"id-1", b"fine")))[0] == 202
    assert (await answer).body == b"fine"


# next


async def test_headers_of_an_invocation(api):
    """`next` says all that AWS says of an invocation, under AWS's names, and leaves out what is empty."""
    client = await api.connect()
    client.send(NEXT)
    arn = "arn:aws:lambda:eu-central-1:123456789012:function:f:live"
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    context, identity = '{"custom":{"a":"\u00e9"}}', '{"cognitoIdentityId":"c","cognitoIdentityPoolId":"p"}'
    api.session.invoke(InvocationRequest("id-1", b"\x00\xff", 1_700_000_000_123, arn, trace, context, identity))
    status, headers, body = await client.answer()
    assert (status, body) == (200, b"\x00\xff")
    assert headers == {
        "content-type": "application/json",
        "content-length": "2",
        "lambda-runtime-aws-request-id": "id-1",
        "lambda-runtime-deadline-ms": "1700000000123",
        "lambda-runtime-invoked-function-arn": arn,
        "lambda-runtime-trace-id": trace,
        "lambda-runtime-client-context": context,
        "lambda-runtime-cognito-identity": identity,
    }
    await client.ask(answered(b"id-1"))
    client.send(NEXT)
    api.session.invoke(InvocationRequest("id-2", b"", 1, arn, "", None, None))
    status, headers, body = await client.answer()
    assert (status, body) == (200, b"")
    assert set(headers) == {
        "content-type",
        "content-length",
        "lambda-runtime-aws-request-id",
        "lambda-runtime-deadline-ms",
        "lambda-runtime-invoked-function-arn",
    }


async def test_pipelined_life(api):
    """A runtime that sends its answer and the next `next` in one write is answered in order."""
    client = await api.connect()
    client.send(PING + NEXT)
    assert (await client.answer())[2] == b"pong"
    for number in range(3):
        answer = api.invoke(f"id-{number}")
        if number:
            assert (await client.answer())[0] == 202
        assert (await client.answer())[1]["lambda-runtime-aws-request-id"] == f"id-{number}"
        client.send(answered(b"id-%d" % number, b"%d" % number) + NEXT)
        assert (await answer).body == b"%d" % number
        assert await api.session.wait_ready()


# Ways to say a response

PATH = INVOCATION + b"id-1/response"
WELL_SAID = {
    "with a length": answered(b"id-1", b"hello"),
    "in one chunk": b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" % PATH,
    "in two chunks": b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n02\r\nhe\r\n3\r\nllo\r\n00\r\n\r\n" % PATH,
    "with a chunk extension": b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n" % PATH,
    "with an unknown trailer": b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n" % PATH,
    "with the coding in capitals": b"POST %b HTTP/1.1\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n" % PATH,
    "in HTTP/1.0": b"POST %b HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello" % PATH,
    "with Connection: close": answered(b"id-1", b"hello", b"Connection: close"),
    "with a query": said(b"POST", PATH + b"?a=/x/error", b"hello"),
    "streamed, for one who wants the whole": STREAM_HEAD + b"5\r\nhello\r\n0\r\n\r\n",
    "with an empty response mode": answered(b"id-1", b"hello", b"Lambda-Runtime-Function-Response-Mode:"),
}


@pytest.mark.parametrize("is_dribbled", [False, True], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("sent", WELL_SAID.values(), ids=WELL_SAID)
async def test_ways_to_respond(api, sent, is_dribbled):
    """However a response is put into HTTP, its bytes arrive and it is accepted."""
    client, answer = await running(api)
    for piece in [bytes([byte]) for byte in sent] if is_dribbled else [sent]:
        client.send(piece)
        await client.writer.drain()
    status, _, body = await client.answer()
    assert (status, body) == ACCEPTED
    assert (await answer).body == b"hello"


async def test_expect_100_continue(api):
    """A client that asks before it sends gets 100 first, and may also send at once."""
    client, answer = await running(api)
    client.send(b"POST %b HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n" % PATH)
    assert await client.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.send(b"hello")
    assert (await client.answer())[0] == 202
    assert (await answer).body == b"hello"


MODES = ["buffered", "Streaming", "STREAMING", "streaming, streaming", "stream", "null"]


@pytest.mark.parametrize("mode", MODES)
async def test_wrong_response_mode(api, mode):
    """A response mode that is not exactly `streaming` is refused, and ends the invocation as an error without a payload."""
    client, answer = await running(api)
    header = f"Lambda-Runtime-Function-Response-Mode: {mode}".encode()
    status, _, body = await client.ask(answered(b"id-1", b"hello", header))
    assert (status, body) == BAD_MODE
    posted = await answer
    assert (posted.kind, posted.error_type, posted.body) == (
        AnswerKind.INVALID_RESPONSE_MODE,
        "Runtime.InvalidResponseModeHeader",
        b"",
    )
    client.send(NEXT)
    assert await api.session.wait_ready()


async def test_first_of_two_headers_counts(api):
    """Of a header that is said twice the first one counts, as in AWS's own server."""
    client, answer = await running(api)
    types = [b"Content-Type: text/first", b"Content-Type: text/second"]
    assert (await client.ask(answered(b"id-1", b"1", *types)))[0] == 202
    assert (await answer).content_type == "text/first"


# Errors


@pytest.mark.parametrize("error_type", ["", "Runtime.Broke", "no type at all", "x" * 100_000])
@pytest.mark.parametrize("body", [b"", b"{}", b"not json \xff\x00", b"[" * 100_000, b"x" * LIMIT], ids=len)
async def test_error_is_passed_on_untouched(api, error_type, body):
    """Whatever a runtime posts as its error is accepted and kept as it is, with its type."""
    client, answer = await running(api)
    headers = [b"Lambda-Runtime-Function-Error-Type: " + error_type.encode()] if error_type else []
    headers.append(b"Lambda-Runtime-Function-XRay-Error-Cause: " + b"c" * 200_000)
    status, _, accepted = await client.ask(said(b"POST", INVOCATION + b"id-1/error", body, *headers))
    assert (status, accepted) == ACCEPTED
    posted = await answer
    assert (posted.kind, posted.error_type) == (AnswerKind.ERROR, error_type)
    assert posted.body == body


INIT_BODIES = [
    (b'{"errorType":"E"}', b"", "application/json"),
    (b'{"errorType":"E"}', b"Content-Type: application/octet-stream", "application/json"),
    (b"no json", b"", "application/octet-stream"),
    (b"no json", b"Content-Type: application/json", "application/octet-stream"),
    (b"plain words", b"Content-Type: text/plain", "text/plain"),
]


@pytest.mark.parametrize(("body", "header", "content_type"), INIT_BODIES)
async def test_init_error_is_kept(api, body, header, content_type):
    """An init error is accepted once and kept; whether it is JSON is seen from its body."""
    client = await api.connect()
    headers = [b"Lambda-Runtime-Function-Error-Type: Runtime.ImportModuleError", *([header] if header else [])]
    status, _, accepted = await client.ask(said(b"POST", ROOT + b"/runtime/init/error", body, *headers))
    assert (status, accepted) == ACCEPTED
    posted = api.session.init_error
    assert (posted.kind, posted.error_type) == (AnswerKind.INIT_ERROR, "Runtime.ImportModuleError")
    assert (posted.body, posted.content_type) == (body, content_type)
    assert await api.session.wait_ready() is False


# Limits


@pytest.mark.parametrize("verb", [b"response", b"error"])
async def test_size_limit(api, verb):
    """6 MiB and 100 bytes pass, a byte more is 413 for the runtime and too large for the invoker; both can go on."""
    client, answer = await running(api)
    path = INVOCATION + b"id-%d/" + verb
    status, _, body = await client.ask(said(b"POST", path % 1, b"x" * LIMIT))
    assert (status, body) == ACCEPTED
    assert len((await answer).body) == LIMIT
    client.send(NEXT)
    answer = api.invoke("id-2")
    await client.answer()
    status, _, body = await client.ask(said(b"POST", path % 2, b"x" * (LIMIT + 1)))
    assert (status, body) == TOO_LARGE
    assert (await answer).kind is AnswerKind.TOO_LARGE
    client.send(NEXT)
    assert await api.session.wait_ready()


async def test_init_error_beyond_the_limit(api):
    """An init error that is too large is refused; a smaller one may follow."""
    client = await api.connect()
    status, _, body = await client.ask(said(b"POST", ROOT + b"/runtime/init/error", b"x" * (LIMIT + 1)))
    assert (status, body) == TOO_LARGE
    assert (await client.ask(INIT_ERROR))[0] == 202


async def test_slow_body_holds_up_nobody(api):
    """While one connection dribbles a body, the runtime answers on another; the dribbled one is refused at its end."""
    slow, answer = await running(api)
    slow.send(b"POST %b HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc" % PATH)
    other = await api.connect()
    assert (await other.ask(answered(b"id-1", b"quick")))[0] == 202
    assert (await answer).body == b"quick"
    status, _, body = await slow.ask(b"defghij")
    assert (status, body) == BAD_ID


@pytest.mark.parametrize("sent", [b"Content-Length: 10\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel"])
async def test_truncated_body(api, sent):
    """A body that ends early is refused in AWS's words and is no answer; the runtime may send it again."""
    client, answer = await running(api)
    client.send(b"POST %b HTTP/1.1\r\n%b" % (PATH, sent))
    client.writer.write_eof()
    status, _, body = await client.answer()
    assert (status, body) == TRUNCATED
    assert await client.is_closed()
    assert not answer.done()
    assert (await (await api.connect()).ask(answered(b"id-1", b"whole")))[0] == 202
    assert (await answer).body == b"whole"


# What cannot be read. Each is followed by a ping that must not be seen as a request of its own.

SMUGGLING = [
    b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nContent-Length: 5",
    b"Content-Length: 0\r\nContent-Length: 5",
    b"Content-Length: 0\r\nContent-Length: 0",
    b"Content-Length: 0, 5",
    b"Content-Length: 0 5",
    b"Content-Length: +0",
    b"Content-Length: -0",
    b"Content-Length: 0x0",
    b"Content-Length:",
    b"Content-Length: 99999999999999999999",
    b"Content-Length : 5",
    b"Content-Length\x00: 5",
    b"Transfer-Encoding : chunked",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding: chunked, identity",
    b"Transfer-Encoding: identity",
    b'Transfer-Encoding: "chunked"',
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
    b"X: a\r\n Transfer-Encoding: chunked",
    b"X: a\nTransfer-Encoding: chunked",
    b"X: a\rTransfer-Encoding: chunked",
    b"X: a\x00b\r\nTransfer-Encoding: chunked",
    b": empty name",
]
BAD_CHUNKS = [b"zz", b"-1", b"0x1", b" 1", b"1 ", b"", b"fffffffffffffffff", b"1\r\nxy", b"1;a\nb", b"1\nx"]
NOT_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"GET /2018-06-01/ping HTTP/9.9\r\n\r\n",
    b"GET /2018-06-01/ping HTTP/1.1\nHost: x\n\n",
    b"GET /\xff\xfe HTTP/1.1\r\n\r\n",
    b"get /2018-06-01/ping HTTP/1.1\r\n\r\n",
    b"GET /2018-06-01/ping HTTP/1.1\r\nNo colon\r\n\r\n",
]
UNREADABLE = [
    *(b"POST %b HTTP/1.1\r\n%b\r\n\r\n0\r\n\r\n" % (PATH, headers) for headers in SMUGGLING),
    *(b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n%b\r\n0\r\n\r\n" % (PATH, size) for size in BAD_CHUNKS),
    *NOT_HTTP,
]


@pytest.mark.parametrize("sent", UNREADABLE)
async def test_what_cannot_be_read(api, sent):
    """It is answered with one 400 and the connection is closed; nothing in or behind it counts, and others go on."""
    client, answer = await running(api)
    client.send(sent + PING)
    said = await client.rest()
    assert said.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert said.count(b"HTTP/1.1") == 1
    assert not answer.done()
    other = await api.connect()
    assert (await other.ask(answered(b"id-1", b"fine")))[0] == 202
    assert (await answer).body == b"fine"


async def test_a_cause_for_x_ray_is_taken_and_passed_over(api):
    """AWS's clients send one with an error, of up to a megabyte; nothing here makes anything of it."""
    client, answer = await running(api)
    cause = b"Lambda-Runtime-Function-XRay-Error-Cause: " + b"x" * 1_000_000
    assert (await client.ask(said(b"POST", PATH.replace(b"/response", b"/error"), b'{"errorMessage":"no"}', cause)))[0] == 202
    assert (await answer).body == b'{"errorMessage":"no"}'


OVERSIZED = [
    b"GET /2018-06-01/ping HTTP/1.1\r\nX: " + b"a" * 1_400_000,
    b"GET /2018-06-01/ping HTTP/1.1\r\n" + b"X: a\r\n" * 250_000,
    b"GET /" + b"a" * 1_400_000,
    b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" % PATH + b"X: a\r\n" * 250_000,
    b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1;" % PATH + b"a" * 1_400_000,
]


@pytest.mark.parametrize("sent", OVERSIZED, ids=["header", "headers", "path", "trailers", "chunk extension"])
async def test_oversized_head(api, sent):
    """What grows without end outside of a body is cut off, with 431 for whoever still listens."""
    client, answer = await running(api)
    client.send(sent)
    said = await client.rest()
    assert said == b"" or said.startswith(b"HTTP/1.1 431 ")
    assert not answer.done()
    assert (await (await api.connect()).ask(PING))[2] == b"pong"


async def test_too_many_connections(api):
    """The seventeenth connection is closed; when another one has gone there is room again."""
    clients = [await api.connect() for _ in range(15)]  # and the one that was made ahead
    for client in clients:
        assert (await client.ask(PING))[2] == b"pong"
    surplus = await api.connect()
    assert await surplus.is_closed()
    clients[0].writer.close()
    await clients[0].writer.wait_closed()
    assert (await clients[1].ask(PING))[2] == b"pong"
    while True:  # the server is told of the end in its own time
        client = await api.connect()
        client.send(PING)
        if not await client.is_closed():
            break


async def test_our_own_fault(api, monkeypatch, caplog):
    """When answering fails for a reason of ours, the runtime is told 500 so that it exits, and the log says why."""

    def fail(*arguments: object) -> bytes:
        raise LookupError("ours")

    client = await api.connect()
    monkeypatch.setattr(runtime, "answer", fail)
    with caplog.at_level(logging.ERROR):
        status, _, body = await client.ask(PING)
    assert (status, body) == OUR_FAULT
    assert await client.is_closed()
    assert "LookupError: ours" in caplog.text


# Other environments, and processes that should be dead


async def test_environments_do_not_see_each_other(api):
    """The id of another environment's invocation is unknown here, and its event goes nowhere but to it."""
    async with serving() as other:
        ours, answer = await running(api, "id-ours")
        theirs, their_answer = await running(other, "id-theirs")
        for verb in (b"response", b"error"):
            status, _, body = await ours.ask(said(b"POST", INVOCATION + b"id-theirs/" + verb, b"forged"))
            assert (status, body) == BAD_ID
        assert not answer.done()
        assert not their_answer.done()
        assert (await theirs.ask(answered(b"id-theirs", b"true")))[0] == 202
        assert (await their_answer).body == b"true"
        assert (await ours.ask(answered(b"id-ours", b"ours")))[0] == 202
        ours.send(NEXT)
        assert await api.session.wait_ready()
        theirs.send(NEXT)
        other.invoke("id-next", b"secret of the other")
        assert (await theirs.answer())[2] == b"secret of the other"
        api.invoke("id-own", b"own")
        assert (await ours.answer())[2] == b"own"


async def test_init_error_ends_the_session(api):
    """A runtime that could not start never gets an event, whatever it asks for."""
    client = await api.connect()
    assert (await client.ask(INIT_ERROR))[0] == 202
    answer = api.invoke("id-1", b"secret")
    status, _, body = await client.ask(NEXT)
    assert (status, body) == forbidden("InitError", "Ready")
    api.session.end()
    assert (await answer).kind is AnswerKind.ENDED


async def test_ended_session_gives_no_event(api):
    """After the end, invocations end at once, a waiting `next` gets none of them, and a new one is told to exit."""
    client = await api.connect()
    client.send(NEXT)
    assert await api.session.wait_ready()
    api.session.end()
    assert (await api.invoke("id-1", b"secret")).kind is AnswerKind.ENDED
    other = await api.connect()
    status, _, body = await other.ask(NEXT)
    assert (status, body) == OUR_FAULT
    await api.server.close()
    assert await client.rest() == b""


async def test_nothing_of_the_old_process_counts(api):
    """After a reset the old process's waiting `next`, half response, and connection at the door are cut off and come to
    nothing, and the new process's conversation begins from the start."""
    answering, old_answer = await running(api)
    answering.send(b"POST %b HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf" % PATH)
    pinging = await api.connect()
    assert (await pinging.ask(PING))[2] == b"pong"
    at_the_door = await api.connect()
    at_the_door.send(INIT_ERROR)
    session = api.renew()
    assert (await old_answer).kind is AnswerKind.ENDED
    for client in (answering, pinging, at_the_door):
        client.send(b"response" + NEXT)
    for client in (answering, pinging):
        assert await client.rest() == b""
    await at_the_door.rest()
    client, answer = await running(api, "id-2")
    assert session.init_error is None
    status, _, body = await client.ask(answered(b"id-1", b"old"))
    assert (status, body) == BAD_ID
    assert (await client.ask(answered(b"id-2", b"new")))[0] == 202
    assert (await answer).body == b"new"


async def test_old_next_gets_no_new_event(api):
    """A `next` that waited when the environment was reset never gets an event of the new session."""
    old = await api.connect()
    old.send(NEXT)
    assert await api.session.wait_ready()
    api.renew()
    answer = api.invoke("id-2", b"secret")
    assert await old.rest() == b""
    client = await api.connect()
    client.send(NEXT)
    assert (await client.answer())[2] == b"secret"
    assert not answer.done()


async def test_stream_of_the_old_process_has_failed(api):
    """A streamed response under way at a reset ends for its reader with the reset's error type."""
    client, answer = await running(api, wants_stream=True)
    client.send(STREAM_HEAD + b"4\r\nhalf\r\n")
    stream = (await answer).stream
    assert await anext(stream) == b"half"
    api.renew()
    assert [piece async for piece in stream] == []
    assert stream.failure.error_type == "Sandbox.Failure"
