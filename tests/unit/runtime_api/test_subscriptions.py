"""Subscribing to telemetry, over raw sockets: what is taken, and what is refused in which words."""

from __future__ import annotations

import asyncio
import json

import pytest

from lambdad.runtime_api.extension_session import ExtensionSession, FunctionIdentity
from lambdad.runtime_api.subscriptions import Subscription

IDENTITY = FunctionIdentity("f", "$LATEST", "app.handler", "000000000000")
WISH = {
    "schemaVersion": "2022-12-13",
    "types": ["platform", "function"],
    "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080/a?b=c"},
    "buffering": {"maxItems": 1000, "maxBytes": 262144, "timeoutMs": 25},
}
TELEMETRY, LOGS = b"/2022-07-01/telemetry", b"/2020-08-15/logs"


@pytest.fixture
async def subscribed(api):
    """What was subscribed to; the session has one extension, which is registered."""
    told = []
    session = ExtensionSession(asyncio.get_running_loop(), IDENTITY, ["x"], on_subscription=told.append)
    api.session.extensions = session
    session.register("x", [])
    return told


@pytest.fixture
def identifier(api, subscribed):
    return api.session.extensions.registered[0].identifier


def put(path: bytes, body: object, identifier: str | None) -> bytes:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [b"PUT %b HTTP/1.1" % path, b"Host: x", b"Content-Length: %d" % len(data)]
    if identifier is not None:
        lines.append(b"Lambda-Extension-Identifier: " + identifier.encode())
    return b"\r\n".join(lines) + b"\r\n\r\n" + data


async def test_a_subscription_is_taken(api, subscribed, identifier):
    """It is answered with "OK" and handed on in full, with AWS's defaults for what it leaves out."""
    client = await api.connect()
    status, _, body = await client.ask(put(TELEMETRY, WISH, identifier))
    assert (status, body) == (200, b'"OK"')
    lean = {"types": ["extension", "extension"], "destination": {"protocol": "TCP", "port": 9999}}
    assert (await client.ask(put(LOGS, lean, identifier)))[0] == 200
    full = Subscription(
        "x", "TELEMETRY", "2022-12-13", ("platform", "function"), "HTTP", 8080, "/a?b=c", "POST", 1000, 262144, 0.025
    )
    assert subscribed == [full, Subscription("x", "LOGS", "2020-08-15", ("extension",), "TCP", 9999)]


@pytest.mark.parametrize(
    "changes",
    [
        {"schemaVersion": "2020-08-15"},
        {"schemaVersion": None},
        {"types": []},
        {"types": ["metrics"]},
        {"types": "platform"},
        {"destination": {"protocol": "UDP", "port": 1}},
        {"destination": {"protocol": "TCP"}},
        {"destination": {"protocol": "TCP", "port": 0}},
        {"destination": {"protocol": "TCP", "port": 65536}},
        {"destination": {"protocol": "TCP", "port": 9001}},
        {"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:9001/"}},
        {"destination": {"protocol": "HTTP"}},
        {"destination": {"protocol": "HTTP", "URI": "http://user@localhost:8080/"}},
        {"destination": {"protocol": "HTTP", "URI": "http://[::1"}},
        {"destination": {"protocol": "HTTP", "URI": "http://169.254.169.254/"}},
        {"destination": {"protocol": "HTTP", "URI": "https://sandbox.localdomain:80/"}},
        {"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:99999/"}},
        {"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:80/a b"}},
        {"destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:80/ü"}},
        {"destination": None},
        {"buffering": {"maxItems": 999}},
        {"buffering": {"maxItems": 10001}},
        {"buffering": {"maxBytes": 262143}},
        {"buffering": {"maxBytes": 1048577}},
        {"buffering": {"timeoutMs": 24}},
        {"buffering": {"timeoutMs": 30001}},
        {"buffering": {"timeoutMs": "25"}},
    ],
)
async def test_what_makes_no_sense_is_refused(api, subscribed, identifier, changes):
    """With 400 and a ValidationError that says why; nothing was subscribed to."""
    client = await api.connect()
    status, _, body = await client.ask(put(TELEMETRY, {**WISH, **changes}, identifier))
    assert (status, json.loads(body)["errorType"]) == (400, "Telemetry.ValidationError")
    assert json.loads(body)["errorMessage"]
    assert subscribed == []


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff"])
async def test_what_is_no_subscription_is_refused(api, subscribed, identifier, body):
    """As for what makes no sense."""
    client = await api.connect()
    assert (await client.ask(put(LOGS, body, identifier)))[0] == 400
    assert subscribed == []


async def test_only_extensions_subscribe_and_only_in_init(api, subscribed, identifier):
    """Others are refused with 403, and so is everybody once the runtime and all extensions have asked for work."""
    client = await api.connect()
    for wrong, error_type in (
        (None, "Extension.MissingExtensionIdentifier"),
        ("x", "Extension.InvalidExtensionIdentifier"),
        ("0f1d6f7e-5f0c-4c62-9d6c-1d8a6b4c2e10", "Extension.UnknownExtensionIdentifier"),
    ):
        status, _, body = await client.ask(put(TELEMETRY, WISH, wrong))
        assert (status, json.loads(body)["errorType"]) == (403, error_type)
    api.session.extensions.close_registration()  # the runtime alone has asked
    assert (await client.ask(put(TELEMETRY, WISH, identifier)))[0] == 200
    assert len(subscribed) == 1
    subscribed.clear()
    api.session.extensions.close_subscriptions()
    for path, name in ((TELEMETRY, "Telemetry"), (LOGS, "Logs")):
        status, _, body = await client.ask(put(path, WISH, identifier))
        assert status == 403
        expected = {"errorType": f"{name}.SubscriptionClosed", "errorMessage": f"{name} API subscription is closed already"}
        assert json.loads(body) == expected
    assert (await client.ask(b"GET /2020-08-15/logs HTTP/1.1\r\nHost: x\r\n\r\n"))[0] == 405
    assert subscribed == []
