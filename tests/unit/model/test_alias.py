"""Which version an alias picks."""

from __future__ import annotations

import pytest

from lambdad.model.alias import Alias


@pytest.mark.parametrize(("weight", "draw", "version"), [(0.0, 0.0, "1"), (0.3, 0.29, "2"), (0.3, 0.3, "1"), (1.0, 0.999, "2")])
def test_pick(weight: float, draw: float, version: str) -> None:
    """The additional version gets its weight's share of the draws, the main one the rest."""
    assert Alias("a", "1", "r", weights={"2": weight}).pick(draw) == version


def test_versions() -> None:
    """An alias names its main version and the one that shares."""
    assert Alias("a", "1", "r", weights={"2": 0.5}).versions() == {"1", "2"}
    assert Alias("a", "1", "r").pick(0.0) == "1"
