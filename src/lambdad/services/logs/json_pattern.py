"""Filter patterns for messages that are JSON: `{ $.level = "ERR*" && ($.items[0].code >= 500 || $.user NOT EXISTS) }`.

Comparisons that a message has no member for do not hold, whatever they are, and nothing holds of a message that is not JSON.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from lambdad.model.star_pattern import fits
from lambdad.services.logs.model import invalid

Matches = Callable[[str], bool]
Test = Callable[[Any], bool]
Step = str | int | None  #: a member, an element, every element

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<sign>&&|\|\||[(){}]|!=|<=|>=|=|<|>)
    | (?P<selector>\$(?:\.[\w-]+|\.?\[(?:\d+|\*|'[^']*'|"[^"]*")\])*)
    | "(?P<quoted>(?:[^"\\]|\\.)*)"
    | (?P<word>[^\s&|(){}=<>!"]+)
    )""",
    re.VERBOSE,
)
_STEP = re.compile(r"""\.(?P<name>[\w-]+)|\.?\[(?:(?P<index>\d+)|(?P<any>\*)|'(?P<single>[^']*)'|"(?P<double>[^"]*)")\]""")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}
_DEEPEST = 50  #: parentheses in parentheses


def parse_json_pattern(pattern: str) -> Matches:
    test = _Parser(pattern).parse()

    def matches(message: str) -> bool:
        try:
            return test(msgspec.json.decode(message))
        except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
            return False

    return matches


class _Parser:
    """`&&` binds closer than `||`."""

    def __init__(self, pattern: str) -> None:
        self._tokens = list(_tokens(pattern))
        self._at = 0

    def parse(self) -> Test:
        self._take("{")
        test = self._either(0)
        self._take("}")
        if self._at < len(self._tokens):
            raise self._unexpected()
        return test

    def _either(self, depth: int) -> Test:
        tests = [self._all(depth)]
        while self._next() == ("sign", "||"):
            self._at += 1
            tests.append(self._all(depth))
        return lambda event: any(test(event) for test in tests)

    def _all(self, depth: int) -> Test:
        tests = [self._comparison(depth)]
        while self._next() == ("sign", "&&"):
            self._at += 1
            tests.append(self._comparison(depth))
        return lambda event: all(test(event) for test in tests)

    def _comparison(self, depth: int) -> Test:
        if self._next() == ("sign", "("):
            if depth >= _DEEPEST:
                raise invalid("Invalid filter pattern: too many parentheses in each other.")
            self._at += 1
            test = self._either(depth + 1)
            self._take(")")
            return test
        kind, selector = self._next()
        if kind != "selector":
            raise self._unexpected()
        self._at += 1
        steps = _steps(selector)
        kind, text = self._next()
        if kind == "word" and text in ("IS", "NOT"):
            self._at += 1
            return self._of_the_member(steps, text)
        if kind != "sign" or text not in ("=", "!=", *_ORDER):
            raise self._unexpected()
        self._at += 1
        kind, value = self._next()
        if kind not in ("quoted", "word"):
            raise self._unexpected()
        self._at += 1
        compare = _compare(text, value, is_quoted=kind == "quoted")
        return lambda event: any(compare(found) for found in _found(event, steps))

    def _of_the_member(self, steps: list[Step], word: str) -> Test:
        _, what = self._next()
        self._at += 1
        if word == "NOT" and what == "EXISTS":
            return lambda event: not any(True for _ in _found(event, steps))
        if word == "IS" and what in ("NULL", "TRUE", "FALSE"):
            wanted = {"NULL": None, "TRUE": True, "FALSE": False}[what]
            return lambda event: any(found is wanted for found in _found(event, steps))
        self._at -= 1
        raise self._unexpected()

    def _next(self) -> tuple[str, str]:
        return self._tokens[self._at] if self._at < len(self._tokens) else ("", "")

    def _take(self, sign: str) -> None:
        if self._next() != ("sign", sign):
            raise self._unexpected()
        self._at += 1

    def _unexpected(self) -> Exception:
        kind, text = self._next()
        return invalid(
            f"Invalid filter pattern: {text[:40]!r} was not expected." if kind else "Invalid filter pattern: it ends early."
        )


def _tokens(pattern: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(pattern):
        token = _TOKEN.match(pattern, at)
        if token is None or token.lastgroup is None:
            raise invalid(f"Invalid filter pattern: {pattern[at : at + 40].strip()!r} was not expected.")
        text = token[token.lastgroup]
        yield token.lastgroup, re.sub(r"\\(.)", r"\1", text, flags=re.DOTALL) if token.lastgroup == "quoted" else text
        at = token.end()


def _steps(selector: str) -> list[Step]:
    steps: list[Step] = []
    for step in _STEP.finditer(selector):
        if step["index"] is not None:
            steps.append(int(step["index"]))
        elif step["any"]:
            steps.append(None)
        else:
            steps.append(next(text for text in (step["name"], step["single"], step["double"]) if text is not None))
    return steps


def _found(event: Any, steps: list[Step]) -> list[Any]:
    """What the selector leads to: nothing, one value, or several by way of `[*]`."""
    found = [event]
    for step in steps:
        if step is None:
            found = [element for each in found if isinstance(each, list) for element in each]
        elif isinstance(step, int):
            found = [each[step] for each in found if isinstance(each, list) and step < len(each)]
        else:
            found = [each[step] for each in found if isinstance(each, dict) and step in each]
    return found


def _compare(sign: str, value: str, *, is_quoted: bool) -> Test:
    if not is_quoted and value.startswith("%"):
        raise invalid("Invalid filter pattern: regular expressions (%...%) are not supported here.")
    is_number = not is_quoted and _NUMBER.fullmatch(value) is not None
    if sign in _ORDER:
        if not is_number:
            raise invalid(f"Invalid filter pattern: {sign} compares numbers, not {value[:40]!r}.")
        order, limit = _ORDER[sign], _number(value)
        return lambda found: _is_number(found) and bool(order(found, limit))
    pieces, number = value.split("*"), _number(value) if is_number else None

    def is_equal(found: Any) -> bool:
        if number is not None and _is_number(found):
            return bool(found == number)
        return isinstance(found, str) and fits(found, pieces)

    def differs(found: Any) -> bool:
        return not is_equal(found)

    return is_equal if sign == "=" else differs


def _number(value: str) -> int | float:
    """Whole ones as such: ids are larger than a float tells apart."""
    return int(value) if value.lstrip("+-").isdecimal() else float(value)


def _is_number(found: Any) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool)
