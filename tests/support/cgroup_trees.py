"""Cgroups of both versions as trees of plain files in the kernel's shape."""

from __future__ import annotations

from pathlib import Path

V2_FILES = ("memory.max", "memory.swap.max", "memory.peak", "memory.events", "pids.max", "cpu.weight", "cgroup.freeze")
V1_FILES = {
    "memory": (
        "memory.limit_in_bytes",
        "memory.memsw.limit_in_bytes",
        "memory.kmem.tcp.limit_in_bytes",
        "memory.max_usage_in_bytes",
        "memory.oom_control",
    ),
    "pids": ("pids.max",),
    "cpu": ("cpu.shares",),
    "freezer": ("freezer.state",),
}


class Machine:
    """A /proc and a /sys/fs/cgroup of plain files."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.top = folder / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        self.top.mkdir()
        self._mounts: list[str] = []
        self._paths: list[str] = []

    def add_v2(self, own: str, controllers: str, root: str = "/") -> Path:
        folder = self.top / "unified"
        for path in {folder, folder / own.removeprefix(root).strip("/")}:
            path.mkdir(parents=True, exist_ok=True)
            (path / "cgroup.controllers").write_text(controllers)
            (path / "cgroup.subtree_control").write_text("")
            (path / "cgroup.procs").write_text("")
        self._add(f"30 29 0:26 {root} {folder} rw - cgroup2 cgroup2 rw", f"0::{own}")
        return folder

    def add_v1(self, own: str, controllers: str) -> Path:
        folder = self.top / controllers
        (folder / own.strip("/")).mkdir(parents=True)
        self._add(f"31 29 0:27 / {folder} rw,nosuid - cgroup cgroup rw,{controllers}", f"4:{controllers}:{own}")
        return folder

    def add_swap(self) -> None:
        (self.proc / "swaps").write_text("Filename Type Size Used Priority\n/swap file 1 0 -2\n")

    def _add(self, mount: str, path: str) -> None:
        self._mounts.append(mount)
        self._paths.append(path)
        (self.proc / "self/mountinfo").write_text("1 0 8:1 / / rw - ext4 /dev/vda rw\n" + "\n".join(self._mounts) + "\n")
        (self.proc / "self/cgroup").write_text("\n".join(self._paths) + "\n")
