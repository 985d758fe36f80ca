"""Room for the limit that keeps crashes from starting a program of the machine's."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from lambdad.sandbox.core_limit import WEAKNESS, make_room_for_one_byte


@pytest.mark.parametrize(
    ("hard", "may_raise", "pattern", "told", "set_to"),
    [
        (resource.RLIM_INFINITY, True, "|/usr/lib/handler %p", [], []),
        (0, True, "|/usr/lib/handler %p", [], [(0, 1)]),
        (0, False, "|/usr/lib/handler %p", [WEAKNESS], []),
        (0, False, "core", [], []),
    ],
)
def test_a_hard_limit_of_zero_is_raised_or_told(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    hard: int,
    may_raise: bool,
    pattern: str,
    told: list[str],
    set_to: list[tuple[int, int]],
) -> None:
    """It matters only where a crash would start a program."""
    switch = tmp_path / "sys/kernel/core_pattern"
    switch.parent.mkdir(parents=True)
    switch.write_text(pattern + "\n")
    done: list[tuple[int, int]] = []

    def set_limit(kind: int, limits: tuple[int, int]) -> None:
        assert kind == resource.RLIMIT_CORE
        if not may_raise:
            raise ValueError("not allowed to raise maximum limit")
        done.append(limits)

    monkeypatch.setattr(resource, "getrlimit", lambda kind: (0, hard))
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    assert make_room_for_one_byte(tmp_path) == told
    assert done == set_to
