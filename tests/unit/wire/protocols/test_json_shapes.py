"""wire/protocols/json_shapes.py: strict reading, plain writing."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest

from lambdad.wire.protocols.json_shapes import JsonShapes, decode_json, encode_json
from lambdad.wire.protocols.scalar import Unreadable
from lambdad.wire.spec import ServiceSpec


@cache
def shape_of(service: str, operation: str) -> Any:
    return ServiceSpec(service).operation(operation).input_shape


def read(service: str, operation: str, value: Any) -> Any:
    return JsonShapes().reader(shape_of(service, operation))(value)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"{'a':1}", b"NaN", b"[1,]", b'"\\ud800"', b"\xff", b"\xef\xbb\xbf{}", b"[" * 200_000, b"1 2"]
)
def test_json_is_strict(body: bytes) -> None:
    """What JSON's grammar does not allow is unreadable, however deep or odd."""
    with pytest.raises(Unreadable):
        decode_json(body)


WRONG_TYPES = [
    ({"FunctionName": 1}, "NUMBER_VALUE can not be converted to a String"),
    ({"FunctionName": True}, "TRUE_VALUE can not be converted to a String"),
    ({"FunctionName": []}, "Start of list found where not expected"),
    ({"FunctionName": {}}, "Start of structure or map found where not expected."),
    ({"Timeout": "3"}, "STRING_VALUE can not be converted to an Integer"),
    ({"Timeout": 1.5}, "NUMBER_VALUE can not be converted to an Integer"),
    ({"Timeout": 2**31}, "NUMBER_VALUE can not be converted to an Integer"),
    ({"Timeout": -1e300}, "NUMBER_VALUE can not be converted to an Integer"),
    ({"Timeout": True}, "TRUE_VALUE can not be converted to an Integer"),
    ({"Publish": 1}, "NUMBER_VALUE can not be converted to a Boolean"),
    ({"Code": {"ZipFile": 1}}, "NUMBER_VALUE can not be converted to a Blob"),
    ({"Code": {"ZipFile": "a"}}, "STRING_VALUE can not be converted to a Blob"),
    ({"Code": []}, "Unexpected field type"),
    ({"Layers": {}}, "Expected list or null"),
    ({"Layers": [None]}, "Null is not allowed"),
    ({"Tags": []}, "Unexpected field type"),
    ({"Tags": {"a": None}}, "Null is not allowed"),
]


@pytest.mark.parametrize(("value", "text"), WRONG_TYPES, ids=[str(value) for value, _ in WRONG_TYPES])
def test_wrong_types(value: Any, text: str) -> None:
    """A value of another type is refused in the words of AWS's deserialiser."""
    with pytest.raises(Unreadable) as caught:
        read("lambda", "CreateFunction", value)
    assert caught.value.text.startswith(text)


def test_nulls_and_unknown_names_are_absent() -> None:
    """AWS takes null for absent and passes over names it does not know."""
    assert read("lambda", "CreateFunction", {"FunctionName": "f", "Handler": None, "Nope": 1, "Timeout": 3.0}) == {
        "FunctionName": "f",
        "Timeout": 3,
    }


def test_timestamps_in_any_form() -> None:
    """Clients send epoch seconds or text; both become aware datetimes, and nonsense is refused."""
    for moment in (1606093323, 1606093323.0, "2020-11-23T01:02:03Z", "Mon, 23 Nov 2020 01:02:03 GMT"):
        found = read("lambda", "CreateEventSourceMapping", {"StartingPositionTimestamp": moment})
        assert found["StartingPositionTimestamp"] == datetime(2020, 11, 23, 1, 2, 3, tzinfo=UTC)
    for nonsense in ("soon", 1e300, "9999999999999"):
        with pytest.raises(Unreadable):
            read("lambda", "CreateEventSourceMapping", {"StartingPositionTimestamp": nonsense})


def test_doubles_that_are_not_finite() -> None:
    """JSON has no NaN, so such numbers travel as text."""
    shape = ServiceSpec("lambda").operation("GetAlias").output_shape
    value = {"RoutingConfig": {"AdditionalVersionWeights": {"1": float("nan"), "2": float("-inf"), "3": 0.5}}}
    assert encode_json(JsonShapes().writer(shape)(value)) == (
        b'{"RoutingConfig":{"AdditionalVersionWeights":{"1":"NaN","2":"-Infinity","3":0.5}}}'
    )
