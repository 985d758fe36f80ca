"""Packages and layers on disk."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from lambdad.errors import SandboxError
from lambdad.invocation.code import CodeStore
from lambdad.sandbox.base import UnpackLimits, UnpackReport

LIMITS = UnpackLimits(1000)


class Unpacker:
    def __init__(self) -> None:
        self.calls = 0
        self.report = UnpackReport(10)
        self.go = asyncio.Event()
        self.go.set()

    async def unpack(self, archives, destination, limits):
        self.calls += 1
        await self.go.wait()
        if self.report.refusal is None:
            destination.mkdir()
            for archive in archives:
                (destination / archive.name).write_bytes(archive.read_bytes())
        return self.report

    async def remove(self, tree):
        shutil.rmtree(tree)


class Blobs:
    def __init__(self, folder) -> None:
        self.folder = folder

    def path(self, digest):
        return self.folder / digest


@pytest.fixture
async def unpacker():
    return Unpacker()


@pytest.fixture
async def code(tmp_path, unpacker):
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    for digest in ("a", "b"):
        (blobs / digest).write_bytes(digest.encode())
    store = CodeStore(unpacker, Blobs(blobs), tmp_path / "code")
    await store.open()
    return store


async def test_unpacked_once(code, unpacker):
    """However many ask at once, an archive is unpacked once; one who gives up does not stop the others."""
    unpacker.go.clear()
    asking = [asyncio.create_task(code.unpack(("a",), LIMITS)) for _ in range(5)]
    await asyncio.sleep(0)
    asking[0].cancel()
    unpacker.go.set()
    reports = await asyncio.gather(*asking, return_exceptions=True)
    assert reports[1:] == [UnpackReport(10)] * 4
    assert await code.unpack(("a",), LIMITS) == UnpackReport(10)
    assert unpacker.calls == 1
    assert (code.path(("a",)) / "a").read_bytes() == b"a"


async def test_layers_are_one_tree(code):
    """Several archives make one tree; another order is another tree."""
    await code.unpack(("a", "b"), LIMITS)
    assert sorted(path.name for path in code.path(("a", "b")).iterdir()) == ["a", "b"]
    assert code.path(("a", "b")) != code.path(("b", "a"))


async def test_known_after_a_restart(code, unpacker, tmp_path):
    """Another server finds what is there, and removes what a killed one left half made."""
    await code.unpack(("a",), LIMITS)
    left = tmp_path / "code" / "partial-x" / "tree"
    left.mkdir(parents=True)
    again = CodeStore(unpacker, Blobs(tmp_path / "blobs"), tmp_path / "code")
    await again.open()
    assert not left.parent.exists()
    assert await again.unpack(("a",), LIMITS) == UnpackReport(10)
    assert unpacker.calls == 1


async def test_not_trusted_after_a_reboot(code, unpacker, tmp_path):
    """After a reboot the tree is made again: its files may not have reached the disk."""
    await code.unpack(("a",), LIMITS)
    again = CodeStore(unpacker, Blobs(tmp_path / "blobs"), tmp_path / "code")
    again._boot_id = "another"
    await again.unpack(("a",), LIMITS)
    assert unpacker.calls == 2


async def test_made_again_after_a_loss(code, unpacker):
    """A tree that somebody removed is made again when an environment needs it."""
    await code.unpack(("a",), LIMITS)
    shutil.rmtree(code.path(("a",)))
    assert (await code.acquire(("a",), LIMITS) / "a").exists()
    assert unpacker.calls == 2


async def test_refusal_leaves_nothing(code, unpacker, tmp_path):
    """A refused archive leaves nothing behind; an environment cannot be made from it."""
    unpacker.report = UnpackReport(0, "slip", "../x")
    assert (await code.unpack(("a",), LIMITS)).refusal == "slip"
    assert list((tmp_path / "code").iterdir()) == []
    with pytest.raises(SandboxError, match="slip"):
        await code.acquire(("a",), LIMITS)
    with pytest.raises(SandboxError, match="not in the store"):
        await code.unpack(("missing",), LIMITS)


async def test_smaller_limit(code):
    """What was unpacked under a larger limit is still refused under a smaller one."""
    await code.unpack(("a",), LIMITS)
    assert (await code.unpack(("a",), UnpackLimits(9))).refusal == "too-big"


async def test_discard_waits_for_users(code, tmp_path):
    """A tree is removed when nobody uses it any more, and can be made again."""
    await code.acquire(("a",), LIMITS)
    await code.acquire(("a",), LIMITS)
    await code.discard(("a",))
    code.release(("a",))
    assert code.path(("a",)).exists()
    code.release(("a",))
    await code.close()
    assert list((tmp_path / "code").iterdir()) == []
    await code.discard(("a",))
    assert (await code.unpack(("a",), LIMITS)).refusal is None


async def test_unpack_revokes_a_discard(code):
    """Archives that are wanted again before the last user has gone are kept."""
    await code.acquire(("a",), LIMITS)
    await code.discard(("a",))
    await code.unpack(("a",), LIMITS)
    code.release(("a",))
    await code.close()
    assert code.path(("a",)).exists()
