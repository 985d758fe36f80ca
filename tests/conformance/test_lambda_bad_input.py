"""Each served operation of the Lambda API, attacked with what its model forbids: a declared error, and no change."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from lambdad.services.lambda_ import SERVICE
from lambdad.wire.pattern import satisfies
from support.answers import assert_declared
from support.lambda_account import MODEL, SERVED, call, furnish, is_known, kept, sound_value, sound_values, wait_active
from support.model_cases import broken_texts, broken_values, limits
from support.model_request import has_json_body, request_of
from support.server import Server
from support.wire_client import WireAnswer, WireClient, WireRequest

pytestmark = pytest.mark.root

ATTACKED, LIMITED, SOUND = "700000000001", "700000000002", "700000000003"

#: Nested beyond every parser's patience, and closed again, so that nothing else is wrong with it.
DEEP = 100_000
HOSTILE = (
    "..", "../../../etc/passwd", "..%2f..%2fetc", "/", "//", "/etc/passwd", "a/../b", ".", "...", "\x00", "a\x00b", "%00",
    "\r\nx-injected: yes", "a\r\n\r\nHTTP/1.1 200 OK", "%0d%0a", "\x1b[2J", "\ufeff", "\u202e", "\u2028", "\u00e9", "e\u0301",
    "\U0001f4a9", "\uff0e\uff0e\uff0f", "${jndi:ldap://x}", "$LATEST", "*", "?", "#", ";", "&", "=", "+", " ", "'", '"', "<x>",
    "a:b:c:d:e:f:g:h", "arn:aws:lambda", "arn:aws:lambda:us-east-1:700000000009:function:x", "arn:aws:lambda:::function:",
    "a" * 5000,
)  # fmt: skip
#: Sent as they stand, encoded twice or not in any valid way.
RAW_HOSTILE = (
    "%2e%2e", "%2e%2e%2f%2e%2e%2f", "%252e%252e%252f", "%2F", "%5c..%5c", "%00", "%2500", "%c0%ae%c0%ae", "%c0%af", "%ff%fe",
    "%ed%a0%80", "%", "%%", "%zz", "%u002e", "%f0%9f", "a%", "..;/", "%0d%0ax:y", "%20", "\xe9", "\xff", "a|b",
)  # fmt: skip


@pytest.fixture(scope="module")
def attacked(server: Server) -> Iterator[WireClient]:
    with furnish(server, ATTACKED) as client:
        yield client


@pytest.fixture
def unchanged(server: Server, attacked: WireClient) -> Iterator[None]:
    """Nothing of the account differs after the test, and no file lies about that was not there before."""
    before, files = kept(server, ATTACKED), server.files()
    yield
    after = kept(server, ATTACKED)
    assert {key for key in before.keys() | after.keys() if before.get(key) != after.get(key)} == set()
    assert server.files() <= files


@pytest.mark.parametrize("operation", SERVED)
def test_what_the_model_forbids_is_refused(attacked: WireClient, unchanged: None, operation: str) -> None:
    """Each member missing, null, of a wrong type, below and above its limits, with a wrong pattern or choice: a 4xx."""
    let_through = {}
    for what, request in _broken_requests(operation):
        answer = attacked.send(request)
        if not 400 <= answer.status < 500:
            let_through[what] = answer.status
        else:
            assert_declared(operation, answer, what)
    assert let_through == {}


def _broken_requests(operation: str) -> Iterator[tuple[str, WireRequest]]:
    model = MODEL.operation_model(operation)
    shape = model.input_shape
    values = sound_values(operation, ATTACKED)
    for name, member in (shape.members if shape else {}).items():
        place = member.serialization.get("location")
        required = name in shape.required_members
        if shape.serialization.get("payload") == name:
            continue
        if place is None:
            cases = list(broken_values(member, sound_value))
            if required:
                yield f"null as {name}", request_of(model, {**values, name: None})
        else:
            # An empty label makes another address, and other members in paths and queries have no type but text.
            cases = [(what, value) for what, value in broken_texts(member) if value != "" or place != "uri"]
            cases = [(what, value) for what, value in cases if place != "header" or _fits_a_header(value)]
        if required and place != "uri":
            yield f"no {name}", request_of(model, {each: value for each, value in values.items() if each != name})
        for what, value in cases:
            yield f"{name}: {what}", request_of(model, {**values, name: value})


def _fits_a_header(value: Any) -> bool:
    """Others never get as far as an operation; what is trimmed around a header's value is no part of it."""
    text = str(value)
    return text.isascii() and text.isprintable() and text == text.strip()


