"""Filter patterns for messages that are JSON."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.errors import ServiceError
from lambdad.services.logs.pattern import parse_pattern

EVENT = """{"level": "ERROR", "code": 404, "long": 9007199254740993, "ratio": 0.25, "user": {"name": "Ada L.", "id-no": "17"},
"none": null, "on": true, "items": [{"sku": "a-1", "count": 2}, {"sku": "b*2", "count": 5}], "a.b": "dotted",
"quote": "say \\"hi\\"", "empty": ""}"""


@pytest.mark.parametrize(
    ("pattern", "is_match"),
    [
        ('{ $.level = "ERROR" }', True),
        ("{$.level=ERROR}", True),
        ('{ $.level = "error" }', False),
        ('{ $.level != "INFO" }', True),
        ('{ $.missing != "INFO" }', False),
        ('{ $.level = "ERR*" }', True),
        ('{ $.level = "*R*O*" }', True),
        ('{ $.level = "*X*" }', False),
        ('{ $.level = "ERROR*ERROR" }', False),
        ('{ $.user.name = "Ada L." }', True),
        ("{ $.user.id-no = 17 }", True),
        ("{ $.code = 404 }", True),
        ("{ $.code = 4.04e2 }", True),
        ('{ $.code = "404" }', False),
        ("{ $.code >= 404 && $.code < 500 }", True),
        ("{ $.code > 404 }", False),
        ("{ $.ratio <= .25 }", True),
        ("{ $.long = 9007199254740993 }", True),
        ("{ $.long = 9007199254740992 }", False),
        ("{ $.long != 9007199254740993 }", False),
        ("{ $.long > 9007199254740992 }", True),
        ("{ $.long < 1e400 }", True),
        ("{ $.level > 3 }", False),
        ("{ $.on > 0 }", False),
        ("{ $.on IS TRUE }", True),
        ("{ $.on IS FALSE }", False),
        ("{ $.code IS TRUE }", False),
        ("{ $.none IS NULL }", True),
        ("{ $.missing IS NULL }", False),
        ("{ $.missing NOT EXISTS }", True),
        ("{ $.none NOT EXISTS }", False),
        ('{ $.items[0].sku = "a-1" }', True),
        ('{ $.items[2].sku = "a-1" }', False),
        ("{ $.items[*].count = 5 }", True),
        ("{ $.items[*].count = 6 }", False),
        ("{ $.level[0] = E }", False),
        ("{ $.['a.b'] = dotted }", True),
        ('{ $["a.b"] = dotted }', True),
        ('{ $.quote = "say \\"hi\\"" }', True),
        ('{ $.empty = "" }', True),
        ('{ $.empty = "*" }', True),
        ("{ $.code = 1 || $.level = ERROR && $.on IS TRUE }", True),
        ("{ ($.code = 1 || $.level = ERROR) && $.on IS FALSE }", False),
        ("{ (($.code = 404)) }", True),
    ],
)
def test_what_holds_of_a_message(pattern: str, is_match: bool) -> None:
    """Members, elements, wildcards, numbers, and all of them together; what is not there compares with nothing."""
    assert parse_pattern(pattern)(EVENT) is is_match


@pytest.mark.parametrize("message", ["", "ERROR", "2026 {}", "{", '"ERROR"', "[1]", "null", "[" * 100_000, '{"a": "\ud800"}'])
def test_other_messages_do_not_match(message: str) -> None:
    """Neither text nor JSON without the members, however deep."""
    assert parse_pattern("{ $.a = 1 || $.b != 2 }")(message) is False


@pytest.mark.parametrize(
    ("pattern", "complaint"),
    [
        ("{", "it ends early"),
        ("{}", "'}' was not expected"),
        ("{ $.a }", "'}' was not expected"),
        ("{ $.a = }", "'}' was not expected"),
        ("{ $.a = 1", "it ends early"),
        ("{ $.a = 1 } x", "'x' was not expected"),
        ("{ a = 1 }", "'a' was not expected"),
        ("{ $.a == 1 }", "'=' was not expected"),
        ("{ $.a = 1 & $.b = 2 }", "'& [$]"),
        ("{ $.a IS EXISTS }", "'EXISTS' was not expected"),
        ("{ $.a NOT NULL }", "'NULL' was not expected"),
        ("{ $.a > x }", "> compares numbers, not 'x'"),
        ('{ $.a > "1" }', "> compares numbers, not '1'"),
        ("{ $.a = %x% }", "regular expressions"),
        ('{ $.a = "x }', "was not expected"),
        ("{ $.a[x] = 1 }", "was not expected"),
        (f"{{ {'(' * 60}$.a = 1{')' * 60} }}", "too many parentheses"),
    ],
)
def test_malformed_patterns(pattern: str, complaint: str) -> None:
    """Refused with the place."""
    with pytest.raises(ServiceError, match=complaint) as refusal:
        parse_pattern(pattern)
    assert refusal.value.code == "InvalidParameterException"


@given(st.text(alphabet="{}()$.ab[]*01'\"=!<>&| ISNOTEXULR\\%", max_size=40))
def test_any_pattern_is_understood_or_refused(inside: str) -> None:
    """Whatever stands between the braces."""
    try:
        matches = parse_pattern("{" + inside)
    except ServiceError:
        return
    assert matches('{"a": {"b": [1, "ab"]}}') in (True, False)
