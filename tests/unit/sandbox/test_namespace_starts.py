"""The namespace backend: which runtimes it starts, what it refuses, and on which machines it cannot be."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lambdad.errors import SandboxError, StartupError
from lambdad.model.runtime_program import StartCommand
from lambdad.sandbox import namespace
from lambdad.sandbox.base import ExitStatus, RuntimeProgram, SandboxSpec
from lambdad.sandbox.namespace import NamespaceSandboxes
from lambdad.sandbox.records import MAX_RECORD_BYTES
from lambdad.sandbox.start_record import start_record
from support.sandbox import ENVIRONMENT, find_interpreters, make_program, make_spec, make_task, started_in

pytestmark = pytest.mark.root


@pytest.fixture
async def sandboxes(tmp_path: Path) -> AsyncIterator[NamespaceSandboxes]:
    backend = NamespaceSandboxes(tmp_path / "state")
    await backend.open()
    yield backend
    await backend.close()


@pytest.mark.parametrize(
    "interpreter", list(find_interpreters("2.7", "3.6", "3.8", "3.12", "3.13")), ids=lambda path: path.name
)
async def test_every_python(sandboxes: NamespaceSandboxes, tmp_path: Path, interpreter: Path) -> None:
    """A zygote of any Python from 2.7 on makes sandboxes, with the language seen as /var/lang."""
    program = make_program(tmp_path / "runtime", interpreter)
    async with started_in(sandboxes, tmp_path, program=program, memory_mb=256) as (sandbox, peer):
        executable = await peer.run("import sys; result = sys.executable")
        assert executable == f"/var/lang/bin/{interpreter.name}"
        assert await peer.run("import os; result = os.environ['GREETING']") == ENVIRONMENT["GREETING"]
        assert await peer.run("import os; result = [os.getcwd(), os.getpid()]") == ["/var/task", 2]
        assert await peer.ask("import os; os._exit(5)") is None
        assert await sandbox.runtime.exited() == ExitStatus(code=5)


async def test_python_below_usr_is_used_in_place(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """An interpreter of the distribution needs no /var/lang."""
    interpreter = Path("/usr/bin/python3.11")
    if not interpreter.exists():
        pytest.skip("no /usr/bin/python3.11 here")
    async with started_in(sandboxes, tmp_path, program=make_program(tmp_path / "runtime", interpreter)) as (_, peer):
        assert await peer.run("import sys; result = sys.executable") == "/usr/bin/python3.11"


async def test_libraries_of_layers_are_found(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """A shared library in a layer's lib folder loads by its name alone, as LD_LIBRARY_PATH promises."""
    library = make_task(tmp_path / "opt") / "lib"
    library.mkdir()
    source = tmp_path / "answer.c"
    source.write_text("int answer(void) { return 42; }")
    if subprocess.run(["cc", "-shared", "-fPIC", "-o", library / "libanswer.so", source], check=False).returncode:
        pytest.skip("no C compiler here")
    async with started_in(sandboxes, tmp_path, opt_root=tmp_path / "opt") as (_, peer):
        assert await peer.run("import ctypes; result = ctypes.CDLL('libanswer.so').answer()") == 42


