"""Finding the place for a server's cgroups, on trees of plain files in the kernel's shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.sandbox.cgroup import Cgroups
from lambdad.sandbox.cgroup_hierarchies import mount_points, version_2_beside_1
from support.cgroup_trees import Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_v2_of_a_container(machine: Machine) -> None:
    """In a container the mount shows the container's own part, by whatever path the machine calls it."""
    top = machine.add_v2("/docker/abc", "cpu memory pids", root="/docker/abc")
    Cgroups("lambdad-x", machine.proc)
    assert "+memory" in (top / "cgroup.subtree_control").read_text()


def test_version_2_beside_1(machine: Machine) -> None:
    """Is only told where both are mounted."""
    unified = machine.add_v2("/", "cpu")
    assert version_2_beside_1(machine.proc) == []
    machine.add_v1("/", "memory")
    assert version_2_beside_1(machine.proc) == [unified]
    assert {unified, machine.top / "memory", Path("/")} == set(mount_points(machine.proc))
