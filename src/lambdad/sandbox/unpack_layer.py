"""Unpacks one layer of a container image over the layers below it. Runs in a process without rights, like `unpack`.

The process's root folder is the tree that it makes, so that a link leads nowhere else, however it is written. The layers below
are put there as further links to their files, which are replaced and never written to: the trees of images share what they have
in common, and a layer is read once for all of them.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import tarfile
from typing import BinaryIO, NoReturn

from lambdad.sandbox.base import UnpackLimits, UnpackReport
from lambdad.sandbox.layer_content import DAMAGE, LayerContent
from lambdad.sandbox.shared_tree import LayerBudget, link_tree
from lambdad.sandbox.tree_removal import remove_tree
from lambdad.sandbox.unpack import Refusal

#: What a sandbox mounts something on, and so has to be there.
MOUNT_POINTS = ("proc", "dev", "tmp", "run", "mnt", "var/empty", "etc")
_MOUNTED_FILES = ("/etc/resolv.conf", "/etc/hosts")

_CHUNK = 256 * 1024
_WHITEOUT, _OPAQUE, _AUFS = ".wh.", ".wh..wh..opq", ".wh..wh."
_MAX_NAME_BYTES, _MAX_PATH_BYTES = 255, 4000
_MAX_PAX_BYTES = 1 << 20
_NO_ROOM = frozenset((errno.ENOSPC, errno.EDQUOT))
#: What goes wrong with files when an archive's entries get in each other's way; the rest is the machine's fault.
_OF_THE_ARCHIVE = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY, errno.ENAMETOOLONG, errno.ELOOP, errno.EMLINK)
)


def unpack_layer(archive: BinaryIO, below: int | None, limits: UnpackLimits) -> UnpackReport:
    """Into the empty folder that is the root of this process. `below` is a descriptor of the tree of the layers below, closed
    before a byte of the archive is read. The report has the layer's diff id. After a refusal the content is worthless."""
    budget = LayerBudget(limits)
    signal.signal(signal.SIGXCPU, _give_up)
    try:
        if below is not None:
            link_tree(below, "", budget)
            os.close(below)
        diff_id = _unpack(LayerContent(archive, limits), budget)
        _make_mount_points(budget)
    except Refusal as refusal:
        return UnpackReport(budget.unpacked_bytes, refusal.kind, refusal.detail)
    except (tarfile.TarError, *DAMAGE, UnicodeError, ValueError, OverflowError) as error:
        return UnpackReport(budget.unpacked_bytes, "not-a-tar", str(error))
    except (RecursionError, MemoryError):
        return UnpackReport(budget.unpacked_bytes, "unsupported", "its headers are nested too deeply, or too long")
    except OSError as error:
        if error.errno in _NO_ROOM:
            return UnpackReport(budget.unpacked_bytes, "no-room", "the disk is full")
        if error.errno not in _OF_THE_ARCHIVE:
            raise
        return UnpackReport(budget.unpacked_bytes, "unsupported", str(error))
    return UnpackReport(budget.unpacked_bytes, diff_id=diff_id, disk_bytes=budget.disk_bytes, inodes=budget.inodes)


def _give_up(number: int, frame: object) -> NoReturn:
    raise Refusal("unsupported", "it takes the processor too long")


def _unpack(content: LayerContent, budget: LayerBudget) -> str:
    layer = _Layer(budget)
    with tarfile.open(fileobj=content, mode="r|", errorlevel=2) as entries:  # type: ignore[call-overload]
        for entry in entries:
            if sum(map(len, entry.pax_headers.values())) > _MAX_PAX_BYTES:
                raise Refusal("unsupported", "an entry has more about itself than any should")
            layer.add(entries, entry)
            entries.members = []  # a stream needs none, and a hostile one has many
    return content.finish()


