"""botocore's own serialiser and parser against ours, for every operation of the models we serve or will serve."""

from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import quote, urlencode

import botocore.parsers
import botocore.serialize
import pytest
from botocore.awsrequest import HeadersDict

from lambdad.wire.dialect import dialect_of
from lambdad.wire.http import parse_query
from lambdad.wire.protocols import codec_for
from lambdad.wire.protocols.base import Arrival
from lambdad.wire.rest_table import RestTable
from lambdad.wire.spec import ServiceSpec

SERVICES = ("lambda", "s3", "logs", "sqs", "sts", "iam", "dynamodb")
MOMENT = datetime(2026, 11, 23, 1, 2, 3, tzinfo=UTC)

#: Operations whose events come as an event stream: tests/unit/wire/protocols/test_event_stream.py.
EVENT_STREAMS = frozenset(
    {("lambda", "InvokeWithResponseStream"), ("s3", "SelectObjectContent"), ("logs", "GetLogObject"), ("logs", "StartLiveTail")}
)
#: Names that cannot be reached by HTTP alone: newer twins that own the same address.
SAME_ADDRESS = {
    ("s3", "GetBucketLifecycle"): "GetBucketLifecycleConfiguration",
    ("s3", "GetBucketNotification"): "GetBucketNotificationConfiguration",
    ("s3", "PutBucketLifecycle"): "PutBucketLifecycleConfiguration",
    ("s3", "PutBucketNotification"): "PutBucketNotificationConfiguration",
    ("s3", "ListDirectoryBuckets"): "ListBuckets",
}
#: Deprecated twins whose model gives one element to two members; they are never routed to.
AMBIGUOUS = frozenset({("s3", "GetBucketNotification"), ("s3", "PutBucketNotification")})


@cache
def spec_of(name: str) -> ServiceSpec:
    return ServiceSpec(name)


@cache
def table_of(name: str) -> RestTable:
    return RestTable(spec_of(name), needs_subresource=name == "s3")


@cache
def codec_of(name: str) -> Any:
    return codec_for(spec_of(name), dialect_of(name, spec_of(name).protocol))


def cases() -> list[Any]:
    return [
        pytest.param(service, operation, id=f"{service}-{operation}")
        for service in SERVICES
        for operation in spec_of(service).operation_names
    ]


def sample(shape: Any, stack: tuple[str, ...] = ()) -> Any:
    """A value with every member set; None where a shape contains itself."""
    kind = shape.type_name
    if kind == "structure":
        if getattr(shape, "is_document_type", False):
            return {"k": ["v", 1]}
        if shape.name in stack:
            return None
        members = list(shape.members.items())
        if getattr(shape, "is_tagged_union", False):
            members = members[:1]
        values = {name: sample(member, (*stack, shape.name)) for name, member in members}
        return {name: value for name, value in values.items() if value is not None}
    if kind == "list":
        element = sample(shape.member, stack)
        return None if element is None else [element, element]
    if kind == "map":
        value = sample(shape.value, stack)
        return None if value is None else {shape.key.enum[0] if shape.key.enum else "kk": value}
    if kind == "string":
        if shape.enum:
            return shape.enum[0]
        return "abc" if shape.metadata.get("pattern") else "a b/c&<é"
    return {"blob": b"\x00\x01bin", "timestamp": MOMENT, "boolean": True, "float": 1.5, "double": 1.5}.get(kind, 7)


def plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: plain(entry) for name, entry in value.items() if entry is not None}
    if isinstance(value, list):
        return [plain(entry) for entry in value]
    if hasattr(value, "read"):
        return value.read()
    if isinstance(value, datetime):
        return value.astimezone(UTC)
    return value


def encode(pairs: Any) -> str:
    flat = [(k, x) for k, v in pairs.items() for x in (v if isinstance(v, (list, tuple)) else [v])]
    return urlencode(flat, quote_via=quote)


@pytest.mark.parametrize(("service", "operation"), cases())
def test_what_botocore_sends_is_what_the_operation_gets(service: str, operation: str) -> None:
    """Routing and parsing give back the very parameters that botocore serialised."""
    spec, model = spec_of(service), spec_of(service).operation(operation)
    if (service, operation) in AMBIGUOUS:
        pytest.skip("one element stands for two members")
    parameters = (sample(model.input_shape) if model.input_shape else {}) or {}
    if operation == "WriteGetObjectResponse":
        parameters["RequestRoute"] = "route"  # it becomes a part of the host name
    sent = botocore.serialize.create_serializer(spec.protocol, False).serialize_to_request(parameters, model)
    path, _, fixed = sent["url_path"].partition("?")
    query = sent["query_string"] if isinstance(sent["query_string"], str) else encode(sent["query_string"] or {})
    raw_query = "&".join(part for part in (fixed, query) if part)
    headers = {k.lower(): v.decode() if isinstance(v, bytes) else str(v) for k, v in sent["headers"].items()}
    body = sent["body"]
    form = parse_query(encode(body)) if isinstance(body, dict) else None
    raw_body = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else b""
    labels: Mapping[str, str] = {}
    if spec.protocol.startswith("rest"):
        match = table_of(service).match(sent["method"], path, parse_query(raw_query), headers)
        assert match is not None
        assert match.operation == SAME_ADDRESS.get((service, operation), operation)
        labels = match.labels
        if service == "s3":
            assert table_of(service).stray_subresource(match.operation, parse_query(raw_query)) is None
    arrival = Arrival(labels, parse_query(raw_query), headers, raw_body, form)
    assert plain(codec_of(service).parser(operation)(arrival)) == plain(parameters)


@pytest.mark.parametrize(("service", "operation"), cases())
def test_what_the_operation_gives_is_what_botocore_reads(service: str, operation: str) -> None:
    """Our answers are parsed by botocore into the very output that the operation returned."""
    if (service, operation) in EVENT_STREAMS | AMBIGUOUS:
        pytest.skip("answers with an event stream, or one element stands for two members")
    spec, model = spec_of(service), spec_of(service).operation(operation)
    shape = model.output_shape
    output = (sample(shape) if shape else {}) or {}
    for name, member in shape.members.items() if shape else ():
        if member.serialization.get("location") == "statusCode":
            output[name] = 202
    reply = codec_of(service).writer(operation)(output, "00000000-0000-4000-8000-000000000000")
    if shape is None:
        assert reply.status in (200, 202, 204)
        return
    body = io.BytesIO(reply.body) if model.has_streaming_output else reply.body
    answer = {"status_code": reply.status, "headers": HeadersDict(reply.headers), "body": body}
    parsed = botocore.parsers.create_parser(spec.protocol).parse(answer, shape)
    parsed.pop("ResponseMetadata", None)
    if operation == "GetBucketLocation":  # botocore reads the root's text in a handler of its own
        assert output["LocationConstraint"] in reply.body.decode()
        return
    assert plain(parsed) == plain(output)
