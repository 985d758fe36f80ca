"""Patterns with stars against what they say, place by place."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.model.star_pattern import fits


@pytest.mark.parametrize(
    ("pattern", "text", "is_like"),
    [
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("ab*bc", "abc", False),
        ("*b*", "abc", True),
        ("**", "x", True),
        ("a", "ab", False),
    ],
)
def test_a_star_stands_for_any_characters_and_for_none(pattern: str, text: str, is_like: bool) -> None:
    """Beginning and end are the pattern's, and no character counts for two of its pieces."""
    assert fits(text, pattern.split("*")) is is_like


@given(st.text("ab*", max_size=8), st.text("ab", max_size=10))
def test_it_is_what_the_expression_says(pattern: str, text: str) -> None:
    """As a regular expression of the same pieces would have it."""
    expression = ".*".join(re.escape(piece) for piece in pattern.split("*"))
    assert fits(text, pattern.split("*")) is (re.fullmatch(expression, text) is not None)
