"""The Extensions API over raw sockets: what it answers to extensions that behave, that err, and that mean harm."""

from __future__ import annotations

import asyncio
import json
import uuid

import pytest

from lambdad.model.extension_session import TRANSITIONS, ExtensionEvent, ExtensionState, InvalidExtensionTransition, after
from lambdad.runtime_api.extension_session import MAX_EXTENSIONS, ExtensionSession, FunctionIdentity
from lambdad.runtime_api.session import InvocationRequest

ROOT = b"/2020-01-01/extension/"
IDENTITY = FunctionIdentity("f", "$LATEST", "app.handler", "000000000000")


def said(method: bytes, path: bytes, body: bytes = b"", *headers: bytes) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (method, ROOT + path), b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def register(name: bytes, *events: str) -> bytes:
    return said(b"POST", b"register", json.dumps({"events": events}).encode(), b"Lambda-Extension-Name: " + name)


def asks_next(identifier: str) -> bytes:
    return said(b"GET", b"event/next", b"", b"Lambda-Extension-Identifier: " + identifier.encode())


def gives_up(verb: bytes, identifier: str, *headers: bytes) -> bytes:
    headers = headers or (b"Lambda-Extension-Function-Error-Type: Extension.Broke",)
    return said(b"POST", verb, b"{}", b"Lambda-Extension-Identifier: " + identifier.encode(), *headers)


def invocation(request_id: str = "id-1") -> InvocationRequest:
    arn = "arn:aws:lambda:us-east-1:0:function:f"
    return InvocationRequest(request_id, b"{}", 1_700_000_000_000, arn, "Root=1-2-3;Sampled=0")


@pytest.fixture
def failures():
    return []


@pytest.fixture
async def session(api, failures):
    """With one external extension, "outside", whose process has been started."""
    loop = asyncio.get_running_loop()
    made = ExtensionSession(loop, IDENTITY, ["outside"], lambda *failure: failures.append(failure))
    api.session.extensions = made
    return made


async def joined(api, name: bytes = b"outside", *events: str):
    client = await api.connect()
    status, headers, _ = await client.ask(register(name, *events))
    assert status == 200
    return client, headers["lambda-extension-identifier"]


async def test_registration_tells_of_the_function(api, session):
    """Name, version and handler; the account only to who asks for it; and an identifier of its own."""
    client = await api.connect()
    status, headers, body = await client.ask(register(b"outside", "INVOKE", "SHUTDOWN"))
    assert status == 200
    assert json.loads(body) == {"functionName": "f", "functionVersion": "$LATEST", "handler": "app.handler"}
    uuid.UUID(headers["lambda-extension-identifier"])
    feature = b"Lambda-Extension-Accept-Feature: accountId"
    _, _, body = await client.ask(said(b"POST", b"register", b"", b"Lambda-Extension-Name: inside", feature))
    assert json.loads(body)["accountId"] == "000000000000"


@pytest.mark.parametrize(
    ("sent", "error_type", "message"),
    [
        (said(b"POST", b"register", b"{}"), "Extension.InvalidExtensionName", "Empty extension name"),
        (
            said(b"POST", b"register", b"{}", b"Lambda-Extension-Name:  "),
            "Extension.InvalidExtensionName",
            "Empty extension name",
        ),
        (
            register(b"inside", "SHUTDOWN"),
            "Extension.InvalidEventType",
            "SHUTDOWN: ShutdownEventNotSupportedForInternalExtension",
        ),
        (register(b"outside", "FOO"), "Extension.InvalidEventType", "FOO: InvalidEventType"),
        (asks_next(""), "Extension.MissingExtensionIdentifier", "Missing Lambda-Extension-Identifier header"),
        (asks_next("x"), "Extension.InvalidExtensionIdentifier", "Invalid Lambda-Extension-Identifier"),
        (
            asks_next("0f1d6f7e-5f0c-4c62-9d6c-1d8a6b4c2e10"),
            "Extension.UnknownExtensionIdentifier",
            "Unknown extension 0f1d6f7e-5f0c-4c62-9d6c-1d8a6b4c2e10",
        ),
        (
            gives_up(b"exit/error", "0f1d6f7e-5f0c-4c62-9d6c-1d8a6b4c2e10"),
            "Extension.UnknownExtensionIdentifier",
            "Unknown extension 0f1d6f7e-5f0c-4c62-9d6c-1d8a6b4c2e10",
        ),
    ],
)
async def test_refusals(api, session, failures, sent, error_type, message):
    """What is wrong is refused with AWS's type and text, and nothing has happened."""
    client = await api.connect()
    status, _, body = await client.ask(sent)
    assert (status, json.loads(body)) == (403, {"errorMessage": message, "errorType": error_type})
    assert failures == []
    assert session.registered == []