async def test_broken_runtime_client(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """A runtime client that cannot be imported is a SandboxError that says why, each time."""
    program = make_program(tmp_path / "runtime")
    (program.runtime_dir / "bootstrap.py").write_text("import nothing_of_this_name")
    for number in range(2):
        with pytest.raises(SandboxError, match="nothing_of_this_name"):
            await sandboxes.start(make_spec(program, make_task(tmp_path / "task"), f"s{number}"))


async def test_missing_interpreter(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """So is an interpreter that is not there."""
    program = make_program(tmp_path / "runtime")
    gone = RuntimeProgram("python9.9", tmp_path / "bin/python9.9", tmp_path, program.runtime_dir)
    with pytest.raises(SandboxError, match=r"python9\.9"):
        await sandboxes.start(make_spec(gone, make_task(tmp_path / "task")))


@pytest.mark.parametrize(
    "changes",
    [{"sandbox_id": "../x"}, {"sandbox_id": "a\n"}, {"memory_mb": -1}, {"tmp_mb": 0}, {"environment": {"A=B": "c"}}],
)
async def test_impossible_wishes(sandboxes: NamespaceSandboxes, tmp_path: Path, changes: dict[str, Any]) -> None:
    """A spec with an impossible value is refused by itself; others are not disturbed."""
    program, task = make_program(tmp_path / "runtime"), make_task(tmp_path / "task")
    async with started_in(sandboxes, tmp_path) as (_, peer):
        with pytest.raises(SandboxError, match=r"no sandbox can be made like this|cannot be an environment variable"):
            await sandboxes.start(make_spec(program, task, **{"sandbox_id": "two", **changes}))
        assert await peer.run("result = 1") == 1


@pytest.mark.parametrize(
    "record",
    [
        b"{",
        b"[]",
        b'{"record":"start","sandbox_id":"../x"}',
        b'{"record":"stop","sandbox_id":"x","more":1}',
        b'{"record":"remove","request":1,"tree":"relative"}',
        b"\xff\xfe",
    ],
)
async def test_launcher_believes_nothing(sandboxes: NamespaceSandboxes, record: bytes) -> None:
    """A record that is not as it should be is never acted on: the launcher ends rather than guess."""
    assert sandboxes._link._channel is not None
    sandboxes._link._channel.send(record)
    assert sandboxes._link.process is not None
    assert await sandboxes._link.process.wait() == 0


async def test_too_long_an_environment(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """An environment that does not fit into a record is refused before it is sent."""
    program, task = make_program(tmp_path / "runtime"), make_task(tmp_path / "task")
    with pytest.raises(SandboxError, match="longer than"):
        await sandboxes.start(make_spec(program, task, environment={"A": "x" * 200_000}))
    async with started_in(sandboxes, tmp_path) as (_, peer):
        assert await peer.run("result = 1") == 1


async def test_too_long_a_command(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """One that fits into the record for the launcher, and not into that for the zygote, is refused alone: others go on."""
    program, task = make_program(tmp_path / "runtime"), make_task(tmp_path / "task")

    def with_command(length: int) -> SandboxSpec:
        start = StartCommand(("/x",), ("x" * length,), folder="/")
        return make_spec(replace(program, start=start, image_root=tmp_path), task)

    room = MAX_RECORD_BYTES - len(msgspec.json.encode(start_record(with_command(0))))
    with pytest.raises(SandboxError, match="longer than"):
        await sandboxes.start(with_command(room - 10))
    async with started_in(sandboxes, tmp_path) as (_, peer):
        assert await peer.run("result = 1") == 1


async def test_only_unpacked_folders_are_removed(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """The launcher removes no folder but one that unpacking made."""
    with pytest.raises(SandboxError, match="not made by unpacking"):
        await sandboxes.remove(make_task(tmp_path / "precious"))
    assert (tmp_path / "precious/module.py").exists()


def test_not_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is not root is told so in one sentence."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StartupError, match="root"):
        NamespaceSandboxes(tmp_path)


def test_old_kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kernel that lacks mount_setattr is named."""
    monkeypatch.setattr(namespace.platform, "release", lambda: "5.4.0-generic")
    with pytest.raises(StartupError, match=r"5\.12.*5\.4\.0"):
        NamespaceSandboxes(tmp_path)


def test_other_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Other systems than Linux are told that namespaces are Linux's."""
    monkeypatch.setattr(namespace.sys, "platform", "darwin")
    with pytest.raises(StartupError, match="Linux"):
        NamespaceSandboxes(tmp_path)


def test_root_without_rights(tmp_path: Path) -> None:
    """Root without capabilities, as in most containers, is told so."""
    code = (
        "from pathlib import Path; from lambdad.sandbox.privilege import drop_server_capabilities as drop; drop()\n"
        "from lambdad.sandbox.namespace import NamespaceSandboxes; NamespaceSandboxes(Path('/nowhere'))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "StartupError: root has no right to make namespaces" in ended.stderr
