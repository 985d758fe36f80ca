"""The Runtime API 2018-06-01: every request in every state, and every route, with the status and the text of AWS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from lambdad.runtime_api.session import AnswerKind
from support.raw_runtime import Api
from support.runtime_requests import (
    ACCEPTED,
    BAD_ID,
    INIT_ERROR,
    INVOCATION,
    NEXT,
    OUR_FAULT,
    PING,
    ROOT,
    STREAM_HEAD,
    answered,
    forbidden,
    running,
    said,
)

WAITS = "waits for an invocation"


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
