"""Backends that a test opens for itself."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from support.sandbox import Opened


@pytest.fixture
async def opened() -> AsyncIterator[Opened]:
    """Opens a backend, which is closed after the test, also where that has failed: what is left of it would be other tests'
    trouble."""
    async with AsyncExitStack() as stack:

        async def open_backend(backend: Any) -> Any:
            stack.push_async_callback(backend.close)
            await backend.open()
            return backend

        yield open_backend
