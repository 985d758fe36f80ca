"""A function is initialised once, and every clone of it goes on from there in a sandbox of its own."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lambdad.sandbox.seccomp import filter_program

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="snapshots are made on x86_64 only"),
]

TESTS = Path(__file__).parents[2]
ZYGOTE = TESTS.parent / "src/lambdad/sandbox/zygote"


def run_rig(folder: Path, init: str, clones: int = 1, megabytes: int = 1) -> dict[str, Any]:
    (folder / "filter").write_bytes(filter_program())
    program = [sys.executable, "-B", TESTS / "support/snapshot_rig.py", ZYGOTE, folder / "filter", init]
    done = subprocess.run([*program, str(clones), str(megabytes)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def test_a_clone_goes_on_where_init_ended(tmp_path: Path) -> None:
    """Heap, signal handlers and mask, umask, folder and the position in an open file are as init left them; threads and
    subprocesses work; a connection that init opened is found lost; process 1 of the sandbox hears of the end."""
    first, second = run_rig(tmp_path, "a_handler", clones=2)["clones"]
    assert first["heap"] == second["heap"] > 0
    assert first["handles SIGUSR1"]
    assert first["blocked"] == [28]
    assert first["Umask"] == ["0027"]
    assert first["directory"] == "/usr"
    assert first["position"] == 5
    assert first["old connection"] == "Broken pipe"
    assert first["thread ran"]
    assert first["thread id"] == first["pid"]
    assert first["log"] == "a line of the clone's\n"
    assert first["end"]


@pytest.mark.parametrize("init", ["nothing", "the_same_pid"])
def test_clones_have_randomness_of_their_own(tmp_path: Path, init: str) -> None:
    """Python's generator, OpenSSL's, which learns of a fork by its pid, and the names of temporary files."""
    clones = run_rig(tmp_path, init, clones=5)["clones"]
    for source in ("random", "ssl", "folder"):
        assert len({clone[source] for clone in clones}) == 5


def test_clones_do_not_share_memory(tmp_path: Path) -> None:
    """Not even what init mapped as shared."""
    clones = run_rig(tmp_path, "nothing", clones=3)["clones"]
    assert [clone["shared"] for clone in clones] == ["first"] * 3


def test_a_clone_is_confined(tmp_path: Path) -> None:
    """No privilege, the seccomp filter, its own user, namespaces, limits and descriptors, and nobody watching."""
    first, second = run_rig(tmp_path, "nothing", clones=2)["clones"]
    assert first["Uid"] == first["Gid"] == ["43001"] * 4
    assert second["Uid"] == ["43002"] * 4
    assert first["subprocess"] == "43001"
    for capabilities in ("CapEff", "CapPrm", "CapBnd"):
        assert first[capabilities] == ["0" * 16]
    assert (first["NoNewPrivs"], first["Seccomp"], first["TracerPid"]) == (["1"], ["2"], ["0"])
    assert first["setuid"] == first["unshare"] == "Operation not permitted"
    for name, namespace in first["namespaces"].items():
        assert namespace != os.readlink(f"/proc/self/ns/{name}")
    assert set(first["processes"]) == {"1", str(first["pid"])}
    log, connection = first["descriptors"].pop("1"), [name for name in first["descriptors"].values() if "socket" in name]
    assert first["descriptors"].pop("2") == log
    assert first["descriptors"].pop("0") == "/dev/null"
    assert len(connection) == 1
    assert len(first["descriptors"]) == 2  # the connection, and the folder of descriptors while it is listed


@pytest.mark.parametrize(
    ("init", "reason"),
    [
        ("a_thread", "the function's init left threads running (1), which a clone would not have"),
        ("a_process", "the function's init left processes running (1), which a clone would not have"),
        ("an_epoll", "the function's init left open what a clone cannot have: descriptor "),
        ("an_unlinked_file", "the function's init left open what a clone cannot have: descriptor "),
        ("changed_code", "the function changed libc's code for system calls"),
        ("an_end", "the function's process ended before it could be cloned"),
    ],
)
def test_what_cannot_be_cloned_is_refused(tmp_path: Path, init: str, reason: str) -> None:
    assert run_rig(tmp_path, init)["refused"].startswith(reason)


def test_another_system_call_than_asked_for_is_not_let_in(tmp_path: Path) -> None:
    """Code that a function put where a system call was expected comes as far as the kernel's door."""
    refusal = run_rig(tmp_path, "another_call")["refused"]
    assert refusal == "another system call than 102 was about to be made: (39, 0, 0, 0, 0, 0, 0)"


def test_clones_cost_little_memory(tmp_path: Path) -> None:
    """With 100 MB of heap: not a tenth of it."""
    clones = run_rig(tmp_path, "nothing", clones=8, megabytes=100)["clones"]
    assert max(clone["private"] for clone in clones) < 10_000
