"""Invoke as AWS documents it, to the byte and to the header; raw HTTP and boto3 against full isolation."""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from support.server import Server, wait_until

pytestmark = pytest.mark.root

FUNCTION = """
import os, time
import boto3

def handler(event, context):
    how = event.get("how") if isinstance(event, dict) else None
    if how == "raise":
        raise ValueError("as asked")
    if how == "print":
        print("x" * event["size"])
    if how == "gate":
        s3 = boto3.client("s3")
        s3.put_object(Bucket=event["bucket"], Key="entered")
        while "Contents" not in s3.list_objects_v2(Bucket=event["bucket"], Prefix="go-on"):
            time.sleep(0.05)
        s3.put_object(Bucket=event["bucket"], Key="ended")
    if how == "context":
        given = context.client_context
        return given and {"title": given.client and given.client.app_title, "custom": given.custom, "env": given.env}
    if how == "who":
        return [context.aws_request_id, context.function_version, context.invoked_function_arn, os.environ["_X_AMZN_TRACE_ID"]]
    return len(event) if isinstance(event, str) else event
"""
TRACE = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
ARN = "arn:aws:lambda:us-east-1:000000000000:function:exact"
SYNC_LIMIT, EVENT_LIMIT = 6_291_456, 1_048_576


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def error(self) -> tuple[int, str | None, Any]:
        return self.status, self.headers.get("x-amzn-errortype"), json.loads(self.body)


@pytest.fixture(scope="module")
def exact(server: Server) -> Server:
    server.create_function("exact", FUNCTION, Timeout=30, MemorySize=256, Publish=True)
    server.client("lambda").create_alias(FunctionName="exact", Name="live", FunctionVersion="1")
    return server


def post(server: Server, body: Any, *, name: str = "exact", query: str = "", **headers: str) -> Answer:
    """`body` is sent as it is when it is bytes; underscores of the headers' names stand for hyphens."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        sent = {key.replace("_", "-"): value for key, value in headers.items()}
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        connection.request("POST", f"/2015-03-31/functions/{name}/invocations{query}", body, sent)
        answer = connection.getresponse()
        return Answer(answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
    finally:
        connection.close()


def test_what_comes_with_an_answer(exact: Server) -> None:
    """The headers name the request, the trace and the version that ran, which an alias is not; the function sees the same."""
    answer = post(exact, {"how": "who"}, query="?Qualifier=live", X_Amzn_Trace_Id=TRACE)
    assert answer.status == 200
    request_id = answer.headers["x-amzn-requestid"]
    trace = answer.headers["x-amzn-trace-id"]
    assert re.fullmatch(re.escape(TRACE) + ";Lineage=[0-9a-f]{8}:1", trace)
    assert json.loads(answer.body) == [request_id, "1", f"{ARN}:live", trace]
    expected = {
        "x-amz-executed-version": "1",
        "x-amzn-remapped-content-length": "0",
        "content-type": "application/json",
        "content-length": str(len(answer.body)),
    }
    assert {key: answer.headers.get(key) for key in expected} == expected
    assert not {"x-amz-function-error", "x-amz-log-result", "x-amzn-errortype"} & answer.headers.keys()


def test_what_comes_with_an_error_of_the_function(exact: Server) -> None:
    """Still a 200, with one more header."""
    answer = post(exact, {"how": "raise"})
    assert (answer.status, answer.headers["x-amz-function-error"]) == (200, "Unhandled")
    assert answer.headers["x-amz-executed-version"] == "$LATEST"
    assert json.loads(answer.body)["errorType"] == "ValueError"


@pytest.mark.parametrize(("body", "seen"), [(b"", {}), (b" [1.0e2, null]\n", [100.0, None]), (b'"\xc3\xa4\\ud800"', 2)])
def test_bodies_that_are_taken(exact: Server, body: bytes, seen: Any) -> None:
    """No body is an empty object; whatever is JSON is taken, lone surrogates too."""
    answer = post(exact, body)
    assert (answer.status, json.loads(answer.body)) == (200, seen)


def test_the_largest_payloads(exact: Server) -> None:
    """6 MB for who waits, 1 MB for an event; one byte more is refused, in the words of each type."""

    def string(size: int) -> bytes:
        return b'"' + b"x" * (size - 2) + b'"'

    answer = post(exact, string(SYNC_LIMIT))
    assert (answer.status, answer.body) == (200, str(SYNC_LIMIT - 2).encode())
    assert post(exact, string(SYNC_LIMIT), X_Amz_Invocation_Type="DryRun").status == 204
    assert post(exact, string(EVENT_LIMIT), X_Amz_Invocation_Type="Event").status == 202

    def refusal(message: str) -> tuple[int, str, Any]:
        return 413, "RequestEntityTooLargeException", {"Message": message}

    for kind, limit in {"RequestResponse": SYNC_LIMIT, "DryRun": SYNC_LIMIT, "Event": EVENT_LIMIT}.items():
        text = f"{limit + 1} byte payload is too large for the {kind} invocation type (limit {limit} bytes)"
        assert post(exact, string(limit + 1), X_Amz_Invocation_Type=kind).error == refusal(text)
        far_over = f"Request must be smaller than {SYNC_LIMIT} bytes for the InvokeFunction operation"
        assert post(exact, string(SYNC_LIMIT + 101), X_Amz_Invocation_Type=kind).error == refusal(far_over)


def test_client_context(exact: Server) -> None:
    """The function gets it as an object; the longest that AWS takes arrives; an event's is passed over."""
    given = {"client": {"app_title": "grüße"}, "custom": {"a": "1"}, "env": {"locale": "de"}}
    sent = base64.b64encode(json.dumps(given).encode()).decode()
    answer = post(exact, {"how": "context"}, X_Amz_Client_Context=sent)
    assert json.loads(answer.body) == {"title": "grüße", "custom": {"a": "1"}, "env": {"locale": "de"}}
    assert json.loads(post(exact, {"how": "context"}).body) is None
    longest = base64.b64encode(b'{"custom": {"a": "%s"}}' % (b"x" * 2664)).decode()
    assert len(longest) == 3580
    assert len(json.loads(post(exact, {"how": "context"}, X_Amz_Client_Context=longest).body)["custom"]["a"]) == 2664
    refused = post(exact, {"how": "context"}, X_Amz_Client_Context=longest + "AAAA")
    assert refused.error[:2] == (400, "InvalidRequestContentException")
    assert post(exact, {}, X_Amz_Client_Context="?", X_Amz_Invocation_Type="Event").status == 202


