"""The ends of the oci backend's sandboxes, launcher and server, in every order: nothing stays behind."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lambdad.errors import SandboxError
from lambdad.sandbox.base import ExitStatus
from lambdad.sandbox.oci import OciSandboxes
from support.namespaces import has_ended, open_process
from support.oci import RUNTIMES, launcher_of, remains, wrapped
from support.processes import children, descendants
from support.sandbox import Backend, Opened, make_program, make_spec, make_task, started_in

pytestmark = pytest.mark.root

#: A server with one sandbox, which it freezes if it is told to: says the process ids of itself and of its launcher, and waits.
SERVER = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from lambdad.sandbox.oci import OciSandboxes
from support.machine import Peer as Machine
from support.machine import listening
from support.processes import children
from support.sandbox import make_program, make_spec, make_task

async def main():
    folder = Path(sys.argv[2])
    sandboxes = OciSandboxes(folder / "state", sys.argv[3])
    await sandboxes.open()
    sandbox = await sandboxes.start(make_spec(make_program(folder / "runtime"), make_task(folder / "task")))
    await sandbox.freeze()
    print(os.getpid(), children(os.getpid())[0], flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_the_launcher_keeps_nothing(oci_sandboxes: OciSandboxes, tmp_path: Path) -> None:
    """After starts, good, refused and given up, and stops, it has no more descriptors and children than it had before."""
    program, task = make_program(tmp_path / "runtime"), make_task(tmp_path / "task")
    launcher = launcher_of(oci_sandboxes)
    async with started_in(oci_sandboxes, tmp_path, sandbox_id="before"):
        pass
    descriptors, kin = len(os.listdir(f"/proc/{launcher}/fd")), set(children(launcher))
    for number in range(3):
        async with started_in(oci_sandboxes, tmp_path, sandbox_id=f"s{number}"):
            pass
        with pytest.raises(SandboxError):
            await oci_sandboxes.start(make_spec(program, tmp_path / "missing", f"missing{number}"))
        given_up = asyncio.create_task(oci_sandboxes.start(make_spec(program, task, f"given-up{number}")))
        for _ in range(number + 1):
            await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.gather(given_up, return_exceptions=True)
    async with started_in(oci_sandboxes, tmp_path, sandbox_id="after"):
        pass
    await oci_sandboxes.remove(tmp_path / "nothing")  # whatever was asked before is done
    while len(os.listdir(f"/proc/{launcher}/fd")) > descriptors or not set(children(launcher)) <= kin:
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("backend", RUNTIMES)
@pytest.mark.parametrize("victims", [(0,), (1,), (0, 1)], ids=["server", "launcher", "both"])
async def test_after_kill_9(tmp_path: Path, backend: Backend, victims: tuple[int, ...], opened: Opened) -> None:
    """Server, launcher or both are killed while a sandbox is frozen: after the next open and close nothing is left."""
    command = [sys.executable, "-c", SERVER, str(Path(__file__).parents[2]), str(tmp_path), backend.options[1]]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            pids = [int(word) for word in server.stdout.readline().split()]
            family = [open_process(pid) for pid in descendants(pids[0])]
            assert len(family) >= 2
            for victim in victims:
                os.kill(pids[victim], signal.SIGKILL)
        finally:
            server.kill()
    sandboxes = await opened(backend.make(tmp_path / "state"))
    assert all(map(has_ended, family))  # what dies with its parent is not waited for
    async with started_in(sandboxes, tmp_path) as (_, peer):
        assert await peer.run("result = 1") == 1
    await sandboxes.close()
    assert remains(tmp_path / "state") == []


async def test_loss_of_the_launcher(tmp_path: Path, runc: str, opened: Opened) -> None:
    """Its end is told, ends every sandbox, and starts are refused; nobody waits in vain. The next clears up."""
    sandboxes = await opened(OciSandboxes(tmp_path / "state", runc))
    program, task = make_program(tmp_path / "runtime"), make_task(tmp_path / "task")
    sandbox = await sandboxes.start(make_spec(program, task))
    os.kill(launcher_of(sandboxes), signal.SIGSTOP)
    starting = asyncio.create_task(sandboxes.start(make_spec(program, task, "late")))
    await asyncio.sleep(0)
    os.kill(launcher_of(sandboxes), signal.SIGKILL)
    assert "launcher" in await asyncio.wait_for(sandboxes.lost(), 60)
    assert await asyncio.wait_for(sandbox.runtime.exited(), 60) == ExitStatus(signal=9)
    for refused in (starting, sandboxes.start(make_spec(program, task, "new")), sandbox.open_socket()):
        with pytest.raises(SandboxError):
            await refused
    await sandbox.stop()
    await sandboxes.close()
    os.close(sandbox.runtime.log_pipe)
    await sandboxes.open()
    async with started_in(sandboxes, tmp_path, sandbox_id="again") as (_, peer):
        assert await peer.run("result = 1") == 1
    await sandboxes.close()
    assert remains(tmp_path / "state") == []


async def test_user_ids_run_out(tmp_path: Path, runc: str, opened: Opened) -> None:
    """When every user id is in use, a start is refused; one that is given back serves again."""
    sandboxes = await opened(OciSandboxes(tmp_path / "state", runc, uids=range(20_000, 20_002)))
    program, task = make_program(tmp_path / "runtime"), make_task(tmp_path / "task")
    first = await sandboxes.start(make_spec(program, task))
    with pytest.raises(SandboxError, match="user ids"):
        await sandboxes.start(make_spec(program, task, "second"))
    await first.stop()
    both = [sandboxes.start(make_spec(program, task, name)) for name in ("at-once", "as-well")]
    ends = await asyncio.wait_for(asyncio.gather(*both, return_exceptions=True), 60)
    [late] = [end for end in ends if isinstance(end, BaseException)]
    assert isinstance(late, SandboxError)
    assert "user ids" in str(late)
    [second] = [end for end in ends if not isinstance(end, BaseException)]
    await second.stop()
    third = await sandboxes.start(make_spec(program, task, "third"))
    await sandboxes.close()
    for sandbox in (first, second, third):
        os.close(sandbox.runtime.log_pipe)


async def test_a_runtime_that_disappears(tmp_path: Path, runc: str, opened: Opened) -> None:
    """As when its package is removed: starts are refused, and sandboxes and the server end all the same. What the runtime
    remembers is gone after the next start."""
    path = Path(wrapped(tmp_path, runc, ":"))
    sandboxes = await opened(OciSandboxes(tmp_path / "state", str(path)))
    program, task = make_program(tmp_path / "runtime"), make_task(tmp_path / "task")
    sandbox = await sandboxes.start(make_spec(program, task))
    path.rename(tmp_path / "away")
    with pytest.raises(SandboxError, match="No such file"):
        await asyncio.wait_for(sandboxes.start(make_spec(program, task, "late")), 60)
    await asyncio.wait_for(sandbox.stop(), 60)
    assert await asyncio.wait_for(sandbox.runtime.exited(), 60) == ExitStatus(signal=9)
    os.close(sandbox.runtime.log_pipe)
    await asyncio.wait_for(sandboxes.close(), 60)
    path = (tmp_path / "away").rename(path)
    sandboxes = await opened(OciSandboxes(tmp_path / "state", str(path)))
    await sandboxes.close()
    assert remains(tmp_path / "state") == []
