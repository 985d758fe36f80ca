"""Writing to the files of cgroups, and how each version of them is stopped and resumed."""

from __future__ import annotations

import os
from pathlib import Path

#: Of the file that stops and resumes a group, by name: what to write into it.
FREEZE = {"freezer.state": b"FROZEN", "cgroup.freeze": b"1"}
THAW = {"freezer.state": b"THAWED", "cgroup.freeze": b"0"}


def thaw(freezer: Path) -> None:
    write(freezer, THAW[freezer.name].decode())


def write(path: Path, value: object) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)


def write_if_there(path: Path, value: object) -> None:
    if path.exists():
        write(path, value)
