"""What stands on disk under FileBlobs: leftovers, cancelled writers, room."""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lambdad.store.base import refer
from lambdad.store.files import FileBlobs
from lambdad.store.memory import MemoryStore


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
async def blobs(tmp_path: Path, store: MemoryStore) -> AsyncIterator[FileBlobs]:
    blobs = FileBlobs(tmp_path, store)
    await blobs.open()
    yield blobs
    await blobs.close()


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


async def write(blobs: FileBlobs, store: MemoryStore, data: bytes, owner: str | None) -> str:
    async with blobs.receive() as writer:
        await writer.write(data)
        digest = (await writer.finish()).digest
        if owner:
            await store.commit([refer(digest, owner)])
    return digest


async def test_sweep(tmp_path: Path, store: MemoryStore, blobs: FileBlobs) -> None:
    """A start removes unfinished files; the sweep removes the unreferenced blobs from before the start, and no others."""
    kept = await write(blobs, store, b"kept", "a")
    orphan = tmp_path / "ab" / "cd" / ("abcd" + "0" * 60)
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"orphan")
    young = tmp_path / "ab" / "cd" / ("abcd" + "1" * 60)
    young.write_bytes(b"young")
    (tmp_path / "tmp" / "leftover").write_bytes(b"half")
    earlier = time.time() - 1000
    for path in (orphan, blobs.path(kept)):
        os.utime(path, (earlier, earlier))
    after_restart = FileBlobs(tmp_path, store, clock=lambda: earlier + 500)
    await after_restart.open()
    assert not (tmp_path / "tmp" / "leftover").exists()
    assert await after_restart.sweep() == 1
    assert files(tmp_path) == sorted([kept, young.name])
    await after_restart.close()


async def test_cancelled_writer(tmp_path: Path, blobs: FileBlobs) -> None:
    """A writer cancelled at any step leaves nothing, on disk or pinned."""

    async def upload() -> None:
        async with blobs.receive() as writer:
            for _ in range(4):
                await writer.write(b"x" * 1_000_000)
            await writer.finish()
            await asyncio.Event().wait()

    for steps in range(30):
        task = asyncio.create_task(upload())
        for _ in range(steps):
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()
    assert blobs._pins == {}
    assert files(tmp_path) == []


async def test_flat_memory(tmp_path: Path, store: MemoryStore, blobs: FileBlobs) -> None:
    """Writing and reading 300 MB takes a few MB of memory."""
    piece = os.urandom(65_536)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    async with blobs.receive() as writer:
        for _ in range(4800):
            await writer.write(piece)
        blob = await writer.finish()
        size = 0
        async for read in blobs.read(blob.digest):
            size += len(read)
    assert size == blob.size == 4800 * 65_536
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 60_000
