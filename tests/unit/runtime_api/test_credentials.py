"""The routes that only functions with SnapStart find: restore, and credentials by HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from lambdad.model.runtime_session import RuntimeState
from lambdad.runtime_api import answers
from lambdad.runtime_api.credentials import ContainerCredentials
from lambdad.runtime_api.session import AnswerKind, Beginning
from support.raw_runtime import Api, serving

CREDENTIALS = ContainerCredentials("the token", "key", "secret", "session", lambda: 1_700_000_000.0)
INVOCATION_NEXT = b"/2018-06-01/runtime/invocation/next"
RESTORE_NEXT, RESTORE_ERROR = b"/2018-06-01/runtime/restore/next", b"/2018-06-01/runtime/restore/error"


def said(method: bytes, path: bytes, body: bytes = b"", *headers: bytes) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (method, path), b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@pytest.fixture
async def template() -> AsyncIterator[Api]:
    async with serving(Beginning.TEMPLATE, CREDENTIALS) as served:
        yield served


@pytest.fixture
async def clone() -> AsyncIterator[Api]:
    async with serving(Beginning.CLONE, CREDENTIALS) as served:
        yield served


async def test_a_template_waits_for_its_snapshot(template: Api) -> None:
    """`restore/next` ends Init, and is answered when the snapshot is to be taken, not before."""
    runtime = await template.connect()
    runtime.send(said(b"GET", RESTORE_NEXT))
    assert await template.session.wait_ready()
    assert template.session.state is RuntimeState.RESTORE_READY
    answer = asyncio.ensure_future(runtime.answer())
    await asyncio.sleep(0)
    assert not answer.done()
    template.session.fork(answers.FORK)
    assert (await answer)[0] == 102


async def test_a_template_asks_once(template: Api) -> None:
    """A second `restore/next`, an invocation, or an Init error while it waits are refused; the first is still answered."""
    runtime, other = await template.connect(), await template.connect()
    runtime.send(said(b"GET", RESTORE_NEXT))
    assert await template.session.wait_ready()
    for method, path in ((b"GET", RESTORE_NEXT), (b"GET", INVOCATION_NEXT), (b"POST", b"/2018-06-01/runtime/init/error")):
        status, _, body = await other.ask(said(method, path))
        assert (status, json.loads(body)["errorType"]) == (403, "InvalidStateTransition")
    template.session.fork(answers.FORK)
    assert (await runtime.answer())[0] == 102


async def test_a_clone_goes_on_at_once(clone: Api) -> None:
    """`restore/next` is answered with 200 and nothing; then the clone asks for work like any runtime."""
    runtime = await clone.connect()
    status, _, body = await runtime.ask(said(b"GET", RESTORE_NEXT))
    assert (status, body) == (200, b"")
    runtime.send(said(b"GET", INVOCATION_NEXT))
    assert await clone.session.wait_ready()
    answer = clone.invoke()
    assert (await runtime.answer())[0] == 200
    assert (await runtime.ask(said(b"POST", b"/2018-06-01/runtime/invocation/id-1/response", b"1")))[0] == 202
    assert (await answer).body == b"1"


@pytest.mark.parametrize("path", [RESTORE_ERROR, b"/2018-06-01/runtime/init/error"], ids=["restore-error", "init-error"])
async def test_a_clone_that_cannot_go_on(clone: Api, path: bytes) -> None:
    """Its error is kept for the invoker, and it gets no invocation any more; an Init error counts as one of the restore."""
    runtime = await clone.connect()
    error_type = b"Lambda-Runtime-Function-Error-Type: Runtime.AfterRestoreError"
    assert (await runtime.ask(said(b"POST", path, b'{"errorMessage": "no"}', error_type)))[0] == 202
    assert not await clone.session.wait_ready()
    posted = clone.session.init_error
    assert posted is not None
    assert (posted.kind, posted.error_type) == (AnswerKind.INIT_ERROR, "Runtime.AfterRestoreError")
    for method, again in ((b"GET", INVOCATION_NEXT), (b"GET", RESTORE_NEXT), (b"POST", RESTORE_ERROR)):
        status, _, body = await runtime.ask(said(method, again))
        assert (status, json.loads(body)["errorType"]) == (403, "InvalidStateTransition")


async def test_credentials_are_for_who_has_the_token(clone: Api) -> None:
    """They come in the form that SDKs read from a container's endpoint, and say until when they may be kept."""
    runtime = await clone.connect()
    status, headers, body = await runtime.ask(said(b"GET", b"/2021-04-23/credentials", b"", b"Authorization: the token"))
    assert (status, headers["content-type"]) == (200, "application/json")
    assert json.loads(body) == {
        "AccessKeyId": "key",
        "SecretAccessKey": "secret",
        "Token": "session",
        "Expiration": "2023-11-15T04:13:20Z",
    }


@pytest.mark.parametrize("headers", [[], [b"Authorization: "], [b"Authorization: another"], [b"Authorization: \xff\xfe"]])
async def test_a_wrong_token_gets_nothing(clone: Api, headers: list[bytes]) -> None:
    """404 with a text, as AWS does it."""
    runtime = await clone.connect()
    status, _, body = await runtime.ask(said(b"GET", b"/2021-04-23/credentials", b"", *headers))
    assert status == 404
    assert b"secret" not in body


@pytest.mark.parametrize(
    "path, method", [(RESTORE_NEXT, b"POST"), (RESTORE_ERROR, b"GET"), (b"/2021-04-23/credentials", b"PUT")]
)
async def test_a_wrong_method(clone: Api, path: bytes, method: bytes) -> None:
    """405, and the connection goes on."""
    runtime = await clone.connect()
    assert (await runtime.ask(said(method, path)))[0] == 405
    assert (await runtime.ask(said(b"GET", RESTORE_NEXT)))[0] == 200
