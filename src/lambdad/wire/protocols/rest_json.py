"""The rest-json protocol: Lambda's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lambdad.errors import ServiceError
from lambdad.wire.http import Reply
from lambdad.wire.protocols.base import Parser, Writer, error_status, message_member
from lambdad.wire.protocols.json_shapes import JsonShapes, decode_json, encode_json
from lambdad.wire.protocols.rest import make_parser, make_writer
from lambdad.wire.protocols.scalar import text_writer
from lambdad.wire.spec import ErrorSpec, ServiceSpec

#: Errors of the common front, which no model lists, with a capital "Message".
_CAPITAL_MESSAGE = frozenset({"AccessDeniedException", "RequestEntityTooLargeException", "InternalFailure"})


class RestJson:
    def __init__(self, spec: ServiceSpec) -> None:
        self._spec = spec
        self._shapes = JsonShapes()
        self._format = _JsonBody(self._shapes)

    def parser(self, operation: str) -> Parser:
        return make_parser(self._spec.operation(operation), self._format)

    def writer(self, operation: str) -> Writer:
        return make_writer(self._spec.operation(operation), self._format)

    def error(self, error: ServiceError, request_id: str, resource: str) -> Reply:
        spec = self._spec.error(error.code)
        status = error_status(error, spec)
        code = spec.code if spec else error.code
        headers = {"content-type": "application/json", "x-amzn-errortype": code}
        body: dict[str, Any] = {}
        if spec:
            if "Type" in spec.shape.members:
                body["Type"] = "User" if status < 500 else "Service"
            self._place_members(spec, error.members, headers, body)
        else:
            body.update(error.members)
        body[message_member(spec, "Message" if code in _CAPITAL_MESSAGE else "message")] = error.message
        return Reply(status, headers, encode_json(body))

    def _place_members(
        self, spec: ErrorSpec, members: Mapping[str, Any], headers: dict[str, str], body: dict[str, Any]
    ) -> None:
        for member, value in members.items():
            shape = spec.shape.members.get(member)
            if shape is not None and shape.serialization.get("location") == "header":
                headers[shape.serialization.get("name", member).lower()] = text_writer(shape, "rfc822")(value)
            else:
                body[member] = self._shapes.writer(shape)(value) if shape is not None else value


class _JsonBody:
    content_type = "application/json"

    def __init__(self, shapes: JsonShapes) -> None:
        self._shapes = shapes

    def members_reader(self, members: Mapping[str, Any]) -> Callable[[bytes], dict[str, Any]]:
        read = self._shapes.structure_reader(members)

        def read_members(body: bytes) -> dict[str, Any]:
            value = decode_json(body)
            return {} if value is None else read(value)

        return read_members

    def payload_reader(self, member: str, shape: Any) -> Callable[[bytes], Any]:
        read = self._shapes.reader(shape)
        return lambda body: read(decode_json(body))

    def members_writer(self, operation: str, members: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bytes]:
        write = self._shapes.structure_writer(members)
        return lambda output: encode_json(write(output))

    def payload_writer(self, operation: str, member: str, shape: Any) -> Callable[[Any], bytes]:
        write = self._shapes.writer(shape)
        return lambda value: encode_json(write(value))
