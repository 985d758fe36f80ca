"""Filter patterns of terms."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.errors import ServiceError
from lambdad.services.logs.pattern import parse_pattern

LINE = 'ERROR: disk "sda" is full, 3 errors'


@pytest.mark.parametrize(
    ("pattern", "is_match"),
    [
        ("", True),
        ("  ", True),
        ("ERROR", True),
        ("error", True),
        ("Error", False),
        ("ERROR full", True),
        ("full ERROR", True),
        ("ERROR empty", False),
        ('"disk \\"sda\\""', True),
        ('"ERROR: disk"', True),
        ('"ERROR disk"', False),
        ("?empty ?full", True),
        ("?empty ?none", False),
        ("-full", False),
        ("-empty", True),
        ("ERROR -empty", True),
        ("ERROR -full", False),
        ('-"is full"', False),
        ("?empty ERROR", True),
        ("?full missing", False),
        ("\tERROR\nfull ", True),
    ],
)
def test_terms(pattern: str, is_match: bool) -> None:
    """All plain terms, any of the optional ones, none of the excluded ones; letters count as written."""
    assert parse_pattern(pattern)(LINE) is is_match


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("[ip, user, code=404]", "space-delimited patterns"),
        ("%ERR.R%", "regular expressions"),
        ("ERROR %x%", "regular expressions"),
        ("foo:bar", r"Invalid character\(s\) in term 'foo:bar'"),
        ('"never ends', "a term was expected at"),
        ('ab"c"', "a term was expected at"),
        ('""x', "a term was expected at"),
    ],
)
def test_refused(pattern: str, complaint: str) -> None:
    """Other kinds of patterns are refused by name, malformed ones with the place."""
    with pytest.raises(ServiceError, match=complaint) as refusal:
        parse_pattern(pattern)
    assert refusal.value.code == "InvalidParameterException"


@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text(pattern: str, message: str) -> None:
    """Any pattern is either understood or refused."""
    try:
        matches = parse_pattern(pattern)
    except ServiceError:
        return
    assert matches(message) in (True, False)


@given(st.text(max_size=40))
def test_a_quoted_line_finds_itself(line: str) -> None:
    """Quoted text with its quotes and backslashes escaped matches itself."""
    escaped = line.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_pattern(f'"{escaped}"')(line)
