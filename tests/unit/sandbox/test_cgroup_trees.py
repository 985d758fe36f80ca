"""Ending trees of real cgroups, with whatever lives in them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from lambdad.sandbox.cgroup import Cgroups, GroupFiles
from lambdad.sandbox.cgroup_hierarchies import mount_points
from lambdad.sandbox.cgroup_trees import remove_everywhere, remove_tree

pytestmark = pytest.mark.root


def test_remove_tree_kills_and_removes(tmp_path: Path) -> None:
    """Whatever lives in a real cgroup is killed, even if it is frozen, and nested groups go too; a second time is harmless."""
    cgroups = Cgroups("lambdad-test-remove")
    cgroups.open(tmp_path / "cgroups")
    group = cgroups.group("1")
    group.create()
    procs = group.open_procs()
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        for descriptor in procs:
            os.write(descriptor, str(sleeper.pid).encode())
            os.close(descriptor)
        assert group.remove() is False
        files = GroupFiles(group.open_files())
        files.freeze()
        files.close()
        cgroups.close()
        assert sleeper.wait(60) == -9
    cgroups.close()
    assert group.remove() is True
    remove_tree(Path("/sys/fs/cgroup/there/is/none"))


def test_remove_everywhere(tmp_path: Path) -> None:
    """From every hierarchy of this machine, also from those in which none of our controllers is, with whatever lives there."""
    name = "lambdad-test-everywhere"
    cgroups = Cgroups(name, is_at_top=True)
    tops = [path for path in mount_points() if (path / "cgroup.procs").exists()]
    folders = [top / name / "7" for top in tops]
    cgroups.open(tmp_path / "cgroups")
    with subprocess.Popen(["sleep", "600"]) as sleeper:
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        group = cgroups.group("7")
        for descriptor in group.open_procs():
            os.write(descriptor, str(sleeper.pid).encode())
            os.close(descriptor)
        files = GroupFiles(group.open_files())
        files.freeze()
        files.close()
        remove_everywhere(name)
        assert sleeper.wait(60) == -9
    assert not any((top / name).exists() for top in tops)
    remove_everywhere(name)
