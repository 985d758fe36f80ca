"""wire/pattern.py on every pattern of the models."""

from __future__ import annotations

import time
from functools import cache

import pytest

from lambdad.wire.pattern import compiled, satisfies
from lambdad.wire.spec import ServiceSpec


@cache
def patterns() -> frozenset[tuple[str, int]]:
    found = set()
    for service in ("lambda", "logs", "sqs", "sts", "iam", "dynamodb"):
        for description in ServiceSpec(service).model._service_description["shapes"].values():
            if "pattern" in description:
                found.add((description["pattern"], min(description.get("max", 65_536), 65_536)))
    return frozenset(found)


def test_hostile_text_does_not_stall() -> None:
    """No pattern takes long on the longest text that its own limit lets through."""
    alphabet = ["a", "-", "/", ":", "0", "a-", "arn:aws:lambda:", "/a", "_", ".", "1:"]
    for pattern, longest in patterns():
        for part in alphabet:
            text = (part * (longest // len(part)))[: longest - 1] + "\n"
            started = time.process_time()
            satisfies(pattern, text)
            assert time.process_time() - started < 0.5, pattern


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"([\p{L}\p{Z}\p{N}_.:/=+\-@]*)", ["", "Ünïcode 1_", "a\u00a0b", "日本"], ["a;b", "a\tb", "a\n"]),
        (r"[\w-_]*", ["a-b_c"], ["a b"]),
        (r"\p{Print}+", ["abc ~"], ["a\x00"]),
        (r"\d{3}", ["123"], ["١٢٣", "１２３", "𝟙𝟚𝟛"]),
        (r"[^\s]+", ["a\u00a0b"], ["a b", "a\tb"]),
        (r"[\w+=,.@-]+", ["a_b"], ["é", "日本"]),
        (r"[a-z]+", ["abc"], ["abc1", "1abc", "abc\n"]),
    ],
)
def test_java_patterns(pattern: str, good: list[str], bad: list[str]) -> None:
    """Java's classes mean in Python what they mean in Java, and a match is of the whole value."""
    assert all(satisfies(pattern, text) for text in good)
    assert not any(satisfies(pattern, text) for text in bad)


def test_patterns_that_cannot_be_carried_over_let_all_pass() -> None:
    """A pattern that Python would read differently never refuses a value AWS might take."""
    for pattern in (r"[a-z&&[^b]]+", r"\p{IsGreek}+", r"[\p{L}]+"):
        assert compiled(pattern) is None
        assert satisfies(pattern, "anything; at all")
    left_out = [pattern for pattern, _ in patterns() if compiled(pattern) is None]
    assert len(left_out) <= 2, left_out
