"""Keeps a commit and what belongs to it in one piece, whoever stops waiting for it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

_Result = TypeVar("_Result")


async def to_the_end(step: Coroutine[Any, Any, _Result]) -> _Result:
    """Runs a commit and what belongs to it even if the request is cancelled meanwhile, so that blobs and records agree."""
    task = asyncio.ensure_future(step)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            try:
                await asyncio.wait((task,))
            except asyncio.CancelledError:  # asked again; the first request is answered once the step is over
                continue
        if not task.cancelled():
            task.exception()
        raise
