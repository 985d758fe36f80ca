"""A Runtime API served on a real socket, without a sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop

from support.raw_runtime import Api, serving


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Everything here runs on the loop of the server, and on the one that every platform has."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    async with serving() as served:
        yield served
