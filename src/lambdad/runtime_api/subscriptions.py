"""The routes of the Telemetry API 2022-07-01 and the Logs API 2020-08-15: who wants to hear what, where, and how often.

A subscription is checked here and handed to the environment, which delivers. Only extensions can subscribe, and only in Init.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from lambdad.runtime_api import answers
from lambdad.runtime_api.extension_session import Extension, ExtensionRefusal, ExtensionSession

if TYPE_CHECKING:
    from lambdad.runtime_api.runtime import Request

TELEMETRY_PATH = b"/2022-07-01/telemetry"
LOGS_PATH = b"/2020-08-15/logs"
_SCHEMAS = {TELEMETRY_PATH: ("2022-07-01", "2022-12-13", "2025-01-29"), LOGS_PATH: ("2020-08-15", "2021-03-18")}
_HOSTS = frozenset({"sandbox", "sandbox.localdomain"})  #: both are this environment, and only this
RESERVED_PORT = 9001
IDENTIFIER = b"lambda-extension-identifier"


class _Buffering(msgspec.Struct, forbid_unknown_fields=True):
    maxItems: Annotated[int, msgspec.Meta(ge=1000, le=10_000)] = 10_000
    maxBytes: Annotated[int, msgspec.Meta(ge=262_144, le=1_048_576)] = 262_144
    timeoutMs: Annotated[int, msgspec.Meta(ge=25, le=30_000)] = 1000


class _Destination(msgspec.Struct):
    protocol: Literal["HTTP", "TCP"]
    URI: str = ""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    method: Literal["POST", "PUT"] = "POST"
    encoding: Literal["JSON"] = "JSON"


class _Wish(msgspec.Struct):
    types: Annotated[list[Literal["platform", "function", "extension"]], msgspec.Meta(min_length=1)]
    destination: _Destination
    buffering: _Buffering = msgspec.field(default_factory=_Buffering)
    schemaVersion: str | None = None


@dataclass(frozen=True, slots=True)
class Subscription:
    """What one extension wants to be sent."""

    extension: str
    api: str  #: "TELEMETRY" or "LOGS"
    schema: str
    types: tuple[str, ...]
    protocol: str  #: "HTTP" or "TCP"
    port: int
    path: str = "/"
    method: str = "POST"
    max_items: int = 10_000
    max_bytes: int = 262_144
    timeout_seconds: float = 1.0


def answer(session: ExtensionSession, request: Request) -> bytes:
    name = "Telemetry" if request.path == TELEMETRY_PATH else "Logs"
    if request.method != b"PUT":
        return answers.method_not_allowed("PUT")
    try:
        extension = session.find(request.headers.get(IDENTIFIER, b"").decode("utf-8", "replace").strip())
        if not session.takes_subscriptions:
            raise ExtensionRefusal(f"{name}.SubscriptionClosed", f"{name} API subscription is closed already")
    except ExtensionRefusal as refusal:
        return answers.refusal(403, refusal.error_type, str(refusal))
    try:
        wanted = _read(extension, request)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        return answers.refusal(400, f"{name}.ValidationError", str(error))
    session.subscribe(wanted)
    return answers.ok(b'"OK"', "application/json")


def _read(extension: Extension, request: Request) -> Subscription:
    wish = msgspec.json.decode(request.body, type=_Wish)
    schemas = _SCHEMAS[request.path]
    if wish.schemaVersion is None and request.path == TELEMETRY_PATH:
        raise ValueError("schemaVersion is required")
    schema = wish.schemaVersion or schemas[0]
    if schema not in schemas:
        raise ValueError(f"schemaVersion must be one of {', '.join(schemas)}")
    destination = wish.destination
    port, path = destination.port, "/"
    if destination.protocol == "HTTP":
        parts = urlsplit(destination.URI)
        if parts.scheme != "http" or parts.hostname not in _HOSTS:
            raise ValueError("destination.URI must be http://sandbox.localdomain:<port>[/<path>]")
        port = parts.port or 80
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        if not path.isascii() or not path.isprintable() or " " in path:
            raise ValueError("destination.URI has letters that a path cannot have")
    if port is None:
        raise ValueError("destination.port is required for TCP")
    if port == RESERVED_PORT:
        raise ValueError(f"port {RESERVED_PORT} is reserved for the Runtime API")
    return Subscription(
        extension=extension.name,
        api="TELEMETRY" if request.path == TELEMETRY_PATH else "LOGS",
        schema=schema,
        types=tuple(dict.fromkeys(wish.types)),
        protocol=destination.protocol,
        port=port,
        path=path,
        method=destination.method if request.path == LOGS_PATH else "POST",
        max_items=wish.buffering.maxItems,
        max_bytes=wish.buffering.maxBytes,
        timeout_seconds=wish.buffering.timeoutMs / 1000,
    )
