"""The namespace backend: what stays behind when something is killed: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lambdad.errors import SandboxError
from lambdad.sandbox.base import ExitStatus
from lambdad.sandbox.namespace import NamespaceSandboxes
from support.namespaces import (
    UIDS,
    cgroup_name,
    cgroups,
    has_ended,
    open_process,
    pids,
    uids_in_cgroups,
)
from support.processes import children, command_line, is_running
from support.sandbox import Opened, Peer, make_program, make_spec, make_task, started_in

pytestmark = pytest.mark.root


#: A server with one sandbox: says its launcher's process id and its cgroup's name, and waits.
SERVER = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from lambdad.sandbox.namespace import NamespaceSandboxes
from support.sandbox import make_program, make_spec, make_task

async def main():
    folder = Path(sys.argv[2])
    sandboxes = NamespaceSandboxes(folder / "state")
    await sandboxes.open()
    await sandboxes.start(make_spec(make_program(folder / "runtime"), make_task(folder / "task")))
    print(sandboxes._link.process.pid, sandboxes._settings.cgroup_name, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.fixture
async def sandboxes(tmp_path: Path) -> AsyncIterator[NamespaceSandboxes]:
    backend = NamespaceSandboxes(tmp_path / "state")
    await backend.open()
    yield backend
    await backend.close()


async def test_stop_leaves_no_cgroup(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """When stop returns, the sandbox's cgroups are gone; those that are left are spares'."""
    async with started_in(sandboxes, tmp_path) as (_, peer):
        own = await peer.run("import os; result = os.getuid()")
        assert own in uids_in_cgroups(sandboxes)
    assert own not in uids_in_cgroups(sandboxes)


async def test_close_leaves_nothing(tmp_path: Path, opened: Opened) -> None:
    """After close there is no cgroup, no process and no folder of the backend's."""
    sandboxes = await opened(NamespaceSandboxes(tmp_path / "state"))
    name = cgroup_name(sandboxes)
    sandbox = await sandboxes.start(make_spec(make_program(tmp_path / "runtime"), make_task(tmp_path / "task")))
    processes = [open_process(pid) for pid in pids(name)]
    assert processes
    await sandboxes.close()
    os.close(sandbox.runtime.log_pipe)
    assert all(has_ended(process) for process in processes)
    assert not cgroups(name)
    assert not list((tmp_path / "state").iterdir())


async def test_launcher_killed(tmp_path: Path, opened: Opened) -> None:
    """kill -9 of the launcher ends every sandbox at once, and the server learns of it, in words."""
    sandboxes = await opened(NamespaceSandboxes(tmp_path / "state"))
    program, task = make_program(tmp_path / "runtime"), make_task(tmp_path / "task")
    sandbox = await sandboxes.start(make_spec(program, task))
    name = cgroup_name(sandboxes)
    processes = [open_process(pid) for pid in pids(name)]
    assert sandboxes._link.process is not None
    losing = asyncio.create_task(sandboxes.lost())
    os.kill(sandboxes._link.process.pid, signal.SIGKILL)
    assert await sandbox.runtime.exited() == ExitStatus(signal=9)
    assert all(has_ended(process) for process in processes)
    assert "launcher has ended" in await losing
    with pytest.raises(SandboxError, match="launcher has ended"):
        await sandboxes.start(make_spec(program, task, "two"))
    await sandbox.stop()
    os.close(sandbox.runtime.log_pipe)
    await sandboxes.close()

    await sandboxes.open()  # as the next server would
    again = await sandboxes.start(make_spec(program, task))
    assert await (await Peer.of(again)).run("result = 1") == 1
    await sandboxes.close()
    os.close(again.runtime.log_pipe)
    assert not cgroups(name)


