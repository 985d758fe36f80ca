"""The first moments of a sandbox: what in it may happen before what."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest

from lambdad.sandbox.namespace import NamespaceSandboxes
from support.processes import children, command_line, descendants
from support.sandbox import Opened, Peer, RootlessSandboxes, make_program, make_spec, make_task

pytestmark = pytest.mark.root

Seen = TypeVar("Seen")


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.parametrize("kind", [NamespaceSandboxes, RootlessSandboxes], ids=["root", "rootless"])
async def test_no_function_starts_before_process_1_is_closed_to_it(
    tmp_path: Path, kind: type[NamespaceSandboxes], opened: Opened
) -> None:
    """Stopped before it has given anything up, process 1 holds up the runtime beside it, and so the start, until it goes on."""
    sandboxes = await opened(kind(tmp_path / "state", spares=0))
    program, task = make_program(tmp_path / "runtime"), make_task(tmp_path / "task")
    first = await sandboxes.start(make_spec(program, task))
    assert sandboxes._link.process is not None
    zygote = next(pid for pid in descendants(sandboxes._link.process.pid) if "zygote.py" in command_line(pid))
    known = set(children(zygote))
    # Process 1 is the one who does this twice before it gives up its privileges.
    trace = tmp_path / "trace"
    stopping = ["-e", "trace=dup2,dup3", "-e", "inject=dup2,dup3:signal=STOP:when=2", "-o", f"{trace}"]
    tracing = await asyncio.create_subprocess_exec("strace", "-qq", "-f", "-p", f"{zygote}", *stopping)
    await _seen(lambda: _status(zygote, "TracerPid") != "0")
    starting = asyncio.create_task(sandboxes.start(make_spec(program, task, "two")))
    await _seen(lambda: trace.exists() and "stopped by SIGSTOP" in trace.read_text())
    [init] = set(children(zygote)) - known
    tracing.terminate()
    await tracing.wait()
    [runtime] = children(init)
    await _seen(lambda: _waits_at_a_pipe(runtime))
    assert _status(init, "State").startswith("T")
    assert not starting.done()
    os.kill(init, signal.SIGCONT)
    second = await starting
    assert await (await Peer.of(second)).run("result = 1") == 1
    await sandboxes.close()
    for sandbox in (first, second):
        os.close(sandbox.runtime.log_pipe)


async def _seen(look: Callable[[], Seen]) -> Seen:
    """What is seen first: other processes tell nobody what they do."""
    async with asyncio.timeout(60):
        while not (seen := look()):
            await asyncio.sleep(0.01)
    return seen


def _status(pid: int, name: str) -> str:
    return Path(f"/proc/{pid}/status").read_text().split(f"{name}:")[1].split("\n")[0].strip()


def _waits_at_a_pipe(pid: int) -> bool:
    call = Path(f"/proc/{pid}/syscall").read_text().split()
    if len(call) < 2:
        return False
    try:
        return os.readlink(f"/proc/{pid}/fd/{int(call[1], 16)}").startswith("pipe:")
    except FileNotFoundError:
        return False
