"""Wildcards and variables of policies."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.model.policy_pattern import Pattern, variables_in

KEYS = {"aws:username": ("ann",), "aws:principaltag/team": ("a*",), "aws:tagkeys": ("x", "y")}


@pytest.mark.parametrize(
    ("text", "actual", "matches"),
    [
        ("*", "", True),
        ("*", "anything:at/all\nhere", True),
        ("", "", True),
        ("", "a", False),
        ("a", "A", False),
        ("a*", "abc", True),
        ("*c", "abc", True),
        ("a*c", "ac", True),
        ("ab*bc", "abc", False),
        ("a?c", "abc", True),
        ("a?c", "ac", False),
        ("?*", "", False),
        ("*?b", "ab", True),
        ("a**b", "axxb", True),
        ("*a?c*", "xxabcxx", True),
        ("arn:aws:s3:::b/*", "arn:aws:s3:::b/k/k", True),
        ("a.c", "abc", False),
        ("home/${aws:username}/*", "home/ann/x", True),
        ("home/${AWS:UserName}/*", "home/bob/x", False),
        ("${aws:missing}", "", False),
        ("${aws:missing, 'all'}", "all", True),
        ("${aws:tagkeys}", "x", False),
        ("${aws:principaltag/team}", "abc", False),
        ("${aws:principaltag/team}", "a*", True),
        ("${*}${?}${$}", "*?$", True),
        ("${*}", "x", False),
        ("$a${", "$a${", True),
    ],
)
def test_a_pattern_matches_what_aws_says(text: str, actual: str, matches: bool) -> None:
    """`*` is any text, `?` one character; a variable is its value taken literally, or its default, or matches nothing."""
    assert Pattern(text).matches(actual, KEYS.get) is matches


def test_variables_are_text_in_the_older_version() -> None:
    """Where there are no variables, their spelling stands for itself."""
    assert Pattern("${aws:username}", has_variables=False).matches("${aws:username}", KEYS.get)
    assert Pattern("${*}", has_variables=False).matches("${abc}", KEYS.get)


@given(st.text("ab*?", max_size=12), st.text("ab", max_size=12))
def test_wildcards_are_those_of_a_shell(text: str, actual: str) -> None:
    """The quick matcher agrees with a plain regular expression."""
    assert Pattern(text).matches(actual, KEYS.get) is bool(re.fullmatch(fnmatch.translate(text), actual))


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("plain", []),
        ("a${aws:username}b${AWS:Who}", ["aws:username", "AWS:Who"]),
        ("${aws:username, 'nobody'}", ["aws:username"]),
        ("${*}${?}${$}", []),
        ("$aws:username {aws:x} ${", []),
    ],
)
def test_variables_in_a_text(text: str, names: list[str]) -> None:
    """As they are spelled, without the literals that look like them."""
    assert variables_in(text) == names
