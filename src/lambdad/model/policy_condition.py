"""Conditions of a policy's statement: operators, their IfExists forms, and the sets ForAllValues and ForAnyValue."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from lambdad.model.policy_pattern import STAR, Keys, Pattern, Token, matcher_of

#: Whether one value of the request is what one value of the policy wants.
Test = Callable[[Pattern, str, Keys], bool]

_NAME = re.compile(r"(?:(ForAllValues|ForAnyValue):)?([A-Za-z]+?)(IfExists)?")


@dataclass(frozen=True, slots=True)
class Condition:
    """One operator with one key."""

    key: str  #: in lower case
    wanted: tuple[Pattern, ...]
    test: Test | None  #: None is the operator Null
    is_negated: bool = False
    if_exists: bool = False
    quantifier: str | None = None  #: "ForAllValues", "ForAnyValue"

    def holds(self, keys: Keys) -> bool:
        actual = keys(self.key)
        if self.test is None:
            return self._is_null_as_wanted(actual, keys)
        if not actual:
            return self._holds_without_value()
        if self.quantifier == "ForAllValues":
            return all(self._suits(value, keys) for value in actual)
        if self.quantifier == "ForAnyValue" or not self.is_negated:
            return any(self._suits(value, keys) for value in actual)
        return all(self._suits(value, keys) for value in actual)

    @property
    def is_variable(self) -> bool:
        return any(pattern.is_variable for pattern in self.wanted)

    def _suits(self, value: str, keys: Keys) -> bool:
        test = self.test
        assert test is not None
        return any(test(pattern, value, keys) for pattern in self.wanted) != self.is_negated

    def _holds_without_value(self) -> bool:
        if self.quantifier == "ForAllValues" or self.if_exists:
            return True
        return self.is_negated and self.quantifier is None

    def _is_null_as_wanted(self, actual: tuple[str, ...] | None, keys: Keys) -> bool:
        said = "false" if actual else "true"
        return any(pattern.matches(said, keys) for pattern in self.wanted)


class UnknownOperator(ValueError):
    pass


class BadValue(ValueError):
    """A value that its operator cannot read."""


def conditions_of(operator: str, keys: Mapping[str, Any], *, has_variables: bool) -> list[Condition]:
    """What one operator of a Condition element says. Its values are already known to be scalars or lists of them."""
    named = _NAME.fullmatch(operator)
    known = _OPERATORS.get(named[2].lower()) if named else None
    if named is None or known is None or (known.test is None and (named[1] or named[3])):
        raise UnknownOperator(operator)
    made = []
    for key, value in keys.items():
        texts = [_text(each) for each in (value if isinstance(value, list) else [value])]
        for text in texts:
            known.check(text)
        patterns = tuple(
            Pattern(
                text,
                has_variables=has_variables and known.has_variables,
                has_wildcards=known.has_wildcards,
                fold=known.is_folded,
            )
            for text in texts
        )
        made.append(Condition(key.lower(), patterns, known.test, known.is_negated, bool(named[3]), named[1]))
    return made


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


# Tests


def _string(pattern: Pattern, actual: str, keys: Keys) -> bool:
    return pattern.matches(actual, keys)


def _string_ignoring_case(pattern: Pattern, actual: str, keys: Keys) -> bool:
    tokens = pattern.tokens(keys)
    return tokens is not None and "".join(map(str, tokens)).lower() == actual.lower()


def _bool(pattern: Pattern, actual: str, keys: Keys) -> bool:
    return pattern.text.lower() == actual.lower()


def _arn(pattern: Pattern, actual: str, keys: Keys) -> bool:
    """Each of the six fields is matched on its own, so that `*` does not reach over a colon of the first five."""
    tokens = pattern.tokens(keys)
    if tokens is None:
        return False
    wanted, fields = _arn_fields(tokens), actual.split(":", 5)
    if len(wanted) != 6:
        return bool(tokens) and all(token is STAR for token in tokens)
    if len(fields) != 6:
        return False
    return all(matcher_of(part)(field) for part, field in zip(wanted, fields, strict=True))


def _arn_fields(tokens: Sequence[Token]) -> list[list[Token]]:
    fields: list[list[Token]] = [[]]
    for token in tokens:
        if not isinstance(token, str):
            fields[-1].append(token)
            continue
        first, *others = token.split(":", 6 - len(fields)) if len(fields) < 6 else [token]
        fields[-1].append(first)
        fields += [[other] for other in others]
    return fields


def _compare(read: Callable[[str], Any], holds: Callable[[Any, Any], bool]) -> Test:
    def test(pattern: Pattern, actual: str, keys: Keys) -> bool:
        try:
            return holds(read(actual), read(pattern.text))
        except BadValue:
            return False

    return test


def _ip(pattern: Pattern, actual: str, keys: Keys) -> bool:
    try:
        address = ip_address(actual)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped in _network(pattern.text)


@lru_cache(1024)
def _network(text: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(text, strict=False)
    except ValueError as error:
        raise BadValue(f"{text!r} is no range of addresses") from error


@lru_cache(1024)
def _number(text: str) -> Decimal:
    try:
        number = Decimal(text)
    except InvalidOperation as error:
        raise BadValue(f"{text!r} is no number") from error
    if not number.is_finite():
        raise BadValue(f"{text!r} is no number")
    return number


@lru_cache(1024)
def _date(text: str) -> float:
    if re.fullmatch(r"-?\d{1,15}(\.\d{1,9})?", text, re.ASCII):
        return float(text)
    try:
        date = datetime.fromisoformat(text)
        return date.replace(tzinfo=date.tzinfo or UTC).timestamp()
    except (ValueError, OverflowError) as error:
        raise BadValue(f"{text!r} is no date") from error


@lru_cache(1024)
def _binary(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise BadValue(f"{text!r} is not in base64") from error


def _truth(text: str) -> str:
    if text.lower() not in ("true", "false"):
        raise BadValue(f"{text!r} is neither true nor false")
    return text


def _any_text(text: str) -> str:
    return text


@dataclass(frozen=True, slots=True)
class _Operator:
    test: Test | None
    is_negated: bool = False
    check: Callable[[str], object] = _any_text  #: raises BadValue
    has_variables: bool = False
    has_wildcards: bool = False
    is_folded: bool = False


_COMPARISONS: Mapping[str, tuple[Callable[[Any, Any], bool], bool]] = {
    "Equals": (lambda actual, wanted: actual == wanted, False),
    "NotEquals": (lambda actual, wanted: actual == wanted, True),
    "LessThan": (lambda actual, wanted: actual < wanted, False),
    "LessThanEquals": (lambda actual, wanted: actual <= wanted, False),
    "GreaterThan": (lambda actual, wanted: actual > wanted, False),
    "GreaterThanEquals": (lambda actual, wanted: actual >= wanted, False),
}

_NAMED: Mapping[str, _Operator] = {
    "StringEquals": _Operator(_string, has_variables=True),
    "StringNotEquals": _Operator(_string, True, has_variables=True),
    "StringEqualsIgnoreCase": _Operator(_string_ignoring_case, has_variables=True),
    "StringNotEqualsIgnoreCase": _Operator(_string_ignoring_case, True, has_variables=True),
    "StringLike": _Operator(_string, has_variables=True, has_wildcards=True),
    "StringNotLike": _Operator(_string, True, has_variables=True, has_wildcards=True),
    **{
        f"Arn{name}": _Operator(_arn, name.startswith("Not"), has_variables=True, has_wildcards=True)
        for name in ("Equals", "NotEquals", "Like", "NotLike")  # AWS gives Equals and Like the same meaning
    },
    **{
        f"Numeric{name}": _Operator(_compare(_number, holds), negated, _number)
        for name, (holds, negated) in _COMPARISONS.items()
    },
    **{f"Date{name}": _Operator(_compare(_date, holds), negated, _date) for name, (holds, negated) in _COMPARISONS.items()},
    "Bool": _Operator(_bool, check=_truth),
    "BinaryEquals": _Operator(_compare(_binary, _COMPARISONS["Equals"][0]), check=_binary),
    "IpAddress": _Operator(_ip, check=_network),
    "NotIpAddress": _Operator(_ip, True, check=_network),
    "Null": _Operator(None, check=_truth, is_folded=True),
}
#: By the type of a condition key: raises BadValue for a value that is not of it.
VALUE_CHECKS: Mapping[str, Callable[[str], object]] = {
    "numeric": _number,
    "boolean": _truth,
    "ip": _network,
    "binary": _binary,
    "date": _date,
}
_OPERATORS = {name.lower(): operator for name, operator in _NAMED.items()}
