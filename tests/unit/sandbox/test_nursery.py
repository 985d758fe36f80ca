"""How many shells a nursery asks for."""

from __future__ import annotations

import pytest

from lambdad.sandbox.nursery import Nursery
from lambdad.sandbox.records import Channel, Program


class NoChannel(Channel):
    def __init__(self) -> None:
        """Nothing is sent in these tests."""


def nursery(failures: int) -> Nursery:
    made = Nursery(Program("python3.11", "/i", "/l", "/r"), NoChannel(), pid=0, handle=0, last_used=100.0)
    made.failures = failures
    return made


@pytest.mark.parametrize(("failures", "wanted"), [(0, 2), (1, 2), (2, 2), (3, 0), (9, 0)])
def test_spares_after_failures(failures: int, wanted: int) -> None:
    """One that was killed in the making is made again though nobody waits; what fails again and again is left alone."""
    assert nursery(failures).wanted(spares=2, now=101.0, idle_seconds=600) == wanted


def test_no_spares_of_a_language_long_unused() -> None:
    assert nursery(0).wanted(spares=2, now=701.0, idle_seconds=600) == 0
