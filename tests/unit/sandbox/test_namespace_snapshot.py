"""A runtime is started once, and every clone of it goes on from there in a sandbox of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lambdad.errors import CannotSnapshot, SandboxError
from lambdad.sandbox.base import RuntimeProgram, Snapshot
from lambdad.sandbox.init_connection import InitConnection, Seat
from lambdad.sandbox.namespace import NamespaceSandbox, NamespaceSandboxes
from lambdad.sandbox.namespace_snapshot import NamespaceSnapshot, Snapshots, snapshot_problem
from lambdad.sandbox.records import Cloned
from support.namespaces import cgroup_name, sandbox_cgroups
from support.processes import children, command_line, descendants
from support.sandbox import Peer, make_program, make_spec, make_task

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="snapshots are made on x86_64 only"),
]

INIT = """
import builtins, os
builtins.kept = os.urandom(8).hex()
result = builtins.kept
"""
DAEMON = """
import os, signal
if os.fork() == 0:
    if os.fork() == 0:
        signal.pause()
    os._exit(0)
os.wait()
result = 1
"""
FORK = "import os; result = os.fork()"


@asynccontextmanager
async def opened(folder: Path, **settings: Any) -> AsyncIterator[tuple[NamespaceSandboxes, RuntimeProgram, Path]]:
    sandboxes = NamespaceSandboxes(folder / "state", **settings)
    await sandboxes.open()
    try:
        yield sandboxes, make_program(folder / "runtime"), make_task(folder / "task")
    finally:
        await sandboxes.close()


async def run_template(
    sandboxes: NamespaceSandboxes, program: RuntimeProgram, task: Path, init: str = INIT
) -> tuple[NamespaceSandbox, Any]:
    sandbox = await sandboxes.start(make_spec(program, task, "template", is_template=True))
    return sandbox, await (await Peer.of(sandbox)).run(init)


async def take(sandbox: NamespaceSandbox) -> Snapshot:
    peer = await Peer.of(sandbox)
    forking: list[asyncio.Task[Any]] = []
    snapshot = await sandbox.take_snapshot(lambda: forking.append(asyncio.ensure_future(peer.ask(FORK))))
    assert await forking[0] is None  # the template is no more
    await sandbox.stop()
    return snapshot


async def clone(
    sandboxes: NamespaceSandboxes, program: RuntimeProgram, task: Path, snapshot: Snapshot, name: str
) -> tuple[NamespaceSandbox, Peer]:
    sandbox = await sandboxes.start(make_spec(program, task, name, snapshot=snapshot))
    peer = await Peer.of(sandbox)
    assert await peer.hear() == {"result": 0}  # what the template was asked
    return sandbox, peer


async def test_clones_go_on_from_the_template_in_sandboxes_of_their_own(tmp_path: Path) -> None:
    """With the memory of the template; the environment as it was; their own user, /tmp and network; and nothing is left of
    all of them in the end."""
    async with opened(tmp_path) as (sandboxes, program, task):
        template, kept = await run_template(sandboxes, program, task)
        snapshot = await take(template)
        assert snapshot.memory_bytes
        first, one = await clone(sandboxes, program, task, snapshot, "first")
        second, two = await clone(sandboxes, program, task, snapshot, "second")
        ask = "import builtins, os; result = [builtins.kept, os.environ['GREETING'], os.getppid()]"
        assert await one.run(ask) == await two.run(ask) == [kept, "grüß Gott", 1]
        await one.run("open('/tmp/mine', 'w').close(); result = None")
        assert await two.run("import os; result = os.listdir('/tmp')") == []
        assert await one.run("import os; result = os.getuid()") != await two.run("import os; result = os.getuid()")
        assert await one.run("import random; result = random.random()") != await two.run(
            "import random; result = random.random()"
        )
        await one.run("import random; print('a line'); result = None")
        assert b"a line\n" in os.read(first.runtime.log_pipe, 4096)
        await snapshot.close()
        assert await one.run("result = 2") == 2
        await asyncio.gather(first.stop(), second.stop())


async def test_clones_have_what_was_in_tmp(tmp_path: Path) -> None:
    """Files, folders and links, with their modes and times, also open ones; each its own, as its own user; and the machine's
    disk has it for as long as the snapshot is there, under no name."""
    init = """
