"""The models' patterns, written for Java, as Python ones; a pattern that cannot be carried over exactly is left out."""

from __future__ import annotations

import re
import warnings
from functools import lru_cache

#: Java's classes that occur in the models. Letters and numbers together are Python's \w, which adds the underscore
#: that all these patterns name themselves.
_JAVA_CLASSES = {
    r"\p{L}": r"\w",
    r"\p{N}": r"\w",
    r"\p{M}": "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u064b-\u065f\u0900-\u0903\u20d0-\u20f0",
    r"\p{Z}": " \u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000",
    r"\p{Print}": r"\x20-\x7e",
}
_NESTED_REPEAT = re.compile(r"[+*}]\)[+*{]")
#: Longest text a pattern with a repeat inside a repeat is tried on, where the model sets no length of its own.
MAX_NESTED_LENGTH = 1024
MAX_LENGTH = 65_536


@lru_cache(1024)
def compiled(pattern: str) -> re.Pattern[str] | None:
    """Matches whole values, as AWS does. None for a pattern Python would read differently."""
    if r"\p{L}" in pattern and "_" not in pattern:
        return None
    text = pattern.replace(r"\w-", r"\w\-")
    for java, python in _JAVA_CLASSES.items():
        text = text.replace(java, python if "[" in text or len(python) > 2 else f"[{python}]")
    if pattern == r"\p{Print}+":
        text = r"[\x20-\x7e]+"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # a FutureWarning tells of set operations, which Java has and Python lacks
            # Java's \d, \s and \w are ASCII's; where \p{L} has become \w it is to mean every letter.
            return re.compile(text, 0 if r"\p" in pattern else re.ASCII)
    except (re.error, FutureWarning, OverflowError):
        return None


def satisfies(pattern: str, value: str) -> bool:
    """Whether the whole value matches. What is too long to be tried safely does not match."""
    expression = compiled(pattern)
    if expression is None:
        return True
    limit = MAX_NESTED_LENGTH if _NESTED_REPEAT.search(pattern) else MAX_LENGTH
    return len(value) <= limit and expression.fullmatch(value) is not None
