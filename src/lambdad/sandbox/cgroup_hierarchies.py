"""Which version of cgroups holds which controller on this machine, and where in it a server may have a cgroup of its own."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lambdad.sandbox.cgroup_files import write

_CONTROLLERS = ("memory", "pids", "cpu", "freezer")
_ROOM = "lambdad-host"  #: the cgroup for the server itself and what was beside it


@dataclass(frozen=True, slots=True)
class Controller:
    name: str
    version: int
    parent: Path  #: the server's own cgroup in this controller's hierarchy


def version_2_beside_1(proc: Path = Path("/proc")) -> list[Path]:
    """Where version 2 is mounted, if there is a hierarchy of version 1, too."""
    kinds = {kind for _, _, kind, _ in mounts(proc)}
    return [Path(mount_point) for _, mount_point, kind, _ in mounts(proc) if kind == "cgroup2" and "cgroup" in kinds]


def mount_points(proc: Path = Path("/proc")) -> list[Path]:
    """Where this process sees anything mounted."""
    return [Path(mount_point) for _, mount_point, _, _ in mounts(proc)]


def mounts(proc: Path) -> Iterator[tuple[str, str, str, str]]:
    """Of each mount: its root, where it is, its type and its own options."""
    for line in (proc / "self/mountinfo").read_text().splitlines():
        before, after = line.split(" - ", 1)
        root, mount_point = (_unescape(field) for field in before.split()[3:5])
        kind, _, options = [*after.split(), "", ""][:3]
        yield root, mount_point, kind, options


def find(name: str, proc: Path, own: Mapping[str, str]) -> dict[str, Controller]:
    """Every controller of interest, v1 first: a controller that v1 has is not in v2's hands."""
    found: dict[str, Controller] = {}
    unified: tuple[Path, Path] | None = None
    for root, mount_point, kind, options in mounts(proc):
        if kind == "cgroup":
            for controller in set(options.split(",")) & set(_CONTROLLERS):
                place = _below(mount_point, root, own.get(controller, "/"))
                if os.access(place, os.W_OK):
                    found[controller] = Controller(controller, 1, place / name)
        elif kind == "cgroup2":
            place = _below(mount_point, root, own.get("", "/"))
            unified = place.parent if place.name == _ROOM else place, Path(mount_point)
    wanted = [controller for controller in _CONTROLLERS if controller not in found]
    if unified and wanted:
        parent, enabled = _enable(*unified, wanted)
        found |= {controller: Controller(controller, 2, parent / name) for controller in enabled}
    return found


def own_paths(proc: Path) -> dict[str, str]:
    """This process's cgroup in each v1 controller's hierarchy, and under "" in v2's."""
    paths: dict[str, str] = {}
    for line in (proc / "self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        paths |= dict.fromkeys(names.split(","), path)
    return paths


def _below(mount_point: str, root: str, path: str) -> Path:
    """Where the cgroup `path` is seen, when the mount shows the hierarchy from `root` on."""
    try:
        return Path(mount_point) / PurePosixPath(path).relative_to(root)
    except ValueError:  # a mount of somebody else's part
        return Path(mount_point)


def _enable(own: Path, top: Path, wanted: Iterable[str]) -> tuple[Path, list[str]]:
    """The v2 cgroup below which the server's parent can have the wanted controllers, and which of them there are.

    A cgroup with processes cannot hand controllers to its children, except for the machine's root. So: the own cgroup if it
    can; else the top, if it is the machine's root; else, where the own cgroup is all that is seen (in a container) or is this
    server's to use (as `systemd-run --user --scope -p Delegate=yes` gives one), that after its processes moved one level down.
    """
    for candidate in dict.fromkeys((own, top)):
        names = _available(candidate, wanted)
        if names and _is_ours(candidate) and _try_delegate(candidate, names):
            return candidate, names
    names = _available(own, wanted)
    if names and _is_ours(own) and (own == top or _is_delegated(own)) and _make_room(own) and _try_delegate(own, names):
        return own, names
    return own, []


def _is_ours(folder: Path) -> bool:
    """To make cgroups in, and to move processes between them."""
    return os.access(folder, os.W_OK) and os.access(folder / "cgroup.procs", os.W_OK)


def _is_delegated(folder: Path) -> bool:
    """Whether systemd has marked it so, or nobody but this process is in it."""
    with contextlib.suppress(OSError):
        if os.getxattr(folder, "user.delegate") == b"1":
            return True
    return (folder / "cgroup.procs").read_text().split() == [str(os.getpid())]


def _available(folder: Path, wanted: Iterable[str]) -> list[str]:
    offered = (folder / "cgroup.controllers").read_text().split()
    return [name for name in wanted if name in offered]


def _make_room(folder: Path) -> bool:
    leaf = folder / _ROOM
    leaf.mkdir(exist_ok=True)
    for pid in (folder / "cgroup.procs").read_text().split():
        try:
            write(leaf / "cgroup.procs", pid)
        except OSError as error:
            if error.errno not in (errno.ESRCH, errno.EINVAL):  # ended meanwhile; a thread of the kernel
                return False
    return True


def _try_delegate(folder: Path, names: list[str]) -> bool:
    try:
        delegate(folder, names)
    except OSError:
        return False
    return True


def delegate(folder: Path, names: list[str]) -> None:
    if names:
        write(folder / "cgroup.subtree_control", " ".join(f"+{name}" for name in names))


def _unescape(text: str) -> str:
    """mountinfo writes blanks and the like as three octal digits."""
    return text.encode().decode("unicode_escape") if "\\" in text else text