WITH_BODY = [name for name in SERVED if has_json_body(MODEL.operation_model(name))]


@pytest.mark.parametrize("operation", WITH_BODY)
def test_a_body_that_is_no_json_object_is_refused(attacked: WireClient, unchanged: None, operation: str) -> None:
    """Broken off, not UTF-8, nested 100,000 deep, not an object, with numbers that JSON does not have: a 4xx."""
    model = MODEL.operation_model(operation)
    request = request_of(model, sound_values(operation, ATTACKED))
    sound = request.body
    name, shape = _some_body_member(model)
    inner = f'{{"{name}":'.encode()
    bodies = {
        "broken off": sound[:-1], "something behind": sound + b"x", "two objects": sound + sound, "a list": b"[]",
        "a text": b'"a"', "a number": b"1", "true": b"true", "no token": b"nul", "single quotes": b"{'a':1}",
        "a comment": b"/* a */" + sound, "a comma too many": b'{"a":1,}', "a byte order mark": b"\xef\xbb\xbf" + sound,
        "UTF-16": sound.decode().encode("utf-16"), "UTF-32": sound.decode().encode("utf-32"), "NULs": b"\0" * 100,
        "not UTF-8": b'{"a":"\xff\xfe"}', "half a character": b'{"a":"\xc3"}', "an overlong slash": b'{"a":"\xc0\xaf"}',
        "a surrogate as bytes": b'{"a":"\xed\xa0\x80"}', "a raw control character": b'{"a":"\n"}',
        "half an escape": b'{"a":"\\u00"}',
        "lists, deep": b"[" * DEEP, "lists, deep and closed": b'{"a":' + b"[" * DEEP + b"]" * DEEP + b"}",
        "objects, deep": b'{"a":' * DEEP, "objects, deep and closed": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        "a member, deep": inner + b"[" * DEEP + b"]" * DEEP + b"}", "NaN": inner + b"NaN}", "Infinity": inner + b"-Infinity}",
        "a hexadecimal number": inner + b"0x10}", "a leading zero": inner + b"010}", "half a number": inner + b"1e}",
        "a second, bad value": sound[:-1] + f',"{name}":{json.dumps(_wrong_for(shape))}}}'.encode(),
        "nothing but space": b" \n\t ",
    }  # fmt: skip
    let_through = {}
    for what, body in bodies.items():
        answer = attacked.send(replace(request, body=body))
        if not 400 <= answer.status < 500:
            let_through[what] = answer.status
        else:
            assert_declared(operation, answer, what)
    assert let_through == {}


def _some_body_member(model: Any) -> tuple[str, Any]:
    members = model.input_shape.members.items()
    return next((name, member) for name, member in members if member.serialization.get("location") is None)


def _wrong_for(shape: Any) -> Any:
    return next(value for _, value in broken_values(shape, sound_value))


@pytest.mark.parametrize("operation", SERVED)
def test_hostile_texts_do_no_harm(attacked: WireClient, unchanged: None, operation: str) -> None:
    """Traversals, control characters and encodings of them in each label, query and header: answered, never carried out."""
    model = MODEL.operation_model(operation)
    shape = model.input_shape
    values = sound_values(operation, ATTACKED)
    for name, member in (shape.members if shape else {}).items():
        place = member.serialization.get("location")
        member = member.member if member.type_name == "list" else member
        for text in HOSTILE if place in ("uri", "querystring") else ():
            if not _is_allowed(member, text):
                assert_harmless(operation, attacked.send(request_of(model, {**values, name: text})), f"{name}={text!r}")
        marked = request_of(model, {**values, name: "MARKED"}) if place in ("uri", "querystring") else None
        for text in RAW_HOSTILE if marked else ():
            request = replace(marked, target=marked.target.replace("MARKED", text))
            assert_harmless(operation, attacked.send(request), f"{name}={text!r}")
        for text in ("\xff\xfe", "\x01", "a" * 20_000, "%00", "..", "=?utf-8?q?a?=") if place == "header" else ():
            assert_harmless(operation, attacked.send(request_of(model, {**values, name: text})), f"{name}={text!r}")


def assert_harmless(operation: str, answer: WireAnswer, what: str) -> None:
    """What is left of a path after a hostile label may be the address of another operation; nothing of the text comes back."""
    assert answer.status < 500, (operation, what, answer)
    assert not {"x-injected", "x"} & answer.headers.keys(), (operation, what)
    if answer.status >= 400 and answer.headers.get("connection") != "close":  # else it was no HTTP and named no operation
        assert answer.message, (operation, what)


