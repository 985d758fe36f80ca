"""Whether an answer of the Lambda API is one that the service model knows: declared errors, outputs of the declared shape."""

from __future__ import annotations

from typing import Any

import botocore.parsers
from botocore.awsrequest import HeadersDict

from support.lambda_account import MODEL
from support.wire_client import WireAnswer

#: Errors of AWS's common front, which every operation may answer though no model says so. InvokeAsync alone, which is of an
#: older API, does not declare InvalidParameterValueException, with which Lambda refuses names everywhere.
COMMON = frozenset(
    {"ValidationException", "SerializationException", "AccessDeniedException", "UnknownOperationException"}
    | {"RequestEntityTooLargeException", "InvalidRequestContentException", "InvalidParameterValueException"}
)
#: What AWS answers too though its model does not know it (recorded from the live service).
BESIDE_THE_MODEL = frozenset({"LastUpdateStatusReasonCode=Creating"})
_TYPES: dict[str, Any] = {
    "string": str, "integer": int, "long": int, "float": (int, float), "double": (int, float), "boolean": bool, "map": dict,
    "structure": dict, "list": list, "blob": (bytes, str),
}  # fmt: skip


def assert_of_the_model(operation: str, answer: WireAnswer) -> None:
    model = MODEL.operation_model(operation)
    assert answer.status < 500, (operation, answer)
    if answer.status >= 400:
        if answer.headers.get("connection") != "close":  # else it was no HTTP, and named no operation
            assert_declared(operation, answer)
    elif model.output_shape is not None and not model.has_event_stream_output and not model.has_streaming_output:
        given = {"status_code": answer.status, "headers": HeadersDict(answer.headers), "body": answer.body}
        parsed = botocore.parsers.create_parser("rest-json").parse(given, model.output_shape)
        parsed.pop("ResponseMetadata")
        _assert_shape(parsed, model.output_shape, operation)


def assert_declared(operation: str, answer: WireAnswer, what: str = "") -> None:
    declared = {error.name for error in MODEL.operation_model(operation).error_shapes}
    assert answer.error in declared | COMMON, (operation, what, answer)
    assert answer.message, (operation, what)


def _assert_shape(value: Any, shape: Any, path: str) -> None:
    assert isinstance(value, _TYPES.get(shape.type_name, object)), (path, value)
    if shape.type_name == "structure":
        assert set(shape.required_members) <= value.keys(), (path, value)
        for name, each in value.items():
            _assert_shape(each, shape.members[name], f"{path}.{name}")
    elif shape.type_name == "list":
        for each in value:
            _assert_shape(each, shape.member, f"{path}[]")
    elif shape.type_name == "map":
        for key, each in value.items():
            _assert_shape(key, shape.key, f"{path} key")
            _assert_shape(each, shape.value, f"{path}[{key}]")
    elif shape.type_name == "string" and shape.enum:
        assert value in shape.enum or f"{path.rpartition('.')[2]}={value}" in BESIDE_THE_MODEL, (path, value)
