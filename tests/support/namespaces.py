"""What tests of the namespace backend look at: sandboxes for the length of a block, and what the machine has of a backend."""

from __future__ import annotations

import os
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from lambdad.sandbox.base import Sandbox
from lambdad.sandbox.cgroup import Cgroups
from lambdad.sandbox.namespace import NamespaceSandboxes
from support.sandbox import Peer, RootlessSandboxes, make_program, make_spec, make_task

UIDS = range(20_000, 30_000)
KINDS: dict[str, type[NamespaceSandboxes]] = {"root": NamespaceSandboxes, "rootless": RootlessSandboxes}


@asynccontextmanager
async def started(sandboxes: NamespaceSandboxes, folder: Path, **changes: Any) -> AsyncIterator[tuple[Sandbox, Peer]]:
    program = changes.pop("program", None) or make_program(folder / "runtime")
    sandbox = await sandboxes.start(make_spec(program, make_task(folder / "task"), **changes))
    try:
        yield sandbox, await Peer.of(sandbox)
    finally:
        await sandbox.stop()
        os.close(sandbox.runtime.log_pipe)


def cgroup_name(sandboxes: NamespaceSandboxes) -> str:
    return sandboxes._settings.cgroup_name


def cgroups(name: str) -> list[Path]:
    return [Path(folder) / name for folder, names, _ in os.walk("/sys/fs/cgroup") if name in names]


def pids(name: str) -> set[int]:
    return {int(pid) for parent in cgroups(name) for file in parent.glob("*/cgroup.procs") for pid in file.read_text().split()}


def uids_in_cgroups(sandboxes: NamespaceSandboxes) -> set[int]:
    return {os.stat(f"/proc/{pid}").st_uid for pid in pids(cgroup_name(sandboxes))}


def open_process(pid: int) -> int:
    return os.pidfd_open(pid)


def has_ended(process: int) -> bool:
    ended = bool(select.select([process], [], [], 10)[0])
    os.close(process)
    return ended


def throttled(backend: NamespaceSandboxes) -> int:
    """In how many periods the kernel has stopped a sandbox of the backend's for its quota."""
    stats = list(Cgroups(backend._settings.cgroup_name)._controllers["cpu"].parent.glob("*/cpu.stat"))
    assert stats
    counts = [dict(line.split() for line in stat.read_text().splitlines()) for stat in stats]
    return sum(int(count["nr_throttled"]) for count in counts)