def test_server_killed(tmp_path: Path) -> None:
    """kill -9 of the server: its launcher kills every sandbox, clears away all that it made, and ends."""
    tests = Path(__file__).parents[2]
    server = subprocess.Popen(
        [sys.executable, "-c", SERVER, tests, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with server:
        assert server.stdout is not None
        launcher, name = server.stdout.readline().split()
        processes = [open_process(pid) for pid in (int(launcher), *pids(name))]
        assert len(processes) >= 3
        server.kill()
        assert all(has_ended(process) for process in processes)
    assert not cgroups(name)
    assert not list((tmp_path / "state").iterdir())


async def test_next_server_waits_for_the_launcher_of_a_killed_one(tmp_path: Path) -> None:
    """A launcher that is still clearing away is not raced: the next one of its folder begins when it has ended."""
    earlier, later = (NamespaceSandboxes(tmp_path / "state", UIDS) for _ in range(2))
    await earlier.open()
    opening = asyncio.create_task(later.open())
    done, _ = await asyncio.wait([opening], timeout=1)
    assert not done
    await earlier.close()
    await opening
    async with started_in(later, tmp_path) as (_, peer):
        assert await peer.run("result = 1") == 1
    await later.close()


async def test_orphans_of_an_earlier_server(tmp_path: Path, opened: Opened) -> None:
    """Processes in a cgroup of this state folder, whoever made it, are killed at open and the cgroup is cleared."""
    sandboxes = await opened(NamespaceSandboxes(tmp_path / "state"))
    name = cgroup_name(sandboxes)
    folder = cgroups(name)[0]
    await sandboxes.close()
    (folder / "77").mkdir(parents=True)
    with subprocess.Popen(["sleep", "600"]) as orphan:
        (folder / "77/cgroup.procs").write_text(str(orphan.pid))
        await sandboxes.open()
        assert orphan.wait(60) == -signal.SIGKILL
    assert not (folder / "77").exists()
    await sandboxes.close()
    assert not cgroups(name)


async def test_orphans_in_another_cgroup(tmp_path: Path, opened: Opened) -> None:
    """A server that was started from another cgroup had its own there, frozen processes and all; others' are left alone."""
    sandboxes = await opened(NamespaceSandboxes(tmp_path / "state"))
    name = cgroup_name(sandboxes)
    here = cgroups(name)[0]
    await sandboxes.close()
    elsewhere = here.parent / f"{name}-place"
    folders = [elsewhere / name / "77", elsewhere / "others" / "77"]
    orphans = []
    for folder in folders:
        folder.mkdir(parents=True)
        orphans.append(subprocess.Popen(["sleep", "600"]))
        (folder / "cgroup.procs").write_text(str(orphans[-1].pid))
    (tmp_path / "state/cgroups").write_text(f"{folders[0].parent}\n{folders[1].parent}\n/nowhere/{name}\n")
    try:
        await sandboxes.open()
        assert orphans[0].wait(60) == -signal.SIGKILL
        assert not (elsewhere / name).exists()
        assert orphans[1].poll() is None
        await sandboxes.close()
    finally:
        for orphan in orphans:
            orphan.kill()
            orphan.wait()
        for folder in (folders[1], folders[1].parent, elsewhere):
            folder.rmdir()


async def test_spares_are_refilled(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """Starts one after the other always find a spare, whose init has been waiting."""
    for number in range(6):
        async with started_in(sandboxes, tmp_path, sandbox_id=f"s{number}") as (_, peer):
            assert await peer.run("result = 1") == 1


async def test_a_spare_that_has_lost_its_runtime_is_replaced(tmp_path: Path) -> None:
    """Killed while it waited, as where a machine is short of memory, with nobody to notice but the launcher."""
    sandboxes = NamespaceSandboxes(tmp_path / "state", UIDS, spares=1)
    await sandboxes.open()
    async with started_in(sandboxes, tmp_path):
        assert sandboxes._link.process is not None
        [zygote] = [pid for pid in children(sandboxes._link.process.pid) if "zygote.py" in command_line(pid)]

    async def spare(lost: int | None = None) -> list[int]:
        """Its init, and the runtime that waits in it."""
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(OSError):  # what has ended meanwhile has no children
                    found = [[init, *children(init)] for init in children(zygote) if init != lost]
                    if len(found) == 1 and len(found[0]) == 2:
                        return found[0]
                await asyncio.sleep(0.01)

    init, runtime = await spare()
    os.kill(runtime, signal.SIGKILL)
    assert await spare(lost=init)
    async with started_in(sandboxes, tmp_path, sandbox_id="two") as (_, peer):
        assert await peer.run("result = 1") == 1
    await sandboxes.close()


@pytest.mark.parametrize("killed", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["killed", "only-stopped"])
async def test_a_zygote_that_does_not_answer_is_replaced(tmp_path: Path, killed: bool, opened: Opened) -> None:
    """A start that waits for a zygote when that is killed, or stopped by somebody and never seen again, gets its sandbox
    from another one."""
    sandboxes = await opened(NamespaceSandboxes(tmp_path / "state", UIDS, spares=0))
    async with started_in(sandboxes, tmp_path):
        assert sandboxes._link.process is not None
        [zygote] = [pid for pid in children(sandboxes._link.process.pid) if "zygote.py" in command_line(pid)]
        os.kill(zygote, signal.SIGSTOP)
        spec = make_spec(make_program(tmp_path / "runtime"), make_task(tmp_path / "task"), "two")
        waiting = asyncio.create_task(sandboxes.start(spec))
        if killed:
            await asyncio.sleep(0)  # the request has left
            os.kill(zygote, signal.SIGKILL)
        second = await waiting
    assert await (await Peer.of(second)).run("result = 1") == 1
    await sandboxes.close()
    os.close(second.runtime.log_pipe)


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
async def test_a_sandbox_that_outlives_its_zygote_is_ended(tmp_path: Path, opened: Opened) -> None:
    """Forked in the moment in which the zygote is killed, before it could ask the kernel to die with it."""
    sandboxes = await opened(NamespaceSandboxes(tmp_path / "state", UIDS, spares=0))
    async with started_in(sandboxes, tmp_path):
        assert sandboxes._link.process is not None
        [zygote] = [pid for pid in children(sandboxes._link.process.pid) if "zygote.py" in command_line(pid)]
        known = set(children(zygote))
        trace = tmp_path / "trace"
        slowly = ["-e", "trace=prctl,sendmsg,sendto", "-e", "inject=prctl:delay_enter=5000000:when=1", "-o", f"{trace}"]
        tracing = await asyncio.create_subprocess_exec("strace", "-qq", "-f", "-p", f"{zygote}", *slowly)
        while Path(f"/proc/{zygote}/status").read_text().split("TracerPid:")[1].split()[0] == "0":
            await asyncio.sleep(0.01)
        spec = make_spec(make_program(tmp_path / "runtime"), make_task(tmp_path / "task"), "two")
        waiting = asyncio.create_task(sandboxes.start(spec))
        while not (made := set(children(zygote)) - known):
            await asyncio.sleep(0)
        while not re.search(rf"^{zygote} +(<\.\.\. )?send.* = \d", trace.read_text(), re.MULTILINE):
            await asyncio.sleep(0.01)  # until the zygote has told the launcher of its fork, which stands before its first prctl
        os.kill(zygote, signal.SIGKILL)
        second = await waiting
        async with asyncio.timeout(30):
            while any(map(is_running, made)):
                await asyncio.sleep(0.05)
        await tracing.wait()
    assert await (await Peer.of(second)).run("result = 1") == 1
    await sandboxes.close()
    os.close(second.runtime.log_pipe)


async def test_a_sandbox_killed_in_the_making_is_made_again(tmp_path: Path, opened: Opened) -> None:
    """What dies without having said why does not fail the start that waits for it."""
    sandboxes = await opened(NamespaceSandboxes(tmp_path / "state", UIDS, spares=0))
    program, task = make_program(tmp_path / "runtime"), make_task(tmp_path / "task")
    async with started_in(sandboxes, tmp_path):
        assert sandboxes._link.process is not None
        [zygote] = [pid for pid in children(sandboxes._link.process.pid) if "zygote.py" in command_line(pid)]
        for number in range(5):
            known = set(children(zygote))
            spec = make_spec(program, task, f"s{number}", waits_with_runtime=True)
            waiting = asyncio.create_task(sandboxes.start(spec))
            while not (made := set(children(zygote)) - known):
                await asyncio.sleep(0)
            os.kill(made.pop(), signal.SIGKILL)
            await (await waiting).stop()
    await sandboxes.close()


async def test_a_runtime_that_dies_before_it_is_begun_is_told_of(tmp_path: Path, opened: Opened) -> None:
    """It waits while extensions start. Whoever has it begun then hears of its end, or would wait for ever."""
    sandboxes = await opened(NamespaceSandboxes(tmp_path / "state", UIDS, spares=0))
    spec = make_spec(make_program(tmp_path / "runtime"), make_task(tmp_path / "task"), waits_with_runtime=True)
    sandbox = await sandboxes.start(spec)
    [runtime] = [child for pid in pids(cgroup_name(sandboxes)) for child in children(pid)]
    os.kill(runtime, signal.SIGKILL)
    async with asyncio.timeout(60):
        while is_running(runtime):
            await asyncio.sleep(0.01)
        (await sandbox.open_socket()).close()  # answered after what was told before
        process = await sandbox.run_runtime(spec.environment)
        assert await process.exited() == ExitStatus(signal=signal.SIGKILL)
    await sandbox.stop()
    os.close(process.log_pipe)
    await sandboxes.close()
