"""The service that the tests of this folder drive."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.lambda_service import World, lambda_world


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    async with lambda_world(tmp_path) as opened:
        yield opened
