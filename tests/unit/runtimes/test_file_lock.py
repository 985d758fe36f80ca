"""A lock among processes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from lambdad.runtimes.file_lock import file_lock


async def test_a_file_lock_is_waited_for(tmp_path: Path) -> None:
    """The second holder enters after the first has left."""
    order: list[str] = []
    entered = asyncio.Event()

    async def second() -> None:
        entered.set()
        async with file_lock(tmp_path / "lock"):
            order.append("second")

    async with file_lock(tmp_path / "lock"):
        task = asyncio.create_task(second())
        await entered.wait()
        order.append("first")
    await task
    assert order == ["first", "second"]
