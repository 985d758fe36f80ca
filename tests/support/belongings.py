"""What one server has on the machine: its processes, namespaces, cgroups, mounts and descriptors, found by what names them.

Nothing is counted for the machine as a whole, so other servers and other tests may come and go meanwhile. Only namespaces
have nothing but numbers, which the kernel uses again at once: they are looked at when no other server is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections import Counter
from pathlib import Path

from support.processes import children, command_line, is_running
from support.server import PATIENCE_SECONDS

_NAMESPACES = ("net", "mnt", "pid", "ipc", "uts", "cgroup")


class Belongings:
    """Those of the server with this data folder, over all its lives. `look` notes what there is at the moment."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = str(data_dir.absolute())
        state_dir = str((data_dir / "sandboxes").absolute())
        self.group_name = "lambdad-" + hashlib.sha256(os.fsencode(state_dir)).hexdigest()[:8]
        self._processes: set[tuple[int, str]] = set()  #: with their start, since numbers are used again
        self._namespaces: set[str] = set()
        self._hosts = {_namespace(os.getpid(), kind) for kind in _NAMESPACES}
        self._links = set(os.listdir("/sys/class/net"))

    def look(self, server: int) -> None:
        """To be called now and then while the server, a process, is there."""
        for pid in [server, *descendants(server)]:
            start = _start_of(pid)
            if start:
                self._processes.add((pid, start))
                self._namespaces |= {_namespace(pid, kind) for kind in _NAMESPACES} - self._hosts - {""}

    def left(self) -> dict[str, list[str]]:
        """Everything that there still is, by kind; kinds of which there is nothing are left out."""
        found = {
            "processes": sorted(self._living()),
            "namespaces": sorted(set() if self._is_in_company() else self._namespaces & _existing_namespaces()),
            "cgroups": [folder for folder, names, _ in os.walk("/sys/fs/cgroup") if self.group_name in names],
            "mounts": [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if self._data_dir in line],
            "links": sorted(link for link in set(os.listdir("/sys/class/net")) - self._links if self.group_name[8:] in link),
        }
        return {kind: names for kind, names in found.items() if names}

    def wait_until_gone(self, seconds: float) -> None:
        deadline = time.monotonic() + max(seconds, PATIENCE_SECONDS)
        while left := self.left():
            assert time.monotonic() < deadline, left
            time.sleep(0.1)

    def _is_in_company(self) -> bool:
        """Another server's launcher is running."""
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                command = command_line(int(pid))
                if "lambdad.sandbox.launcher" in command and self.group_name not in command:
                    return True
        return False

    def _living(self) -> set[str]:
        """Those seen before, those in its cgroups, and those that have its folder in their command line."""
        found = {pid for pid, start in self._processes if _start_of(pid) == start}
        for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
            try:
                if f"/{self.group_name}/" in Path(f"/proc/{pid}/cgroup").read_text() or self._data_dir in command_line(pid):
                    found.add(pid)
            except OSError:
                continue
        return {f"{pid}: {command_line(pid)}" for pid in found if is_running(pid) and pid != os.getpid()}


def descendants(pid: int) -> list[int]:
    """Every living process below `pid`."""
    try:
        below = children(pid)
    except OSError:
        return []
    return [each for child in below for each in (child, *descendants(child))]


def descriptors(pid: int) -> Counter[str]:
    """What a process has open, by kind: files by name, everything else (sockets, pipes, pidfds) without its number."""
    kinds: Counter[str] = Counter()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            kinds[re.sub(r"\d+", "N", os.readlink(entry))] += 1
        except FileNotFoundError:
            continue
    return kinds


def _existing_namespaces() -> set[str]:
    """Those that a process is in or holds open."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        links = [f"/proc/{pid}/ns/{kind}" for kind in _NAMESPACES]
        with contextlib.suppress(OSError):
            links += [f"/proc/{pid}/fd/{number}" for number in os.listdir(f"/proc/{pid}/fd")]
        found |= {target for link in links if ":[" in (target := _target(link))}
    return found


def _namespace(pid: int, kind: str) -> str:
    return _target(f"/proc/{pid}/ns/{kind}")


def _target(link: str) -> str:
    try:
        return os.readlink(link)
    except OSError:
        return ""


def _start_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except OSError:
        return ""
