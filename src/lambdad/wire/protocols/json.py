"""The json protocol (1.0 and 1.1): one address, the operation in X-Amz-Target."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdad.errors import ServiceError
from lambdad.wire.http import Reply
from lambdad.wire.protocols.base import Arrival, Parser, Writer, error_status, message_member
from lambdad.wire.protocols.json_shapes import JsonShapes, decode_json, encode_json
from lambdad.wire.spec import ServiceSpec


class Json:
    def __init__(self, spec: ServiceSpec) -> None:
        self._spec = spec
        self._shapes = JsonShapes()
        self._content_type = f"application/x-amz-json-{spec.json_version}"

    def parser(self, operation: str) -> Parser:
        shape = self._spec.operation(operation).input_shape
        if shape is None:
            return lambda arrival: {}
        read = self._shapes.reader(shape)

        def parse(arrival: Arrival) -> dict[str, Any]:
            value = decode_json(arrival.body) if arrival.body else None
            found: dict[str, Any] = {} if value is None else read(value)
            return found

        return parse

    def writer(self, operation: str) -> Writer:
        shape = self._spec.operation(operation).output_shape
        if shape is None:  # the json services answer an empty body where there is no output
            return lambda output, request_id: Reply(200, {"content-type": self._content_type})
        write = self._shapes.writer(shape)

        def write_output(output: Mapping[str, Any], request_id: str) -> Reply:
            return Reply(200, {"content-type": self._content_type}, encode_json(write(output)))

        return write_output

    def error(self, error: ServiceError, request_id: str, resource: str) -> Reply:
        spec = self._spec.error(error.code)
        code = spec.code if spec else error.code
        status = error_status(error, spec)
        headers = {"content-type": self._content_type, "x-amzn-errortype": code}
        if spec and spec.query_code:
            headers["x-amzn-query-error"] = f"{spec.query_code};{'Sender' if status < 500 else 'Receiver'}"
        body: dict[str, Any] = {"__type": code}
        for member, value in error.members.items():
            shape = spec.shape.members.get(member) if spec else None
            body[member] = self._shapes.writer(shape)(value) if shape is not None else value
        default = "Message" if code in ("SerializationException", "AccessDeniedException") else "message"
        body[message_member(spec, default)] = error.message
        return Reply(status, headers, encode_json(body))