import builtins, os
os.makedirs("/tmp/a/b/c"); os.chmod("/tmp/a/b", 0o500)
open("/tmp/a/big", "wb").write(bytes(range(256)) * 8192)
open("/tmp/a/sch\\xf6n", "w").write("x"); os.chmod("/tmp/a/sch\\xf6n", 0o400); os.utime("/tmp/a/sch\\xf6n", (1, 2))
open(b"/tmp/no\\xff", "w").close()
os.symlink("a/big", "/tmp/link"); os.symlink("/nowhere", "/tmp/dangling")
builtins.kept = open("/tmp/a/open", "w+"); builtins.kept.write("12345"); builtins.kept.flush()
result = 1
"""
    ask = """
import builtins, os
builtins.kept.write("6"); builtins.kept.flush()
facts = os.stat("/tmp/a/sch\\xf6n")
result = [sorted(map(ascii, os.listdir("/tmp"))), os.stat("/tmp/a/b").st_mode & 0o777, os.listdir("/tmp/a/b"),
          open("/tmp/link", "rb").read() == bytes(range(256)) * 8192, os.readlink("/tmp/dangling"),
          facts.st_mode & 0o777, facts.st_mtime, facts.st_uid == os.getuid(), open("/tmp/a/open").read()]
"""
    async with opened(tmp_path) as (sandboxes, program, task):
        snapshot = await take((await run_template(sandboxes, program, task, init))[0])
        assert kept_files(tmp_path)
        for name in ("first", "second"):
            sandbox, peer = await clone(sandboxes, program, task, snapshot, name)
            assert await peer.run(ask) == [
                ["'a'", "'dangling'", "'link'", "'no\\udcff'"],
                0o500,
                ["c"],
                True,
                "/nowhere",
                0o400,
                2.0,
                True,
                "123456",
            ]
            os.close(sandbox.runtime.log_pipe)
            await sandbox.stop()
        await snapshot.close()
        assert not kept_files(tmp_path)


async def test_the_loopback_address_is_served_inside(tmp_path: Path) -> None:
    """At 127.0.0.1:9001, where SDKs accept credentials without encryption."""
    async with opened(tmp_path) as (sandboxes, program, task):
        snapshot = await take((await run_template(sandboxes, program, task))[0])
        sandbox, peer = await clone(sandboxes, program, task, snapshot, "one")
        connecting = asyncio.ensure_future(
            peer.run("import socket; result = socket.create_connection(('127.0.0.1', 9001)).recv(5).decode()")
        )
        connection, _ = await asyncio.get_running_loop().sock_accept(sandbox.loopback_listener)
        with connection:
            connection.sendall(b"hello")
        assert await connecting == "hello"


async def test_the_end_of_a_clone_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path) as (sandboxes, program, task):
        snapshot = await take((await run_template(sandboxes, program, task))[0])
        sandbox, peer = await clone(sandboxes, program, task, snapshot, "one")
        assert await peer.ask("import os; os._exit(65)") is None
        assert (await sandbox.runtime.exited()).code == 65


@pytest.mark.parametrize("pid", [7, None], ids=["made", "not made"])
async def test_a_clone_whose_sandbox_ends_meanwhile_leaves_nothing(tmp_path: Path, pid: int | None) -> None:
    """Whether it was made or not: the start fails, and the server has none of its descriptors."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    init = InitConnection(ours, lambda: 0)
    seat = Seat(*os.pipe(), *(end.detach() for end in socket.socketpair()), os.open("/dev/null", os.O_RDONLY))
    loop = asyncio.get_running_loop()

    def send(order: object, given: object) -> None:
        loop.call_soon(snapshots.note, Cloned("clone", pid, "no"))

    snapshots = Snapshots(send, tmp_path)
    theirs.close()
    with pytest.raises(SandboxError):
        await snapshots.clone(NamespaceSnapshot("template", None, init.ended), "clone", init, seat)
    for descriptor in (seat.log_pipe, seat.log, seat.connection, seat.inside):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    init.close()
    os.close(seat.listener)


