"""memory_watch.py: memory sizes that hold, more or less, without a cgroup."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lambdad.sandbox.base import ExitStatus, Sandbox
from support.processes import descendants
from support.sandbox import Peer, RootlessSandboxes, make_program, make_spec, make_task

pytestmark = pytest.mark.root

#: Takes memory bit by bit, and never as much as the machine would notice; then waits to be killed.
GROW = """
import time
blocks = []
for _ in range(60):
    blocks.append(bytearray(b"x") * (10 << 20))
    time.sleep(0.02)
while True:
    time.sleep(1)
"""


@pytest.fixture
async def sandboxes(tmp_path: Path) -> AsyncIterator[RootlessSandboxes]:
    backend = RootlessSandboxes(tmp_path / "state")
    await backend.open()
    yield backend
    await backend.close()


@asynccontextmanager
async def started(sandboxes: RootlessSandboxes, folder: Path, *names: str, **changes: Any) -> AsyncIterator[list[Any]]:
    program, task = make_program(folder / "runtime"), make_task(folder / "task")
    made: list[Sandbox] = [await sandboxes.start(make_spec(program, task, name, **changes)) for name in names]
    try:
        yield [(sandbox, await Peer.of(sandbox)) for sandbox in made]
    finally:
        for sandbox in made:
            await sandbox.stop()
            os.close(sandbox.runtime.log_pipe)


async def test_it_is_said(sandboxes: RootlessSandboxes) -> None:
    """The user hears that memory is only measured, and what would change that."""
    assert any("measures memory" in weakness and "Delegate=yes" in weakness for weakness in sandboxes.weaknesses)


async def test_too_much_memory(sandboxes: RootlessSandboxes, tmp_path: Path) -> None:
    """Who takes more than the size is killed for want of memory; the neighbour is not, and the peak is known."""
    async with started(sandboxes, tmp_path, "greedy", "modest") as [(greedy, one), (_, other)]:
        assert await one.ask(GROW) is None
        assert await greedy.runtime.exited() == ExitStatus(signal=9, out_of_memory=True)
        assert greedy.memory_peak_bytes() > 128 << 20
        assert await other.run("result = 1") == 1


async def test_the_largest_process_is_killed(sandboxes: RootlessSandboxes, tmp_path: Path) -> None:
    """All processes of a sandbox count together; the one that has most is killed, and not the runtime that waits for it."""
    code = f"import subprocess, sys; result = subprocess.run(['/var/lang/bin/python3', '-c', {GROW!r}]).returncode"
    async with started(sandboxes, tmp_path, "one") as [(sandbox, peer)]:
        assert await peer.run(code) == -9
        assert await peer.run("result = 1") == 1
        await peer.ask("import os; os.kill(os.getpid(), 9)")
        assert await sandbox.runtime.exited() == ExitStatus(signal=9, out_of_memory=True), "a kill for memory came before"


async def test_files_in_tmp_count(sandboxes: RootlessSandboxes, tmp_path: Path) -> None:
    """As under a cgroup: what is in /tmp is memory."""
    fill = """
    import time
    with open("/tmp/big", "wb") as file:
        for _ in range(20):
            file.write(bytes(10 << 20))
            file.flush()
            time.sleep(0.02)
    while True:
        time.sleep(1)
    """
    async with started(sandboxes, tmp_path, "one") as [(sandbox, peer)]:
        assert await peer.ask(fill) is None
        assert await sandbox.runtime.exited() == ExitStatus(signal=9, out_of_memory=True)


async def test_shared_memory_counts_once(sandboxes: RootlessSandboxes, tmp_path: Path) -> None:
    """Processes that share the pages of their parent are together no larger than it is."""
    code = """
    import os, time
    block = bytearray(b"x") * (60 << 20)
    children = []
    for _ in range(5):
        pid = os.fork()
        if pid == 0:
            time.sleep(600)
        children.append(pid)
    time.sleep(0.5)  # long enough to be measured
    result = [os.waitpid(pid, os.WNOHANG)[0] for pid in children]
    """
    async with started(sandboxes, tmp_path, "one") as [(_, peer)]:
        assert await peer.run(code) == [0] * 5


async def test_a_killed_watch_ends_the_launcher(sandboxes: RootlessSandboxes) -> None:
    """Without it nothing would be held: nothing goes on."""
    watch = next(pid for pid in descendants(sandboxes._link.process.pid) if _is_watch(pid))
    os.kill(watch, 9)
    assert "launcher" in await sandboxes.lost()


def _is_watch(pid: int) -> bool:
    """Of the launcher's two children at rest, the cgroup keeper waits in select, the watch in epoll."""
    return "eventpoll" in " ".join(_links(pid)) and len(descendants(pid)) == 0


def _links(pid: int) -> list[str]:
    """What it has open; it may close something, or end, meanwhile."""
    links = []
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        for path in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                links.append(os.readlink(path))
    return links
