"""Unpacked packages, layers and images on disk: made once from their blobs, made again after a loss, removed when unused.

Layers that lie one over the other share the files of their single trees, each of which is unpacked once. The tree of an image
is made layer by layer, each over the tree of those below it, with which it shares files. Trees of images have so much of the
disk together, and no more: what nothing refers to is removed, what something refers to never for others.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from lambdad.errors import SandboxError
from lambdad.invocation.image_room import ImageRoom, Room, fits, within
from lambdad.model.image import IMAGE_STACK
from lambdad.sandbox.base import Sandboxes, UnpackLimits, UnpackReport
from lambdad.store.base import Blobs
from lambdad.store.to_the_end import to_the_end

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PARTIAL = "partial-"

_KEPT = ("unpacked_bytes", "diff_id", "disk_bytes", "inodes")  #: of a report

IMAGE_LIMITS = UnpackLimits(10 << 30, 1_000_000)

#: What is asked for in the first place: layers have a quarter of their size when they are compressed, seldom less, and there is
#: a folder for each of the layers below.
_USUAL_GROWTH, _USUAL_BYTES, _USUAL_INODES = 5, 256 << 20, 100_000
_BLOCK_BYTES = 4096

Digests = tuple[str, ...]  #: IMAGE_STACK first where they are layers of an image


class CodeStore:
    """A folder with one entry per package or stack of layers: `tree`, seen read-only by sandboxes, and `report.json`.

    Entries are a cache. They are trusted until the machine reboots: their files are not flushed one by one.
    """

    def __init__(
        self,
        sandboxes: Sandboxes,
        blobs: Blobs,
        directory: Path,
        *,
        image_limits: UnpackLimits = IMAGE_LIMITS,
        image_room: ImageRoom | None = None,
        new_id: Callable[[], str] = lambda: uuid.uuid4().hex,
    ) -> None:
        """`image_limits` hold for each image, whatever limits are given for packages, and `image_room` for all together."""
        self._sandboxes = sandboxes
        self._blobs = blobs
        self._directory = directory
        self._image_limits = image_limits
        self._room = image_room or ImageRoom(Room())
        self._is_measured = False
        self._measuring = asyncio.Lock()
        self._new_id = new_id
        self._boot_id = _BOOT_ID.read_text().strip() if _BOOT_ID.exists() else ""
        self._reports: dict[Digests, UnpackReport] = {}
        self._under_way: dict[Digests, asyncio.Task[UnpackReport]] = {}
        self._waiting: Counter[Digests] = Counter()  #: for those
        self._users: Counter[Digests] = Counter()
        self._unwanted: set[Digests] = set()  #: discarded while an environment still used them
        self._removals: set[asyncio.Task[Any]] = set()

    async def open(self) -> None:
        """Removes what an earlier, killed server left half made."""
        self._directory.mkdir(parents=True, exist_ok=True)
        for partial in sorted(self._directory.glob(f"{_PARTIAL}*")):
            await self._remove(partial)

    async def sweep(self, is_wanted: Callable[[str], Awaitable[bool]]) -> int:
        """Removes what an earlier server has left and nothing refers to, by the names of entries; returns how many."""
        removed = 0
        for entry in sorted(self._directory.iterdir()):
            if entry.name.startswith(_PARTIAL) or await is_wanted(entry.name):
                continue
            # From here to the renaming nobody else comes between.
            in_use = {self._entry(digests) for digests in (*self._reports, *self._users, *self._under_way)}
            if entry not in in_use and entry.exists():
                await self._take_down(entry)
                removed += 1
        return removed

    async def close(self) -> None:
        await asyncio.gather(*self._under_way.values(), *self._removals, return_exceptions=True)

    def has(self, digests: Digests) -> bool:
        """Whether there is a tree of just these archives."""
        return self.path(digests).exists()

    def path(self, digests: Digests) -> Path:
        """Where `unpack` puts the tree of these archives."""
        return self._entry(digests) / "tree"

    async def unpack(self, digests: Digests, limits: UnpackLimits) -> UnpackReport:
        """Unpacks the archives one over the other, unless that has been done. Raises SandboxError when a blob is lost."""
        if digests[0] == IMAGE_STACK:
            limits = self._image_limits
        self._unwanted.discard(digests)
        task = self._under_way.get(digests)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._unpack_once(digests, limits))
            self._under_way[digests] = task
            task.add_done_callback(lambda done: self._has_ended(digests, done))
        self._waiting[digests] += 1
        try:
            # Others may wait for the same archives: one who goes away does not stop it.
            return await asyncio.shield(task)
        finally:
            self._waiting[digests] -= 1
            if not self._waiting[digests]:
                del self._waiting[digests]

    def give_up(self, digests: Digests) -> None:
        """Ends their unpacking if nobody waits for it. Who asks for them from now on has them unpacked anew."""
        task = self._under_way.get(digests)
        if task is not None and not self._waiting[digests]:
            del self._under_way[digests]
            task.cancel()
            self._removals.add(task)
            task.add_done_callback(self._removals.discard)

    async def acquire(self, digests: Digests, limits: UnpackLimits) -> Path:
        """The tree, kept until `release`, for an environment about to start."""
        self._users[digests] += 1
        try:
            if digests not in self._reports or not self.path(digests).exists():
                report = await self.unpack(digests, limits)
                if report.refusal is not None:
                    raise SandboxError(f"The package cannot be unpacked any more: {report.refusal} {report.detail}".rstrip())
        except BaseException:
            self.release(digests)
            raise
        return self.path(digests)

    def release(self, digests: Digests) -> None:
        self._users[digests] -= 1
        if self._users[digests] > 0:
            return
        del self._users[digests]
        if digests in self._unwanted:
            removal = asyncio.get_running_loop().create_task(self.discard(digests))
            self._removals.add(removal)
            removal.add_done_callback(self._removals.discard)

    async def discard(self, digests: Digests) -> None:
        """Removes the tree, or has it removed when the last environment that uses it is gone."""
        if self._users[digests] > 0:
            self._unwanted.add(digests)
            return
        self._users.pop(digests, None)
        self._unwanted.discard(digests)
        self._reports.pop(digests, None)
        entry = self._entry(digests)
        if entry.exists():
            await self._take_down(entry)

    async def _unpack_once(self, digests: Digests, limits: UnpackLimits) -> UnpackReport:
        entry = self._entry(digests)
        known = self._known(digests)
        if known is None and entry.exists():
            await self._take_down(entry)
        report = known or await self._unpack(digests, limits)
        if report.refusal is None:
            self._reports[digests] = report
            if report.unpacked_bytes > limits.unpacked_bytes:
                return UnpackReport(report.unpacked_bytes, "too-big", f"{report.unpacked_bytes} bytes unpacked")
        return report

    def _known(self, digests: Digests) -> UnpackReport | None:
        """What is known of an entry that is there in full, be it from an earlier server."""
        entry = self._entry(digests)
        try:
            kept = json.loads((entry / "report.json").read_text())
        except (FileNotFoundError, ValueError):
            return None
        if kept.get("boot_id") != self._boot_id or not (entry / "tree").is_dir():
            return None
        return _as_report(kept)

    async def _unpack(self, digests: Digests, limits: UnpackLimits) -> UnpackReport:
        partial = self._partial()
        partial.mkdir()
        try:
            if digests[0] == IMAGE_STACK:
                report = await self._unpack_layer(digests, partial / "tree", limits)
            elif len(digests) == 1:
                report = await self._sandboxes.unpack(self._blob(digests[0]), partial / "tree", limits)
            else:
                report = await self._merge(digests, partial / "tree", limits)
            if report.refusal is None:
                kept = {name: getattr(report, name) for name in _KEPT} | {"boot_id": self._boot_id}
                (partial / "report.json").write_text(json.dumps(kept))
                partial.rename(self._entry(digests))
                if digests[0] == IMAGE_STACK:
                    self._room.take(self._entry(digests).name, Room(report.disk_bytes, report.inodes))
        finally:
            if partial.exists():
                await self._remove(partial)
        return report

    async def _merge(self, digests: Digests, destination: Path, limits: UnpackLimits) -> UnpackReport:
        """Each archive is unpacked once for all stacks that it is part of."""
        acquired: list[Digests] = []
        try:
            trees = []
            for digest in digests:
                trees.append(await self.acquire((digest,), limits))
                acquired.append((digest,))
            return await self._sandboxes.merge(trees, destination, limits)
        finally:
            for one in acquired:
                self.release(one)

    async def _unpack_layer(self, digests: Digests, destination: Path, limits: UnpackLimits) -> UnpackReport:
        """Over the tree of the layers below, which is made first where it is not there."""
        await self._measure()
        *below, layer = digests
        if len(below) == 1:  # nothing but what says that it is an image
            return await self._unpack_in_room(layer, None, destination, limits)
        tree = await self.acquire(tuple(below), limits)
        try:
            return await self._unpack_in_room(layer, tree, destination, limits)
        finally:
            self.release(tuple(below))

    async def _unpack_in_room(self, layer: str, below: Path | None, destination: Path, limits: UnpackLimits) -> UnpackReport:
        """Within what a layer like it needs, so that others may be under way; a rare one needs another attempt, within all that
        an image may have."""
        blob = self._blob(layer)
        for wanted in _wanted(blob, limits):
            async with self._room.promised(wanted) as room:
                report = await self._sandboxes.unpack_layer(blob, below, destination, within(limits, room))
                if report.refusal is None and not fits(report, room):
                    return UnpackReport(report.unpacked_bytes, "no-room", "there is no more room for unpacked images")
            if report.refusal != "no-room" or room != wanted:
                return report
        return report

    async def _measure(self) -> None:
        """What earlier servers have unpacked: when it is first of interest, and not at the start."""
        async with self._measuring:
            if self._is_measured:
                return
            for name, room in (await asyncio.to_thread(_rooms, self._directory)).items():
                if (self._directory / name).exists():
                    self._room.take(name, room)
            self._is_measured = True

    def _blob(self, digest: str) -> Path:
        try:
            path = self._blobs.path(digest)
        except KeyError:
            path = None
        if path is None or not path.is_file():
            raise SandboxError(f"The package with digest {digest} is not in the store.")
        return path

    def _entry(self, digests: Digests) -> Path:
        name = digests[0] if len(digests) == 1 else hashlib.sha256("\n".join(digests).encode()).hexdigest()
        return self._directory / name

    def _partial(self) -> Path:
        return self._directory / f"{_PARTIAL}{self._new_id()}"

    async def _take_down(self, entry: Path) -> None:
        """Renamed first: an `unpack` of the same archives that comes meanwhile starts afresh."""
        doomed = entry.rename(self._partial())
        self._room.rename(entry.name, doomed.name)

        async def end() -> None:
            await self._remove(doomed)
            self._room.give_back(doomed.name)

        await to_the_end(end())  # nobody would find it before the next start

    async def _remove(self, entry: Path) -> None:
        if (entry / "tree").exists():
            await self._sandboxes.remove(entry / "tree")
        (entry / "report.json").unlink(missing_ok=True)
        entry.rmdir()

    def _has_ended(self, digests: Digests, task: asyncio.Task[UnpackReport]) -> None:
        if self._under_way.get(digests) is task:
            del self._under_way[digests]
        if not task.cancelled():
            task.exception()  # those who still wait get it; without them nobody is interested


def _wanted(layer: Path, limits: UnpackLimits) -> list[Room]:
    most = Room(limits.unpacked_bytes + _BLOCK_BYTES * limits.files, limits.files)
    usual = Room(_USUAL_BYTES + _USUAL_GROWTH * layer.stat().st_size, _USUAL_INODES).least(most)
    return [usual, most] if usual != most else [most]


def _as_report(kept: Mapping[str, Any]) -> UnpackReport:
    return UnpackReport(int(kept["unpacked_bytes"]), **{name: kept[name] for name in _KEPT[1:] if name in kept})


def _rooms(directory: Path) -> dict[str, Room]:
    """What the trees of images take, by the names of their entries."""
    found = {}
    for file in directory.glob("*/report.json"):
        try:
            report = _as_report(json.loads(file.read_text()))
        except (OSError, ValueError, KeyError):  # not whole, or just going: nobody will trust it
            continue
        if report.inodes and not file.parent.name.startswith(_PARTIAL):  # those of zips do not count
            found[file.parent.name] = Room(report.disk_bytes, report.inodes)
    return found
