"""The encoding of signatures."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.signature import der


@given(st.integers(0, 255).filter(lambda tag: tag & 0x1F != 0x1F), st.binary(max_size=70_000))
def test_what_is_encoded_is_read_back(tag: int, body: bytes) -> None:
    """Short, long and very long bodies."""
    element = der.read(der.encode(tag, body))
    assert (element.tag, element.body) == (tag, body)


@pytest.mark.parametrize(
    ("made", "encoded"),
    [
        (der.integer(0), "020100"),
        (der.integer(127), "02017f"),
        (der.integer(128), "02020080"),
        (der.integer(256), "02020100"),
        (der.identifier("1.2.840.113549.1.7.2"), "06092a864886f70d010702"),
        (der.identifier("2.25.300"), "06036982" + "2c"),
        (der.set_of([der.integer(2), der.integer(1)]), "3106020101020102"),
    ],
)
def test_encodings(made: bytes, encoded: str) -> None:
    """Known values in the form that everybody else writes."""
    assert made.hex() == encoded


def test_open_lengths_are_read() -> None:
    """A structure may end with two zero bytes in place of a length, also one in another."""
    inner = b"\x30\x80" + der.integer(1) + b"\0\0"
    outer = der.read(b"\x30\x80" + inner + der.integer(2) + b"\0\0")
    first, second = outer.parts()
    assert [part.body for part in first.parts()] == [b"\x01"]
    assert second.body == b"\x02"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x30",
        b"\x30\x02\x05",
        b"\x30\x85\x01\x00\x00\x00\x00",
        b"\x30\x84\xff\xff\xff\xff",
        b"\x04\x80\x00\x00",
        b"\x30\x80\x02\x01\x01",
        b"\x30\x80" * 40 + b"\0\0" * 40,
        b"\x1f\x01\x00",
        der.integer(1) * 2,
    ],
)
def test_bad_encodings(data: bytes) -> None:
    """Cut short, beyond bounds, too deep, or more than one."""
    with pytest.raises(der.BadEncoding):
        der.read(data)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    """Nothing else comes of them."""
    with contextlib.suppress(der.BadEncoding):
        assert der.read(data).whole == data
