"""The data folder has one owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lambdad.errors import StartupError
from lambdad.store.lock import DataFolderLock


def test_second_owner(tmp_path: Path) -> None:
    """A second lock is refused, naming the directory and the holder's pid; after the first is closed it is given."""
    refused = pytest.raises(StartupError, match=rf"data is in use by another lambdad \(pid {os.getpid()}\)")
    with DataFolderLock(tmp_path / "data"), refused:
        DataFolderLock(tmp_path / "data")
    with DataFolderLock(tmp_path / "data"):
        pass


def test_killed_owner(tmp_path: Path) -> None:
    """The lock of a process that was killed is free, whatever its file says."""
    code = (
        "import sys, pathlib, time; from lambdad.store.lock import DataFolderLock; "
        "lock = DataFolderLock(pathlib.Path(sys.argv[1])); print('held', flush=True); time.sleep(60)"
    )
    child = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert child.stdout
    assert child.stdout.readline() == b"held\n"
    with pytest.raises(StartupError, match=rf"pid {child.pid}\)"):
        DataFolderLock(tmp_path)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    child.stdout.close()
    DataFolderLock(tmp_path).close()


def test_unusable_directory(tmp_path: Path) -> None:
    """A path that cannot be a directory is refused with a sentence."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StartupError, match="cannot be used"):
        DataFolderLock(tmp_path / "file")
