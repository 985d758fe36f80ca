"""processor_share.py: processors by memory size."""

from __future__ import annotations

import pytest

from lambdad.model.processor_share import processors


@pytest.mark.parametrize(("memory_mb", "expected"), [(128, 128 / 1769), (1769, 1.0), (3538, 2.0), (10_240, 10_240 / 1769)])
def test_in_proportion_to_memory(memory_mb: int, expected: float) -> None:
    """1,769 MB come with one processor, and other sizes with as much more or less."""
    assert processors(memory_mb) == expected


def test_never_more_than_six() -> None:
    """AWS gives no more than six."""
    assert processors(1 << 20) == 6.0
