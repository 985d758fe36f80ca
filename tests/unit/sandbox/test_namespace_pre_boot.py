"""The namespace backend: runtimes that wait for a function."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lambdad.model.file_system import FileSystem
from lambdad.model.runtime_program import RuntimeProgram, StartCommand
from lambdad.sandbox.base import Sandbox
from lambdad.sandbox.namespace import NamespaceSandboxes
from support.namespaces import KINDS, cgroup_name, cgroups, has_ended, open_process
from support.processes import command_line, descendants
from support.sandbox import BOOTSTRAP, Opened, Peer, make_program, make_spec, make_task

pytestmark = pytest.mark.root

BOOT = {"TZ": ":UTC", "LANG": "C.UTF-8"}
#: Does what `zygote_program.pre_boot` asks of a client, then answers as other programs of these tests do.
CLIENT = f"""
import json, os, sys

places = os.environ.pop("_LAMBDAD_BOOT", None)
os.environ.pop("LD_LIBRARY_PATH", None)  # of the Python that lambdad brings along
IS_PRE_BOOTED, BOOTED_WITH = places is not None, dict(os.environ)
if IS_PRE_BOOTED:
    start, ready = map(int, places.split())
    if os.environ.get("TZ") == ":Broken":
        sys.exit(1)
    os.write(ready, b".")
    os.close(ready)
    record = os.read(start, 1 << 17)
    os.close(start)
    if not record:
        sys.exit()
    os.environ.clear()
    os.environ.update(json.loads(record))
    os.chdir(os.getcwd())
{BOOTSTRAP}
"""


def waiting_program(folder: Path, name: str = "wait1.x") -> RuntimeProgram:
    python = make_program(folder)
    (folder / "client.py").write_text(CLIENT)
    start = StartCommand(("{python}",), ("/var/runtime/client.py",))
    return RuntimeProgram(name, python.interpreter, Path("/usr"), folder, start, python.language_root)


@pytest.fixture(params=KINDS)
async def sandboxes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NamespaceSandboxes]:
    backend = KINDS[request.param](tmp_path / "state", spares=1, pre_booted=1)
    await backend.open()
    yield backend
    await backend.close()


@asynccontextmanager
async def asked(
    sandboxes: NamespaceSandboxes, folder: Path, name: str, **changes: Any
) -> AsyncIterator[tuple[Sandbox, Callable[[str], Any]]]:
    """A sandbox, and what runs Python in its runtime and returns `result`."""
    program = changes.pop("program", None) or waiting_program(folder / "runtime")
    changes = {"boot": BOOT, "environment": {**BOOT, "OWN": name}, **changes}
    sandbox = await sandboxes.start(make_spec(program, make_task(folder / "task"), name, **changes))
    connection, _ = await asyncio.get_running_loop().sock_accept(sandbox.runtime_listener)
    connection.setblocking(False)
    peer = Peer(connection, is_ours=True)
    try:
        yield sandbox, peer.run
    finally:
        peer.close()
        await sandbox.stop()
        os.close(sandbox.runtime.log_pipe)


IS_PRE_BOOTED = "import __main__; result = __main__.IS_PRE_BOOTED"


async def until_waiting(sandboxes: NamespaceSandboxes, expected: dict[str, int]) -> None:
    async with asyncio.timeout(60):
        while sandboxes.pre_booted != expected:
            await asyncio.sleep(0.02)


def waiting_pids(sandboxes: NamespaceSandboxes) -> list[int]:
    assert sandboxes._link.process is not None
    return [pid for pid in descendants(sandboxes._link.process.pid) if "client.py" in command_line(pid)]


async def test_a_second_start_finds_a_runtime_that_waits(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """It has the function's variables, files and limits, and had nothing of any function's before; a third gets another one."""
    async with asked(sandboxes, tmp_path, "one") as (_, run):
        assert not await run(IS_PRE_BOOTED)
    networks = set()
    for name in ("two", "three"):
        await until_waiting(sandboxes, {"wait1.x": 1})
        async with asked(sandboxes, tmp_path, name) as (_, run):
            assert await run(IS_PRE_BOOTED)
            assert await run("import __main__; result = __main__.BOOTED_WITH") == BOOT
            assert await run("import os; result = os.environ['OWN']") == name
            assert await run("result = open('module.py').read()") == "ANSWER = 42\n"
            assert await run("import os; result = sorted(map(int, os.listdir('/proc/self/fd')))[:3]") == [0, 1, 2]
            assert await run("result = open('/tmp/file', 'w').write('x')") == 1
            networks.add(await run("import os; result = os.readlink('/proc/self/ns/net')"))
    assert len(networks) == 2


async def test_who_differs_in_what_is_read_at_a_start_has_a_runtime_of_its_own(
    sandboxes: NamespaceSandboxes, tmp_path: Path
) -> None:
    """Another memory size, other variables at its start, or none that it could be booted with."""
    async with asked(sandboxes, tmp_path, "one"):
        await until_waiting(sandboxes, {"wait1.x": 1})
    for number, changes in enumerate(({"memory_mb": 256}, {"boot": {"TZ": ":UTC"}}, {"boot": None})):
        async with asked(sandboxes, tmp_path, f"other{number}", **changes) as (_, run):
            assert not await run(IS_PRE_BOOTED)


async def test_a_waiting_runtime_that_dies_is_replaced(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """Killed with nobody to notice but the launcher."""
    async with asked(sandboxes, tmp_path, "one"):
        pass
    await until_waiting(sandboxes, {"wait1.x": 1})
    [waiting] = waiting_pids(sandboxes)
    os.kill(waiting, signal.SIGKILL)
    async with asyncio.timeout(60):
        while waiting_pids(sandboxes) in ([], [waiting]):
            await asyncio.sleep(0.02)
    await sandboxes.remove(tmp_path / "nothing")  # whatever the launcher had told before is heard: that none waits any more
    await until_waiting(sandboxes, {"wait1.x": 1})
    async with asked(sandboxes, tmp_path, "two") as (_, run):
        assert await run(IS_PRE_BOOTED)


async def test_all_that_wait_may_die_at_once(tmp_path: Path, opened: Opened) -> None:
    """As where a machine is short of memory: they had booted, so others will."""
    backend = await opened(NamespaceSandboxes(tmp_path / "state", spares=1, pre_booted=3))
    async with asked(backend, tmp_path, "one"):
        await until_waiting(backend, {"wait1.x": 3})
    killed = waiting_pids(backend)
    assert len(killed) == 3
    for pid in killed:
        os.kill(pid, signal.SIGKILL)
    async with asyncio.timeout(60):
        while len(waiting_pids(backend)) < 3 or set(waiting_pids(backend)) & set(killed):
            await asyncio.sleep(0.02)
    await backend.remove(tmp_path / "nothing")  # whatever the launcher had told before is heard
    await until_waiting(backend, {"wait1.x": 3})
    await backend.close()


async def test_what_cannot_boot_without_a_function_keeps_nobody_from_starting(
    sandboxes: NamespaceSandboxes, tmp_path: Path
) -> None:
    """It is given up after a few tries; each start has a runtime of its own."""
    boot = {"TZ": ":Broken"}
    for number in range(5):
        async with asked(sandboxes, tmp_path, f"s{number}", boot=boot, environment=boot) as (_, run):
            assert not await run(IS_PRE_BOOTED)
    assert sandboxes.pre_booted == {}


async def test_runtimes_of_what_was_installed_anew_are_discarded(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """The newer program has the name and other folders."""
    async with asked(sandboxes, tmp_path, "one"):
        await until_waiting(sandboxes, {"wait1.x": 1})
    [older] = waiting_pids(sandboxes)
    process = open_process(older)
    async with asked(sandboxes, tmp_path, "two", program=waiting_program(tmp_path / "newer")) as (_, run):
        assert not await run(IS_PRE_BOOTED)
        assert has_ended(process)
        await until_waiting(sandboxes, {"wait1.x": 1})


async def test_a_runtime_that_is_not_wanted_after_all_ends(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """One that waits with an extension whose environment is taken down before it was its turn."""
    async with asked(sandboxes, tmp_path, "one"):
        pass
    await until_waiting(sandboxes, {"wait1.x": 1})
    [waiting] = waiting_pids(sandboxes)
    process = open_process(waiting)
    spec = make_spec(
        waiting_program(tmp_path / "runtime"), make_task(tmp_path / "task"), "two", boot=BOOT, waits_with_runtime=True
    )
    sandbox = await sandboxes.start(spec)
    await sandbox.kill_all()
    assert has_ended(process)
    again = await sandbox.run_runtime({**BOOT, "OWN": "two"})
    connection, _ = await asyncio.get_running_loop().sock_accept(sandbox.runtime_listener)
    connection.setblocking(False)
    peer = Peer(connection, is_ours=True)
    assert not await peer.run(IS_PRE_BOOTED)
    peer.close()
    await sandbox.stop()
    os.close(again.log_pipe)


async def test_a_waiting_runtime_loses_the_network_and_gets_a_file_system(tmp_path: Path, opened: Opened) -> None:
    """As a spare would: before the function is there."""
    folder = tmp_path / "files"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "there").write_text("before")
    arn = "arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/fsap-00000000000000000"
    backend = await opened(
        NamespaceSandboxes(tmp_path / "state", spares=1, pre_booted=1, network="nat", file_systems={arn: folder})
    )
    way_out = "import socket; result = socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect_ex(('192.0.2.1', 9))"
    changes = {"has_network": False, "file_system": FileSystem(arn, "/mnt/files")}
    try:
        async with asked(backend, tmp_path, "one") as (_, run):
            assert await run(way_out) == 0
            await until_waiting(backend, {"wait1.x": 1})
        async with asked(backend, tmp_path, "two", **changes) as (_, run):
            assert await run(IS_PRE_BOOTED)
            assert await run(way_out) == errno.ENETUNREACH
            assert await run("result = open('/mnt/files/there').read()") == "before"
    finally:
        await backend.close()


async def test_close_ends_those_that_wait(tmp_path: Path, opened: Opened) -> None:
    """No process and no cgroup of theirs is left."""
    backend = await opened(NamespaceSandboxes(tmp_path / "state", spares=1, pre_booted=2))
    async with asked(backend, tmp_path, "one"):
        await until_waiting(backend, {"wait1.x": 2})
    processes = [open_process(pid) for pid in waiting_pids(backend)]
    assert len(processes) == 2
    name = cgroup_name(backend)
    await backend.close()
    assert all(map(has_ended, processes))
    assert not cgroups(name)


@pytest.mark.parametrize("options", [{}, {"pre_booted": 2, "spares": 0}])
async def test_none_are_booted_where_none_are_wanted(tmp_path: Path, options: dict[str, int], opened: Opened) -> None:
    """Nor where there are no spares, which they are made of: that is told."""
    backend = await opened(NamespaceSandboxes(tmp_path / "state", **options))
    for name in ("one", "two"):
        async with asked(backend, tmp_path, name) as (_, run):
            assert not await run(IS_PRE_BOOTED)
    assert backend.pre_booted is None
    await backend.close()
