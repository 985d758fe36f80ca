"""Using cgroups of both versions, on trees of plain files in the kernel's shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.errors import StartupError
from lambdad.sandbox.cgroup import Cgroups, GroupFiles
from support.cgroup_trees import V1_FILES, V2_FILES, Machine


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def _fill(folder: Path, names: tuple[str, ...]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_text("")


def test_v2_below_the_own_cgroup(machine: Machine) -> None:
    """A server whose cgroup can have children with controllers makes them there, and limits go into v2's files."""
    top = machine.add_v2("/system.slice/lambdad.service", "cpu memory pids")
    own = top / "system.slice/lambdad.service"
    cgroups = Cgroups("lambdad-x", machine.proc)
    assert (own / "cgroup.subtree_control").read_text().split()[-1] == "+cpu"
    assert cgroups.weaknesses == []

    group = cgroups.group("7")
    folder = own / "lambdad-x/7"
    _fill(folder, V2_FILES)
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 0\n")
    (folder / "memory.peak").write_text("8192")
    group.limit(1769)
    values = {name: (folder / name).read_text() for name in ("memory.max", "memory.swap.max", "cpu.weight")}
    assert values == {"memory.max": str(1769 << 20), "memory.swap.max": "0", "cpu.weight": "100"}
    files = GroupFiles(group.open_files())
    assert files.oom_kills() == 0
    (folder / "memory.events").write_text("low 0\noom 1\noom_kill 2\n")
    assert files.oom_kills() == 2
    files.freeze()
    assert (folder / "cgroup.freeze").read_text() == "1"
    files.close()
    files.thaw()
    assert files.oom_kills() == 0
    assert (folder / "cgroup.freeze").read_text() == "1", "what is closed does nothing any more"


