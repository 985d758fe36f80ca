"""An asynchronous event: an invocation that was asked for with no one waiting for the answer."""

from __future__ import annotations

import msgspec

#: An event older than this is dropped (AWS's MaximumEventAgeInSeconds when nothing is configured).
MAXIMUM_AGE_SECONDS = 21_600.0
_FIRST_BACKOFF_SECONDS = 1.0
LONGEST_BACKOFF_SECONDS = 300.0


class FailureTargets(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who is told that an event failed, and in whose name."""

    on_failure: str | None = None  #: ARN of the destination
    dead_letter: str | None = None  #: ARN of the queue or topic
    role: str = ""  #: ARN of the execution role


NOBODY = FailureTargets()


class QueuedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """`request_id` stays the same at every attempt. `payload` is the JSON text as it was sent, never re-encoded."""

    request_id: str
    account_id: str
    region: str
    function_name: str
    qualifier: str | None  #: as the caller gave it
    invoked_function_arn: str
    payload: bytes
    trace_header: str
    accepted_at: float  #: seconds since the epoch
    if_function_goes: FailureTargets = NOBODY  #: as configured at its acceptance; while there is a function, its settings count
    tenant_id: str = ""  #: of a function with tenants

    @property
    def function_key(self) -> tuple[str, str, str]:
        return (self.account_id, self.region, self.function_name)


class _Header(msgspec.Struct, frozen=True, omit_defaults=True):
    request_id: str
    account_id: str
    region: str
    function_name: str
    qualifier: str | None
    invoked_function_arn: str
    trace_header: str
    accepted_at: float
    if_function_goes: FailureTargets = NOBODY
    tenant_id: str = ""


_header_decoder = msgspec.json.Decoder(_Header)


def encode_event(event: QueuedEvent) -> bytes:
    """A line of JSON, then the payload's own bytes."""
    header = _Header(
        request_id=event.request_id,
        account_id=event.account_id,
        region=event.region,
        function_name=event.function_name,
        qualifier=event.qualifier,
        invoked_function_arn=event.invoked_function_arn,
        trace_header=event.trace_header,
        accepted_at=event.accepted_at,
        if_function_goes=event.if_function_goes,
        tenant_id=event.tenant_id,
    )
    return msgspec.json.encode(header) + b"\n" + event.payload


def decode_event(data: bytes) -> QueuedEvent:
    """ValueError when the bytes are no encoded event."""
    header_line, separator, payload = data.partition(b"\n")
    if not separator:
        raise ValueError("an encoded event has a header line")
    header = _header_decoder.decode(header_line)
    return QueuedEvent(payload=payload, **msgspec.structs.asdict(header))


def backoff_seconds(attempts: int) -> float:
    """How long a throttled event waits after that many attempts: 1 s at first, doubling up to 5 minutes."""
    return min(LONGEST_BACKOFF_SECONDS, _FIRST_BACKOFF_SECONDS * 2.0 ** min(attempts - 1, 20)) if attempts > 0 else 0.0