async def test_a_template_whose_launcher_is_lost_leaves_nothing(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    init = InitConnection(ours, lambda: 0)
    seat = Seat(*os.pipe(), *(end.detach() for end in socket.socketpair()), os.open("/dev/null", os.O_RDONLY))

    def send(order: object, given: object) -> None:
        raise SandboxError("the launcher has ended")

    with pytest.raises(SandboxError, match="launcher"):
        Snapshots(send, tmp_path).run_template("template", init, seat, b"{}")
    for descriptor in (seat.log_pipe, seat.log, seat.connection, seat.inside):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)
    init.close()
    theirs.close()
    os.close(seat.listener)


async def test_the_end_of_a_template_is_told(tmp_path: Path) -> None:
    async with opened(tmp_path) as (sandboxes, program, task):
        template, _ = await run_template(sandboxes, program, task)
        assert await (await Peer.of(template)).ask("import os; os._exit(3)") is None
        assert (await template.runtime.exited()).code == 3
        with pytest.raises(CannotSnapshot, match="ended before it could be cloned"):
            await template.take_snapshot(lambda: None)
        await template.stop()


@pytest.mark.parametrize(
    ("init", "reason"),
    [
        ("import threading, signal; threading.Thread(target=signal.pause, daemon=True).start(); result = 1", "threads running"),
        ("import os; os.mkfifo('/tmp/pipe'); result = 1", "a socket, a pipe or a device in /tmp"),
        ("open('/tmp/file', 'w').truncate(600 << 20); result = 1", "more in /tmp than a clone has room for"),
        ("import os; os.mkdir('/tmp/x', 0); result = 1", "files in /tmp that a clone cannot have .permission denied."),
        (
            DAEMON,
            "processes running",
        ),
        ("import select, builtins; builtins.e = select.epoll(); result = 1", "left open what a clone cannot have"),
    ],
    ids=["thread", "pipe", "holes", "closed folder", "daemon", "epoll"],
)
async def test_what_a_clone_cannot_have_is_refused(tmp_path: Path, init: str, reason: str) -> None:
    """And the sandbox can be taken down then, with all that is in it."""
    async with opened(tmp_path) as (sandboxes, program, task):
        template, _ = await run_template(sandboxes, program, task, init)
        peer = await Peer.of(template)
        forking: list[asyncio.Task[Any]] = []
        with pytest.raises(CannotSnapshot, match=reason):
            await template.take_snapshot(lambda: forking.append(asyncio.ensure_future(peer.ask(FORK))))
        await template.stop()
        await asyncio.gather(*forking)


async def test_a_template_that_never_forks_can_be_stopped(tmp_path: Path) -> None:
    async with opened(tmp_path) as (sandboxes, program, task):
        template, _ = await run_template(sandboxes, program, task)
        told = asyncio.Event()
        taking = asyncio.ensure_future(template.take_snapshot(told.set))
        await told.wait()
        await template.stop()
        with pytest.raises(SandboxError):
            await taking


