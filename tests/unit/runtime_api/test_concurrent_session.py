"""A runtime that takes several invocations at once, over the routes of the Runtime API."""

from __future__ import annotations

import asyncio

import pytest

from lambdad.model.runtime_session import InvalidStateTransition, RuntimeEvent
from lambdad.runtime_api import runtime
from lambdad.runtime_api.concurrent_session import ConcurrentSession
from lambdad.runtime_api.extension_session import ExtensionRefusal, ExtensionSession, FunctionIdentity
from lambdad.runtime_api.response_stream import StreamFailure
from lambdad.runtime_api.runtime import Request
from lambdad.runtime_api.session import AnswerKind, InvalidRequestID, InvocationRequest, RuntimeAnswer, SessionEnded


class Connection:
    """What it was answered with, at last."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []

    def deliver(self, answer: bytes) -> None:
        self.answers.append(answer)

    def pause_stream(self) -> None: ...

    def resume_stream(self) -> None: ...


def invocation(request_id: str, *, wants_stream: bool = False) -> InvocationRequest:
    return InvocationRequest(request_id, request_id.encode(), 1, "arn", "", wants_stream=wants_stream)


def respond(session: ConcurrentSession, request_id: str, body: bytes = b"{}") -> bytes | None:
    path = runtime.INVOCATION + request_id.encode() + b"/response"
    return runtime.answer(session, Request(b"POST", path, body=body), Connection())


@pytest.fixture(params=[True, False], ids=["workers", "pool"])
async def session(request) -> ConcurrentSession:
    return ConcurrentSession(asyncio.get_running_loop(), None, 3, dies_with_connection=request.param)


@pytest.fixture
async def workers() -> ConcurrentSession:
    return ConcurrentSession(asyncio.get_running_loop(), None, 2, dies_with_connection=True)


async def test_answers_find_their_invocation(session):
    """Whatever the order in which a runtime answers, each invocation gets its own."""
    connections = [Connection() for _ in range(3)]
    for connection in connections:
        session.next(connection)
    answers = {name: session.invoke(invocation(name)) for name in "abc"}
    assert sorted(one for connection in connections for one in connection.answers[0][-1:].decode()) == ["a", "b", "c"]
    for name in "bca":
        assert respond(session, name, name.upper().encode()).startswith(b"HTTP/1.1 202")
    assert {name: (await answer).body for name, answer in answers.items()} == {"a": b"A", "b": b"B", "c": b"C"}
    assert session.free == 0
    for connection in connections:
        session.next(connection)
    assert session.free == 3


async def test_no_more_than_it_may_have(session):
    """One question too many is refused as AWS refuses it, while every place has an invocation or waits for one."""
    for _ in range(3):
        session.next(Connection())
    with pytest.raises(InvalidStateTransition):
        session.next(Connection())
    session.invoke(invocation("a"))
    with pytest.raises(InvalidStateTransition):
        session.next(Connection())


async def test_ids_that_it_does_not_have(session):
    """An unknown id, one that was answered, and none at all."""
    session.next(Connection())
    answer = session.invoke(invocation("a"))
    for unknown in ("b", ""):
        with pytest.raises(InvalidRequestID):
            session.check(unknown, RuntimeEvent.RESPONSE)
    respond(session, "a")
    assert b"InvalidRequestID" in respond(session, "a")
    assert (await answer).kind is AnswerKind.RESPONSE


async def test_a_worker_that_dies(workers):
    """Its invocation has no answer, and its place is gone; the other's goes on. Of an idle one nobody hears."""
    first, second = Connection(), Connection()
    workers.next(first)
    one = workers.invoke(invocation("a"))
    workers.next(second)
    two = workers.invoke(invocation("b"))
    workers.connection_lost(first)
    assert (await one).kind is AnswerKind.ENDED
    with pytest.raises(InvalidRequestID):
        workers.check("a", RuntimeEvent.RESPONSE)
    respond(workers, "b")
    assert (await two).kind is AnswerKind.RESPONSE
    workers.next(second)
    workers.next_lost(second)
    workers.connection_lost(second)
    assert workers.free == 0


