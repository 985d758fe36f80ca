"""One run asked for, and its outcome."""

from __future__ import annotations

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


class InvocationResult(msgspec.Struct, frozen=True):
    """What the function answered. The function's failure is a value here, never an exception."""

    payload: bytes
    executed_version: str
    function_error: str | None = None  #: "Unhandled" or "Handled"
    log_tail: bytes | None = None  #: last 4 KB from START to REPORT, when asked for
    content_type: str = "application/json"


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
