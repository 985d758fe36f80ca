"""Condition operators."""

from __future__ import annotations

from typing import Any

import pytest

from lambdad.model.policy_condition import BadValue, UnknownOperator, conditions_of

KEYS = {
    "s": ("Value",),
    "many": ("a", "b"),
    "arn": ("arn:aws:s3:::bucket/key",),
    "user": ("arn:aws:iam::111111111111:user/a/b",),
    "n": ("10",),
    "date": ("2026-11-25T12:00:00Z",),
    "epoch": ("1764072000",),
    "t": ("true",),
    "bin": ("aGk=",),
    "ip": ("10.1.2.3",),
    "ip6": ("2001:db8::1",),
    "mapped": ("::ffff:10.1.2.3",),
    "bad": ("no number",),
    "aws:username": ("Value",),
}
ABSENT = "absent"


def holds(operator: str, key: str, value: Any) -> bool:
    return all(condition.holds(KEYS.get) for condition in conditions_of(operator, {key: value}, has_variables=True))


@pytest.mark.parametrize(
    ("operator", "key", "value", "expected"),
    [
        ("StringEquals", "s", "Value", True),
        ("StringEquals", "S", "Value", True),
        ("stringequals", "s", "Value", True),
        ("StringEquals", "s", "value", False),
        ("StringEquals", "s", ["x", "Value"], True),
        ("StringEquals", "s", "V*", False),
        ("StringEquals", "s", "${aws:username}", True),
        ("StringEquals", "s", "${aws:absent}", False),
        ("StringNotEquals", "s", ["x", "Value"], False),
        ("StringNotEquals", "s", "x", True),
        ("StringEqualsIgnoreCase", "s", "VALUE", True),
        ("StringEqualsIgnoreCase", "s", "${aws:username}", True),
        ("StringNotEqualsIgnoreCase", "s", "VALUE", False),
        ("StringLike", "s", "V?l*", True),
        ("StringNotLike", "s", "V*", False),
        ("ArnLike", "arn", "arn:aws:s3:::bucket/*", True),
        ("ArnLike", "arn", "arn:*:key", False),
        ("ArnLike", "arn", "arn:aws:s3:*:*:bucket/key", True),
        ("ArnLike", "arn", "*", True),
        ("ArnLike", "s", "arn:aws:s3:::*", False),
        ("ArnEquals", "user", "arn:aws:iam::*:user/*", True),
        ("ArnNotEquals", "user", "arn:aws:iam::*:user/*", False),
        ("ArnNotLike", "user", "arn:aws:iam::222222222222:user/*", True),
        ("NumericEquals", "n", "10.0", True),
        ("NumericEquals", "n", 10, True),
        ("NumericNotEquals", "n", 10, False),
        ("NumericLessThan", "n", 10, False),
        ("NumericLessThanEquals", "n", 10, True),
        ("NumericGreaterThan", "n", "9.99", True),
        ("NumericGreaterThanEquals", "n", "11", False),
        ("NumericEquals", "bad", 1, False),
        ("NumericNotEquals", "bad", 1, True),
        ("DateLessThan", "date", "2026-11-26", True),
        ("DateGreaterThan", "date", "2026-11-25T11:59:59Z", True),
        ("DateEquals", "date", "2026-11-25T13:00:00+01:00", True),
        ("DateGreaterThanEquals", "epoch", "2025-11-25T12:00:00Z", True),
        ("DateNotEquals", "epoch", "1764072000", False),
        ("DateLessThanEquals", "date", "2026-11-25T11:00:00Z", False),
        ("Bool", "t", True, True),
        ("Bool", "t", "False", False),
        ("BinaryEquals", "bin", "aGk=", True),
        ("BinaryEquals", "bin", "aGo=", False),
        ("IpAddress", "ip", "10.0.0.0/8", True),
        ("IpAddress", "ip", ["192.168.0.0/16", "10.1.2.3"], True),
        ("IpAddress", "ip", "10.1.2.4", False),
        ("IpAddress", "ip6", "2001:db8::/32", True),
        ("IpAddress", "ip6", "10.0.0.0/8", False),
        ("IpAddress", "mapped", "10.0.0.0/8", True),
        ("NotIpAddress", "ip", "10.0.0.0/8", False),
        ("NotIpAddress", "ip", "11.0.0.0/8", True),
        ("Null", "s", "true", False),
        ("Null", "s", False, True),
        ("Null", ABSENT, "true", True),
        ("Null", ABSENT, "false", False),
        ("StringEquals", ABSENT, "x", False),
        ("StringNotEquals", ABSENT, "x", True),
        ("StringEqualsIfExists", ABSENT, "x", True),
        ("StringEqualsIfExists", "s", "x", False),
        ("BoolIfExists", ABSENT, "true", True),
        ("NumericLessThanIfExists", "n", 5, False),
        ("ForAllValues:StringEquals", "many", ["a", "b", "c"], True),
        ("ForAllValues:StringEquals", "many", ["a"], False),
        ("ForAllValues:StringEquals", ABSENT, ["a"], True),
        ("ForAnyValue:StringEquals", "many", ["b", "z"], True),
        ("ForAnyValue:StringEquals", "many", ["z"], False),
        ("ForAnyValue:StringEquals", ABSENT, ["z"], False),
        ("ForAnyValue:StringEqualsIfExists", ABSENT, ["z"], True),
        ("ForAllValues:StringNotEquals", "many", ["a"], False),
        ("ForAnyValue:StringNotEquals", "many", ["a"], True),
        ("ForAnyValue:StringNotEquals", ABSENT, ["a"], False),
        ("ForAllValues:StringNotLike", "many", ["x*"], True),
        ("StringEquals", "s", [], False),
    ],
)
def test_an_operator_holds_as_aws_says(operator: str, key: str, value: Any, expected: bool) -> None:
    """Values of the policy are alternatives; a missing key fails all but the negated, IfExists and ForAllValues."""
    assert holds(operator, key, value) is expected


@pytest.mark.parametrize("operator", ["StringEqual", "Null:StringEquals", "NullIfExists", "ForAnyValue:Null", "", "Ä"])
def test_an_unknown_operator_is_an_error(operator: str) -> None:
    """A misspelt operator is refused when the policy is stored, not passed over when it matters."""
    with pytest.raises(UnknownOperator):
        holds(operator, "s", "x")


@pytest.mark.parametrize(
    ("operator", "value"),
    [("NumericEquals", "x"), ("NumericEquals", "NaN"), ("DateEquals", "x"), ("IpAddress", "1.2.3"), ("Bool", "x"), ("Null", 1),
     ("BinaryEquals", "!")],
)  # fmt: skip
def test_a_value_that_its_operator_cannot_read_is_an_error(operator: str, value: Any) -> None:
    """So that no condition silently never holds."""
    with pytest.raises(BadValue):
        holds(operator, "s", value)
