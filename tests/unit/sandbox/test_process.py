"""The process backend: what it hands to the runtime, and what it admits."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lambdad.errors import SandboxError
from lambdad.sandbox.base import ExitStatus, RuntimeProgram
from lambdad.sandbox.process import ProcessSandboxes
from support.sandbox import Peer, make_program, make_spec, make_task


@pytest.fixture
async def sandboxes(tmp_path: Path) -> AsyncIterator[ProcessSandboxes]:
    backend = ProcessSandboxes(tmp_path / "state", "http://127.0.0.1:1234")
    await backend.open()
    yield backend
    await backend.close()


async def test_paths_are_the_real_ones(sandboxes: ProcessSandboxes, tmp_path: Path) -> None:
    """Variables with paths of the sandbox hold the real paths; others are left as they are."""
    program, task, opt = make_program(tmp_path / "runtime"), make_task(tmp_path / "task"), make_task(tmp_path / "opt")
    environment = {
        "LAMBDA_TASK_ROOT": "/var/task",
        "LAMBDA_RUNTIME_DIR": "/var/runtime",
        "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/var/task/lib:/opt/lib",
        "PATH": "/var/lang/bin:/usr/bin/:/opt/bin:/optional",
        "OTHER": "/var/task",
    }
    sandbox = await sandboxes.start(make_spec(program, task, opt_root=opt, environment=environment))
    peer = await Peer.of(sandbox)
    seen = await peer.run("import os; result = dict(os.environ)")
    assert seen["LAMBDA_TASK_ROOT"] == str(task)
    assert seen["LAMBDA_RUNTIME_DIR"] == str(program.runtime_dir)
    assert seen["LD_LIBRARY_PATH"] == f"{program.language_root}/lib:/lib64:{task}/lib:{opt}/lib"
    assert seen["PATH"] == f"{program.language_root}/bin:/usr/bin/:{opt}/bin:/optional"
    assert seen["OTHER"] == "/var/task"
    assert seen["AWS_ENDPOINT_URL"] == "http://127.0.0.1:1234"
    peer.close()
    os.close(sandbox.runtime.log_pipe)


async def test_open_files(sandboxes: ProcessSandboxes, tmp_path: Path) -> None:
    """The number of open files is limited as on AWS."""
    sandbox = await sandboxes.start(make_spec(make_program(tmp_path / "runtime"), make_task(tmp_path / "task")))
    peer = await Peer.of(sandbox)
    assert await peer.run("import resource as r; result = r.getrlimit(r.RLIMIT_NOFILE)") == [1024, 1024]
    peer.close()
    os.close(sandbox.runtime.log_pipe)


async def test_missing_interpreter(sandboxes: ProcessSandboxes, tmp_path: Path) -> None:
    """An interpreter that is not there is a SandboxError, and leaves no folder."""
    program = make_program(tmp_path / "runtime")
    gone = RuntimeProgram("python9.9", tmp_path / "python9.9", tmp_path, program.runtime_dir)
    with pytest.raises(SandboxError, match=r"python9\.9"):
        await sandboxes.start(make_spec(gone, make_task(tmp_path / "task")))
    assert not list((tmp_path / "state/sandboxes").iterdir())


async def test_children_die_with_the_runtime(sandboxes: ProcessSandboxes, tmp_path: Path) -> None:
    """When the runtime ends by itself, what it has started is killed."""
    sandbox = await sandboxes.start(make_spec(make_program(tmp_path / "runtime"), make_task(tmp_path / "task")))
    peer = await Peer.of(sandbox)
    child = await peer.run("import subprocess; result = subprocess.Popen(['sleep', '600']).pid")
    ended = os.pidfd_open(child)
    await peer.ask("import os; os._exit(1)")
    assert await sandbox.runtime.exited() == ExitStatus(code=1)
    readable = asyncio.Event()
    asyncio.get_running_loop().add_reader(ended, readable.set)
    await asyncio.wait_for(readable.wait(), 60)
    asyncio.get_running_loop().remove_reader(ended)
    for descriptor in (ended, sandbox.runtime.log_pipe):
        os.close(descriptor)
    peer.close()


async def test_weaknesses_are_told(sandboxes: ProcessSandboxes) -> None:
    """The backend says in full sentences what it does not keep apart."""
    assert len(sandboxes.weaknesses) >= 3
    assert all(sentence.endswith(".") for sentence in sandboxes.weaknesses)
    for what in ("network", "memory size", "processes", "Processors"):  # what this backend is told of and does not hold
        assert any(what in sentence for sentence in sandboxes.weaknesses), what
    assert not sandboxes.shares_processors
