"""The namespace backend: how much of the machine a sandbox can have, with root and without."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lambdad.errors import SandboxError
from lambdad.sandbox.base import ExitStatus
from lambdad.sandbox.namespace import NamespaceSandboxes
from support.namespaces import (
    KINDS,
    throttled,
)
from support.processes import descendants, is_running
from support.sandbox import ENVIRONMENT, Opened, Peer, make_program, make_spec, make_task, started_in

pytestmark = pytest.mark.root


BOTH = pytest.mark.parametrize("sandboxes", list(KINDS), indirect=True)


@pytest.fixture
async def sandboxes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NamespaceSandboxes]:
    backend = KINDS[getattr(request, "param", "root")](tmp_path / "state")
    await backend.open()
    yield backend
    await backend.close()


async def test_memory(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """More memory than there is: the runtime is killed, and the end says why. The peak is known before and after."""
    async with started_in(sandboxes, tmp_path) as (sandbox, peer):
        await peer.run("block = bytearray(50 << 20)")
        peak = sandbox.memory_peak_bytes()
        assert peak is not None
        assert 50 << 20 < peak <= 128 << 20
        assert await peer.ask("block = bytearray(300 << 20)") is None
        assert await sandbox.runtime.exited() == ExitStatus(signal=9, out_of_memory=True)
        assert sandbox.memory_peak_bytes() == 128 << 20
        await sandbox.stop()
        assert sandbox.memory_peak_bytes() == 128 << 20


async def test_processor_quota(tmp_path: Path, opened: Opened) -> None:
    """What spins is stopped by the kernel once it has had its share of a period, and no more when nothing bounds it."""
    spin = """
    import time
    end = time.process_time() + 0.1
    while time.process_time() < end:
        pass
    """
    backend = await opened(NamespaceSandboxes(tmp_path / "state", has_cpu_quota=True))
    async with started_in(backend, tmp_path) as (sandbox, peer):
        await peer.run(spin)
        assert throttled(backend) == 0
        sandbox.limit_cpu(0.1)  # 2 ms of each 20: where nobody else wants the processor, fifty periods for 100 ms
        async with asyncio.timeout(60):
            while throttled(backend) < 20:
                await peer.run(spin)
        sandbox.limit_cpu(None)
        after = throttled(backend)
        await peer.run(spin)
        assert throttled(backend) <= after + 1
    await backend.close()


async def test_no_quota_by_default(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """A backend that was not made for it holds nothing to a quota."""
    async with started_in(sandboxes, tmp_path) as (sandbox, peer):
        sandbox.limit_cpu(0.01)
        await peer.run("for _ in range(1000000): pass")
        assert throttled(sandboxes) == 0


@BOTH
async def test_plain_kill_is_not_want_of_memory(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """A runtime that is killed within its memory did not run out of it."""
    async with started_in(sandboxes, tmp_path) as (sandbox, peer):
        await peer.ask("import os; os.kill(os.getpid(), 9)")
        assert await sandbox.runtime.exited() == ExitStatus(signal=9, out_of_memory=False)


@BOTH
async def test_processes(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """Forking comes to an end at about a thousand processes, and stop clears them all away."""
    code = """
    import os, time
    result = 0
    try:
        while True:
            if os.fork() == 0:
                time.sleep(600)
                os._exit(0)
            result += 1
    except OSError:
        pass
    """
    assert sandboxes._link.process is not None
    async with started_in(sandboxes, tmp_path, memory_mb=2048) as (_, peer):
        assert 900 < await peer.run(code) < 1024
        inside = descendants(sandboxes._link.process.pid)
        assert len(inside) > 900
    assert sum(map(is_running, inside)) < 100, "the zygote and the spares are left"


@BOTH
async def test_tmp_size(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """/tmp holds as much as was asked for and no more."""
    code = """
    import os
    result = os.statvfs("/tmp").f_blocks * os.statvfs("/tmp").f_frsize
    with open("/tmp/big", "wb") as file:
        for _ in range(200):
            file.write(bytearray(1 << 20))
    """
    async with started_in(sandboxes, tmp_path, tmp_mb=100, memory_mb=512) as (_, peer):
        answer = await peer.ask(code)
        assert answer is not None
        assert answer["errno"] == errno.ENOSPC
        assert await peer.run("import os; s = os.statvfs('/tmp'); result = s.f_blocks * s.f_frsize") == 100 << 20


@BOTH
async def test_tmp_counts_as_memory(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """What is written to /tmp is memory: beyond the memory size the runtime is killed, which the weaknesses admit."""
    code = """
    import signal
    with open("/tmp/large", "wb") as file:
        for _ in range(200):
            file.write(b"x" * 1048576)
        signal.pause()  # where memory is watched and not limited, the watch may look later than the last byte
    """
    assert any("/tmp" in weakness for weakness in sandboxes.weaknesses)
    async with started_in(sandboxes, tmp_path, memory_mb=128, tmp_mb=512) as (sandbox, peer):
        assert await peer.ask(code) is None
        assert await sandbox.runtime.exited() == ExitStatus(signal=9, out_of_memory=True)


@BOTH
async def test_open_files(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """1,024 descriptors, as on AWS, and no core files."""
    code = "import resource as r; result = [r.getrlimit(r.RLIMIT_NOFILE), r.getrlimit(r.RLIMIT_CORE)]"
    async with started_in(sandboxes, tmp_path) as (_, peer):
        assert await peer.run(code) == [[1024, 1024], [1, 1]]


async def test_limits_of_whoever_started_the_server_do_not_count(tmp_path: Path, opened: Opened) -> None:
    """A server that may lock memory, be real-time or dump cores makes sandboxes that may not."""
    code = "import resource as r; result = [list(r.getrlimit(number)) for number in (8, 12, 13, 14)]"
    before = [resource.getrlimit(number) for number in (8, 12, 13, 14)]
    for number, (_, hard) in zip((8, 12, 13, 14), before, strict=True):
        resource.setrlimit(number, (hard, hard))
    backend = await opened(NamespaceSandboxes(tmp_path / "state"))
    try:
        async with started_in(backend, tmp_path) as (_, peer):
            assert await peer.run(code) == [[8 << 20] * 2, [819200] * 2, [0, 0], [0, 0]]
    finally:
        await backend.close()
        for number, limits in zip((8, 12, 13, 14), before, strict=True):
            resource.setrlimit(number, limits)


@BOTH
async def test_crashes_start_no_program_of_the_machines(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """The core limit of one byte, which alone keeps the kernel from running what core_pattern names, cannot be changed."""
    code = """
    import ctypes, mmap, resource, struct
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    aligned = libc.mmap(ctypes.c_void_p(1 << 36), ctypes.c_size_t(4096), 3, 0x100022, -1, ctypes.c_long(0))
    assert aligned == 1 << 36  # its lower half is null
    result = [
        libc.setrlimit(resource.RLIMIT_CORE, struct.pack("QQ", 0, 0)),
        libc.prlimit(0, resource.RLIMIT_CORE, ctypes.c_void_p(aligned), None),
        list(resource.getrlimit(resource.RLIMIT_CORE)),
    ]
    """
    async with started_in(sandboxes, tmp_path) as (_, peer):
        assert await peer.run(code) == [-1, -1, [1, 1]]


@BOTH
async def test_who_goes_first_when_memory_is_short(sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
    """Processes of a function are killed before the machine's own; none, not even one started anew, can be spared."""
    code = """
    result = [int(open("/proc/self/oom_score_adj").read())]
    for score in (0, -1, -999):
        try:
            with open("/proc/self/oom_score_adj", "w") as file:
                file.write(str(score))
            result.append(score)
        except OSError:
            pass
    """
    async with started_in(sandboxes, tmp_path) as (sandbox, peer):
        assert await peer.run(code) == [500, 0]
        await sandbox.kill_all()
        os.close(sandbox.runtime.log_pipe)
        await sandbox.run_runtime(ENVIRONMENT)
        again = await Peer.of(sandbox)
        assert await again.run(code) == [500, 0]


async def test_user_ids_run_out(tmp_path: Path, opened: Opened) -> None:
    """When every user id is in use, a start is refused; one that is given back serves again."""
    sandboxes = await opened(NamespaceSandboxes(tmp_path / "state", uids=range(20_000, 20_003), spares=0))
    program, task = make_program(tmp_path / "runtime"), make_task(tmp_path / "task")
    made = [await sandboxes.start(make_spec(program, task, f"s{number}")) for number in range(2)]
    with pytest.raises(SandboxError, match="user ids"):
        await sandboxes.start(make_spec(program, task, "third"))
    await made[0].stop()
    third = await sandboxes.start(make_spec(program, task, "third"))
    await sandboxes.close()
    for sandbox in (*made, third):
        os.close(sandbox.runtime.log_pipe)
