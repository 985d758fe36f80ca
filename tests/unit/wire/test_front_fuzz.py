"""Requests drawn at random: whatever comes, the front answers it, and never with our own fault."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lambdad.wire.front import Front
from unit.wire.serving import Recorder, front_over

SEGMENTS = st.sampled_from(
    ["", "b", "%2F", "%ff", "..", "2015-03-31", "functions", "f", "invocations", "layers", "é", "k+v", "%"]
)
QUERIES = st.lists(
    st.sampled_from(
        [
            "uploads", "uploadId=1", "partNumber=x", "list-type=2", "delete", "notification", "max-keys=9e9", "X-Amz-Expires=1",
            "X-Amz-Date=x", "X-Amz-Credential=a/b/c/d/e", "X-Amz-Signature=0", "AWSAccessKeyId=k", "Signature=s", "Expires=z",
            "Expires=99999999999", "Action=Nope", "%zz", "=", "Qualifier=%00", "x-amz-acl=x", "MaxItems=1",
        ]
    ),
    max_size=4,
).map("&".join)  # fmt: skip
HEADERS = st.dictionaries(
    st.sampled_from(
        [
            b"authorization", b"x-amz-target", b"x-amz-date", b"x-amz-content-sha256", b"content-length", b"content-type",
            b"host",
            b"x-amz-copy-source", b"content-encoding", b"x-amz-decoded-content-length", b"x-amz-trailer", b"range", b"origin",
            b"if-modified-since", b"x-amz-meta-a", b"x-amz-invocation-type", b"x-amz-security-token",
        ]
    ),
    st.sampled_from(
        [
            b"", b"x", b"3", b"-1", b"\xff\xfe", "é".encode(), b"Logs_20140328.PutLogEvents", b"AmazonSQS.ListQueues",
            b"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/us-east-1/lambda/aws4_request, SignedHeaders=host, Signature="
            + b"0" * 64,
            b"AWS4-HMAC-SHA256 Credential=////, SignedHeaders=;, Signature=", b"20261123T010203Z", b"aws-chunked",
            b"STREAMING-AWS4-HMAC-SHA256-PAYLOAD", b"STREAMING-UNSIGNED-PAYLOAD-TRAILER", b"application/x-www-form-urlencoded",
            b"b.s3.localhost:4566", b"http://evil",
        ]
    ),
    max_size=6,
)  # fmt: skip
BODIES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"{}", b"null", b"[]", b'{"Tags":{"a":1}}', b"<a/>", b"<Delete/>", b"Action=Get", b"0\r\n\r\n"]),
)


@cache
def fronts() -> tuple[Front, Front]:
    return front_over(Recorder()), front_over(Recorder(), auth_required=True)


@pytest.mark.parametrize("auth_required", [False, True])
@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "HEAD", "OPTIONS", "PATCH"]),
    segments=st.lists(SEGMENTS, max_size=5),
    query=QUERIES,
    headers=HEADERS,
    body=BODIES,
)
def test_every_request_is_answered(
    auth_required: bool, method: str, segments: list[str], query: str, headers: dict[bytes, bytes], body: bytes
) -> None:
    """One whole answer comes back, with an id, and its status is never 500."""
    scope = {
        "type": "http",
        "method": method,
        "raw_path": ("/" + "/".join(segments)).encode(),
        "query_string": query.encode(),
        "headers": list(headers.items()),
        "server": ("127.0.0.1", 4566),
    }
    sent: list[MutableMapping[str, Any]] = []

    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Mapping[str, Any]:
        if not waiting:
            await asyncio.Event().wait()  # as a server does after the body, until the client has gone
        return waiting.pop()

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    asyncio.run(fronts()[auth_required](scope, receive, send))
    assert sent[0]["type"] == "http.response.start"
    assert {message["type"] for message in sent[1:]} == {"http.response.body"}
    assert [bool(message.get("more_body")) for message in sent[1:]].index(False) == len(sent) - 2
    names = {name for name, _ in sent[0]["headers"]}
    assert names & {b"x-amzn-requestid", b"x-amz-request-id"}
    assert sent[0]["status"] != 500
    if auth_required:
        assert sent[0]["status"] >= 400
