"""One run asked for, and its outcome."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from lambdad.model.version import Version


class Invocation(msgspec.Struct, frozen=True):
    """`payload` is the event's JSON text as the caller sent it (checked, never re-encoded)."""

    request_id: str
    version: Version
    invoked_function_arn: str  #: as requested: with the qualifier if the caller gave one, else unqualified
    payload: bytes
    trace_header: str  #: "Root=1-...;Parent=...;Sampled=0;Lineage=..."
    client_context: str | None = None  #: decoded JSON text
    cognito_identity: str | None = None  #: JSON text
    wants_log_tail: bool = False
    is_event: bool = False  #: asynchronous: bound by concurrency, and by no rate
    wants_stream: bool = False  #: a response that the function streams is passed on while it is written


class StreamEnd(msgspec.Struct, frozen=True):
    """How a streamed response ended. Without an error type it is whole."""

    error_type: str | None = None
    error: bytes = b""  #: as JSON
    log_tail: bytes | None = None  #: when asked for


class StreamedResponse(Protocol):
    """A response on its way while the function writes it, for one reader.

    It is iterated to its end, after which `end` says what became of it, or `close`d before: what is still to come then goes
    nowhere, and the function runs to its end. A reader that takes its time makes the function wait.
    """

    content_type: str

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    def close(self) -> None:
        """May be repeated, and after the end."""
        ...

    async def end(self) -> StreamEnd: ...


class InvocationResult(msgspec.Struct, frozen=True):
    """What the function answered. The function's failure is a value here, never an exception."""

    payload: bytes
    executed_version: str
    function_error: str | None = None  #: "Unhandled" or "Handled"
    log_tail: bytes | None = None  #: last 4 KB from START to REPORT, when asked for
    content_type: str = "application/json"
    stream: StreamedResponse | None = None  #: in place of the payload, of an invocation that wants it


class LogEvent(msgspec.Struct, frozen=True, gc=False):
    timestamp_ms: int
    message: str  #: without the trailing newline


class LogBatch(msgspec.Struct, frozen=True):
    """Lines of one log stream in their order."""

    account_id: str
    region: str
    group: str
    stream: str
    events: tuple[LogEvent, ...]