class _Layer:
    """Puts the entries of one layer into the root."""

    def __init__(self, budget: LayerBudget) -> None:
        self._budget = budget
        self._written: set[str] = set()  #: by this layer, which its own whiteouts spare

    def add(self, entries: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        path = _path_of(entry.name)
        self._budget.count_file()
        if path == "/":
            return
        parent, name = os.path.split(path)
        if name == _OPAQUE:
            self._clear_folder(parent)
        elif name.startswith(_AUFS):
            return
        elif name.startswith(_WHITEOUT):
            hidden = name[len(_WHITEOUT) :]
            if hidden in ("", ".", ".."):
                raise Refusal("slip", f"{path} takes away no name")
            self._white_out(os.path.join(parent, hidden))
        else:
            _make_parents(parent, self._budget)
            self._write(entries, entry, path)
            self._note(path)

    def _note(self, path: str) -> None:
        while path != "/" and path not in self._written:
            self._written.add(path)
            path = os.path.dirname(path)

    def _write(self, entries: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
        if entry.isdir():
            _make_folder(path, entry.mode, self._budget)
        elif entry.isreg():
            self._write_file(entries, entry, path)
        elif entry.issym():
            _check_text(entry.linkname)
            _clear(path)
            self._budget.make_file()
            os.symlink(entry.linkname, path)
        elif entry.islnk():
            self._write_link(entry, path)
        elif entry.isfifo():
            _clear(path)
            self._budget.make_file()
            os.mkfifo(path, 0o600)
            os.chmod(path, entry.mode & 0o777)
        elif not entry.isdev():
            raise Refusal("unsupported", f"{path} is of a kind that is not known")
        elif not path.startswith("/dev/"):  # there every sandbox has devices of its own
            raise Refusal("unsupported", f"{path} is a device")

    def _write_file(self, entries: tarfile.TarFile, entry: tarfile.TarInfo, path: str) -> None:
        source = entries.extractfile(entry)
        assert source is not None  # it is a regular file
        _clear(path)
        self._budget.make_file()
        with open(path, "xb") as target:
            while chunk := source.read(_CHUNK):
                self._budget.write(len(chunk))
                target.write(chunk)
            if target.tell() != entry.size:
                raise Refusal("not-a-tar", f"{path} is cut short")
            self._budget.fill_block(entry.size)
        os.chmod(path, entry.mode & 0o777 | 0o400)  # see `_copy`: its owner is no sandbox's user

    def _write_link(self, entry: tarfile.TarInfo, path: str) -> None:
        source = _path_of(entry.linkname)
        try:
            is_folder = stat.S_ISDIR(os.lstat(source).st_mode)
        except OSError as error:
            raise Refusal("link", f"{path} is a link to {source}, which is not there") from error
        if is_folder:
            raise Refusal("link", f"{path} is a link to the folder {source}")
        if source == path:
            return
        _clear(path)
        os.link(source, path, follow_symlinks=False)

    def _clear_folder(self, folder: str) -> None:
        if os.path.islink(folder) or not os.path.isdir(folder):
            return
        for name in os.listdir(folder):
            self._white_out(os.path.join(folder, name))

    def _white_out(self, path: str) -> None:
        """Takes away what the layers below have there. What this layer has put into a folder of theirs stays."""
        if path not in self._written:
            _clear(path)
        elif os.path.isdir(path) and not os.path.islink(path):
            self._clear_folder(path)


def _path_of(name: str) -> str:
    """The entry's path below the root, in one spelling."""
    _check_text(name)
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise Refusal("slip", f"{name[:80]!r} is not a path below the root")
    if any(len(os.fsencode(part)) > _MAX_NAME_BYTES for part in parts):
        raise Refusal("unsupported", f"{name[:80]!r}... is too long a name")
    return "/" + "/".join(parts)


def _check_text(name: str) -> None:
    if not name or "\0" in name or len(os.fsencode(name)) > _MAX_PATH_BYTES:
        raise Refusal("unsupported", f"{name[:80]!r} is not a name")


def _make_parents(folder: str, budget: LayerBudget) -> None:
    """Those that the archive does not name, each of which counts like one that it does. Links to folders are followed, as other
    unpackers of images do."""
    missing = []
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    for path in reversed(missing):
        budget.count_file()
        try:
            budget.make_folder(path, 0o755)
        except OSError as error:
            if error.errno not in _OF_THE_ARCHIVE:
                raise
            raise Refusal("unsupported", f"{path} lies below what is no folder") from error


def _make_folder(path: str, mode: int, budget: LayerBudget) -> None:
    if os.path.islink(path) or not os.path.isdir(path):
        _clear(path)
        budget.make_folder(path, 0o700)
    # Its owner is whoever unpacks, and no sandbox's user: what a function may do there the rest of the mode says.
    os.chmod(path, mode & 0o777 | 0o700)


def _clear(path: str) -> None:
    if os.path.isdir(path) and not os.path.islink(path):
        remove_tree(path)
    elif os.path.lexists(path):
        os.unlink(path)


def _make_mount_points(budget: LayerBudget) -> None:
    """Each a folder at the end of a way of folders: whoever mounts something there follows no link of the image's."""
    for name in MOUNT_POINTS:
        path = ""
        for part in name.split("/"):
            path += f"/{part}"
            if os.path.islink(path) or (os.path.lexists(path) and not os.path.isdir(path)):
                raise Refusal("unsupported", f"{path} is not a folder")
            _make_parents(path, budget)
    os.chmod("/tmp", 0o1777)  # OCI runtimes give a mount the mode of what it covers
    for path in _MOUNTED_FILES:
        if os.path.islink(path) or not os.path.isfile(path):
            _clear(path)
            budget.make_file()
            os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644))