def _is_allowed(member: Any, text: str) -> bool:
    """A name that the model takes is no attack, whatever it looks like."""
    pattern = member.metadata.get("pattern")
    return pattern is not None and satisfies(pattern, text)


@pytest.mark.parametrize("operation", sorted(SERVICE.not_yet))
def test_an_operation_that_is_not_served_says_so(attacked: WireClient, unchanged: None, operation: str) -> None:
    """At its own address, in the words of `lambdad support`, whatever is sent."""
    for values in (sound_values(operation, ATTACKED), {}):
        answer = attacked.send(request_of(MODEL.operation_model(operation), values))
        assert answer.message == f"{operation} is not supported: {SERVICE.not_yet[operation]}"
        assert (answer.status, answer.error) == (400, "InvalidParameterValueException")


REFUSED_MEMBERS = [(operation, path) for operation, members in SERVICE.refused.items() for path in members]


@pytest.mark.parametrize(("operation", "path"), REFUSED_MEMBERS)
def test_a_member_without_effect_is_refused(attacked: WireClient, unchanged: None, operation: str, path: str) -> None:
    """A request in which nothing is wrong but that it sets the member is refused for it by name, and nothing comes of it."""
    shape = MODEL.operation_model(operation).input_shape
    first, *deeper = path.split(".")
    value = _set_at(shape.members[first], deeper)
    sound = sound_values(operation, ATTACKED)
    values = {**sound, first: {**sound[first], **value} if isinstance(sound.get(first), dict) else value}
    answer = attacked.send(request_of(MODEL.operation_model(operation), values))
    assert answer.message.startswith(f"{path} is not supported: "), answer
    assert_declared(operation, answer)


def _set_at(shape: Any, path: list[str]) -> Any:
    """A value in which something stands at the path, and in structures on the way what they require."""
    if not path:
        value = sound_value("", shape)
        return (
            value
            if value or shape.type_name != "structure"
            else {name: sound_value(name, m) for name, m in shape.members.items()}
        )
    if shape.type_name == "list":
        return [_set_at(shape.member, path)]
    return {**sound_value("", shape), path[0]: _set_at(shape.members[path[0]], path[1:])}


def test_what_stands_at_a_limit_is_let_through(server: Server) -> None:
    """A value at a limit may still be refused for what it says, but not for its length, its range or its choice."""
    with furnish(server, LIMITED) as client:
        for operation in SERVED:
            for what, member, request in _requests_at_limits(operation):
                answer = client.send(request)
                assert answer.status < 500, (operation, what, answer)
                if answer.status >= 400:
                    assert_declared(operation, answer, what)
                    name = member[:1].lower() + member[1:]
                    assert f"'{name}' failed" not in answer.message, (operation, what, answer)


def _requests_at_limits(operation: str) -> Iterator[tuple[str, str, WireRequest]]:
    model = MODEL.operation_model(operation)
    values = sound_values(operation, LIMITED)
    if model.input_shape and operation != "PutProvisionedConcurrencyConfig":
        for name, member in model.input_shape.members.items():
            if name not in ("FunctionName", "LayerName", "Runtime"):
                for what, value in limits(member):
                    yield f"{name}: {what}", name, request_of(model, {**values, name: value})


def test_sound_requests_do_what_they_are_for(server: Server) -> None:
    """The requests from which the bad ones are made: whatever was refused above was refused for what was wrong with it.

    Of an operation that is new to these tests only its shape is known: it is attacked all the same, and may be refused here.
    """
    outcomes = {}
    with furnish(server, SOUND) as client:
        for operation in sorted(SERVED, key=_harm):
            if operation.startswith(("Update", "Publish")):
                wait_active(client, "attacked")
            answer = call(client, operation, **sound_values(operation, SOUND))
            outcomes[operation] = (answer.status, answer.error)
            assert answer.status < 500, (operation, answer)
    refused = {operation: outcome for operation, outcome in outcomes.items() if outcome[0] >= 400 and is_known(operation)}
    assert refused == {}
    assert sum(map(is_known, SERVED)) >= 60


def _harm(operation: str) -> tuple[int, str]:
    """What others need goes last; provisioned environments are put there before they are asked for."""
    if operation in (
        last := ("DeleteResourcePolicy", "DeleteAlias", "DeleteLayerVersion", "DeleteFunction", "DeleteCodeSigningConfig")
    ):
        return (3 + last.index(operation), operation)
    if operation.startswith("Put"):
        return (0, operation)
    return (2 if operation.startswith(("Delete", "Remove", "Untag")) else 1, operation)
