"""Errors of every protocol: shape, status, message member, further members."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import pytest

from lambdad.errors import ServiceError
from lambdad.wire.dialect import dialect_of
from lambdad.wire.http import Reply
from lambdad.wire.protocols import codec_for
from lambdad.wire.protocols.xml_text import parse_xml
from lambdad.wire.spec import ServiceSpec


@cache
def codec_of(service: str) -> Any:
    spec = ServiceSpec(service)
    return codec_for(spec, dialect_of(service, spec.protocol))


def reply_of(service: str, *arguments: Any, **options: Any) -> Reply:
    reply: Reply = codec_of(service).error(ServiceError(*arguments, **options), "REQUEST", "/bucket/a key&")
    return reply


LAMBDA = [
    ("ResourceNotFoundException", {}, 404, {"Type": "User", "Message": "m"}),
    ("ServiceException", {}, 500, {"Type": "Service", "Message": "m"}),
    ("InvalidParameterValueException", {}, 400, {"Type": "User", "message": "m"}),
    ("ValidationException", {}, 400, {"message": "m"}),
    ("AccessDeniedException", {"status": 403}, 403, {"Message": "m"}),
    (
        "TooManyRequestsException",
        {"members": {"Reason": "ReservedFunctionConcurrentInvocationLimitExceeded"}},
        429,
        {"Type": "User", "Reason": "ReservedFunctionConcurrentInvocationLimitExceeded", "message": "m"},
    ),
]


@pytest.mark.parametrize(("code", "options", "status", "body"), LAMBDA, ids=[case[0] for case in LAMBDA])
def test_lambda(code: str, options: dict[str, Any], status: int, body: dict[str, str]) -> None:
    """Lambda spells the message as the error's model does, and says whose fault it was."""
    reply = reply_of("lambda", code, "m", **options)
    assert isinstance(reply.body, bytes)
    assert (reply.status, reply.headers["x-amzn-errortype"]) == (status, code)
    assert json.loads(reply.body) == body


def test_members_bound_to_headers() -> None:
    """An error's member that the model binds to a header becomes one."""
    reply = reply_of("lambda", "TooManyRequestsException", "m", members={"retryAfterSeconds": "7"})
    assert reply.headers["retry-after"] == "7"


def test_s3() -> None:
    """S3's document has the resource and both ids, and everything in it is escaped."""
    reply = reply_of("s3", "NoSuchKey", "<gone>", members={"Key": "a&b"})
    assert reply.status == 404
    assert isinstance(reply.body, bytes)
    root = parse_xml(reply.body)
    found = {child.tag: child.text for child in root.children}
    assert found.pop("HostId")
    assert found == {
        "Code": "NoSuchKey", "Message": "<gone>", "Key": "a&b", "Resource": "/bucket/a key&", "RequestId": "REQUEST"
    }  # fmt: skip


def test_query() -> None:
    """The query services wrap the error and name the wire code of the model."""
    reply = reply_of("iam", "NoSuchEntityException", "m")
    assert isinstance(reply.body, bytes)
    assert reply.status == 404
    assert b"<Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>m</Message></Error>" in reply.body
    assert b"<RequestId>REQUEST</RequestId>" in reply.body


def test_json() -> None:
    """The json services name the error in __type."""
    reply = reply_of("dynamodb", "ResourceNotFoundException", "m")
    assert isinstance(reply.body, bytes)
    assert (reply.status, json.loads(reply.body)) == (400, {"__type": "ResourceNotFoundException", "message": "m"})
    assert reply.headers["content-type"] == "application/x-amz-json-1.0"
