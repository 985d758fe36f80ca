"""The HTTP answer that a function's answer means."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.services.lambda_.url_response import MalformedResponse, response_of

JSON = ("content-type", "application/json")


def answered(value: Any) -> tuple[int, list[tuple[str, str]], Any]:
    response = response_of(json.dumps(value).encode())
    return response.status, list(response.headers), response.body


@pytest.mark.parametrize(
    ("payload", "body"),
    [
        (b'"hello"', b"hello"),
        (b'"\\u00e9\\u0000"', "é\x00".encode()),
        (b"null", b"null"),
        (b"true", b"true"),
        (b"[1, 2]", b"[1, 2]"),
        (b'{"message": "no status"}', b'{"message": "no status"}'),
        (b"", b""),
        (b"no JSON at all", b"no JSON at all"),
        (b"\xff\xfe", b"\xff\xfe"),
        (b"[" * 100_000, b"[" * 100_000),
    ],
)
def test_anything_without_a_status_is_the_body_of_a_200(payload: bytes, body: bytes) -> None:
    """Text goes out without its quotes, everything else as the function wrote it."""
    response = response_of(payload)
    assert (response.status, response.headers, response.body) == (200, [JSON], body)


def test_a_structure_says_all_by_itself() -> None:
    """Status, headers of any plain kind, a cookie each, a binary body."""
    status, headers, body = answered(
        {
            "statusCode": 201,
            "headers": {"Content-Type": "image/png", "X-Number": 1.5, "X-Yes": True, "X-None": None},
            "cookies": ["a=1; Path=/", "b=2"],
            "body": "AP8=",
            "isBase64Encoded": True,
        }
    )
    assert status == 201
    assert headers == [
        ("content-type", "image/png"),
        ("x-number", "1.5"),
        ("x-yes", "true"),
        ("set-cookie", "a=1; Path=/"),
        ("set-cookie", "b=2"),
    ]
    assert body == b"\x00\xff"


@pytest.mark.parametrize(
    ("structure", "expected"),
    [
        ({"statusCode": 200}, (200, b"")),
        ({"statusCode": 200.0, "body": None}, (200, b"")),
        ({"statusCode": "404", "body": "gone"}, (404, b"gone")),
        ({"statusCode": 599, "body": {"a": 1}}, (599, b'{"a":1}')),
        ({"statusCode": 200, "body": "AP8=", "isBase64Encoded": "true"}, (200, b"AP8=")),
    ],
)
def test_what_is_left_out_has_a_default(structure: Any, expected: tuple[int, bytes]) -> None:
    """A content type is always given; a body that is no text is its JSON."""
    status, headers, body = answered(structure)
    assert (status, body) == expected
    assert headers == [JSON]


@pytest.mark.parametrize(
    "structure",
    [
        {"statusCode": None},
        {"statusCode": True},
        {"statusCode": 99},
        {"statusCode": 100},
        {"statusCode": 101},
        {"statusCode": 600},
        {"statusCode": 200.5},
        {"statusCode": "2OO"},
        {"statusCode": "²00"},
        {"statusCode": [200]},
        {"statusCode": 200, "headers": [["a", "b"]]},
        {"statusCode": 200, "headers": {"a": ["b"]}},
        {"statusCode": 200, "headers": {"a": "b\r\nSet-Cookie: c"}},
        {"statusCode": 200, "headers": {"a": "b\x00"}},
        {"statusCode": 200, "headers": {"a: b\r\nc": "d"}},
        {"statusCode": 200, "headers": {"": "d"}},
        {"statusCode": 200, "headers": {"é": "d"}},
        {"statusCode": 200, "cookies": "a=1"},
        {"statusCode": 200, "cookies": [{"a": 1}]},
        {"statusCode": 200, "cookies": ["a=1\nb"]},
        {"statusCode": 200, "body": "no base64!", "isBase64Encoded": True},
        {"statusCode": 200, "body": "é", "isBase64Encoded": True},
    ],
)
def test_a_structure_that_means_no_answer_is_refused(structure: Any) -> None:
    """Above all nothing that could forge a header or keep a client waiting."""
    with pytest.raises(MalformedResponse):
        answered(structure)


@pytest.mark.parametrize("name", ["Content-Length", "transfer-encoding", "CONNECTION", "Date", "Upgrade", "X-Amzn-RequestId"])
def test_headers_of_the_connection_are_lambdads(name: str) -> None:
    """A function's own go out under another name, as on AWS."""
    _, headers, _ = answered({"statusCode": 200, "headers": {name: "chunked"}})
    assert headers == [JSON, (f"x-amzn-remapped-{name.lower()}", "chunked")]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["statusCode", "headers", "cookies", "body", "isBase64Encoded", "x"]), inner, max_size=5)
)))  # fmt: skip
def test_no_answer_of_a_function_breaks_the_mapping(value: Any) -> None:
    """Whatever comes, there is an HTTP answer that can be sent, or a refusal."""
    try:
        status, headers, body = answered(value)
    except MalformedResponse:
        return
    assert 200 <= status <= 599
    assert isinstance(body, bytes)
    assert all(name.isascii() and "\n" not in value and "\r" not in value for name, value in headers)