def test_the_log_tail(exact: Server) -> None:
    """The last 4 KB of what the invocation logged, whole lines or not, and only for who waits and asks for it."""
    answer = post(exact, {"how": "print", "size": 10_000}, X_Amz_Log_Type="Tail")
    tail = base64.b64decode(answer.headers["x-amz-log-result"])
    assert len(tail) == 4096
    request_id = answer.headers["x-amzn-requestid"].encode()
    assert re.fullmatch(rb"x+\nEND RequestId: %s\nREPORT RequestId: %s\t.*\n" % (request_id, request_id), tail), tail[-400:]
    short = base64.b64decode(post(exact, {"how": "who"}, X_Amz_Log_Type="Tail").headers["x-amz-log-result"])
    assert short.startswith(b"START RequestId: ")
    assert "x-amz-log-result" not in post(exact, {}, X_Amz_Log_Type="None").headers
    assert "x-amz-log-result" not in post(exact, {}, X_Amz_Log_Type="Tail", X_Amz_Invocation_Type="Event").headers


def test_a_caller_that_goes_away(exact: Server) -> None:
    """The function is not stopped, and the server is as before."""
    s3 = exact.client("s3")
    s3.create_bucket(Bucket="goes-away")

    def there(key: str) -> bool:
        return "Contents" in s3.list_objects_v2(Bucket="goes-away", Prefix=key)

    body = json.dumps({"how": "gate", "bucket": "goes-away"}).encode()
    with socket.create_connection(("127.0.0.1", exact.port)) as caller:
        head = b"POST /2015-03-31/functions/exact/invocations HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % len(body)
        caller.sendall(head + body)
        wait_until(lambda: there("entered"), 30, "the function to begin")
    s3.put_object(Bucket="goes-away", Key="go-on")
    wait_until(lambda: there("ended"), 30, "the function to end")
    assert exact.invoke("exact", 1) == 1


