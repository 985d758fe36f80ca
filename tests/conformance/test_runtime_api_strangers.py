"""The Runtime API 2018-06-01: other environments, and processes that should be dead, get and give nothing."""

from __future__ import annotations

from lambdad.runtime_api.session import AnswerKind
from support.raw_runtime import serving
from support.runtime_requests import (
    BAD_ID,
    INIT_ERROR,
    INVOCATION,
    NEXT,
    OUR_FAULT,
    PING,
    RESPONSE,
    STREAM_HEAD,
    answered,
    forbidden,
    running,
    said,
)


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
    answering.send(b"POST %b HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf" % RESPONSE)
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
