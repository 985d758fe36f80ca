"""JSON text to the dicts of the model and back: one function per shape, made once and then only called."""

from __future__ import annotations

import json
import math
from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from lambdad.wire.protocols.scalar import (
    INTEGER_LIMIT,
    LONG_LIMIT,
    Unreadable,
    blob_from_text,
    epoch_seconds,
    float_from_text,
    http_date,
    iso_date,
    timestamp_from_number,
    timestamp_from_text,
)

Reader = Callable[[Any], Any]
Writer = Callable[[Any], Any]

_decode = msgspec.json.Decoder().decode
encode_json = msgspec.json.Encoder().encode


def decode_json(body: bytes) -> Any:
    """Strict JSON in UTF-8; nesting beyond the interpreter's recursion limit is refused like any other fault."""
    try:
        return _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Unreadable(f"The request body is not valid JSON: {error}"[:300]) from error


class JsonShapes:
    """Readers and writers by shape. Recursive shapes find themselves in the table."""

    def __init__(self) -> None:
        self._readers: dict[tuple[str, str | None], Reader] = {}
        self._writers: dict[tuple[str, str | None], Writer] = {}

    def reader(self, shape: Any) -> Reader:
        key = (shape.name, shape.serialization.get("timestampFormat"))
        found = self._readers.get(key)
        if found is None:
            found = self._readers[key] = self._make_reader(shape, key)
        return found

    def structure_reader(self, members: Mapping[str, Any]) -> Reader:
        """Reads an object into the named members; names the model does not know are passed over, as AWS does."""
        plan = {shape.serialization.get("name", member): (member, self.reader(shape)) for member, shape in members.items()}
        return _structure_reader(plan)

    def _make_reader(self, shape: Any, key: tuple[str, str | None]) -> Reader:
        kind = shape.type_name
        if kind == "structure":
            if getattr(shape, "is_document_type", False):
                return _as_is
            plan: dict[str, tuple[str, Reader]] = {}
            reader = self._readers[key] = _structure_reader(plan)
            for member, member_shape in shape.members.items():
                plan[member_shape.serialization.get("name", member)] = (member, self.reader(member_shape))
            return reader
        if kind == "list":
            return self._list_reader(shape)
        if kind == "map":
            return self._map_reader(shape)
        return _SCALAR_READERS[kind]

    def _list_reader(self, shape: Any) -> Reader:
        element_of: list[Reader] = []  # filled below: an element may be a structure that holds this list

        def read_list(value: Any) -> Any:
            if type(value) is not list:
                raise Unreadable("Expected list or null")
            read = element_of[0]
            return [read(element) for element in value]

        key = (shape.name, shape.serialization.get("timestampFormat"))
        self._readers[key] = read_list
        element_of.append(self.reader(shape.member))
        return read_list

    def _map_reader(self, shape: Any) -> Reader:
        value_of: list[Reader] = []

        def read_map(value: Any) -> Any:
            if type(value) is not dict:
                raise Unreadable("Unexpected field type")
            read = value_of[0]
            return {name: read(entry) for name, entry in value.items()}

        key = (shape.name, shape.serialization.get("timestampFormat"))
        self._readers[key] = read_map
        value_of.append(self.reader(shape.value))
        return read_map

    def writer(self, shape: Any) -> Writer:
        key = (shape.name, shape.serialization.get("timestampFormat"))
        found = self._writers.get(key)
        if found is None:
            found = self._writers[key] = self._make_writer(shape, key)
        return found

    def structure_writer(self, members: Mapping[str, Any]) -> Writer:
        return _structure_writer([(m, s.serialization.get("name", m), self.writer(s)) for m, s in members.items()])

    def _make_writer(self, shape: Any, key: tuple[str, str | None]) -> Writer:
        kind = shape.type_name
        if kind == "structure":
            if getattr(shape, "is_document_type", False):
                return _as_is
            plan: list[tuple[str, str, Writer]] = []
            writer = self._writers[key] = _structure_writer(plan)
            plan.extend((m, s.serialization.get("name", m), self.writer(s)) for m, s in shape.members.items())
            return writer
        if kind == "list":
            element_of: list[Writer] = []
            self._writers[key] = lambda value: [element_of[0](element) for element in value]
            element_of.append(self.writer(shape.member))
            return self._writers[key]
        if kind == "map":
            value_of: list[Writer] = []
            self._writers[key] = lambda value: {name: value_of[0](entry) for name, entry in value.items()}
            value_of.append(self.writer(shape.value))
            return self._writers[key]
        if kind == "timestamp":
            chosen = shape.serialization.get("timestampFormat", "unixtimestamp")
            return {"iso8601": iso_date, "rfc822": http_date, "unixtimestamp": epoch_seconds}[chosen]
        if kind == "blob":
            return lambda value: b64encode(value).decode("ascii")
        return _write_double if kind in ("float", "double") else _as_is


