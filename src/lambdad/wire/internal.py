"""Addresses that are not AWS's: health, metrics, the console. Chosen by path prefix before any AWS meaning is looked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from lambdad.wire.http import Query, Reply

MAX_INTERNAL_BODY_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class InternalRequest:
    method: str
    path: str  #: percent-decoded
    query: Query
    headers: Mapping[str, str]
    body: bytes
    source_ip: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class InternalResponse:
    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)

    def as_reply(self) -> Reply:
        return Reply(self.status, {"content-type": self.content_type, **self.headers}, self.body)


InternalHandler = Callable[[InternalRequest], Awaitable[InternalResponse]]


class InternalRoutes:
    """The longest prefix wins; a prefix matches itself and what stands below it."""

    def __init__(self, handlers: Mapping[str, InternalHandler]) -> None:
        self._handlers = sorted(handlers.items(), key=lambda entry: -len(entry[0]))

    def handler_of(self, path: str) -> InternalHandler | None:
        for prefix, handler in self._handlers:
            if path == prefix or path.startswith(prefix.rstrip("/") + "/"):
                return handler
        return None
