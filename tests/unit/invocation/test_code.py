"""Packages and layers on disk."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from lambdad.errors import SandboxError
from lambdad.invocation.code import IMAGE_LIMITS, CodeStore
from lambdad.invocation.image_room import ImageRoom, Room
from lambdad.sandbox.base import UnpackLimits, UnpackReport

LIMITS = UnpackLimits(1000)


class Unpacker:
    def __init__(self) -> None:
        self.calls = 0
        self.merged = []
        self.report = UnpackReport(10)
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.go.set()

    async def unpack(self, archive, destination, limits):
        self.calls += 1
        self.begun.set()
        await self.go.wait()
        if self.report.refusal is None:
            destination.mkdir()
            (destination / archive.name).write_bytes(archive.read_bytes())
        return self.report

    async def merge(self, trees, destination, limits):
        self.merged.append([tree.parent.name for tree in trees])
        for tree in trees:
            shutil.copytree(tree, destination, dirs_exist_ok=True)
        return self.report

    async def unpack_layer(self, layer, below, destination, limits):
        self.limits = limits
        return await self.unpack(layer, destination, limits)

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


async def test_what_nobody_waits_for_is_given_up(code, unpacker):
    """And what somebody waits for is not; whoever comes then has it unpacked anew."""
    unpacker.go.clear()
    asking = [asyncio.create_task(code.unpack(("a",), LIMITS)) for _ in range(2)]
    await unpacker.begun.wait()
    for task, others in ((asking[0], True), (asking[1], False)):
        task.cancel()
        await asyncio.wait((task,))
        code.give_up(("a",))
        assert (("a",) in code._under_way) == others
    again = asyncio.create_task(code.unpack(("a",), LIMITS))
    await code.close()
    unpacker.go.set()
    assert (await again).refusal is None
    assert unpacker.calls == 2
    assert not list(code._directory.glob("partial-*"))


async def test_layers_are_one_tree(code, unpacker):
    """Several archives make one tree of their single ones, each of which is unpacked once; another order is another tree."""
    await code.unpack(("a",), LIMITS)
    await code.unpack(("a", "b"), LIMITS)
    assert sorted(path.name for path in code.path(("a", "b")).iterdir()) == ["a", "b"]
    await code.unpack(("b", "a"), LIMITS)
    assert code.path(("a", "b")) != code.path(("b", "a"))
    assert unpacker.merged == [["a", "b"], ["b", "a"]]
    assert unpacker.calls == 2


async def test_a_layer_that_is_being_merged_stays(code, unpacker):
    """One that is discarded meanwhile goes when the merging is over."""
    unpacker.go.clear()
    merging = asyncio.create_task(code.unpack(("a", "b"), LIMITS))
    async with asyncio.timeout(60):
        await unpacker.begun.wait()
    await code.discard(("a",))
    unpacker.go.set()
    assert (await merging).refusal is None
    await code.close()
    assert code.has(("a", "b")) and not code.has(("a",))


async def test_a_layer_that_cannot_be_had_leaves_no_user(code, unpacker):
    """The others can be discarded as if nobody had asked for the stack."""
    with pytest.raises(SandboxError, match="not in the store"):
        await code.unpack(("a", "missing"), LIMITS)
    await code.discard(("a",))
    assert not code.has(("a",))


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


def image_store(tmp_path, unpacker, room=None):
    return CodeStore(unpacker, Blobs(tmp_path / "blobs"), tmp_path / "code", image_room=ImageRoom(room or Room()))


async def test_images_have_so_much_of_the_disk(code, unpacker, tmp_path):
    """What was there before counts, and what goes makes room; zips have nothing to do with it."""
    first = image_store(tmp_path, unpacker)
    unpacker.report = UnpackReport(10, disk_bytes=600, inodes=3)
    assert (await first.unpack(("image", "a"), LIMITS)).refusal is None
    store = image_store(tmp_path, unpacker, Room(1000, 5))
    report = await store.unpack(("image", "b"), LIMITS)
    assert unpacker.limits.disk_bytes == 400
    assert (report.refusal, store.has(("image", "b"))) == ("no-room", False)
    assert (await store.unpack(("a",), LIMITS)).refusal is None
    await store.discard(("image", "a"))
    assert (await store.unpack(("image", "b"), LIMITS)).refusal is None
    assert unpacker.limits.inodes == 5


async def test_a_removal_comes_to_its_end(code, unpacker, tmp_path):
    """Also where whoever began it is gone meanwhile, with the function say: nothing stays, and what it took is free again."""
    store = image_store(tmp_path, unpacker)
    unpacker.report = UnpackReport(10, disk_bytes=600, inodes=3)
    await store.unpack(("image", "a"), LIMITS)
    begun, go = asyncio.Event(), asyncio.Event()

    async def remove(tree):
        begun.set()
        await go.wait()
        shutil.rmtree(tree)

    unpacker.remove = remove
    removing = asyncio.create_task(store.discard(("image", "a")))
    await begun.wait()
    removing.cancel()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await removing
    assert list((tmp_path / "code").iterdir()) == []
    assert store._room.taken == Room(0, 0)


async def test_two_images_at_once_do_not_take_the_same_room(code, unpacker, tmp_path):
    """The second is not begun before it is known what the first one leaves."""
    store = image_store(tmp_path, unpacker, Room(1000, 5))
    unpacker.report = UnpackReport(10, disk_bytes=600, inodes=1)
    unpacker.go.clear()
    work = [asyncio.create_task(store.unpack(("image", name), LIMITS)) for name in ("a", "b")]
    await unpacker.begun.wait()
    await asyncio.sleep(0)
    assert (unpacker.calls, unpacker.limits.disk_bytes) == (1, 1000)
    unpacker.go.set()
    reports = await asyncio.gather(*work)
    assert (unpacker.calls, unpacker.limits.disk_bytes) == (2, 400)
    assert sorted(str(report.refusal) for report in reports) == ["None", "no-room"]
    assert [store.has(("image", name)) for name in ("a", "b")].count(True) == 1
    assert not list((tmp_path / "code").glob("partial-*"))


async def test_images_that_have_room_are_unpacked_at_once(code, unpacker, tmp_path):
    """Together they are promised no more than there is."""
    store = image_store(tmp_path, unpacker, Room(2 * IMAGE_LIMITS.unpacked_bytes))
    unpacker.go.clear()
    work = [asyncio.create_task(store.unpack(("image", name), LIMITS)) for name in ("a", "b")]
    while unpacker.calls < 2:
        await asyncio.sleep(0)
    assert unpacker.limits.disk_bytes < IMAGE_LIMITS.unpacked_bytes
    unpacker.go.set()
    assert [report.refusal for report in await asyncio.gather(*work)] == [None, None]


async def test_a_layer_that_grows_more_than_others_has_another_attempt(code, unpacker, tmp_path):
    """With all that an image may have, once that is nobody else's; what has no room then either is refused."""
    tried = []

    async def grow(layer, below, destination, limits):
        tried.append(limits.disk_bytes)
        return UnpackReport(10, "no-room", "more") if limits.disk_bytes < 5 << 30 else UnpackReport(10, disk_bytes=5 << 30)

    unpacker.unpack_layer = grow
    store = image_store(tmp_path, unpacker, Room(8 << 30))
    async with store._room.promised(Room(1 << 30, 1)):
        growing = asyncio.create_task(store.unpack(("image", "a"), LIMITS))
        while not tried:
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not growing.done()
    assert (await growing).refusal is None
    assert tried[1:] == [8 << 30]
    assert (await store.unpack(("image", "b"), LIMITS)).refusal == "no-room"
    assert tried[2:] == [256 * (1 << 20) + 5, 3 << 30]


async def test_what_nothing_refers_to_is_swept_away(code, unpacker, tmp_path):
    """What this server has made is not: somebody may be about to refer to it."""
    for digests in (("a",), ("b",), ("a", "b")):
        await code.unpack(digests, LIMITS)
    later = image_store(tmp_path, unpacker)
    await later.unpack(("b",), LIMITS)

    async def is_wanted(name):
        return name == later.path(("a", "b")).parent.name

    assert await later.sweep(is_wanted) == 1
    assert [later.has(digests) for digests in (("a",), ("b",), ("a", "b"))] == [False, True, True]
    assert await later.sweep(is_wanted) == 0
