"""The Runtime API as a well-behaved runtime uses it."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from lambdad.runtime_api.session import AnswerKind
from support.raw_runtime import Client

ROOT = b"/2018-06-01/runtime"
NEXT = b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n"


def post(path: bytes, body: bytes = b"", *headers: bytes) -> bytes:
    lines = [b"POST %b HTTP/1.1" % path, b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def response(request_id: bytes, body: bytes, *headers: bytes) -> bytes:
    return post(ROOT + b"/invocation/" + request_id + b"/response", body, *headers)


async def test_invocation_reaches_the_runtime(api):
    """`next` answers with the event's bytes and the headers of the invocation."""
    runtime = await api.connect()
    runtime.send(NEXT)
    assert await api.session.wait_ready()
    api.invoke("id-1", b'{"key": "v\xc3\xa4lue"}')
    status, headers, body = await runtime.answer()
    assert (status, body) == (200, b'{"key": "v\xc3\xa4lue"}')
    assert headers["lambda-runtime-aws-request-id"] == "id-1"
    assert headers["lambda-runtime-deadline-ms"] == "1700000000000"
    assert headers["lambda-runtime-invoked-function-arn"] == "arn:aws:lambda:us-east-1:0:function:f"
    assert headers["lambda-runtime-trace-id"] == "Root=1-2-3;Sampled=0"
    assert headers["content-type"] == "application/json"
    assert "lambda-runtime-client-context" not in headers


async def test_response_resolves_the_answer(api):
    """A posted response comes out byte for byte, with its content type, and is accepted with 202."""
    runtime = await api.connect()
    runtime.send(NEXT)
    answer = api.invoke()
    await runtime.answer()
    body = bytes(range(256)) * 10
    status, _, said = await runtime.ask(response(b"id-1", body, b"Content-Type: application/unknown"))
    assert (status, said) == (202, b'{"status":"OK"}\n')
    posted = await answer
    assert (posted.kind, posted.body, posted.content_type) == (AnswerKind.RESPONSE, body, "application/unknown")


async def test_response_and_next_in_one_write(api):
    """A runtime may send its response and the next `next` together; both are answered, in order."""
    runtime = await api.connect_by_pair()
    runtime.send(NEXT)
    for number in range(20):
        answer = api.invoke(f"id-{number}", b"%d" % number)
        if number:
            assert (await runtime.answer())[0] == 202  # it comes with the next invocation
        status, headers, body = await runtime.answer()
        assert (status, body, headers["lambda-runtime-aws-request-id"]) == (200, b"%d" % number, f"id-{number}")
        runtime.send(response(b"id-%d" % number, body) + NEXT)
        assert (await answer).body == body
        assert await api.session.wait_ready()


async def test_chunked_response(api):
    """A response may come in chunks, spread over many packets."""
    runtime = await api.connect()
    runtime.send(NEXT)
    answer = api.invoke()
    await runtime.answer()
    head = b"POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    for byte in head + b"3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n":
        runtime.send(bytes([byte]))
        await runtime.writer.drain()
    assert (await runtime.answer())[0] == 202
    assert (await answer).body == b"abc0123456789abcdef"


