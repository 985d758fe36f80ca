"""A streamed response on its way to the HTTP answer of a URL."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdad.model.site import AnswerBroken, SiteResponse
from lambdad.services.lambda_.url_response import MalformedResponse
from lambdad.services.lambda_.url_stream import MAX_PRELUDE_BYTES, response_of_stream
from support.site_request import GivenStream

ZEROS = bytes(8)


async def read(response: SiteResponse) -> list[bytes]:
    assert not isinstance(response.body, bytes)
    return [piece async for piece in response.body]


def prelude(**head: Any) -> bytes:
    return json.dumps(head).encode() + ZEROS


async def test_a_prelude_is_the_answers_head() -> None:
    """Status, headers and cookies are those of the prelude; the answer begins before the next piece is written."""
    head = prelude(statusCode=201, headers={"Content-Type": "text/plain", "X-A": "b"}, cookies=["a=1", "b=2"])
    stream = GivenStream([head + b"first", b"second\x00\x00", ZEROS])
    response = await response_of_stream(stream)
    assert (response.status, stream.taken) == (201, 1)
    assert list(response.headers) == [
        ("content-type", "text/plain"),
        ("x-a", "b"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
    ]
    assert await read(response) == [b"first", b"second\x00\x00", ZEROS]


async def test_defaults_of_a_prelude() -> None:
    """200 and bytes."""
    response = await response_of_stream(GivenStream([prelude()]))
    assert (response.status, response.headers) == (200, [("content-type", "application/octet-stream")])
    assert await read(response) == []


@pytest.mark.parametrize(("content_type", "shown"), [("text/html", "text/html"), ("", "application/octet-stream")])
async def test_a_stream_of_another_type_is_the_body(content_type: str, shown: str) -> None:
    """What looks like a prelude is none, and nothing is waited for."""
    stream = GivenStream([prelude(statusCode=404), b"x"], content_type=content_type)
    response = await response_of_stream(stream)
    assert (response.status, response.headers, stream.taken) == (200, [("content-type", shown)], 0)
    assert await read(response) == [prelude(statusCode=404), b"x"]


@settings(max_examples=50)
@given(st.binary(max_size=40), st.lists(st.integers(0, 120), max_size=12))
async def test_the_pieces_do_not_matter_to_the_head(body: bytes, cuts: list[int]) -> None:
    """Wherever the function's writes cut prelude, zeros and body apart, the answer is the same."""
    whole = prelude(statusCode=202, headers={"a": "b"}) + body
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    pieces = [whole[begin:end] for begin, end in itertools.pairwise(edges) if begin < end]
    response = await response_of_stream(GivenStream(pieces))
    assert response.status == 202
    assert b"".join(await read(response)) == body


@pytest.mark.parametrize(
    "pieces",
    [
        [],
        [b'{"statusCode": 200}'],
        [b'{"statusCode": 200}', bytes(7)],
        [ZEROS],
        [b"[]" + ZEROS],
        [b"{" * 100_000 + ZEROS],
        [b'{"statusCode": 200' + ZEROS],
        [b"\xff" + ZEROS],
        [prelude(statusCode=100)],
        [prelude(statusCode=None)],
        [prelude(headers={"a": "b\r\nc: d"})],
        [b" " * (MAX_PRELUDE_BYTES + 1) + b"{}" + ZEROS],
        [b" " * MAX_PRELUDE_BYTES, b" ", b"{}" + ZEROS],
    ],
)
async def test_a_head_that_means_no_answer_is_refused(pieces: list[bytes]) -> None:
    """Before a byte has gone out, and the function is left to run on in vain."""
    stream = GivenStream(pieces)
    with pytest.raises(MalformedResponse):
        await response_of_stream(stream)
    assert stream.is_closed


async def test_a_function_that_fails_on_the_way_breaks_the_answer() -> None:
    """What came before has gone out; whoever sends it must not end it as if it were whole."""
    response = await response_of_stream(GivenStream([prelude(), b"part"], error_type="Sandbox.Timeout"))
    assert not isinstance(response.body, bytes)
    assert await anext(response.body) == b"part"
    with pytest.raises(AnswerBroken, match="Timeout"):
        await anext(response.body)


async def test_a_sender_that_leaves_closes_the_stream() -> None:
    """Also when it has not taken a byte, as for HEAD."""
    stream = GivenStream([prelude(), b"part"])
    response = await response_of_stream(stream)
    assert not stream.is_closed
    await response.body.aclose()  # type: ignore[union-attr]
    assert stream.is_closed
