"""Ending whole trees of cgroups: thawing them, killing what is in them, removing them."""

from __future__ import annotations

import errno
import os
import signal
import time
from pathlib import Path

from lambdad.errors import StartupError
from lambdad.sandbox import linux
from lambdad.sandbox.cgroup_files import THAW, thaw, write
from lambdad.sandbox.cgroup_hierarchies import mounts


def remove_tree(parent: Path) -> None:
    """Kills every process in the cgroup `parent` and below, and removes them all. Nothing happens if there is none. What is
    frozen has to be thawed before."""
    if not parent.exists():
        return
    for folder, _, _ in os.walk(parent, topdown=False):
        _kill_members(Path(folder))
        _remove_folder(Path(folder))


def thaw_tree(parent: Path) -> None:
    """Thaws the cgroup `parent` and all below it."""
    for folder, _, files in os.walk(parent):
        for name in set(files) & set(THAW):
            thaw(Path(folder) / name)


def _kill_members(folder: Path, seconds: float = 5.0) -> None:
    if (folder / "cgroup.kill").exists():  # also whom this process cannot name, in another pid namespace
        write(folder / "cgroup.kill", 1)
    while pids := [int(pid) for pid in (folder / "cgroup.procs").read_text().split() if pid != "0"]:
        ends = []
        for pid in pids:
            try:
                ends.append(os.pidfd_open(pid))
                signal.pidfd_send_signal(ends[-1], signal.SIGKILL)
            except ProcessLookupError:
                continue
        if not ends:
            return
        for end in ends:
            if not linux.wait_for_end(end, seconds):
                raise StartupError(f"processes of an earlier server cannot be killed; see {folder}/cgroup.procs")
            os.close(end)


def _remove_folder(folder: Path, seconds: float = 5.0) -> None:
    """Waits for the last moments of what was killed in a pid namespace that this process does not see, and cannot ask about."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            folder.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return


def remove_everywhere(name: str, proc: Path = Path("/proc")) -> None:
    """`remove_tree` of the cgroup `name` at the top of every hierarchy, those included that none of our controllers is in."""
    tops = {Path(mount_point) for _, mount_point, kind, _ in mounts(proc) if kind in ("cgroup", "cgroup2")}
    for top in tops:
        thaw_tree(top / name)
    for top in tops:
        remove_tree(top / name)
