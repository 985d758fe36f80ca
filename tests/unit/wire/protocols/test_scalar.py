"""wire/protocols/scalar.py: text that is a value, and text that is not."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from lambdad.wire.protocols.scalar import (
    Unreadable,
    blob_from_text,
    float_from_text,
    http_date,
    integer_from_text,
    iso_date,
    long_from_text,
    timestamp_from_text,
)

MOMENT = datetime(2026, 11, 23, 1, 2, 3, 4000, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", " 1", "1_0", "１", "0x1", "1.0", "--1", "9" * 20, "1e3"])
def test_integers_are_digits_only(text: str) -> None:
    """Python's int() takes more than AWS does."""
    with pytest.raises(Unreadable):
        integer_from_text(text)


def test_numbers_end_where_javas_do() -> None:
    """An Integer has 32 bits and a Long 64; one more is no such number."""
    assert [integer_from_text(str(number)) for number in (2**31 - 1, -(2**31))] == [2**31 - 1, -(2**31)]
    assert [long_from_text(str(number)) for number in (2**63 - 1, -(2**63))] == [2**63 - 1, -(2**63)]
    for read, beyond in ((integer_from_text, 2**31), (long_from_text, 2**63)):
        for number in (beyond, -beyond - 1):
            with pytest.raises(Unreadable):
                read(str(number))


@pytest.mark.parametrize("text", ["", "inf", "nan", "1e99999", "0x1", "1 "])
def test_floats(text: str) -> None:
    """Python's float() takes more than AWS does."""
    with pytest.raises(Unreadable):
        float_from_text(text)


@pytest.mark.parametrize("text", ["a", "a===", "é", "YWJj\n", "!!!!"])
def test_blobs_are_strict_base64(text: str) -> None:
    """Characters outside the alphabet are not skipped."""
    with pytest.raises(Unreadable):
        blob_from_text(text)


def test_timestamps() -> None:
    """Written in S3's two forms, read in all; what has no zone is UTC."""
    assert http_date(MOMENT) == "Mon, 23 Nov 2026 01:02:03 GMT"
    assert iso_date(MOMENT) == "2026-11-23T01:02:03.004Z"
    for text in ("2026-11-23T01:02:03.004Z", "2026-11-23T01:02:03.004", "2026-11-23T02:02:03.004+01:00", "1795395723.004"):
        assert timestamp_from_text(text) == MOMENT
    for text in ("", "x", "Mon, 99 Foo", "2026-13-01T00:00:00Z", "1e999"):
        with pytest.raises(Unreadable):
            timestamp_from_text(text)
