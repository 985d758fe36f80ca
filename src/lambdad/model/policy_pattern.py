"""Texts of a policy: `*` and `?` stand for any characters and any one, `${aws:username}` for what the request says."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final

#: Values of a condition key, by its name in lower case; None when the request has none.
Keys = Callable[[str], tuple[str, ...] | None]
Matcher = Callable[[str], bool]

STAR: Final = object()  #: any characters, also none
ANY: Final = object()  #: any one character
Token = str | object

_TOKEN = re.compile(r"\$\{([^{}]*)\}|([*?])|([^*?$]+|\$)", re.DOTALL)
_VARIABLE = re.compile(r"\s*([^,\s]+)\s*(?:,\s*'([^']*)'\s*)?", re.DOTALL)
_LITERALS = frozenset("*?$")  #: "${*}" is a star that is meant


class Pattern:
    """One text, read once. Whatever a variable stands for is taken literally, so no caller can smuggle in a wildcard."""

    __slots__ = ("_matcher", "_parts", "is_variable", "text")

    def __init__(self, text: str, *, has_variables: bool = True, has_wildcards: bool = True, fold: bool = False) -> None:
        self.text = text
        self._parts = _parts_of(text.lower() if fold else text, has_variables, has_wildcards)
        self.is_variable = any(isinstance(part, _Variable) for part in self._parts)
        self._matcher = None if self.is_variable else matcher_of(self._parts)

    def matches(self, actual: str, keys: Keys) -> bool:
        """False too when a variable has neither a value nor a default."""
        matcher = self._matcher
        if matcher is not None:
            return matcher(actual)
        tokens = self.tokens(keys)
        return tokens is not None and _kept_matcher(tuple(tokens))(actual)

    def tokens(self, keys: Keys) -> list[Token] | None:
        """With the variables' values in their places; None when one has none."""
        resolved: list[Token] = []
        for part in self._parts:
            if isinstance(part, _Variable):
                value = part.value(keys)
                if value is None:
                    return None
                resolved.append(value)
            else:
                resolved.append(part)
        return resolved


def variables_in(text: str) -> list[str]:
    """The condition keys whose values a text wants in it, as it spells them."""
    inside = [found[1] for found in _TOKEN.finditer(text) if found[1] is not None and found[1] not in _LITERALS]
    return [named[1] for named in map(_VARIABLE.fullmatch, inside) if named is not None]


class _Variable:
    __slots__ = ("default", "key")

    def __init__(self, key: str, default: str | None) -> None:
        self.key = key.lower()
        self.default = default

    def value(self, keys: Keys) -> str | None:
        found = keys(self.key)
        return found[0] if found is not None and len(found) == 1 else self.default


def matcher_of(tokens: Iterable[Token]) -> Matcher:
    """Time is at worst the product of both lengths, however many stars there are."""
    segments = _segments(tokens)
    if len(segments) == 1:
        return segments[0].matches_whole
    first, *middle, last = segments
    if not middle and not last.length:
        return first.matches_start

    def matches(actual: str) -> bool:
        end = len(actual) - last.length
        if end < first.length or not first.matches_start(actual) or not last.matches_at(actual, end):
            return False
        at = first.length
        for segment in middle:  # the leftmost place is always a right one to take
            at = segment.find(actual, at, end)
            if at < 0:
                return False
            at += segment.length
        return True

    return matches


_kept_matcher = lru_cache(4096)(matcher_of)  #: the same callers come again


class _Segment:
    """What stands between two stars: a text, or one with `?` in it."""

    __slots__ = ("_expression", "_text", "length")

    def __init__(self, tokens: list[Token]) -> None:
        self.length = sum(1 if token is ANY else len(str(token)) for token in tokens)
        self._text = "" if ANY in tokens else "".join(map(str, tokens))
        pattern = "".join("." if token is ANY else re.escape(str(token)) for token in tokens)
        self._expression = re.compile(pattern, re.DOTALL) if ANY in tokens else None

    def matches_whole(self, actual: str) -> bool:
        if self._expression is None:
            return actual == self._text
        return self._expression.fullmatch(actual) is not None

    def matches_start(self, actual: str) -> bool:
        return self.matches_at(actual, 0)

    def matches_at(self, actual: str, at: int) -> bool:
        if self._expression is None:
            return actual.startswith(self._text, at)
        return self._expression.match(actual, at) is not None

    def find(self, actual: str, start: int, end: int) -> int:
        if self._expression is None:
            return actual.find(self._text, start, end)
        found = self._expression.search(actual, start, end)
        return found.start() if found else -1


def _segments(tokens: Iterable[Token]) -> list[_Segment]:
    groups: list[list[Token]] = [[]]
    for token in tokens:
        if token is STAR:
            groups.append([])
        else:
            groups[-1].append(token)
    return [_Segment(group) for group in groups]


def _parts_of(text: str, has_variables: bool, has_wildcards: bool) -> list[Token]:
    parts: list[Token] = []
    for found in _TOKEN.finditer(text):
        variable, wildcard, literal = found.groups()
        if wildcard is not None and has_wildcards:
            parts.append(STAR if wildcard == "*" else ANY)
        elif variable is not None and has_variables:
            parts.append(_variable_or_literal(variable, found[0]))
        elif variable is not None and has_wildcards:
            parts += _spelled(found[0])
        else:
            parts.append(literal or found[0])
    return parts


def _spelled(text: str) -> list[Token]:
    """A variable's spelling where variables are not known: its wildcards are wildcards."""
    return [STAR if character == "*" else ANY if character == "?" else character for character in text]


def _variable_or_literal(inside: str, spelled: str) -> Token:
    if inside in _LITERALS:
        return inside
    named = _VARIABLE.fullmatch(inside)
    return _Variable(named[1], named[2]) if named else spelled