@pytest.mark.parametrize(
    "body", [b"{", b"[]", b'{"events": "INVOKE"}', b'{"events": [1]}', b'{"configurationKeys": []}', b"\xff"]
)
async def test_registrations_that_make_no_sense(api, session, body):
    """A body that is not a registration is refused as such."""
    client = await api.connect()
    status, _, answer = await client.ask(said(b"POST", b"register", body, b"Lambda-Extension-Name: outside"))
    assert (status, json.loads(answer)["errorType"]) == (403, "InvalidRequestFormat")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [(b"GET", b"register", 405), (b"POST", b"event/next", 405), (b"GET", b"init/error", 405), (b"GET", b"other", 404)],
)
async def test_wrong_methods_and_paths(api, session, method, path, status):
    """As the Runtime API answers them."""
    client = await api.connect()
    assert (await client.ask(said(method, path)))[0] == status


async def test_without_extensions_the_api_is_not_there(api):
    """A session without the Extensions API answers 404."""
    client = await api.connect()
    assert (await client.ask(register(b"x")))[0] == 404


async def test_names_are_taken_once(api, session):
    """Neither an external nor an internal extension can be registered twice."""
    client, _ = await joined(api)
    status, _, body = await client.ask(register(b"outside"))
    assert status == 403
    text = "State transition from Registered to Registered failed for extension outside. Error: State transition is not allowed"
    assert json.loads(body) == {"errorMessage": text, "errorType": "Extension.InvalidExtensionState"}
    await joined(api, b"inside")
    _, _, body = await client.ask(register(b"inside"))
    assert json.loads(body)["errorMessage"] == "Extension with this name already registered"


async def test_ten_at_most(api, session):
    """The eleventh is refused, external and internal ones counted together."""
    client = await api.connect()
    for number in range(MAX_EXTENSIONS - 1):
        assert (await client.ask(register(b"inside-%d" % number)))[0] == 200
    status, _, body = await client.ask(register(b"one-too-many"))
    assert (status, json.loads(body)["errorMessage"]) == (403, "Extension limit (10) reached")
    assert (await client.ask(register(b"outside")))[0] == 200, "its place was kept for it"


async def test_ten_external_ones_at_most(api):
    """Where layers bring eleven, the one that comes last is refused."""
    names = [f"outside-{number}" for number in range(MAX_EXTENSIONS + 1)]
    api.session.extensions = ExtensionSession(asyncio.get_running_loop(), IDENTITY, names)
    client = await api.connect()
    answers = [await client.ask(register(name.encode())) for name in reversed(names)]
    assert [status for status, _, _ in answers] == [200] * MAX_EXTENSIONS + [403]
    assert json.loads(answers[-1][2])["errorType"] == "Extension.TooManyExtensions"


async def test_registration_closes(api, session):
    """Once the runtime has asked for work nobody can register any more."""
    session.close_registration()
    client = await api.connect()
    status, _, body = await client.ask(register(b"inside"))
    assert status == 403
    expected = {"errorMessage": "Extension registration closed already", "errorType": "Extension.RegistrationClosed"}
    assert json.loads(body) == expected


async def test_an_invocation_reaches_who_wants_it(api, session):
    """The event is AWS's; an extension without INVOKE hears nothing; the environment is settled when all have asked again."""
    hears, identifier = await joined(api, b"outside", "INVOKE", "SHUTDOWN")
    deaf, deaf_identifier = await joined(api, b"inside")
    assert await session.all_registered()
    ready = session.all_ready()
    hears.send(asks_next(identifier))
    deaf.send(asks_next(deaf_identifier))
    assert await ready
    session.invoke(invocation())
    status, headers, body = await hears.answer()
    assert status == 200
    uuid.UUID(headers["lambda-extension-event-identifier"])
    assert json.loads(body) == {
        "eventType": "INVOKE",
        "deadlineMs": 1_700_000_000_000,
        "requestId": "id-1",
        "invokedFunctionArn": "arn:aws:lambda:us-east-1:0:function:f",
        "tracing": {"type": "X-Amzn-Trace-Id", "value": "Root=1-2-3;Sampled=0"},
    }
    assert not session.is_settled
    settled = session.settled()
    hears.send(asks_next(identifier))
    assert await settled
    assert session.is_settled