@pytest.mark.parametrize("name", ["holder", "snapshotter"])
async def test_the_loss_of_a_snapshot_is_told(tmp_path: Path, name: str) -> None:
    """Clones live on; what would be cloned next is refused; nothing of the snapshot is left."""
    async with opened(tmp_path, spares=0) as (sandboxes, program, task):
        snapshot = await take((await run_template(sandboxes, program, task))[0])
        _, peer = await clone(sandboxes, program, task, snapshot, "one")
        holder, snapshotter = _keepers()
        os.kill(holder if name == "holder" else snapshotter, signal.SIGKILL)
        await snapshot.lost()
        assert snapshot.is_lost
        with pytest.raises(SandboxError, match="the snapshot is gone"):
            await sandboxes.start(make_spec(program, task, "two", snapshot=snapshot))
        assert await peer.run("result = 2") == 2
        await snapshot.close()
        assert _keepers() == []


async def test_whose_clone_fails_can_see_that_the_snapshot_is_lost(tmp_path: Path) -> None:
    """So that it takes another one, and does not fail an invocation that has not begun."""
    async with opened(tmp_path, spares=0) as (sandboxes, program, task):
        snapshot = await take((await run_template(sandboxes, program, task))[0])
        for keeper in _keepers():
            os.kill(keeper, signal.SIGSTOP)
        starting = asyncio.ensure_future(sandboxes.start(make_spec(program, task, "two", snapshot=snapshot)))
        while not sandboxes.snapshots._cloning:
            await asyncio.sleep(0.01)
        for keeper in _keepers():
            os.kill(keeper, signal.SIGKILL)
        starting.add_done_callback(lambda done: seen.append(snapshot.is_lost))
        seen: list[bool] = []
        with pytest.raises(SandboxError, match="the snapshot is gone"):
            await starting
        assert seen == [True]
        await snapshot.close()


async def test_nothing_is_left_of_a_snapshot(tmp_path: Path) -> None:
    """No process, no cgroup, no descriptor of the server's."""
    async with opened(tmp_path, spares=1) as (sandboxes, program, task):
        warm = await sandboxes.start(make_spec(program, task, "warm"))
        await warm.stop()
        before = len(os.listdir("/proc/self/fd")), _cgroups(sandboxes)
        for _ in range(3):
            snapshot = await take((await run_template(sandboxes, program, task))[0])
            clones = [await clone(sandboxes, program, task, snapshot, f"clone-{number}") for number in range(3)]
            for sandbox, _ in clones:
                os.close(sandbox.runtime.log_pipe)
                await sandbox.stop()
            await snapshot.close()
        assert _keepers() == []
        assert len(os.listdir("/proc/self/fd")) <= before[0] + 3  # the templates' log pipes are the test's to close
        assert _cgroups(sandboxes) <= before[1] + 2


def test_what_stands_in_the_way_of_snapshots_is_named(tmp_path: Path) -> None:
    scope = tmp_path / "sys/kernel/yama/ptrace_scope"
    scope.parent.mkdir(parents=True)
    scope.write_text("3\n")
    assert "ptrace_scope" in str(snapshot_problem(1 << 19, tmp_path))
    assert "CAP_SYS_PTRACE" in str(snapshot_problem(0, tmp_path))
    scope.write_text("1\n")
    assert snapshot_problem(1 << 19, tmp_path) is None


def _keepers() -> list[int]:
    """The holder and the snapshotter of the one snapshot there is, in this order: traced by, and tracing."""
    found = []
    launchers = [
        pid for pid in children(os.getpid()) if "lambdad.sandbox" in command_line(pid)
    ]  # other tests' servers have snapshots too
    for pid in [below for launcher in launchers for below in descendants(launcher)]:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
        tracer = int(status.split("TracerPid:")[1].split()[0])
        if tracer:
            found += [pid, tracer]
    return found


def kept_files(folder: Path) -> list[str]:
    """Those in the folder that this process has open though they have no name."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):
            links.append(os.readlink(f"/proc/self/fd/{number}"))
    return [link for link in links if link.startswith(str(folder)) and link.endswith("(deleted)")]


def _cgroups(sandboxes: NamespaceSandboxes) -> int:
    return len(sandbox_cgroups(cgroup_name(sandboxes)))
