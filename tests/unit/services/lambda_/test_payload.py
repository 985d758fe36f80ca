"""Which payloads are JSON, and what is said about those that are not."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.errors import ServiceError
from lambdad.services.lambda_.payload import check_json

START = "Could not parse request body into json: Could not parse payload into json: "
WANTED = "was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')"


@pytest.mark.parametrize(
    "payload", [b"{}", b"null", b'"x"', b" 1.5e3 ", b'"\xc3\xa4"', b'"\\ud800"', b"[" * 400 + b"]" * 400, b"1" * 500]
)
def test_json_passes(payload: bytes) -> None:
    """Every JSON text passes, lone surrogates and long numbers too."""
    check_json(payload)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"value", f"Unrecognized token 'value': {WANTED}\n at [Source: REDACTED"),
        (b'{"a": x}', f"Unrecognized token 'x': {WANTED}"),
        (b"NaN", "Unrecognized token 'NaN'"),
        (b"-Infinity", "Unrecognized token '-Infinity'"),
        (b"{", "Unexpected"),
        (b" ", "Unexpected end-of-input"),
        (b'{"a":1} x', "Unrecognized token 'x'"),
        (b'["\xff"]', "Invalid UTF-8 start byte 0xff"),
        (b'a\n"\x87', "line: 2, column: 2]"),
        (b'"\xc3("', "Invalid UTF-8 middle byte"),
        (b'"\x00"', "Unexpected character"),
        (b"[" * 100_000, "Document nesting depth (1001) exceeds the maximum allowed"),
        (b"[" * 100_000 + b"]" * 100_000, "Document nesting depth (1001) exceeds the maximum allowed"),
        (b"\xef\xbb\xbf{}", "Unexpected character"),
        (b"01", "Unexpected character"),
    ],
)
def test_others_are_refused(payload: bytes, reason: str) -> None:
    """What is not JSON is refused with the reason in the words of AWS's parser."""
    with pytest.raises(ServiceError) as caught:
        check_json(payload)
    assert caught.value.code == "InvalidRequestContentException"
    assert caught.value.message.startswith(START)
    assert reason in caught.value.message


@given(st.binary(max_size=40))
def test_agrees_with_a_strict_parser(payload: bytes) -> None:
    """Any bytes are accepted exactly when they are UTF-8 and a strict JSON parser takes them."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        json.loads(payload.decode(), parse_constant=refuse)
        is_json = True
    except ValueError:
        is_json = False
    try:
        check_json(payload)
        assert is_json
    except ServiceError:
        assert not is_json
