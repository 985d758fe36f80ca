"""What tests of the namespace backend look at: sandboxes for the length of a block, and what the machine has of a backend."""

from __future__ import annotations

import contextlib
import os
import select
from itertools import islice
from pathlib import Path

from lambdad.sandbox.cgroup import Cgroups
from lambdad.sandbox.namespace import NamespaceSandboxes
from support.sandbox import RootlessSandboxes

UIDS = range(20_000, 30_000)
KINDS: dict[str, type[NamespaceSandboxes]] = {"root": NamespaceSandboxes, "rootless": RootlessSandboxes}


def cgroup_name(sandboxes: NamespaceSandboxes) -> str:
    return sandboxes._settings.cgroup_name


def cgroups(name: str) -> list[Path]:
    return [Path(folder) / name for folder, names, _ in os.walk("/sys/fs/cgroup") if name in names]


def sandbox_cgroups(name: str) -> list[Path]:
    """Those of single sandboxes, some of which may end meanwhile, as spares do."""
    return [parent / each for parent in cgroups(name) for _, names, _ in islice(os.walk(parent), 1) for each in names]


def pids(name: str) -> set[int]:
    found: set[int] = set()
    for group in sandbox_cgroups(name):
        with contextlib.suppress(OSError):  # it has ended
            found.update(map(int, (group / "cgroup.procs").read_text().split()))
    return found


def uids_in_cgroups(sandboxes: NamespaceSandboxes) -> set[int]:
    found = set()
    for pid in pids(cgroup_name(sandboxes)):
        with contextlib.suppress(FileNotFoundError):  # it has ended
            found.add(os.stat(f"/proc/{pid}").st_uid)
    return found


def open_process(pid: int) -> int:
    return os.pidfd_open(pid)


def has_ended(process: int) -> bool:
    poll = select.poll()  # whose descriptors may have any number
    poll.register(process, select.POLLIN)
    ended = bool(poll.poll(60_000))
    os.close(process)
    return ended


def throttled(backend: NamespaceSandboxes) -> int:
    """In how many periods the kernel has stopped a sandbox of the backend's for its quota."""
    groups = Cgroups(backend._settings.cgroup_name)._controllers["cpu"].parent
    counts = []
    for stat in groups.glob("*/cpu.stat"):
        with contextlib.suppress(OSError):  # it has ended
            counts.append(dict(line.split() for line in stat.read_text().splitlines()))
    assert counts
    return sum(int(count["nr_throttled"]) for count in counts)