async def test_an_event_waits_for_who_is_late(api, session):
    """An extension that is still busy, or has lost its connection, gets the event when it asks."""
    client, identifier = await joined(api, b"outside", "INVOKE")
    client.send(asks_next(identifier))
    assert await session.all_ready()
    client.writer.close()
    again = await api.connect()
    await again.ask(register(b"some-round-trip"))  # by now the lost connection has been noticed
    session.invoke(invocation("late"))
    _, _, body = await again.ask(asks_next(identifier))
    assert json.loads(body)["requestId"] == "late"


async def test_shutdown_is_told_with_its_reason(api, session):
    """To external extensions that want it, with the deadline; afterwards nobody waits for anything."""
    client, identifier = await joined(api, b"outside", "SHUTDOWN")
    client.send(asks_next(identifier))
    assert await session.all_ready()
    assert [one.name for one in session.shut_down("spindown", 42)] == ["outside"]
    _, _, body = await client.answer()
    assert json.loads(body) == {"eventType": "SHUTDOWN", "deadlineMs": 42, "shutdownReason": "spindown"}
    assert await session.all_ready() is False
    status, _, _ = await client.ask(register(b"new"))
    assert status == 403


@pytest.mark.parametrize(("verb", "failure"), [(b"init/error", "Extension.InitError"), (b"exit/error", "Extension.ExitError")])
async def test_giving_up_ends_the_environment(api, session, failures, verb, failure):
    """It is told once, who waits hears of it, and the extension's later calls are refused."""
    client, identifier = await joined(api)
    waiting = session.all_ready()
    status, _, body = await client.ask(gives_up(verb, identifier))
    assert (status, json.loads(body)) == (202, {"status": "OK"})
    assert failures == [(failure, "Extension.Broke")]
    assert await waiting is False
    for later in (asks_next(identifier), gives_up(b"exit/error", identifier), gives_up(b"init/error", identifier)):
        assert (await client.ask(later))[0] == 403
    assert len(failures) == 1


async def test_giving_up_needs_a_reason(api, session, failures):
    """Without the error type's header it is refused; and init/error is for extensions that have not yet asked for an event."""
    client, identifier = await joined(api)
    status, _, body = await client.ask(gives_up(b"init/error", identifier, b"X: y"))
    assert (status, json.loads(body)["errorType"]) == (403, "Extension.MissingHeader")
    assert json.loads(body)["errorMessage"] == "Lambda-Extension-Function-Error-Type not found"
    client.send(asks_next(identifier))
    assert await session.all_ready()
    other = await api.connect()
    status, _, body = await other.ask(gives_up(b"init/error", identifier))
    assert (status, json.loads(body)["errorType"]) == (403, "Extension.InvalidExtensionState")
    assert failures == []


async def test_an_exit_ends_the_environment(api, session, failures):
    """A process that ends before or after its registration is told of, once; its identifier is then unknown."""
    client, identifier = await joined(api)
    session.note_exit("outside", "exit status 3")
    session.note_exit("outside", "exit status 3")
    assert failures == [("Extension.Crash", "exit status 3")]
    assert (await client.ask(asks_next(identifier)))[0] == 403


async def test_who_dies_before_registering(api, session, failures):
    """Init does not wait for it."""
    waiting = session.all_registered()
    session.note_exit("outside", "signal: killed")
    assert await waiting is False
    assert failures == [("Extension.Crash", "signal: killed")]


async def test_one_extension_cannot_speak_for_another(api, session):
    """An identifier is a secret of its extension: guessing gets nowhere, and a runtime's request ids are of no use."""
    await joined(api, b"outside", "INVOKE")
    client = await api.connect()
    for guess in (str(uuid.uuid4()), "00000000-0000-0000-0000-000000000000", "outside", "id-1", "x" * 100_000):
        assert (await client.ask(asks_next(guess)))[0] == 403


@pytest.mark.parametrize("state", ExtensionState)
@pytest.mark.parametrize("event", ExtensionEvent)
def test_the_table_decides(state, event):
    """Each pair of state and event either leads to a state or is refused in AWS's words."""
    if event in TRANSITIONS[state]:
        assert after("x", state, event) is TRANSITIONS[state][event]
    else:
        text = f"State transition from {state.value} to {event.value} failed for extension x"
        with pytest.raises(InvalidExtensionTransition, match=text):
            after("x", state, event)
