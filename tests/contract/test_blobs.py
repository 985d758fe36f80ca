"""What Blobs keep, in files above each kind of store."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lambdad.store.base import refer, unrefer
from lambdad.store.files import FileBlobs
from support.stores import Store


@pytest.fixture
async def blobs(store: Store, tmp_path: Path) -> AsyncIterator[FileBlobs]:
    blobs = FileBlobs(tmp_path / "blobs", store)
    await blobs.open()
    yield blobs
    await blobs.close()


async def content(blobs: FileBlobs, digest: str, **arguments: int) -> bytes:
    return b"".join([piece async for piece in blobs.read(digest, **arguments)])


def files(blobs_folder: Path) -> list[str]:
    return sorted(path.name for path in blobs_folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("sizes", [[], [0], [1], [10, 20], [1 << 20], [3_000_000, 1, 70_000]])
async def test_round_trip(blobs: FileBlobs, store: Store, sizes: list[int]) -> None:
    """What is written is read, under the SHA-256 of the whole."""
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    async with blobs.receive() as writer:
        for piece in pieces:
            await writer.write(piece)
        blob = await writer.finish()
        await store.commit([refer(blob.digest, "me")])
    whole = b"".join(pieces)
    assert (blob.digest, blob.size) == (hashlib.sha256(whole).hexdigest(), len(whole))
    assert await content(blobs, blob.digest) == whole
    assert blobs.path(blob.digest).read_bytes() == whole


async def test_ranges(blobs: FileBlobs) -> None:
    """A range is half open, and ends at the end of the content."""
    async with blobs.receive() as writer:
        await writer.write(b"0123456789")
        digest = (await writer.finish()).digest
        assert await content(blobs, digest, start=2, end=5) == b"234"
        assert await content(blobs, digest, start=8, end=99) == b"89"
        assert await content(blobs, digest, start=5, end=5) == b""
        assert await content(blobs, digest, start=50) == b""


async def test_pieces(blobs: FileBlobs) -> None:
    """Content is read in pieces of at most 1 MiB."""
    async with blobs.receive() as writer:
        await writer.write(b"x" * 2_500_000)
        digest = (await writer.finish()).digest
        assert [len(piece) async for piece in blobs.read(digest)] == [1 << 20, 1 << 20, 2_500_000 - (2 << 20)]


@pytest.mark.parametrize("digest", ["0" * 64, "", "../../etc/passwd", "A" * 64, "0" * 63])
async def test_no_such_blob(blobs: FileBlobs, digest: str) -> None:
    """An unknown or impossible digest is a KeyError."""
    with pytest.raises(KeyError):
        blobs.path(digest)
    with pytest.raises(KeyError):
        blobs.read(digest)
    with pytest.raises(KeyError):
        async with blobs.pin(digest):
            pass


async def test_unfinished_keeps_nothing(blobs: FileBlobs, tmp_path: Path) -> None:
    """Leaving without `finish`, by an error or not, keeps nothing."""
    async with blobs.receive() as writer:
        await writer.write(b"x" * 3_000_000)
    with pytest.raises(RuntimeError):
        async with blobs.receive() as writer:
            await writer.write(b"x" * 3_000_000)
            raise RuntimeError
    assert files(tmp_path / "blobs") == []


async def test_unreferenced_keeps_nothing(blobs: FileBlobs, tmp_path: Path) -> None:
    """A finished blob to which nothing refers goes when the block is left."""
    async with blobs.receive() as writer:
        await writer.write(b"x")
        await writer.finish()
        assert len(files(tmp_path / "blobs")) == 1
    assert files(tmp_path / "blobs") == []


async def test_finish_once(blobs: FileBlobs) -> None:
    """After `finish` there is no writing and no second finish."""
    async with blobs.receive() as writer:
        await writer.finish()
        with pytest.raises(ValueError):
            await writer.write(b"x")
        with pytest.raises(ValueError):
            await writer.finish()


async def test_release(blobs: FileBlobs, store: Store, tmp_path: Path) -> None:
    """Content shared by two references goes with the second."""
    for owner in ("a", "b"):
        async with blobs.receive() as writer:
            await writer.write(b"same")
            digest = (await writer.finish()).digest
            await store.commit([refer(digest, owner)])
    assert files(tmp_path / "blobs") == [digest]
    await store.commit([unrefer(digest, "a")])
    await blobs.release(digest)
    assert await content(blobs, digest) == b"same"
    await store.commit([unrefer(digest, "b")])
    await blobs.release(digest)
    await blobs.release(digest)
    assert files(tmp_path / "blobs") == []


async def test_release_while_pinned(blobs: FileBlobs, store: Store, tmp_path: Path) -> None:
    """A pin keeps the content through a release, long enough to refer to it again; without that it goes with the pin."""
    async with blobs.receive() as writer:
        digest = (await writer.finish()).digest
        await store.commit([refer(digest, "a")])
    async with blobs.pin(digest):
        await store.commit([unrefer(digest, "a")])
        await blobs.release(digest)
        await store.commit([refer(digest, "b")])
    assert await content(blobs, digest) == b""
    async with blobs.pin(digest):
        await store.commit([unrefer(digest, "b")])
        await blobs.release(digest)
        assert blobs.path(digest).exists()
    assert files(tmp_path / "blobs") == []


async def test_release_while_read(blobs: FileBlobs, store: Store) -> None:
    """Who has begun to read reads to the end."""
    async with blobs.receive() as writer:
        await writer.write(b"x" * 2_000_000)
        digest = (await writer.finish()).digest
        await store.commit([refer(digest, "a")])
    reader = blobs.read(digest)
    first = await anext(reader)
    await store.commit([unrefer(digest, "a")])
    await blobs.release(digest)
    assert len(first) + sum([len(piece) async for piece in reader]) == 2_000_000


async def test_same_content_at_once(blobs: FileBlobs, store: Store, tmp_path: Path) -> None:
    """Many who write the same while others release it: whoever referred to it has it."""

    async def keep(owner: str) -> str:
        async with blobs.receive() as writer:
            await writer.write(b"same")
            digest = (await writer.finish()).digest
            await store.commit([refer(digest, owner)])
        return digest

    async def keep_and_release(owner: str) -> None:
        digest = await keep(owner)
        await store.commit([unrefer(digest, owner)])
        await blobs.release(digest)

    digest = await keep("stays")
    for _ in range(5):
        await asyncio.gather(*(keep_and_release(f"{number}") for number in range(10)))
        assert await content(blobs, digest) == b"same"
    await store.commit([unrefer(digest, "stays")])
    await asyncio.gather(blobs.release(digest), *(keep_and_release(f"{number}") for number in range(10)))
    assert files(tmp_path / "blobs") == []
