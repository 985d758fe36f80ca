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


async def test_sweep_goes_on_where_a_blob_has_gone(tmp_path: Path, blobs: FileBlobs) -> None:
    """A blob that is removed between the sweep's listing and its look does not keep the others."""
    orphan = tmp_path / "ab" / "cd" / ("abcd" + "0" * 60)
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"orphan")
    os.utime(orphan, (1, 1))
    (orphan.parent / ("abcd" + "1" * 60)).symlink_to(tmp_path / "gone")  # listed, and not there when it is looked at
    assert await blobs.sweep() == 1
    assert not orphan.exists()


async def test_the_way_to_the_blobs_is_durable(tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Opening syncs the folder of the blobs and the one that names it, so that a loss of power cannot take all of them."""
    synced: set[str] = set()
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        synced.add(os.readlink(f"/proc/self/fd/{descriptor}"))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    opened = FileBlobs(tmp_path / "data" / "blobs", store)
    await opened.open()
    await opened.close()
    assert {str(tmp_path / "data" / "blobs"), str(tmp_path / "data")} <= synced


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
