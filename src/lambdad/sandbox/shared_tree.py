"""Trees that share their files with others, as further links to them. Links are replaced, never written to."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence

from lambdad.sandbox.base import UnpackLimits, UnpackReport
from lambdad.sandbox.unpack import Budget, Refusal

_CHUNK = 256 * 1024
_BLOCK_BYTES = 4096  #: of most file systems: what a folder takes, and of what files take whole ones


class LayerBudget(Budget):
    """Counts what is new on the disk besides. What is shared with a tree below is not."""

    def __init__(self, limits: UnpackLimits) -> None:
        super().__init__(limits)
        self.disk_bytes = 0
        self.inodes = 0

    def make_folder(self, path: str, mode: int) -> None:
        self._take(_BLOCK_BYTES, 1)
        os.mkdir(path, mode)

    def take_copy(self, size: int) -> None:
        """Of a file that counts already."""
        self._take(size + -size % _BLOCK_BYTES, 1)

    def make_file(self) -> None:
        """Of no size: its bytes are taken as they are written."""
        self._take(0, 1)

    def fill_block(self, size: int) -> None:
        """To be called with the size of a file that has been written."""
        self._take(-size % _BLOCK_BYTES, 0)

    def write(self, size: int) -> None:
        self.spend(size)
        self._take(size, 0)

    def _take(self, size: int, inodes: int) -> None:
        self.disk_bytes += size
        self.inodes += inodes
        if self.disk_bytes > self._limits.disk_bytes or self.inodes > self._limits.inodes:
            raise Refusal("no-room", "there is no more room for unpacked images")


def merge(trees: Sequence[int], root: str, limits: UnpackLimits) -> UnpackReport:
    """Puts trees that were unpacked, by descriptors, one over the other into the empty folder `root`. The later has its way,
    but folders become one. After a refusal the content is worthless."""
    budget = LayerBudget(limits)
    try:
        for tree in trees:
            link_tree(tree, root, budget)
    except Refusal as refusal:
        return UnpackReport(budget.unpacked_bytes, refusal.kind, refusal.detail)
    return UnpackReport(budget.unpacked_bytes)


def link_tree(source: int, root: str, budget: LayerBudget) -> None:
    """Every file of the folder `source`, a descriptor, as a further link at the same place below `root`; folders are made anew.
    What is there already makes room, and no link is followed."""
    folders = ["."]
    while folders:
        relative = folders.pop()
        folder = os.open(relative, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    place = f"{root}/{relative}/{entry.name}"
                    status = entry.stat(follow_symlinks=False)
                    budget.count_file()
                    if stat.S_ISDIR(status.st_mode):
                        _make_folder(place, stat.S_IMODE(status.st_mode), budget)
                        folders.append(f"{relative}/{entry.name}")
                    else:
                        budget.spend(status.st_size)
                        _share(entry.name, folder, place, status, budget)
        finally:
            os.close(folder)


def _make_folder(place: str, mode: int, budget: LayerBudget) -> None:
    try:
        budget.make_folder(place, mode)
    except FileExistsError:
        if not stat.S_ISDIR(os.lstat(place).st_mode):
            os.unlink(place)
            budget.make_folder(place, mode)
    os.chmod(place, mode)


def _share(name: str, folder: int, place: str, status: os.stat_result, budget: LayerBudget) -> None:
    try:
        os.link(name, place, src_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        if stat.S_ISDIR(os.lstat(place).st_mode):
            raise Refusal("unsupported", f"{name} is a folder in one layer and a file in another") from None
        os.unlink(place)
        _share(name, folder, place, status, budget)
    except OSError as error:
        if error.errno != errno.EMLINK:
            raise
        budget.take_copy(status.st_size)
        copy(name, folder, place, status)


def copy(name: str, folder: int, place: str, status: os.stat_result) -> None:
    """Instead of a link, where the file has as many as its file system allows: one tree must not use them up for others."""
    if stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(name, dir_fd=folder), place)
        return
    if stat.S_ISFIFO(status.st_mode):
        os.mkfifo(place, 0o600)
    else:
        with open(os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=folder), "rb") as source, open(place, "xb") as target:
            while piece := source.read(_CHUNK):
                target.write(piece)
    os.chmod(place, stat.S_IMODE(status.st_mode))
