"""The service that the tests of this folder drive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.idle_functions import written
from support.lambda_service import World, lambda_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with lambda_world(tmp_path) as opened:
        yield opened


@pytest.fixture
def uri(world: World) -> str:
    """The address of an image, for functions that become idle."""
    return written(world, "one")
