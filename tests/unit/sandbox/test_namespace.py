"""The namespace backend: what code inside cannot do, and what stays behind when something is killed: nothing."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from lambdad.errors import SandboxError, StartupError
from lambdad.sandbox import namespace
from lambdad.sandbox.base import ExitStatus, RuntimeProgram, Sandbox
from lambdad.sandbox.cgroup import Cgroups
from lambdad.sandbox.namespace import NamespaceSandboxes
from support.processes import children, command_line, is_running
from support.sandbox import ENVIRONMENT, Peer, RootlessSandboxes, find_interpreters, make_program, make_spec, make_task

pytestmark = pytest.mark.root

UIDS = range(20_000, 30_000)

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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What code inside cannot do is tried without root, too."""
    if "sandboxes" in metafunc.fixturenames:
        kinds = {"root": NamespaceSandboxes, "rootless": RootlessSandboxes}
        names = list(kinds) if metafunc.cls in (TestIsolation, TestLimits) else ["root"]
        metafunc.parametrize("sandboxes", [kinds[name] for name in names], ids=names, indirect=True)


@pytest.fixture
async def sandboxes(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[NamespaceSandboxes]:
    backend: NamespaceSandboxes = request.param(tmp_path / "state")
    await backend.open()
    yield backend
    await backend.close()


@asynccontextmanager
async def started(sandboxes: NamespaceSandboxes, folder: Path, **changes: Any) -> AsyncIterator[tuple[Sandbox, Peer]]:
    program = changes.pop("program", None) or make_program(folder / "runtime")
    sandbox = await sandboxes.start(make_spec(program, make_task(folder / "task"), **changes))
    try:
        yield sandbox, await Peer.of(sandbox)
    finally:
        await sandbox.stop()
        os.close(sandbox.runtime.log_pipe)


class TestIsolation:
    @pytest.mark.parametrize("path", ["/root", "/home", "/sys", "/boot", "/etc/shadow", "/dev/shm", "/dev/kmsg", "/mnt"])
    async def test_host_files_are_not_there(self, sandboxes: NamespaceSandboxes, tmp_path: Path, path: str) -> None:
        """Of the machine's files, only those that programs need are seen."""
        async with started(sandboxes, tmp_path) as (_, peer):
            assert await peer.run(f"import os; result = os.path.exists({path!r})") is False

    @pytest.mark.parametrize("path", ["/", "/var/task", "/opt", "/var/runtime", "/usr", "/etc", "/run", "/dev", "/var/lang"])
    async def test_all_but_tmp_is_read_only(self, sandboxes: NamespaceSandboxes, tmp_path: Path, path: str) -> None:
        """Writing anywhere but to /tmp says that the file system is read-only."""
        async with started(sandboxes, tmp_path, opt_root=make_task(tmp_path / "opt")) as (_, peer):
            answer = await peer.ask(f"open({path!r} + '/new', 'w')")
            assert answer is not None
            assert answer["errno"] == errno.EROFS

    async def test_nothing_writable_but_tmp(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """Every mount but /tmp and /proc is read-only, and none honours set-user-id programs."""
        async with started(sandboxes, tmp_path) as (_, peer):
            mounts = [line.split() for line in (await peer.run("result = open('/proc/self/mounts').read()")).splitlines()]
        writable = {mount[1] for mount in mounts if "rw" in mount[3].split(",")}
        assert writable == {"/tmp", "/proc"}
        assert all("nosuid" in mount[3].split(",") for mount in mounts)

    async def test_only_its_own_processes(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """/proc shows the runtime alone; the init is out of sight, and no signal or limit does it any harm."""
        attack = """
        import os, resource
        for number in range(1, 65):
            try:
                os.kill(1, number)
            except OSError:
                continue
        try:
            resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0))
        except OSError:
            result = resource.prlimit(os.getpid(), resource.RLIMIT_NOFILE)
        """
        async with started(sandboxes, tmp_path) as (sandbox, peer):
            assert await peer.run("import os; result = [name for name in os.listdir('/proc') if name.isdigit()]") == ["2"]
            assert await peer.run(attack) == [1024, 1024]
            listing = await sandbox.run("/bin/ls", {})
            assert await listing.exited() == ExitStatus(code=0)
            os.close(listing.log_pipe)
            assert await peer.run("result = 1") == 1

    async def test_the_init_cannot_be_held_up(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """A function that stops every new process on its way to its program delays a start, and hinders no kill."""
        attack = """
        import os, signal, threading
        def stop():
            while True:
                for pid in range(3, 60):
                    try:
                        os.kill(pid, signal.SIGSTOP)
                    except OSError:
                        continue
        for _ in range(3):
            if os.fork() == 0:
                stop()
        """
        async with started(sandboxes, tmp_path) as (sandbox, peer):
            await peer.run(attack)
            for _ in range(3):
                process = await asyncio.wait_for(sandbox.run("/bin/true", {}), 10)
                os.close(process.log_pipe)
            await asyncio.wait_for(sandbox.kill_all(), 10)
            process = await asyncio.wait_for(sandbox.run("/bin/true", {}), 10)
            assert await process.exited() == ExitStatus(code=0)
            os.close(process.log_pipe)

    async def test_the_init_cannot_be_read(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """Though it has the function's own user: no memory, no descriptors, no environment, no tracing, no stealing."""
        async with started(sandboxes, tmp_path) as (_, peer):
            for code in (
                "open('/proc/1/mem', 'rb')",
                "open('/proc/1/environ', 'rb').read()",
                "__import__('os').listdir('/proc/1/fd')",
                "__import__('os').readlink('/proc/1/root')",
            ):
                answer = await peer.ask(code)
                assert answer is not None and answer["errno"] in (errno.ENOENT, errno.EACCES, errno.EPERM), (code, answer)
            attach = """
            import ctypes
            libc = ctypes.CDLL(None, use_errno=True)
            result = [libc.ptrace(16, 1, 0, 0), ctypes.get_errno(), libc.syscall(438, libc.syscall(434, 1, 0), 3, 0)]
            """
            assert await peer.run(attach) == [-1, errno.EPERM, -1]

    async def test_no_rights(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """The runtime has its own user, no groups of others, no capabilities, no way to new ones, and a filter."""
        async with started(sandboxes, tmp_path) as (_, peer):
            status = dict(
                line.split(":\t", 1) for line in (await peer.run("result = open('/proc/self/status').read()")).splitlines()
            )
            name = await peer.run("import os, pwd; result = pwd.getpwuid(os.getuid()).pw_name")
        uids = status["Uid"].split()
        assert len(set(uids)) == 1
        assert int(uids[0]) in UIDS
        assert status["Uid"] == status["Gid"]
        assert status["Groups"].strip() == ""
        assert all(int(status[f"Cap{kind}"], 16) == 0 for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb"))
        assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
        assert name == "sbx_user1051"

    async def test_each_has_a_user_of_its_own(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """Two sandboxes that live at once never share a user id."""
        program, task = make_program(tmp_path / "runtime"), make_task(tmp_path / "task")
        made = [await sandboxes.start(make_spec(program, task, f"s{number}")) for number in range(4)]
        uids = [await (await Peer.of(sandbox)).run("import os; result = os.getuid()") for sandbox in made]
        assert len(set(uids)) == 4
        for sandbox in made:
            await sandbox.stop()
            os.close(sandbox.runtime.log_pipe)

    async def test_descriptors_are_the_standard_ones(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """Besides 0, 1 and 2 the runtime holds its connection to the server, and children do not inherit that."""
        code = """
        import os, subprocess, sys
        result = subprocess.check_output([sys.executable, "-c", "import os; print(os.listdir('/proc/self/fd'))"]).decode()
        """
        async with started(sandboxes, tmp_path) as (_, peer):
            inherited = await peer.run(code)
        assert sorted(eval(inherited)) == ["0", "1", "2", "3"]  # the last one is the listing's own

    async def test_no_way_out_by_network(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """There is only a loopback of its own: the machine's ports, its addresses and the world are out of reach."""
        code = """
        import errno, socket
        result = []
        for host in ("127.0.0.1", "192.168.0.1", "8.8.8.8", "169.254.169.254"):
            connection = socket.socket()
            connection.settimeout(2)
            result.append(errno.errorcode[connection.connect_ex((host, PORT))])
        """
        with subprocess_listener() as port:
            async with started(sandboxes, tmp_path) as (_, peer):
                answers = await peer.run(code.replace("PORT", str(port)))
        assert answers == ["ECONNREFUSED", "ENETUNREACH", "ENETUNREACH", "ENETUNREACH"]

    async def test_endpoint_listener(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """A connection to AWS_ENDPOINT_URL arrives at the endpoint listener, though the network is the sandbox's own."""
        code = """
        import os, socket
        host, port = os.environ["AWS_ENDPOINT_URL"][7:].split(":")
        socket.create_connection((host, int(port)), 5).sendall(b"hello")
        """
        async with started(sandboxes, tmp_path) as (sandbox, peer):
            await peer.run(code)
            assert sandbox.endpoint_listener is not None
            loop = asyncio.get_running_loop()
            connection, _ = await loop.sock_accept(sandbox.endpoint_listener)
            with connection:
                assert await loop.sock_recv(connection, 10) == b"hello"

    @pytest.mark.parametrize(
        ("call", "number"),
        [
            ("libc.unshare(0x10000000)", errno.EPERM),
            ("libc.setns(0, 0)", errno.EPERM),
            ("libc.mount(b'x', b'/tmp', b'tmpfs', 0, None)", errno.EPERM),
            ("libc.ptrace(0, 0, 0, 0)", errno.EPERM),
            ("libc.syscall(425, 1, None)", errno.ENOSYS),  # io_uring_setup
            ("libc.syscall(435, None, 0)", errno.ENOSYS),  # clone3
            ("libc.syscall(321, 0, None, 0)", errno.EPERM),  # bpf
            ("libc.syscall(250, 0, 0, 0, 0, 0)", errno.EPERM),  # keyctl
            ("libc.syscall(56, 0x10000000 | 17, 0, 0, 0, 0)", errno.EPERM),  # clone(CLONE_NEWUSER)
            ("libc.syscall(100000)", errno.ENOSYS),
            ("libc.socket(38, 5, 0)", errno.EAFNOSUPPORT),  # AF_ALG
            ("libc.socket(17, 3, 0)", errno.EAFNOSUPPORT),  # AF_PACKET
            ("libc.socket(40, 1, 0)", errno.EAFNOSUPPORT),  # AF_VSOCK
            ("libc.socket(16, 3, 9)", errno.EPROTONOSUPPORT),  # NETLINK_AUDIT
            ("libc.personality(0x0400000)", errno.EPERM),
            ("libc.ioctl(0, 0x5412, b'x')", errno.EPERM),  # TIOCSTI
        ],
    )
    @pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86_64")
    async def test_kernel_refuses(self, sandboxes: NamespaceSandboxes, tmp_path: Path, call: str, number: int) -> None:
        """System calls that could widen a sandbox are refused by the filter."""
        code = f"import ctypes; libc = ctypes.CDLL(None, use_errno=True); result = ({call}, ctypes.get_errno())"
        async with started(sandboxes, tmp_path) as (_, peer):
            assert await peer.run(code) == [-1, number]

    async def test_ordinary_things_work(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """Threads, processes, shells, getaddrinfo, getifaddrs, /dev/stdout and certificates work in there."""
        code = """
        import os, socket, ssl, subprocess, threading
        seen = []
        thread = threading.Thread(target=seen.append, args=(1,))
        thread.start()
        thread.join()
        with open("/dev/stdout", "w") as stdout:
            stdout.write("hello")
        result = [
            seen,
            subprocess.check_output(["/bin/sh", "-c", "echo $((6 * 7))"]).decode(),
            socket.gethostbyname("localhost"),
            [name for _, name in socket.if_nameindex()],
            len(ssl.create_default_context().get_ca_certs()) >= 0,
            socket.gethostname(),
        ]
        """
        async with started(sandboxes, tmp_path) as (sandbox, peer):
            assert await peer.run(code) == [[1], "42\n", "127.0.0.1", ["lo"], True, "sandbox"]
            assert os.read(sandbox.runtime.log_pipe, 100) == b"hello"


class TestCgroups:
    async def test_memory(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """More memory than there is: the runtime is killed, and the end says why. The peak is known before and after."""
        async with started(sandboxes, tmp_path) as (sandbox, peer):
            await peer.run("block = bytearray(50 << 20)")
            peak = sandbox.memory_peak_bytes()
            assert peak is not None
            assert 50 << 20 < peak <= 128 << 20
            assert await peer.ask("block = bytearray(300 << 20)") is None
            assert await sandbox.runtime.exited() == ExitStatus(signal=9, out_of_memory=True)
            assert sandbox.memory_peak_bytes() == 128 << 20
            await sandbox.stop()
            assert sandbox.memory_peak_bytes() == 128 << 20

    async def test_processor_quota(self, tmp_path: Path) -> None:
        """What spins is stopped by the kernel once it has had its share of a period, and no more when nothing bounds it."""
        spin = """
        import time
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
        """
        backend = NamespaceSandboxes(tmp_path / "state", has_cpu_quota=True)
        await backend.open()
        async with started(backend, tmp_path) as (sandbox, peer):
            await peer.run(spin)
            assert _throttled(backend) == 0
            sandbox.limit_cpu(0.1)  # 2 ms of each 20: for 100 ms it takes some fifty periods
            await peer.run(spin)
            after = _throttled(backend)
            assert after >= 20
            sandbox.limit_cpu(None)
            await peer.run(spin)
            assert _throttled(backend) <= after + 1
        await backend.close()

    async def test_no_quota_by_default(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """A backend that was not made for it holds nothing to a quota."""
        async with started(sandboxes, tmp_path) as (sandbox, peer):
            sandbox.limit_cpu(0.01)
            await peer.run("for _ in range(1000000): pass")
            assert _throttled(sandboxes) == 0


class TestLimits:
    async def test_plain_kill_is_not_want_of_memory(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """A runtime that is killed within its memory did not run out of it."""
        async with started(sandboxes, tmp_path) as (sandbox, peer):
            await peer.ask("import os; os.kill(os.getpid(), 9)")
            assert await sandbox.runtime.exited() == ExitStatus(signal=9, out_of_memory=False)

    async def test_processes(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
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
        async with started(sandboxes, tmp_path, memory_mb=2048) as (_, peer):
            assert 900 < await peer.run(code) < 1024

    async def test_tmp_size(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """/tmp holds as much as was asked for and no more."""
        code = """
        import os
        result = os.statvfs("/tmp").f_blocks * os.statvfs("/tmp").f_frsize
        with open("/tmp/big", "wb") as file:
            for _ in range(200):
                file.write(bytearray(1 << 20))
        """
        async with started(sandboxes, tmp_path, tmp_mb=100, memory_mb=512) as (_, peer):
            answer = await peer.ask(code)
            assert answer is not None
            assert answer["errno"] == errno.ENOSPC
            assert await peer.run("import os; s = os.statvfs('/tmp'); result = s.f_blocks * s.f_frsize") == 100 << 20

    async def test_tmp_counts_as_memory(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """What is written to /tmp is memory: beyond the memory size the runtime is killed, which the weaknesses admit."""
        code = """
        import signal
        with open("/tmp/large", "wb") as file:
            for _ in range(200):
                file.write(b"x" * 1048576)
            signal.pause()  # where memory is watched and not limited, the watch may look later than the last byte
        """
        assert any("/tmp" in weakness for weakness in sandboxes.weaknesses)
        async with started(sandboxes, tmp_path, memory_mb=128, tmp_mb=512) as (sandbox, peer):
            assert await peer.ask(code) is None
            assert await sandbox.runtime.exited() == ExitStatus(signal=9, out_of_memory=True)

    async def test_open_files(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """1,024 descriptors, as on AWS, and no core files."""
        code = "import resource as r; result = [r.getrlimit(r.RLIMIT_NOFILE), r.getrlimit(r.RLIMIT_CORE)]"
        async with started(sandboxes, tmp_path) as (_, peer):
            assert await peer.run(code) == [[1024, 1024], [1, 1]]

    async def test_limits_of_whoever_started_the_server_do_not_count(self, tmp_path: Path) -> None:
        """A server that may lock memory, be real-time or dump cores makes sandboxes that may not."""
        code = "import resource as r; result = [list(r.getrlimit(number)) for number in (8, 12, 13, 14)]"
        before = [resource.getrlimit(number) for number in (8, 12, 13, 14)]
        for number, (_, hard) in zip((8, 12, 13, 14), before, strict=True):
            resource.setrlimit(number, (hard, hard))
        backend = NamespaceSandboxes(tmp_path / "state")
        await backend.open()
        try:
            async with started(backend, tmp_path) as (_, peer):
                assert await peer.run(code) == [[8 << 20] * 2, [819200] * 2, [0, 0], [0, 0]]
        finally:
            await backend.close()
            for number, limits in zip((8, 12, 13, 14), before, strict=True):
                resource.setrlimit(number, limits)

    async def test_crashes_start_no_program_of_the_machines(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
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
        async with started(sandboxes, tmp_path) as (_, peer):
            assert await peer.run(code) == [-1, -1, [1, 1]]

    async def test_who_goes_first_when_memory_is_short(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
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
        async with started(sandboxes, tmp_path) as (sandbox, peer):
            assert await peer.run(code) == [500, 0]
            await sandbox.kill_all()
            os.close(sandbox.runtime.log_pipe)
            await sandbox.run_runtime(ENVIRONMENT)
            again = await Peer.of(sandbox)
            assert await again.run(code) == [500, 0]

    async def test_user_ids_run_out(self, tmp_path: Path) -> None:
        """When every user id is in use, a start is refused; one that is given back serves again."""
        sandboxes = NamespaceSandboxes(tmp_path / "state", uids=range(20_000, 20_003), spares=0)
        await sandboxes.open()
        program, task = make_program(tmp_path / "runtime"), make_task(tmp_path / "task")
        made = [await sandboxes.start(make_spec(program, task, f"s{number}")) for number in range(2)]
        with pytest.raises(SandboxError, match="user ids"):
            await sandboxes.start(make_spec(program, task, "third"))
        await made[0].stop()
        third = await sandboxes.start(make_spec(program, task, "third"))
        await sandboxes.close()
        for sandbox in (*made, third):
            os.close(sandbox.runtime.log_pipe)


class TestLanguages:
    @pytest.mark.parametrize(
        "interpreter", list(find_interpreters("2.7", "3.6", "3.8", "3.12", "3.13")), ids=lambda path: path.name
    )
    async def test_every_python(self, sandboxes: NamespaceSandboxes, tmp_path: Path, interpreter: Path) -> None:
        """A zygote of any Python from 2.7 on makes sandboxes, with the language seen as /var/lang."""
        program = make_program(tmp_path / "runtime", interpreter)
        async with started(sandboxes, tmp_path, program=program, memory_mb=256) as (sandbox, peer):
            executable = await peer.run("import sys; result = sys.executable")
            assert executable == f"/var/lang/bin/{interpreter.name}"
            assert await peer.run("import os; result = os.environ['GREETING']") == ENVIRONMENT["GREETING"]
            assert await peer.run("import os; result = [os.getcwd(), os.getpid()]") == ["/var/task", 2]
            assert await peer.ask("import os; os._exit(5)") is None
            assert await sandbox.runtime.exited() == ExitStatus(code=5)

    async def test_python_below_usr_is_used_in_place(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """An interpreter of the distribution needs no /var/lang."""
        interpreter = Path("/usr/bin/python3.11")
        if not interpreter.exists():
            pytest.skip("no /usr/bin/python3.11 here")
        async with started(sandboxes, tmp_path, program=make_program(tmp_path / "runtime", interpreter)) as (_, peer):
            assert await peer.run("import sys; result = sys.executable") == "/usr/bin/python3.11"

    async def test_libraries_of_layers_are_found(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """A shared library in a layer's lib folder loads by its name alone, as LD_LIBRARY_PATH promises."""
        library = make_task(tmp_path / "opt") / "lib"
        library.mkdir()
        source = tmp_path / "answer.c"
        source.write_text("int answer(void) { return 42; }")
        if subprocess.run(["cc", "-shared", "-fPIC", "-o", library / "libanswer.so", source], check=False).returncode:
            pytest.skip("no C compiler here")
        async with started(sandboxes, tmp_path, opt_root=tmp_path / "opt") as (_, peer):
            assert await peer.run("import ctypes; result = ctypes.CDLL('libanswer.so').answer()") == 42

    async def test_broken_runtime_client(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """A runtime client that cannot be imported is a SandboxError that says why, each time."""
        program = make_program(tmp_path / "runtime")
        (program.runtime_dir / "bootstrap.py").write_text("import nothing_of_this_name")
        for number in range(2):
            with pytest.raises(SandboxError, match="nothing_of_this_name"):
                await sandboxes.start(make_spec(program, make_task(tmp_path / "task"), f"s{number}"))

    async def test_missing_interpreter(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """So is an interpreter that is not there."""
        program = make_program(tmp_path / "runtime")
        gone = RuntimeProgram("python9.9", tmp_path / "bin/python9.9", tmp_path, program.runtime_dir)
        with pytest.raises(SandboxError, match=r"python9\.9"):
            await sandboxes.start(make_spec(gone, make_task(tmp_path / "task")))


class TestRecords:
    @pytest.mark.parametrize(
        "changes",
        [{"sandbox_id": "../x"}, {"sandbox_id": "a\n"}, {"memory_mb": -1}, {"tmp_mb": 0}, {"environment": {"A=B": "c"}}],
    )
    async def test_impossible_wishes(self, sandboxes: NamespaceSandboxes, tmp_path: Path, changes: dict[str, Any]) -> None:
        """A spec with an impossible value is refused by itself; others are not disturbed."""
        program, task = make_program(tmp_path / "runtime"), make_task(tmp_path / "task")
        async with started(sandboxes, tmp_path) as (_, peer):
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
    async def test_launcher_believes_nothing(self, sandboxes: NamespaceSandboxes, record: bytes) -> None:
        """A record that is not as it should be is never acted on: the launcher ends rather than guess."""
        assert sandboxes._link._channel is not None
        sandboxes._link._channel.send(record)
        assert sandboxes._link.process is not None
        assert await sandboxes._link.process.wait() == 0

    async def test_too_long_an_environment(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """An environment that does not fit into a record is refused before it is sent."""
        program, task = make_program(tmp_path / "runtime"), make_task(tmp_path / "task")
        with pytest.raises(SandboxError, match="longer than"):
            await sandboxes.start(make_spec(program, task, environment={"A": "x" * 200_000}))
        async with started(sandboxes, tmp_path) as (_, peer):
            assert await peer.run("result = 1") == 1

    async def test_only_unpacked_folders_are_removed(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """The launcher removes no folder but one that unpacking made."""
        with pytest.raises(SandboxError, match="not made by unpacking"):
            await sandboxes.remove(make_task(tmp_path / "precious"))
        assert (tmp_path / "precious/module.py").exists()


class TestAfterwards:
    async def test_stop_leaves_no_cgroup(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """When stop returns, the sandbox's cgroups are gone; those that are left are spares'."""
        async with started(sandboxes, tmp_path) as (_, peer):
            own = await peer.run("import os; result = os.getuid()")
            assert own in _uids_in_cgroups(sandboxes)
        assert own not in _uids_in_cgroups(sandboxes)

    async def test_close_leaves_nothing(self, tmp_path: Path) -> None:
        """After close there is no cgroup, no process and no folder of the backend's."""
        sandboxes = NamespaceSandboxes(tmp_path / "state")
        await sandboxes.open()
        name = _cgroup_name(sandboxes)
        sandbox = await sandboxes.start(make_spec(make_program(tmp_path / "runtime"), make_task(tmp_path / "task")))
        processes = [_open_process(pid) for pid in _pids(name)]
        assert processes
        await sandboxes.close()
        os.close(sandbox.runtime.log_pipe)
        assert all(_has_ended(process) for process in processes)
        assert not _cgroups(name)
        assert not list((tmp_path / "state").iterdir())

    async def test_launcher_killed(self, tmp_path: Path) -> None:
        """kill -9 of the launcher ends every sandbox at once, and the server learns of it, in words."""
        sandboxes = NamespaceSandboxes(tmp_path / "state")
        await sandboxes.open()
        program, task = make_program(tmp_path / "runtime"), make_task(tmp_path / "task")
        sandbox = await sandboxes.start(make_spec(program, task))
        name = _cgroup_name(sandboxes)
        processes = [_open_process(pid) for pid in _pids(name)]
        assert sandboxes._link.process is not None
        losing = asyncio.create_task(sandboxes.lost())
        os.kill(sandboxes._link.process.pid, signal.SIGKILL)
        assert await sandbox.runtime.exited() == ExitStatus(signal=9)
        assert all(_has_ended(process) for process in processes)
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
        assert not _cgroups(name)

    def test_server_killed(self, tmp_path: Path) -> None:
        """kill -9 of the server: its launcher kills every sandbox, clears away all that it made, and ends."""
        tests = Path(__file__).parents[2]
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, tests, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        with server:
            assert server.stdout is not None
            launcher, name = server.stdout.readline().split()
            processes = [_open_process(pid) for pid in (int(launcher), *_pids(name))]
            assert len(processes) >= 3
            server.kill()
            assert all(_has_ended(process) for process in processes)
        assert not _cgroups(name)
        assert not list((tmp_path / "state").iterdir())

    async def test_next_server_waits_for_the_launcher_of_a_killed_one(self, tmp_path: Path) -> None:
        """A launcher that is still clearing away is not raced: the next one of its folder begins when it has ended."""
        earlier, later = (NamespaceSandboxes(tmp_path / "state", UIDS) for _ in range(2))
        await earlier.open()
        opening = asyncio.create_task(later.open())
        done, _ = await asyncio.wait([opening], timeout=1)
        assert not done
        await earlier.close()
        await opening
        async with started(later, tmp_path) as (_, peer):
            assert await peer.run("result = 1") == 1
        await later.close()

    async def test_orphans_of_an_earlier_server(self, tmp_path: Path) -> None:
        """Processes in a cgroup of this state folder, whoever made it, are killed at open and the cgroup is cleared."""
        sandboxes = NamespaceSandboxes(tmp_path / "state")
        await sandboxes.open()
        name = _cgroup_name(sandboxes)
        folder = _cgroups(name)[0]
        await sandboxes.close()
        (folder / "77").mkdir(parents=True)
        with subprocess.Popen(["sleep", "600"]) as orphan:
            (folder / "77/cgroup.procs").write_text(str(orphan.pid))
            await sandboxes.open()
            assert orphan.wait(10) == -signal.SIGKILL
        assert not (folder / "77").exists()
        await sandboxes.close()
        assert not _cgroups(name)

    async def test_orphans_in_another_cgroup(self, tmp_path: Path) -> None:
        """A server that was started from another cgroup had its own there, frozen processes and all; others' are left alone."""
        sandboxes = NamespaceSandboxes(tmp_path / "state")
        await sandboxes.open()
        name = _cgroup_name(sandboxes)
        here = _cgroups(name)[0]
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
            assert orphans[0].wait(10) == -signal.SIGKILL
            assert not (elsewhere / name).exists()
            assert orphans[1].poll() is None
            await sandboxes.close()
        finally:
            for orphan in orphans:
                orphan.kill()
                orphan.wait()
            for folder in (folders[1], folders[1].parent, elsewhere):
                folder.rmdir()

    async def test_spares_are_refilled(self, sandboxes: NamespaceSandboxes, tmp_path: Path) -> None:
        """Starts one after the other always find a spare, whose init has been waiting."""
        for number in range(6):
            async with started(sandboxes, tmp_path, sandbox_id=f"s{number}") as (_, peer):
                assert await peer.run("result = 1") == 1

    @pytest.mark.parametrize("killed", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["killed", "only-stopped"])
    async def test_a_zygote_that_does_not_answer_is_replaced(self, tmp_path: Path, killed: bool) -> None:
        """A start that waits for a zygote when that is killed, or stopped by somebody and never seen again, gets its sandbox
        from another one."""
        sandboxes = NamespaceSandboxes(tmp_path / "state", UIDS, spares=0)
        await sandboxes.open()
        async with started(sandboxes, tmp_path):
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
    async def test_a_sandbox_that_outlives_its_zygote_is_ended(self, tmp_path: Path) -> None:
        """Forked in the moment in which the zygote is killed, before it could ask the kernel to die with it."""
        sandboxes = NamespaceSandboxes(tmp_path / "state", UIDS, spares=0)
        await sandboxes.open()
        async with started(sandboxes, tmp_path):
            assert sandboxes._link.process is not None
            [zygote] = [pid for pid in children(sandboxes._link.process.pid) if "zygote.py" in command_line(pid)]
            known = set(children(zygote))
            slowly = ["-e", "trace=prctl", "-e", "inject=prctl:delay_enter=1000000:when=1", "-o", "/dev/null"]
            tracing = await asyncio.create_subprocess_exec("strace", "-qq", "-f", "-p", f"{zygote}", *slowly)
            while Path(f"/proc/{zygote}/status").read_text().split("TracerPid:")[1].split()[0] == "0":
                await asyncio.sleep(0.01)
            spec = make_spec(make_program(tmp_path / "runtime"), make_task(tmp_path / "task"), "two")
            waiting = asyncio.create_task(sandboxes.start(spec))
            while not (made := set(children(zygote)) - known):
                await asyncio.sleep(0)
            await asyncio.sleep(0.3)  # the zygote has told the launcher of its fork, which stands before its first prctl
            os.kill(zygote, signal.SIGKILL)
            second = await waiting
            async with asyncio.timeout(30):
                while any(map(is_running, made)):
                    await asyncio.sleep(0.05)
            await tracing.wait()
        assert await (await Peer.of(second)).run("result = 1") == 1
        await sandboxes.close()
        os.close(second.runtime.log_pipe)

    async def test_a_sandbox_killed_in_the_making_is_made_again(self, tmp_path: Path) -> None:
        """What dies without having said why does not fail the start that waits for it."""
        sandboxes = NamespaceSandboxes(tmp_path / "state", UIDS, spares=0)
        await sandboxes.open()
        program, task = make_program(tmp_path / "runtime"), make_task(tmp_path / "task")
        async with started(sandboxes, tmp_path):
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


class TestMachine:
    def test_not_root(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Whoever is not root is told so in one sentence."""
        monkeypatch.setattr(os, "geteuid", lambda: 1000)
        with pytest.raises(StartupError, match="root"):
            NamespaceSandboxes(tmp_path)

    def test_old_kernel(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A kernel that lacks mount_setattr is named."""
        monkeypatch.setattr(namespace.platform, "release", lambda: "5.4.0-generic")
        with pytest.raises(StartupError, match=r"5\.12.*5\.4\.0"):
            NamespaceSandboxes(tmp_path)

    def test_other_system(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Other systems than Linux are told that namespaces are Linux's."""
        monkeypatch.setattr(namespace.sys, "platform", "darwin")
        with pytest.raises(StartupError, match="Linux"):
            NamespaceSandboxes(tmp_path)

    def test_root_without_rights(self, tmp_path: Path) -> None:
        """Root without capabilities, as in most containers, is told so."""
        code = (
            "from pathlib import Path; from lambdad.sandbox.privilege import drop_server_capabilities as drop; drop()\n"
            "from lambdad.sandbox.namespace import NamespaceSandboxes; NamespaceSandboxes(Path('/nowhere'))"
        )
        ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "StartupError: root has no right to make namespaces" in ended.stderr


def subprocess_listener() -> Any:
    """A port of the machine's own loopback that answers."""
    import contextlib
    import socket

    @contextlib.contextmanager
    def listening() -> Any:
        with socket.create_server(("127.0.0.1", 0)) as server:
            yield server.getsockname()[1]

    return listening()


def _cgroup_name(sandboxes: NamespaceSandboxes) -> str:
    return sandboxes._settings.cgroup_name


def _cgroups(name: str) -> list[Path]:
    return [Path(folder) / name for folder, names, _ in os.walk("/sys/fs/cgroup") if name in names]


def _pids(name: str) -> set[int]:
    return {int(pid) for parent in _cgroups(name) for file in parent.glob("*/cgroup.procs") for pid in file.read_text().split()}


def _uids_in_cgroups(sandboxes: NamespaceSandboxes) -> set[int]:
    return {os.stat(f"/proc/{pid}").st_uid for pid in _pids(_cgroup_name(sandboxes))}


def _open_process(pid: int) -> int:
    return os.pidfd_open(pid)


def _has_ended(process: int) -> bool:
    ended = bool(select.select([process], [], [], 10)[0])
    os.close(process)
    return ended


def _throttled(backend: NamespaceSandboxes) -> int:
    """In how many periods the kernel has stopped a sandbox of the backend's for its quota."""
    stats = list(Cgroups(backend._settings.cgroup_name)._controllers["cpu"].parent.glob("*/cpu.stat"))
    assert stats
    counts = [dict(line.split() for line in stat.read_text().splitlines()) for stat in stats]
    return sum(int(count["nr_throttled"]) for count in counts)