async def test_a_worker_that_asks_twice(workers):
    """It may have one invocation at a time."""
    connection = Connection()
    workers.next(connection)
    workers.invoke(invocation("a"))
    with pytest.raises(InvalidStateTransition):
        workers.next(connection)


async def test_connections_that_mean_nothing():
    """A runtime with a pool of connections asks on one, answers on another and closes a third; nothing is lost."""
    session = ConcurrentSession(asyncio.get_running_loop(), None, 2, dies_with_connection=False)
    connection = Connection()
    session.next(connection)
    one = session.invoke(invocation("a"))
    session.next(connection)  # the same, which is free again
    two = session.invoke(invocation("b"))
    session.connection_lost(connection)
    for name in "ab":
        respond(session, name, name.encode())
    assert [(await answer).body for answer in (one, two)] == [b"a", b"b"]
    session.next(connection)
    session.next_lost(connection)
    assert session.free == 0
    session.next(Connection())
    session.next(Connection())
    assert session.free == 2


async def test_ready_when_the_first_is(workers):
    """One worker is enough; an error of another one after that fails nothing."""
    waiting = asyncio.ensure_future(workers.wait_ready())
    await asyncio.sleep(0)
    workers.next(Connection())
    assert await waiting and await workers.wait_ready()
    with pytest.raises(InvalidStateTransition):
        workers.fail_init(RuntimeAnswer(AnswerKind.INIT_ERROR, b"late"))
    assert workers.init_error is None


async def test_an_init_error(workers):
    """The first one counts, and it will never be ready."""
    waiting = asyncio.ensure_future(workers.wait_ready())
    await asyncio.sleep(0)
    workers.fail_init(RuntimeAnswer(AnswerKind.INIT_ERROR, b"first"))
    with pytest.raises(InvalidStateTransition):
        workers.fail_init(RuntimeAnswer(AnswerKind.INIT_ERROR, b"second"))
    assert await waiting is False and await workers.wait_ready() is False
    assert workers.init_error.body == b"first"


async def test_the_end(session):
    """Whatever has no answer is told so, and nobody may ask any more."""
    session.next(Connection())
    answer = session.invoke(invocation("a"))
    session.end()
    assert (await answer).kind is AnswerKind.ENDED
    assert await session.wait_ready() is False
    with pytest.raises(SessionEnded):
        session.next(Connection())


async def test_streams_beside_each_other(session):
    """Each is its own invocation's, and its place is free when it has ended."""
    connections = [Connection(), Connection()]
    answers = {}
    for name, connection in zip("ab", connections, strict=True):
        session.next(connection)
        answers[name] = session.invoke(invocation(name, wants_stream=True))
    streams = {name: session.open_stream(name, "text/plain", connections[0]) for name in "ab"}
    assert session.open_stream("c", "text/plain", connections[0]) is None
    for name, stream in streams.items():
        stream.write(name.encode())
        assert (await answers[name]).stream is stream
    assert session.close_stream(streams["a"], None)
    session.cut_stream(streams["b"])
    assert [piece async for piece in streams["a"]] == [b"a"] and streams["a"].failure is None
    assert [piece async for piece in streams["b"]] == [b"b"] and isinstance(streams["b"].failure, StreamFailure)
    assert not session.close_stream(streams["a"], None)
    for connection in connections:
        session.next(connection)
    assert session.free == 2


async def test_extensions_hear_of_no_invocations():
    """Where several run at once an extension may ask for the shutdown alone."""
    identity = FunctionIdentity("f", "1", "h", "000000000000")
    extensions = ExtensionSession(asyncio.get_running_loop(), identity, ("e",), hears_of_invocations=False)
    with pytest.raises(ExtensionRefusal) as refused:
        extensions.register("e", ["INVOKE", "SHUTDOWN"])
    assert refused.value.error_type == "Extension.InvalidEventType"
    assert extensions.register("e", ["SHUTDOWN"]).name == "e"
