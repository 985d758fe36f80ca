"""The Runtime API 2018-06-01 over raw sockets: what an invocation, a response, an error may be, and how large."""

from __future__ import annotations

import logging

import pytest

from lambdad.runtime_api import runtime
from lambdad.runtime_api.session import AnswerKind, InvocationRequest
from support.runtime_requests import (
    ACCEPTED,
    BAD_ID,
    BAD_MODE,
    INIT_ERROR,
    INVOCATION,
    LIMIT,
    NEXT,
    OUR_FAULT,
    PING,
    RESPONSE,
    ROOT,
    STREAM_HEAD,
    TOO_LARGE,
    TRUNCATED,
    answered,
    running,
    said,
)


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

WELL_SAID = {
    "with a length": answered(b"id-1", b"hello"),
    "in one chunk": b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" % RESPONSE,
    "in two chunks": b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n02\r\nhe\r\n3\r\nllo\r\n00\r\n\r\n" % RESPONSE,
    "with a chunk extension": b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\n\r\n" % RESPONSE,
    "with a trailer": b"POST %b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n" % RESPONSE,
    "with the coding in capitals": b"POST %b HTTP/1.1\r\nTRANSFER-ENCODING: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n" % RESPONSE,
    "in HTTP/1.0": b"POST %b HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello" % RESPONSE,
    "with Connection: close": answered(b"id-1", b"hello", b"Connection: close"),
    "with a query": said(b"POST", RESPONSE + b"?a=/x/error", b"hello"),
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
    client.send(b"POST %b HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-Continue\r\n\r\n" % RESPONSE)
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


async def test_a_cause_for_x_ray_is_taken_and_passed_over(api):
    """AWS's clients send one with an error, of up to a megabyte; nothing here makes anything of it."""
    client, answer = await running(api)
    cause = b"Lambda-Runtime-Function-XRay-Error-Cause: " + b"x" * 1_000_000
    assert (await client.ask(said(b"POST", RESPONSE.replace(b"/response", b"/error"), b'{"errorMessage":"no"}', cause)))[
        0
    ] == 202
    assert (await answer).body == b'{"errorMessage":"no"}'


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
    slow.send(b"POST %b HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc" % RESPONSE)
    other = await api.connect()
    assert (await other.ask(answered(b"id-1", b"quick")))[0] == 202
    assert (await answer).body == b"quick"
    status, _, body = await slow.ask(b"defghij")
    assert (status, body) == BAD_ID


@pytest.mark.parametrize("sent", [b"Content-Length: 10\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhel"])
async def test_truncated_body(api, sent):
    """A body that ends early is refused in AWS's words and is no answer; the runtime may send it again."""
    client, answer = await running(api)
    client.send(b"POST %b HTTP/1.1\r\n%b" % (RESPONSE, sent))
    client.writer.write_eof()
    status, _, body = await client.answer()
    assert (status, body) == TRUNCATED
    assert await client.is_closed()
    assert not answer.done()
    assert (await (await api.connect()).ask(answered(b"id-1", b"whole")))[0] == 202
    assert (await answer).body == b"whole"


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