TYPES = ("RequestResponse", "Event", "DryRun")


@pytest.mark.parametrize("invocation_type", TYPES)
class TestRefusals:
    """What cannot be run is refused before anything is queued or run, in each type alike."""

    @pytest.mark.parametrize(
        ("where", "named"),
        [
            ({"name": "exactly"}, f"{ARN}ly:$LATEST"),
            ({"query": "?Qualifier=2"}, f"{ARN}:2"),
            ({"query": "?Qualifier=dead"}, f"{ARN}:dead"),
            ({"name": "exact:2"}, f"{ARN}:2"),
        ],
    )
    def test_nothing_of_that_name(self, exact: Server, invocation_type: str, where: dict[str, str], named: str) -> None:
        """A function, a version or an alias that is not there, also when the body is not JSON either."""
        expected = {"Type": "User", "Message": f"Function not found: {named}"}
        for body in (b"{}", b"{"):
            answer = post(exact, body, X_Amz_Invocation_Type=invocation_type, **where)
            assert answer.error == (404, "ResourceNotFoundException", expected)

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            (b"value", "Unrecognized token 'value'"),
            (b"{", "Unexpected end-of-input"),
            (b'{"a": 1} x', "Unrecognized token 'x'"),
            (b"NaN", "Unrecognized token 'NaN'"),
            (b'"\x87"', "Invalid UTF-8 start byte 0x87"),
            (b"[" * 2000 + b"]" * 2000, "Document nesting depth (1001) exceeds the maximum allowed"),
        ],
    )
    def test_no_json(self, exact: Server, invocation_type: str, body: bytes, reason: str) -> None:
        """The parser's words, after the two prefixes that AWS puts before them."""
        status, kind, error = post(exact, body, X_Amz_Invocation_Type=invocation_type).error
        assert (status, kind, error["Type"]) == (400, "InvalidRequestContentException", "User")
        prefix = "Could not parse request body into json: Could not parse payload into json: "
        assert error["message"].startswith(prefix + reason), error

    def test_no_such_qualifier_or_name(self, exact: Server, invocation_type: str) -> None:
        """Names that no function can have are refused as such, before anything is looked for."""
        for where in ({"name": "no%20function"}, {"query": "?Qualifier=not%20one"}):
            status, kind, error = post(exact, b"{", X_Amz_Invocation_Type=invocation_type, **where).error
            assert (status, kind) == (400, "ValidationException")
            assert "failed to satisfy constraint" in error["message"]

    def test_a_stopped_function(self, exact: Server, invocation_type: str) -> None:
        """A reserve of 0 refuses who waits, with AWS's body; an event is taken, a dry run too."""
        name = f"stopped-exact-{invocation_type}"
        exact.create_function(name, FUNCTION)
        exact.client("lambda").put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
        answer = post(exact, b"{}", name=name, X_Amz_Invocation_Type=invocation_type)
        if invocation_type != "RequestResponse":
            assert (answer.status, answer.body) == ({"Event": 202, "DryRun": 204}[invocation_type], b"")
            return
        reason = "ReservedFunctionConcurrentInvocationLimitExceeded"
        body = {"Reason": reason, "Type": "User", "message": "Rate Exceeded."}
        assert answer.error == (429, "TooManyRequestsException", body)
        assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("header", "value", "member", "allowed"),
    [
        ("X_Amz_Invocation_Type", "Later", "invocationType", "[Event, RequestResponse, DryRun]"),
        ("X_Amz_Invocation_Type", "event", "invocationType", "[Event, RequestResponse, DryRun]"),
        ("X_Amz_Log_Type", "All", "logType", "[None, Tail]"),
    ],
)
def test_types_that_are_none(exact: Server, header: str, value: str, member: str, allowed: str) -> None:
    """An unknown type is a validation error that says which there are, also where the function is not there."""
    expected = (
        f"1 validation error detected: Value '{value}' at '{member}' failed to satisfy constraint: "
        f"Member must satisfy enum value set: {allowed}"
    )
    for name in ("exact", "exactly"):
        answer = post(exact, b"{}", name=name, **{header: value})
        assert answer.error == (400, "ValidationException", {"message": expected})