async def test_streamed_response_is_collected(api):
    """A streamed response is collected for an invoker who waits for the whole."""
    runtime = await api.connect()
    runtime.send(NEXT)
    answer = api.invoke()
    await runtime.answer()
    runtime.send(
        b"POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Lambda-Runtime-Function-Response-Mode: streaming\r\nContent-Type: text/html\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    )
    assert (await runtime.answer())[0] == 202
    posted = await answer
    assert (posted.kind, posted.body, posted.content_type) == (AnswerKind.RESPONSE, b"hello", "text/html")


async def test_stream_that_fails_midway(api):
    """Trailers that report an error make the whole an error, with the decoded body of the trailer."""
    runtime = await api.connect()
    runtime.send(NEXT)
    answer = api.invoke()
    await runtime.answer()
    runtime.send(
        b"POST /2018-06-01/runtime/invocation/id-1/response HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
        b"Lambda-Runtime-Function-Response-Mode: streaming\r\n"
        b"Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n5\r\nhello\r\n0\r\n"
        b"Lambda-Runtime-Function-Error-Type: Function.Broken\r\nLambda-Runtime-Function-Error-Body: eyJlIjoxfQ==\r\n\r\n"
    )
    assert (await runtime.answer())[0] == 202
    posted = await answer
    assert (posted.kind, posted.body, posted.error_type) == (AnswerKind.ERROR, b'{"e":1}', "Function.Broken")


async def test_invocation_error(api):
    """`/error` is accepted, its body untouched, its type taken from the header."""
    runtime = await api.connect()
    runtime.send(NEXT)
    answer = api.invoke()
    await runtime.answer()
    body = b'{ "errorMessage" : "x" }'
    path = ROOT + b"/invocation/id-1/error"
    assert (await runtime.ask(post(path, body, b"Lambda-Runtime-Function-Error-Type: Runtime.Oops")))[0] == 202
    posted = await answer
    assert (posted.kind, posted.body, posted.error_type) == (AnswerKind.ERROR, body, "Runtime.Oops")


@pytest.mark.parametrize(
    ("body", "payload"),
    [
        (
            b'{"errorMessage":"m","errorType":"T","stackTrace":["a"],"working_directory":"/x","exceptions":[]}',
            b'{"errorMessage":"m","errorType":"T","stackTrace":["a"]}',
        ),
        (b"not json", b"Invalid error body"),
        (b"[1]", b"Invalid error body"),
        (b'{"a":' * 50_000, b"Invalid error body"),
    ],
)
async def test_error_with_cause(api, body, payload):
    """Of an error body that also has X-Ray's cause, the invoker gets the error alone."""
    runtime = await api.connect()
    runtime.send(NEXT)
    answer = api.invoke()
    await runtime.answer()
    content_type = b"Content-Type: application/vnd.aws.lambda.error.cause+json"
    await runtime.ask(post(ROOT + b"/invocation/id-1/error", body, content_type))
    assert (await answer).body == payload


async def test_init_error(api):
    """`init/error` before the first `next` is accepted and ends the hope that the runtime becomes ready."""
    runtime = await api.connect()
    waiting = asyncio.ensure_future(api.session.wait_ready())
    assert (await runtime.ask(post(ROOT + b"/init/error", b'{"errorType":"E"}')))[0] == 202
    assert await waiting is False
    assert api.session.init_error.body == b'{"errorType":"E"}'


async def test_client_context_cannot_forge_headers(api):
    """Line breaks in a client context become spaces; other characters travel as UTF-8."""
    from lambdad.runtime_api.session import InvocationRequest

    context = '{"custom": {\r\n"a":\n"ü\x00"}}'
    runtime = await api.connect()
    runtime.send(NEXT)
    api.session.invoke(InvocationRequest("id-1", b"{}", 1, "arn", "", context, '{"cognitoIdentityId":"c"}'))
    _, headers, _ = await runtime.answer()
    assert json.loads(headers["lambda-runtime-client-context"].replace(" ", "")) == {"custom": {"a": "ü"}}
    assert headers["lambda-runtime-cognito-identity"] == '{"cognitoIdentityId":"c"}'
    assert "lambda-runtime-trace-id" not in headers


async def test_next_on_another_connection(api):
    """A runtime whose connection was lost while it waited may ask again on another one."""
    first = await api.connect()
    first.send(NEXT)
    assert await api.session.wait_ready()
    first.writer.close()
    await first.writer.wait_closed()
    second = await api.connect()
    while api.session.is_ready:
        assert (await second.ask(b"GET /2018-06-01/ping HTTP/1.1\r\nHost: x\r\n\r\n"))[2] == b"pong"
    answer = api.invoke()  # is held until the runtime asks
    second.send(NEXT)
    assert (await second.answer())[1]["lambda-runtime-aws-request-id"] == "id-1"
    await second.ask(response(b"id-1", b"1"))
    assert (await answer).body == b"1"


async def test_cancelled_invoker(api):
    """When the invoker stops waiting, the runtime's response is still accepted."""
    runtime = await api.connect()
    runtime.send(NEXT)
    answer = api.invoke()
    await runtime.answer()
    answer.cancel()
    assert (await runtime.ask(response(b"id-1", b"late")))[0] == 202
    runtime.send(NEXT)
    api.invoke("id-2")
    assert (await runtime.answer())[1]["lambda-runtime-aws-request-id"] == "id-2"


async def test_end_tells_everyone(api):
    """The end of the runtime resolves the answer and the readiness; invocations after it end at once."""
    answer = api.invoke()
    waiting = asyncio.ensure_future(api.session.wait_ready())
    await asyncio.sleep(0)
    api.session.end()
    assert (await answer).kind is AnswerKind.ENDED
    assert await waiting is False
    assert (await api.invoke("id-2")).kind is AnswerKind.ENDED
    assert await api.session.wait_ready() is False


async def test_who_is_let_in_at_the_end_is_cut_off(api):
    """The event loop tells of a connection in the turn after it was made, and the server may have been closed meanwhile."""
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    late = Client(reader, writer)
    await api.server.close()
    await api.server.adopt(theirs)
    assert await late.is_closed()
    writer.close()


@pytest.mark.parametrize(("tenant", "told"), [("blue:1/a b", "blue:1/a b"), ("", None)])
async def test_the_tenant_is_a_header(api, tenant, told):
    """A runtime is told whom an invocation is for, where there are tenants."""
    from lambdad.runtime_api.session import InvocationRequest

    runtime = await api.connect()
    runtime.send(NEXT)
    api.session.invoke(InvocationRequest("id-1", b"{}", 1, "arn", "", tenant_id=tenant))
    _, headers, _ = await runtime.answer()
    assert headers.get("lambda-runtime-aws-tenant-id") == told