def test_v1(machine: Machine) -> None:
    """Each v1 hierarchy has a folder of its own, below the server's own place in it."""
    folders = {name: machine.add_v1("/user/me", name) / "user/me/lambdad-x/7" for name in V1_FILES}
    group = Cgroups("lambdad-x", machine.proc).group("7")
    for name, folder in folders.items():
        _fill(folder, V1_FILES[name])
    (folders["memory"] / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    (folders["memory"] / "memory.max_usage_in_bytes").write_text("4096")
    group.limit(128)
    assert (folders["memory"] / "memory.limit_in_bytes").read_text() == str(128 << 20)
    assert (folders["memory"] / "memory.memsw.limit_in_bytes").read_text() == str(128 << 20)
    assert (folders["memory"] / "memory.kmem.tcp.limit_in_bytes").read_text() == str(32 << 20)
    assert (folders["cpu"] / "cpu.shares").read_text() == "74"
    files = GroupFiles(group.open_files())
    assert files.oom_kills() == 1
    files.freeze()
    assert (folders["freezer"] / "freezer.state").read_text() == "FROZEN"
    files.close()
    assert files.memory_peak_bytes() == 4096, "the last one is remembered"


def test_v1_and_v2_mixed(machine: Machine) -> None:
    """Controllers that v1 holds are used there, the others in v2."""
    top = machine.add_v2("/", "pids")
    machine.add_v1("/", "memory")
    machine.add_v1("/", "cpu,cpuacct")
    machine.add_v1("/", "freezer")
    assert Cgroups("lambdad-x", machine.proc).weaknesses == []
    assert (top / "cgroup.subtree_control").read_text() == "+pids"


def test_memory_without_swap_limit(machine: Machine) -> None:
    """Swap that the kernel does not count is told as a weakness, if there is any."""
    for name in V1_FILES:
        machine.add_v1("/", name)
    assert Cgroups("lambdad-x", machine.proc).weaknesses == []
    machine.add_swap()
    assert "swap" in Cgroups("lambdad-x", machine.proc).weaknesses[0]


def test_no_cpu_controller(machine: Machine) -> None:
    """Without a cpu controller sandboxes work, and the weakness is told."""
    machine.add_v1("/", "memory")
    machine.add_v1("/", "pids")
    cgroups = Cgroups("lambdad-x", machine.proc)
    assert "cpu" in cgroups.weaknesses[0]
    assert not cgroups.shares_processors
    machine.add_v1("/", "cpu")
    assert Cgroups("lambdad-x", machine.proc).shares_processors


def test_no_freezer(machine: Machine) -> None:
    """Without a freezer functions go on between invocations, and the weakness is told."""
    for name in ("memory", "pids", "cpu"):
        machine.add_v1("/", name)
    assert Cgroups("lambdad-x", machine.proc).weaknesses == [
        "There is no freezer cgroup controller here, so a function's threads go on between invocations."
    ]


def test_v2_quota(machine: Machine) -> None:
    """A quota of processor time and its period are one file; `max` is none. Without the setting there is no such file."""
    top = machine.add_v2("/", "cpu memory pids")
    _fill(top / "lambdad-x", ("cpu.max",))
    folder = top / "lambdad-x/7"
    _fill(folder, (*V2_FILES, "cpu.max"))
    (folder / "memory.peak").write_text("1")
    files = GroupFiles(Cgroups("lambdad-x", machine.proc, has_quota=True).group("7").open_files())
    written = []
    for share in (1.0, 0.0724, 0.001, 5.79, None):
        (folder / "cpu.max").write_text("")
        files.limit_cpu(share)
        written.append((folder / "cpu.max").read_text())
    assert written == ["20000 20000", "1448 20000", "1000 20000", "115800 20000", "max 20000"]
    files.close()
    files.limit_cpu(1.0)
    assert "cpu.max" not in Cgroups("lambdad-x", machine.proc).group("7").open_files()


def test_v1_quota(machine: Machine) -> None:
    """The quota is a file of its own, where -1 is none."""
    folders = {name: machine.add_v1("/", name) / "lambdad-x/7" for name in V1_FILES}
    group = Cgroups("lambdad-x", machine.proc, has_quota=True).group("7")
    for name, folder in folders.items():
        _fill(folder, (*V1_FILES[name], "cpu.cfs_quota_us"))
    (folders["memory"] / "memory.max_usage_in_bytes").write_text("1")
    files = GroupFiles(group.open_files())
    files.limit_cpu(0.5)
    assert (folders["cpu"] / "cpu.cfs_quota_us").read_text() == "10000"
    files.limit_cpu(None)
    assert (folders["cpu"] / "cpu.cfs_quota_us").read_text()[:2] == "-1"
    files.close()


@pytest.mark.parametrize(
    ("controllers", "reason"), [("memory pids", "cpu cgroup controller is missing"), ("cpu memory pids", "no CFS bandwidth")]
)
def test_no_quota(machine: Machine, controllers: str, reason: str) -> None:
    """Where processor time cannot be held to a quota, opening with one is refused, and leaves no cgroup."""
    top = machine.add_v2("/", controllers)
    cgroups = Cgroups("lambdad-x", machine.proc, has_quota=True)
    closed: list[bool] = []
    cgroups.close = lambda: closed.append(True)  # type: ignore[method-assign]  # plain folders cannot be removed like cgroups
    (top / "lambdad-x").mkdir()
    with pytest.raises(StartupError, match=reason):
        cgroups.check_quota()
    assert closed


@pytest.mark.parametrize(("present", "missing"), [("memory", "pids"), ("pids", "memory")])
def test_no_memory_or_pids_controller(machine: Machine, present: str, missing: str) -> None:
    """Without the memory or the pids controller nothing starts: a function could take the machine along."""
    machine.add_v1("/", present)
    with pytest.raises(StartupError, match=f"missing here: {missing}"):
        Cgroups("lambdad-x", machine.proc)


def test_at_the_top_all_parents_have_one_path(machine: Machine) -> None:
    """Whatever cgroups this process is in, in whichever version."""
    memory, pids = machine.add_v1("/system.slice/lambdad.service", "memory"), machine.add_v1("/elsewhere", "pids")
    unified = machine.add_v2("/system.slice/lambdad.service", "cpu")
    for top, names in ((memory, V1_FILES["memory"]), (pids, V1_FILES["pids"]), (unified, ("cpu.weight",))):
        _fill(top / "lambdad-x/7", names)
        (top / "lambdad-x/7/cgroup.procs").write_text("12\n34\n")
    group = Cgroups("lambdad-x", machine.proc, is_at_top=True).group("7")
    group.limit(128, besides_mb=64)
    assert (memory / "lambdad-x/7/memory.limit_in_bytes").read_text() == str(192 << 20)
    assert group.holds(34)
    assert not group.holds(3)


def test_a_member_in_one_hierarchy_only_is_none(machine: Machine) -> None:
    """A limit holds where the process is in the group."""
    for name, pid in (("memory", "12"), ("pids", "13")):
        top = machine.add_v1("/", name)
        (top / "lambdad-x/7").mkdir(parents=True)
        (top / "lambdad-x/7/cgroup.procs").write_text(pid + "\n")
    assert not Cgroups("lambdad-x", machine.proc, is_at_top=True).group("7").holds(12)
