"""Installations that a server runs functions from, which nobody is to remove.

A server has a shared lock on the folder of each for as long as it lives, however it ends; who wants to remove one takes the
lock for itself alone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from pathlib import Path


class HeldLanguages:
    """Of one server. `folder` is where languages are installed; what lies elsewhere is not lambdad's to remove."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[Path, int] = {}  #: descriptors by installation

    def hold(self, root: Path) -> None:
        """Until `close`. OSError if the installation is gone or about to go: another one has taken its place."""
        folder = self._folder.resolve()
        if not root.is_relative_to(folder):
            return
        home = folder / root.relative_to(folder).parts[0]
        if home not in self._held:
            self._held[home] = _locked(home, fcntl.LOCK_SH)

    def close(self) -> None:
        for descriptor in self._held.values():
            os.close(descriptor)
        self._held.clear()


def remove_unless_held(home: Path) -> None:
    try:
        descriptor = _locked(home, fcntl.LOCK_EX)
    except BlockingIOError:
        return
    try:
        shutil.rmtree(home, ignore_errors=True)
    finally:
        os.close(descriptor)


def _locked(home: Path, kind: int) -> int:
    descriptor = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        if not home.is_dir():  # removed between the two
            raise FileNotFoundError(f"{home} is gone")
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