def json_header_reader(text: str) -> Any:
    """A `jsonvalue` header: base64 of JSON."""
    return decode_json(blob_from_text(text))


def json_header_writer(value: Any) -> str:
    return b64encode(json.dumps(value).encode()).decode("ascii")


def _structure_reader(plan: Mapping[str, tuple[str, Reader]]) -> Reader:
    def read_structure(value: Any) -> dict[str, Any]:
        if type(value) is not dict:
            raise Unreadable("Unexpected field type")
        found = {}
        for name, entry in value.items():
            if entry is not None and (step := plan.get(name)) is not None:
                found[step[0]] = step[1](entry)
        return found

    return read_structure


def _structure_writer(plan: list[tuple[str, str, Writer]]) -> Writer:
    def write_structure(value: Mapping[str, Any]) -> dict[str, Any]:
        return {name: write(value[member]) for member, name, write in plan if value.get(member) is not None}

    return write_structure


def _as_is(value: Any) -> Any:
    return value


def _write_double(value: float) -> Any:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _refuse(value: Any, wanted: str) -> Unreadable:
    if value is None:
        return Unreadable("Null is not allowed as an element of a list or a map")
    if isinstance(value, bool):
        return Unreadable(f"{str(value).upper()}_VALUE can not be converted to {wanted}")
    if isinstance(value, str):
        return Unreadable(f"STRING_VALUE can not be converted to {wanted}")
    if isinstance(value, (int, float)):
        return Unreadable(f"NUMBER_VALUE can not be converted to {wanted}")
    if isinstance(value, list):
        return Unreadable("Start of list found where not expected")
    return Unreadable("Start of structure or map found where not expected.")


def _read_string(value: Any) -> Any:
    if type(value) is str:
        return value
    raise _refuse(value, "a String")


def _whole_number_reader(limit: int, wanted: str) -> Reader:
    """Reads 2.0 as 2, as AWS does; beyond what the shape holds there is no number."""

    def read_whole_number(value: Any) -> Any:
        number = int(value) if type(value) is float and value.is_integer() else value
        if type(number) is not int:
            raise _refuse(value, wanted)
        if not -limit <= number < limit:
            raise Unreadable(f"NUMBER_VALUE can not be converted to {wanted}")
        return number

    return read_whole_number


def _read_double(value: Any) -> Any:
    if type(value) in (int, float):
        return value
    if type(value) is str and value in ("NaN", "Infinity", "-Infinity"):
        return float_from_text(value)
    raise _refuse(value, "a Double")


def _read_boolean(value: Any) -> Any:
    if type(value) is bool:
        return value
    raise _refuse(value, "a Boolean")


def _read_blob(value: Any) -> Any:
    if type(value) is str:
        return blob_from_text(value)
    raise _refuse(value, "a Blob")


def _read_timestamp(value: Any) -> Any:
    if type(value) in (int, float):
        return timestamp_from_number(value)
    if type(value) is str:
        return timestamp_from_text(value)
    raise _refuse(value, "a Timestamp")


_SCALAR_READERS: dict[str, Reader] = {
    "string": _read_string,
    "character": _read_string,
    "integer": _whole_number_reader(INTEGER_LIMIT, "an Integer"),
    "long": _whole_number_reader(LONG_LIMIT, "a Long"),
    "float": _read_double,
    "double": _read_double,
    "boolean": _read_boolean,
    "blob": _read_blob,
    "timestamp": _read_timestamp,
}
