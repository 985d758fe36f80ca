"""What every protocol offers the front: parsers and writers per operation, and errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from lambdad.errors import ServiceError
from lambdad.wire.http import Query, Reply
from lambdad.wire.spec import ErrorSpec


@dataclass(slots=True)
class Arrival:
    """The parts of a request that carry parameters. `body` is a BodyStream where the payload is streaming."""

    labels: Mapping[str, str] = field(default_factory=dict)  #: percent-decoded
    query: Query = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Any = b""
    form: Query | None = None  #: the query protocol's parameters


Parser = Callable[[Arrival], dict[str, Any]]
#: Output and request id to the answer.
Writer = Callable[[Mapping[str, Any], str], Reply]


class Codec(Protocol):
    """A service's protocol. Parsers raise Unreadable for requests that do not have the model's form."""

    def parser(self, operation: str) -> Parser: ...

    def writer(self, operation: str) -> Writer: ...

    def error(self, error: ServiceError, request_id: str, resource: str) -> Reply: ...


def error_status(error: ServiceError, spec: ErrorSpec | None) -> int:
    return error.status or (spec.status if spec else 400)


def message_member(spec: ErrorSpec | None, default: str) -> str:
    """AWS spells it "message" in most errors and "Message" in the others."""
    if spec:
        for name in ("message", "Message"):
            if name in spec.shape.members:
                return name
    return default
