"""Filter patterns: of unstructured terms, `ERROR "two words" ?either ?or -not`, and those for JSON (`json_pattern.py`).
Space-delimited and regular expression patterns are refused."""

from __future__ import annotations

import re
from collections.abc import Callable

from lambdad.services.logs.json_pattern import parse_json_pattern
from lambdad.services.logs.model import invalid

_TERM = re.compile(r'\s*(?P<sign>[?-]?)(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>[^\s"]+))(?=\s|$)')
_PLAIN = re.compile(r"\w+")
_UNSUPPORTED = {
    "[": "space-delimited patterns ([a, b, ...])",
    "%": "regular expressions (%...%)",
}

Matches = Callable[[str], bool]


def parse_pattern(pattern: str) -> Matches:
    """A test for messages; an empty pattern matches all."""
    pattern = pattern.strip()
    if pattern.startswith("{"):
        return parse_json_pattern(pattern)
    if pattern[:1] in _UNSUPPORTED:
        raise invalid(f"Invalid filter pattern: {_UNSUPPORTED[pattern[0]]} are not supported here; use terms.")
    terms = _terms(pattern)
    required = [text for sign, text in terms if not sign]
    excluded = [text for sign, text in terms if sign == "-"]
    optional = [text for sign, text in terms if sign == "?"]
    if optional and not required and not excluded:
        return lambda message: any(text in message for text in optional)
    # AWS ignores the optional terms where there are others.
    return lambda message: all(text in message for text in required) and not any(text in message for text in excluded)


def _terms(pattern: str) -> list[tuple[str, str]]:
    terms = []
    start = 0
    while start < len(pattern):
        term = _TERM.match(pattern, start)
        if term is None:
            raise invalid(f"Invalid filter pattern: a term was expected at {pattern[start : start + 40].strip()!r}.")
        quoted, plain = term["quoted"], term["plain"]
        if plain is not None and not _PLAIN.fullmatch(plain):
            if plain.startswith("%"):
                raise invalid(f"Invalid filter pattern: {_UNSUPPORTED['%']} are not supported here; use terms.")
            raise invalid(f"Invalid character(s) in term '{plain}'")
        terms.append((term["sign"], plain if plain is not None else re.sub(r"\\(.)", r"\1", quoted)))
        start = term.end()
    return terms
