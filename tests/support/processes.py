"""What /proc and the cgroup tree say about processes."""

from __future__ import annotations

import contextlib
from pathlib import Path


def is_running(pid: int) -> bool:
    """Whether the process exists and is not a zombie."""
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def cgroups_named(pid: int, start: str) -> list[Path]:
    """The folders of the process's cgroups that have a path component beginning with `start`."""
    try:
        lines = (Path("/proc") / str(pid) / "cgroup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if any(part.startswith(start) for part in path.split("/")):
            root = Path("/sys/fs/cgroup") / (controllers.split("=")[-1] if controllers else "")
            found.append(root / path.lstrip("/"))
    return found


def processes_of_user(uid: int) -> list[int]:
    """Living processes whose real user id is `uid`; zombies do not count."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and is_running(int(entry.name)):
            try:
                status = (entry / "status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(status.split("Uid:")[1].split()[0]) == uid:
                found.append(int(entry.name))
    return found


def children(pid: int) -> list[int]:
    """The living children of a process. FileNotFoundError once it has ended."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
            found += map(int, (task / "children").read_text().split())
    return found


def descendants(pid: int) -> list[int]:
    """The living children of a process, and all below them."""
    try:
        own = children(pid)
    except (FileNotFoundError, ProcessLookupError):  # it has ended
        return []
    return [*own, *(below for child in own for below in descendants(child))]


def command_line(pid: int) -> str:
    """Its arguments, with spaces between them; nothing once it has ended."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""
