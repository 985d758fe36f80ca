"""What a destination or a dead-letter queue is told of an event, byte for byte as AWS tells it. Pure rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from lambdad.model.event import QueuedEvent
from lambdad.model.event_state import EventStep
from lambdad.model.invocation import InvocationResult
from lambdad.model.retry import History, Verdict

_CONDITIONS = {
    EventStep.SUCCEED: "Success",
    EventStep.EXHAUST: "RetriesExhausted",
    EventStep.EXPIRE: "EventAgeExceeded",
    EventStep.STOP: "ZeroReservedConcurrency",
    EventStep.LOSE_FUNCTION: "FunctionNotFound",
    EventStep.BREAK_LOOP: "RecursiveInvocation",
}

#: What no message may have. SQS puts this replacement in its place by now, older and other servers refuse the message.
_REFUSED_LETTERS = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REPLACEMENT = "\ufffd"


@dataclass(frozen=True, slots=True)
class Attribute:
    """A message attribute of SQS and SNS."""

    data_type: str  #: "String" or "Number"
    value: str


def invocation_record(
    event: QueuedEvent, verdict: Verdict, result: InvocationResult | None, now: float, *, limit: int | None = None
) -> bytes:
    """The record of an event that has ended, in AWS's key order. Both payloads are left out where it is longer than `limit`."""
    record: dict[str, Any] = {
        "version": "1.0",
        "timestamp": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "requestContext": {
            "requestId": event.request_id,
            "functionArn": qualified_arn(event),
            "condition": _CONDITIONS[verdict.step],
            "approximateInvokeCount": verdict.history.failures + (verdict.step is EventStep.SUCCEED),
        },
        "requestPayload": msgspec.Raw(event.payload),
    }
    if result is not None:
        record["responseContext"] = {"statusCode": 200, "executedVersion": result.executed_version}
        if result.function_error is not None:
            record["responseContext"]["functionError"] = result.function_error
        record["responsePayload"] = _json_value(result.payload)
    encoded = msgspec.json.encode(record)
    if limit is None or len(encoded) <= limit:
        return encoded
    return msgspec.json.encode({name: value for name, value in record.items() if not name.endswith("Payload")})


def dead_letter_attributes(event: QueuedEvent, history: History) -> dict[str, Attribute]:
    """An attribute may not be empty, so a message that is empty is left out."""
    attributes = {
        "RequestID": Attribute("String", event.request_id),
        "ErrorCode": Attribute("Number", str(history.error_status)),
    }
    if history.error_message:
        attributes["ErrorMessage"] = Attribute("String", _REFUSED_LETTERS.sub(_REPLACEMENT, history.error_message))
    return attributes


def object_key(function_name: str, now: float, unique_id: str) -> str:
    """Where S3 keeps the record of a failed event."""
    time = datetime.fromtimestamp(now, UTC)
    return f"aws/lambda/async/{function_name}/{time:%Y/%m/%d}/{time:%Y-%m-%dT%H.%M.%S}-{unique_id}"


def qualified_arn(event: QueuedEvent) -> str:
    return event.invoked_function_arn if event.qualifier else f"{event.invoked_function_arn}:$LATEST"


def error_message(payload: bytes) -> str:
    """What a function's error says, in whatever shape its runtime posted it."""
    try:
        error = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        return payload[:4096].decode(errors="replace")
    message = error.get("errorMessage", "") if isinstance(error, dict) else error
    return message if isinstance(message, str) else msgspec.json.encode(message)[:4096].decode(errors="replace")


def _json_value(payload: bytes) -> Any:
    """A response as it is, if it is JSON; runtimes of one's own may answer with any bytes."""
    if not payload:
        return None
    try:
        msgspec.json.decode(payload, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError):
        return payload.decode(errors="replace")
    return msgspec.Raw(payload)
