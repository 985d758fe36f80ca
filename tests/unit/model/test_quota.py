"""Profiles of quotas."""

from __future__ import annotations

import pytest

from lambdad.errors import StartupError
from lambdad.model.quota import quotas


def test_profiles_and_overrides() -> None:
    """2021 has the figures of its time, and single figures can be replaced."""
    assert (quotas("2021").memory_max_mb, quotas("2021").memory_step_mb, quotas("2021").tmp_max_mb) == (3008, 64, 512)
    assert quotas().async_payload_bytes == 1_048_576
    assert quotas("2021", {"memory_max_mb": 10_240}).memory_max_mb == 10_240


@pytest.mark.parametrize(("profile", "overrides"), [("1999", {}), ("current", {"speed": 1})])
def test_unknown_names(profile: str, overrides: dict[str, int]) -> None:
    """An unknown profile or quota stops the start with a sentence that names the known ones."""
    with pytest.raises(StartupError, match="there are"):
        quotas(profile, overrides)
