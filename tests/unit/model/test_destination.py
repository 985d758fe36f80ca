"""Records of invocations and attributes of dead letters, byte for byte."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from lambdad.model.destination import (
    dead_letter_attributes,
    error_message,
    invocation_record,
    object_key,
)
from lambdad.model.event import QueuedEvent
from lambdad.model.event_state import EventStep
from lambdad.model.invocation import InvocationResult
from lambdad.model.retry import History, Verdict

NOW = 1573755365.568
EVENT = QueuedEvent(
    request_id="e4b46cbf-b738-4880-8880-a18cdf61200e",
    account_id="123456789012",
    region="us-east-1",
    function_name="my-function",
    qualifier=None,
    invoked_function_arn="arn:aws:lambda:us-east-1:123456789012:function:my-function",
    payload=b'{"ORDER_IDS": [1.0, 2e3]}',
    trace_header="",
    accepted_at=NOW,
)
FAILED = InvocationResult(b'{"errorMessage": "no", "errorType": "E"}', "$LATEST", "Unhandled")
EXHAUSTED = Verdict(EventStep.EXHAUST, History(3, 0, 200, "no"))


def test_a_failure() -> None:
    """The record of a failed event, with both payloads as they were, number for number."""
    assert invocation_record(EVENT, EXHAUSTED, FAILED, NOW) == (
        b'{"version":"1.0","timestamp":"2019-11-14T18:16:05.568Z",'
        b'"requestContext":{"requestId":"e4b46cbf-b738-4880-8880-a18cdf61200e",'
        b'"functionArn":"arn:aws:lambda:us-east-1:123456789012:function:my-function:$LATEST",'
        b'"condition":"RetriesExhausted","approximateInvokeCount":3},'
        b'"requestPayload":{"ORDER_IDS": [1.0, 2e3]},'
        b'"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},'
        b'"responsePayload":{"errorMessage": "no", "errorType": "E"}}'
    )


def test_a_success() -> None:
    """No functionError; the alias that was invoked and the version that ran; the try that succeeded is counted."""
    event = replace(EVENT, qualifier="live", invoked_function_arn=EVENT.invoked_function_arn + ":live")
    verdict = Verdict(EventStep.SUCCEED, History(failures=1))
    record = json.loads(invocation_record(event, verdict, InvocationResult(b'"ok"', "7"), NOW))
    assert record["requestContext"]["functionArn"].endswith(":function:my-function:live")
    assert record["requestContext"]["condition"] == "Success"
    assert record["requestContext"]["approximateInvokeCount"] == 2
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "7"}
    assert record["responsePayload"] == "ok"


@pytest.mark.parametrize(
    ("step", "condition"), [(EventStep.EXPIRE, "EventAgeExceeded"), (EventStep.STOP, "ZeroReservedConcurrency")]
)
def test_an_event_that_did_not_run(step: EventStep, condition: str) -> None:
    """Without a response there is no responseContext and no responsePayload."""
    record = json.loads(invocation_record(EVENT, Verdict(step, History()), None, NOW))
    assert record["requestContext"]["condition"] == condition
    assert record["requestContext"]["approximateInvokeCount"] == 0
    assert list(record) == ["version", "timestamp", "requestContext", "requestPayload"]


@pytest.mark.parametrize(
    ("payload", "shown"),
    [(b"", None), (b"plain", "plain"), (b"\xff{", "\ufffd{"), (b"[" * 5000, "[" * 5000), (b'{"a":1} x', '{"a":1} x')],
)
def test_responses_that_are_no_json(payload: bytes, shown: str | None) -> None:
    """What a runtime of one's own answers cannot break the record."""
    record = json.loads(invocation_record(EVENT, EXHAUSTED, replace(FAILED, payload=payload), NOW))
    assert record["responsePayload"] == shown


def test_a_record_that_is_too_long() -> None:
    """Both payloads are left out where the target would not take them; one byte less and they are in."""
    whole = invocation_record(EVENT, EXHAUSTED, FAILED, NOW)
    assert invocation_record(EVENT, EXHAUSTED, FAILED, NOW, limit=len(whole)) == whole
    short = json.loads(invocation_record(EVENT, EXHAUSTED, FAILED, NOW, limit=len(whole) - 1))
    assert list(short) == ["version", "timestamp", "requestContext", "responseContext"]


def test_attributes_of_a_dead_letter() -> None:
    """Request id, the status of the last error as a number, its message; no empty attribute, which SQS would refuse."""
    shown = {name: (each.data_type, each.value) for name, each in dead_letter_attributes(EVENT, EXHAUSTED.history).items()}
    assert shown == {
        "RequestID": ("String", EVENT.request_id),
        "ErrorCode": ("Number", "200"),
        "ErrorMessage": ("String", "no"),
    }
    assert set(dead_letter_attributes(EVENT, History(error_status=429))) == {"RequestID", "ErrorCode"}
    hostile = History(error_status=200, error_message="a\x00\x1b[31m\x7f\t\n\ufffe\U0001f600")
    assert dead_letter_attributes(EVENT, hostile)["ErrorMessage"].value == "a\ufffd\ufffd[31m\x7f\t\n\ufffd\U0001f600"


def test_key_of_an_object() -> None:
    """As AWS names the objects of failed events."""
    assert object_key("f", NOW, "id") == "aws/lambda/async/f/2019/11/14/2019-11-14T18.16.05-id"


@pytest.mark.parametrize(
    ("payload", "message"),
    [
        (b'{"errorMessage": "no", "errorType": "E"}', "no"),
        (b'{"errorType": "E"}', ""),
        (b'{"errorMessage": {"a": 1}}', '{"a":1}'),
        (b'"text"', "text"),
        (b"[1]", "[1]"),
        (b"not json", "not json"),
        (b"\xff", "\ufffd"),
        (b"", ""),
    ],
)
def test_the_message_of_an_error(payload: bytes, message: str) -> None:
    """Whatever a runtime posts as its error, something can be said of it."""
    assert error_message(payload) == message
