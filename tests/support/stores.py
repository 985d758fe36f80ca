"""Every kind of store, and the clock that those of a test have."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from lambdad.store.memory import MemoryStore
from lambdad.store.sqlite import SqliteStore

Store = MemoryStore | SqliteStore
KINDS = ("memory", "sqlite")


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def open_store(kind: str, folder: Path, clock: Clock) -> AsyncIterator[Store]:
    if kind == "memory":
        yield MemoryStore(clock=clock)
        return
    sqlite = SqliteStore(folder / "store.db", clock=clock)
    await sqlite.open()
    yield sqlite
    await sqlite.close()
