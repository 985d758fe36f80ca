"""Parameters in paths, queries, headers and status codes: what rest-json and rest-xml share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from lambdad.wire.http import Query, Reply, has_control_characters
from lambdad.wire.protocols.base import Arrival, Parser, Writer
from lambdad.wire.protocols.event_stream import CONTENT_TYPE, EncodedEvents, EventStreamFormat
from lambdad.wire.protocols.json_shapes import json_header_reader, json_header_writer
from lambdad.wire.protocols.scalar import TextReader, Unreadable, text_reader, text_writer

#: HTTP asks to pass over a condition whose date cannot be read (RFC 9110, 13.1).
_IGNORED_WHEN_UNREADABLE = frozenset({"if-modified-since", "if-unmodified-since"})

QueryStep = Callable[[Query, dict[str, Any]], None]
HeaderStep = tuple[str, Callable[[str], Any]]


class BodyFormat(Protocol):
    """JSON or XML, for the members that travel in the body."""

    content_type: str

    def members_reader(self, members: Mapping[str, Any]) -> Callable[[bytes], dict[str, Any]]: ...

    def payload_reader(self, member: str, shape: Any) -> Callable[[bytes], Any]: ...

    def members_writer(self, operation: str, members: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bytes]: ...

    def payload_writer(self, operation: str, member: str, shape: Any) -> Callable[[Any], bytes]: ...


def make_parser(operation: Any, body_format: BodyFormat) -> Parser:
    shape = operation.input_shape
    if shape is None:
        return lambda arrival: {}
    located = _LocatedMembers(shape)
    labels = [(s.serialization.get("name", m), m, _located_reader(s, "uri")) for m, s in located.uri.items()]
    queries = [_query_step(m, s, located.query) for m, s in located.query.items()]
    headers = {
        s.serialization.get("name", m).lower(): (m, _header_reader(s))
        for m, s in located.header.items()
    }  # fmt: skip
    prefixes = [(s.serialization.get("name", "").lower(), m) for m, s in located.headers.items()]
    read_body = _body_reader(shape, located, body_format)

    def parse(arrival: Arrival) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, member, read in labels:
            found[member] = read(arrival.labels[name])
        if arrival.query:
            for step in queries:
                step(arrival.query, found)
        for name, value in arrival.headers.items():
            if name in headers:
                _read_header(name, value, headers[name], found)
        for prefix, member in prefixes:
            _read_prefixed(prefix, member, arrival.headers, found)
        read_body(arrival.body, found)
        return found

    return parse


def make_writer(operation: Any, body_format: BodyFormat) -> Writer:
    status = operation.http.get("responseCode", 200)
    shape = operation.output_shape
    if shape is None:
        return lambda output, request_id: Reply(status, {})
    located = _LocatedMembers(shape)
    headers = [(m, s.serialization.get("name", m).lower(), _header_writer(s)) for m, s in located.header.items()]
    prefixes = [(m, s.serialization.get("name", "").lower()) for m, s in located.headers.items()]
    status_member = next(iter(located.status), None)
    write_body = _body_writer(operation.name, shape, located, body_format)

    def write(output: Mapping[str, Any], request_id: str) -> Reply:
        reply = Reply(status, {})
        write_body(output, reply)
        for member, name, write_value in headers:
            if (value := output.get(member)) is not None:
                reply.headers[name] = write_value(value)
        for member, prefix in prefixes:
            for name, value in (output.get(member) or {}).items():
                reply.headers[prefix + name.lower()] = value
        if status_member is not None and output.get(status_member):
            reply.status = output[status_member]
        return reply

    return write


class _LocatedMembers:
    """The members of a shape sorted by where they travel."""

    def __init__(self, shape: Any) -> None:
        self.payload: str | None = shape.serialization.get("payload")
        self.uri: dict[str, Any] = {}
        self.query: dict[str, Any] = {}
        self.header: dict[str, Any] = {}
        self.headers: dict[str, Any] = {}
        self.status: dict[str, Any] = {}
        self.body: dict[str, Any] = {}
        places = {
            "uri": self.uri,
            "querystring": self.query,
            "header": self.header,
            "headers": self.headers,
            "statusCode": self.status,
        }
        for member, member_shape in shape.members.items():
            if member != self.payload:
                places.get(member_shape.serialization.get("location"), self.body)[member] = member_shape


def _located_reader(shape: Any, location: str) -> TextReader:
    read = text_reader(shape)
    name = shape.serialization.get("name", "")
    if read is str and not name.startswith("response-"):
        return read

    def read_located(text: str) -> Any:
        try:
            if read is str and has_control_characters(text):  # it would come back as a header
                raise Unreadable("Header values must not hold control characters", value=text)
            return read(text)
        except Unreadable as error:
            error.location, error.name, error.value = location, name, text
            raise

    return read_located


def _query_step(member: str, shape: Any, all_queried: Mapping[str, Any]) -> QueryStep:
    name = shape.serialization.get("name", member)
    if shape.type_name == "map":
        others = {s.serialization.get("name", m) for m, s in all_queried.items() if m != member}
        return _query_map_step(member, shape, others)
    is_list = shape.type_name == "list"
    read = _located_reader(shape.member if is_list else shape, "querystring")

    def step(query: Query, found: dict[str, Any]) -> None:
        values = query.get(name)
        if values is not None:
            found[member] = [read(value) for value in values] if is_list else read(values[0])

    return step


def _query_map_step(member: str, shape: Any, others: set[str]) -> QueryStep:
    holds_lists = shape.value.type_name == "list"

    def step(query: Query, found: dict[str, Any]) -> None:
        entries = {name: values if holds_lists else values[0] for name, values in query.items() if name not in others}
        if entries:
            found[member] = entries

    return step


def _header_reader(shape: Any) -> Callable[[str], Any]:
    if shape.serialization.get("jsonvalue"):
        return json_header_reader
    if shape.type_name == "list":
        read = _located_reader(shape.member, "header")
        return lambda text: [read(part.strip()) for part in text.split(",")]
    return _located_reader(shape, "header")


def _read_header(name: str, value: str, step: HeaderStep, found: dict[str, Any]) -> None:
    member, read = step
    try:
        found[member] = read(value)
    except Unreadable as error:
        if name not in _IGNORED_WHEN_UNREADABLE:
            error.location, error.name = "header", name
            raise


def _read_prefixed(prefix: str, member: str, headers: Mapping[str, str], found: dict[str, Any]) -> None:
    entries = {name[len(prefix) :]: value for name, value in headers.items() if name.startswith(prefix)}
    if entries:
        found[member] = entries


def _body_reader(shape: Any, located: _LocatedMembers, body_format: BodyFormat) -> Callable[[Any, dict[str, Any]], None]:
    if located.payload is not None:
        return _payload_reader(located.payload, shape.members[located.payload], body_format)
    if not located.body:
        return lambda body, found: None
    read = body_format.members_reader(located.body)

    def read_members(body: Any, found: dict[str, Any]) -> None:
        if body:
            found.update(read(body))

    return read_members


def _payload_reader(payload: str, shape: Any, body_format: BodyFormat) -> Callable[[Any, dict[str, Any]], None]:
    if shape.type_name == "blob":

        def read_blob(body: Any, found: dict[str, Any]) -> None:
            found[payload] = body

        return read_blob
    read = _read_text if shape.type_name == "string" else body_format.payload_reader(payload, shape)

    def read_payload(body: Any, found: dict[str, Any]) -> None:
        if body:
            found[payload] = read(body)

    return read_payload


def _read_text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise Unreadable("The request body is not UTF-8") from error


def _header_writer(shape: Any) -> Callable[[Any], str]:
    if shape.serialization.get("jsonvalue"):
        return json_header_writer
    if shape.type_name == "list":
        write = text_writer(shape.member, "rfc822")
        return lambda value: ",".join(write(entry) for entry in value)
    return text_writer(shape, "rfc822")


def _body_writer(
    operation: str, shape: Any, located: _LocatedMembers, body_format: BodyFormat
) -> Callable[[Mapping[str, Any], Reply], None]:
    if located.payload is not None:
        return _payload_writer(operation, located.payload, shape.members[located.payload], body_format)
    if not located.body:
        return lambda output, reply: None
    write = body_format.members_writer(operation, located.body)

    def write_members(output: Mapping[str, Any], reply: Reply) -> None:
        reply.headers["content-type"] = body_format.content_type
        reply.body = write(output)

    return write_members


def _payload_writer(
    operation: str, payload: str, shape: Any, body_format: BodyFormat
) -> Callable[[Mapping[str, Any], Reply], None]:
    if shape.serialization.get("eventstream"):
        return _event_stream_writer(operation, payload, shape, body_format)
    is_raw = shape.type_name == "blob"
    content_type = "binary/octet-stream" if is_raw and shape.serialization.get("streaming") else body_format.content_type
    if is_raw:
        write: Callable[[Any], Any] = _unchanged
    elif shape.type_name == "string":
        write = str.encode
    else:
        write = body_format.payload_writer(operation, payload, shape)

    def write_payload(output: Mapping[str, Any], reply: Reply) -> None:
        value = output.get(payload)
        if value is not None:
            reply.headers["content-type"] = content_type
            reply.body = write(value)

    return write_payload


def _event_stream_writer(
    operation: str, payload: str, shape: Any, body_format: BodyFormat
) -> Callable[[Mapping[str, Any], Reply], None]:
    def writer_of(members: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bytes]:
        return body_format.members_writer(operation, members)

    events = EventStreamFormat(shape, body_format.content_type, writer_of)

    def write_events(output: Mapping[str, Any], reply: Reply) -> None:
        source = output.get(payload)
        if source is not None:
            reply.headers["content-type"] = CONTENT_TYPE
            reply.body = EncodedEvents(source, events.encode)

    return write_events


def _unchanged(value: Any) -> Any:
    return value
