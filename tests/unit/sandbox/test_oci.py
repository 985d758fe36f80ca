"""The oci backend: what its sandboxes are like inside, their network and languages, and what it wants of the machine."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdad.errors import SandboxError, StartupError
from lambdad.sandbox import oci
from lambdad.sandbox.base import ExitStatus
from lambdad.sandbox.oci import OciSandboxes
from support.machine import Peer as Machine
from support.machine import listening
from support.oci import RUNTIMES, launcher_of, remains
from support.processes import children
from support.sandbox import Backend, Opened, find_interpreters, make_program, make_spec, make_task, started_in

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def outside() -> Iterator[Machine]:
    made = Machine(f"oci{os.getpid()}", f"198.18.{os.getpid() % 250 + 1}")
    yield made
    made.close()


class TestInside:
    async def test_rights(self, oci_sandboxes: OciSandboxes, tmp_path: Path) -> None:
        """A function has its own user, no groups of others, no capabilities, a filter, and the limits of AWS."""
        look = """
        import os, pwd, resource as r, socket
        status = dict(line.split(":\\t", 1) for line in open("/proc/self/status").read().splitlines() if ":\\t" in line)
        result = {
            "status": status,
            "uids": os.getresuid(), "gids": os.getresgid(), "groups": os.getgroups(),
            "name": pwd.getpwuid(os.getuid()).pw_name,
            "limits": [r.getrlimit(r.RLIMIT_NOFILE), r.getrlimit(r.RLIMIT_CORE)],
            "host": socket.gethostname(), "umask": os.umask(0o022),
            "descriptors": sorted(int(name) for name in os.listdir("/proc/self/fd"))[:3],
        }
        """
        async with started_in(oci_sandboxes, tmp_path) as (sandbox, peer):
            seen = await peer.run(look)
            listing = await sandbox.run("/bin/ls", {})
            assert await listing.exited() == ExitStatus(code=0)
            os.close(listing.log_pipe)
        uid = seen["uids"][0]
        assert 20_000 < uid < 30_000
        assert seen["uids"] == seen["gids"] == [uid] * 3
        assert set(seen["groups"]) <= {uid}
        assert all(int(seen["status"][f"Cap{kind}"], 16) == 0 for kind in ("Inh", "Prm", "Eff", "Bnd"))
        assert seen["status"]["Seccomp"] == "2"
        assert seen["name"] == "sbx_user1051"
        assert seen["limits"] == [[1024, 1024], [1, 1]]
        assert (seen["host"], seen["umask"], seen["descriptors"]) == ("sandbox", 0o022, [0, 1, 2])

    async def test_files(self, oci_sandboxes: OciSandboxes, tmp_path: Path) -> None:
        """Of the machine's files only those that programs need are seen; all but /tmp refuses to be written to."""
        hidden = [
            "/root",
            "/sys/kernel",
            "/home",
            "/boot",
            "/etc/shadow",
            "/dev/kmsg",
            "/media",
            "/var/lib",
            "/dev/vda",
            str(tmp_path),
        ]
        read_only = [
            "/",
            "/mnt",
            "/var/task",
            "/opt",
            "/var/runtime",
            "/usr",
            "/etc",
            "/run",
            "/dev",
            "/var/lang",
            "/var/lambdad",
        ]
        look = f"""
        import os
        refused = []
        for folder in {read_only!r}:
            try:
                open(folder + "/new", "w")
            except OSError as error:
                refused.append(error.errno)
        open("/tmp/new", "w").write("x")
        with open("/dev/null", "w") as nothing:
            nothing.write("x")
        with open("/dev/stdout", "w") as out:
            out.write("by its name")
        result = [[path for path in {hidden!r} if os.path.exists(path)], refused]
        """
        async with started_in(oci_sandboxes, tmp_path, opt_root=make_task(tmp_path / "opt")) as (sandbox, peer):
            seen, refused = await peer.run(look)
            assert os.read(sandbox.runtime.log_pipe, 100) == b"by its name"
        assert seen == []
        assert len(refused) == len(read_only)
        assert set(refused) <= {errno.EROFS, errno.EACCES}

    async def test_system_calls(self, oci_sandboxes: OciSandboxes, tmp_path: Path) -> None:
        """What the rules deny is denied with the rules' errors, calls that nobody has heard of included; threads work."""
        calls = {
            "unshare": (272, 0x10000000),
            "ptrace": (101, 0, 0, 0, 0),
            "clone3": (435, 0, 0),
            "socket": (41, 38, 5, 0),
            "personality": (135, 0x0400000),
            "unknown": (469 + 20,),
        }
        if os.uname().machine != "x86_64":
            pytest.skip("the numbers are those of x86_64")
        code = f"""
        import ctypes, threading
        libc = ctypes.CDLL(None, use_errno=True)
        result = {{}}
        for name, numbers in {calls!r}.items():
            answer = libc.syscall(*(ctypes.c_long(number) for number in numbers))
            result[name] = ctypes.get_errno() if answer == -1 else 0
        thread = threading.Thread(target=lambda: result.update(thread="ran"))
        thread.start()
        thread.join()
        """
        async with started_in(oci_sandboxes, tmp_path) as (_, peer):
            assert await peer.run(code) == {
                "unshare": errno.EPERM,
                "ptrace": errno.EPERM,
                "clone3": errno.ENOSYS,
                "socket": errno.EAFNOSUPPORT,
                "personality": errno.EPERM,
                "unknown": errno.ENOSYS,
                "thread": "ran",
            }

    async def test_the_init_is_out_of_reach(self, oci_sandboxes: OciSandboxes, tmp_path: Path) -> None:
        """No signal ends or stops it, no limit of its can be changed, its memory is closed: it still obeys."""
        attack = """
        import os, resource
        refused = []
        for number in range(1, 65):
            try:
                os.kill(1, number)
            except OSError:
                continue
        for deed in (
            lambda: resource.prlimit(1, resource.RLIMIT_NOFILE, (0, 0)),
            lambda: open("/proc/1/mem", "rb"),
            lambda: open("/proc/1/fd/3"),
        ):
            try:
                deed()
            except OSError:
                refused.append(True)
        result = refused
        """
        async with started_in(oci_sandboxes, tmp_path) as (sandbox, peer):
            assert await peer.run(attack) == [True] * 3
            process = await asyncio.wait_for(sandbox.run("/bin/true", {}), 60)
            assert await process.exited() == ExitStatus(code=0)
            os.close(process.log_pipe)
            await asyncio.wait_for(sandbox.kill_all(), 60)

    async def test_network(self, oci_sandboxes: OciSandboxes, tmp_path: Path) -> None:
        """There is the loopback address and the two doors of the server, and no way anywhere else."""
        code = """
        import os, socket
        result = {"names": [name for _, name in socket.if_nameindex()], "reached": []}
        for address in (("169.254.100.1", 4566), ("169.254.169.254", 80), ("192.0.2.1", 80), ("127.0.0.1", 22)):
            try:
                with socket.create_connection(address, 2):
                    result["reached"].append(address[0])
            except OSError:
                continue
        """
        async with started_in(oci_sandboxes, tmp_path) as (_, peer):
            assert await peer.run(code) == {"names": ["lo"], "reached": ["169.254.100.1"]}

    async def test_memory(self, oci_sandboxes: OciSandboxes, tmp_path: Path) -> None:
        """A runtime that wants more memory than it has is killed, and the reason is told."""
        async with started_in(oci_sandboxes, tmp_path, memory_mb=128) as (sandbox, peer):
            assert await peer.ask("blocks = [bytearray(b'x') * (16 << 20) for _ in range(40)]") is None
            assert await sandbox.runtime.exited() == ExitStatus(signal=9, out_of_memory=True)

    async def test_tmp(self, oci_sandboxes: OciSandboxes, tmp_path: Path) -> None:
        """/tmp holds as much as was asked for and no more."""
        code = """
        with open("/tmp/big", "wb") as file:
            for _ in range(200):
                file.write(bytearray(1 << 20))
        """
        async with started_in(oci_sandboxes, tmp_path, tmp_mb=20, memory_mb=256) as (_, peer):
            answer = await peer.ask(code)
            assert answer is not None
            assert answer["errno"] == errno.ENOSPC

    async def test_a_bomb_of_processes(self, oci_sandboxes: OciSandboxes, tmp_path: Path) -> None:
        """It comes to an end within the sandbox, another one does not notice it, and stop clears all away."""
        code = """
        import os, time
        try:
            while True:
                if os.fork() == 0:
                    time.sleep(600)
                    os._exit(0)
        except OSError:
            result = "no more"
        """
        async with started_in(oci_sandboxes, tmp_path, sandbox_id="two") as (_, other):
            async with started_in(oci_sandboxes, tmp_path, memory_mb=2048) as (_, peer):
                answer = await asyncio.wait_for(peer.ask(code), 120)
                assert answer in (None, {"result": "no more"})
                assert await other.run("result = 1") == 1
            assert await other.run("result = 2") == 2

    async def test_cpu_quota(self, oci_sandboxes: OciSandboxes, tmp_path: Path) -> None:
        """limit_cpu has no effect on a backend that was not made for it."""
        async with started_in(oci_sandboxes, tmp_path) as (sandbox, peer):
            sandbox.limit_cpu(0.01)
            assert await peer.run("result = sum(range(1000000))") == 499999500000


class TestNetwork:
    @pytest.mark.parametrize("backend", RUNTIMES)
    async def test_a_way_out(self, tmp_path: Path, backend: Backend, outside: Machine, opened: Opened) -> None:
        """With a network a function reaches another machine, and neither this one nor its neighbour; without one, nobody."""
        connect = """
        import errno, socket
        def connects(address, port):
            try:
                with socket.create_connection((address, port), 5):
                    return True
            except OSError:
                return False
        def own():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.connect(("203.0.113.1", 9))
                return sock.getsockname()[0]
        """
        with outside.inside():
            website = listening(outside.address)
        service = listening("0.0.0.0", 0)
        port = service.getsockname()[1]
        sandboxes = await opened(OciSandboxes(tmp_path / "state", backend.options[1], network="nat"))
        assert sandboxes.network.mode == "nat"
        with website, service:
            async with started_in(sandboxes, tmp_path, sandbox_id="victim") as (_, victim):
                serve = "import sys; sys.kept = socket.create_server(('0.0.0.0', 8080)); result = own()"
                address = await victim.run(textwrap.dedent(connect) + serve)
                async with started_in(sandboxes, tmp_path) as (sandbox, peer):
                    attempts = f"""result = [
                        connects({outside.address!r}, 80),
                        connects({outside.address_of_machine!r}, {port}),
                        connects({address!r}, 8080),
                        connects("169.254.169.254", 80),
                        connects("169.254.100.1", 4566),
                    ]"""
                    assert await peer.run(textwrap.dedent(connect) + textwrap.dedent(attempts)) == [
                        True,
                        False,
                        False,
                        False,
                        True,
                    ]
                    with await sandbox.open_socket() as made:
                        assert made.family == socket.AF_INET
            async with started_in(sandboxes, tmp_path, has_network=False) as (_, peer):
                alone = f"result = [connects({outside.address!r}, 80), connects('169.254.100.1', 4566)]"
                assert await peer.run(textwrap.dedent(connect) + alone) == [False, True]
        await sandboxes.close()
        assert remains(tmp_path / "state") == []

    async def test_the_loss_of_the_keeper_is_the_launchers(self, tmp_path: Path, runc: str, opened: Opened) -> None:
        """Without the process that makes networks there are no sandboxes: the backend is lost, and says so."""
        sandboxes = await opened(OciSandboxes(tmp_path / "state", runc))
        [keeper] = children(launcher_of(sandboxes))
        os.kill(keeper, signal.SIGKILL)
        assert "launcher" in await asyncio.wait_for(sandboxes.lost(), 60)
        await sandboxes.close()
        assert remains(tmp_path / "state") == []


class TestLanguages:
    @pytest.mark.parametrize("interpreter", list(find_interpreters("2.7", "3.6", "3.13")), ids=lambda path: path.name)
    async def test_every_python(self, tmp_path: Path, runc: str, interpreter: Path, opened: Opened) -> None:
        """The init runs on any Python from 2.7 on, as the function does, which sees its language as /var/lang."""
        sandboxes = await opened(OciSandboxes(tmp_path / "state", runc))
        program = make_program(tmp_path / "runtime", interpreter)
        async with started_in(sandboxes, tmp_path, program=program) as (sandbox, peer):
            assert await peer.run("import sys; result = sys.executable") == f"/var/lang/bin/{interpreter.name}"
            await sandbox.kill_all()
            assert await sandbox.runtime.exited() == ExitStatus(signal=9)
        await sandboxes.close()

    async def test_a_language_that_does_not_start(self, tmp_path: Path, runc: str, opened: Opened) -> None:
        """A start with an interpreter that is none is refused, with a reason, and nothing of it is left."""
        sandboxes = await opened(OciSandboxes(tmp_path / "state", runc))
        language = tmp_path / "language" / "bin"
        language.mkdir(parents=True)
        (language / "python3.11").write_text("#!/bin/sh\nexit 1\n")
        (language / "python3.11").chmod(0o755)
        program = make_program(tmp_path / "runtime", language / "python3.11")
        with pytest.raises(SandboxError, match="first process ended"):
            await sandboxes.start(make_spec(program, make_task(tmp_path / "task")))
        assert list((tmp_path / "state/bundles").iterdir()) == list((tmp_path / "state/runtime").iterdir()) == []
        await sandboxes.close()


class TestMachine:
    def test_root_is_needed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another user is told so."""
        monkeypatch.setattr(oci.os, "geteuid", lambda: 1000)
        with pytest.raises(StartupError, match="needs root"):
            OciSandboxes(tmp_path, "runc")

    def test_linux_is_needed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Another system is told so."""
        monkeypatch.setattr(oci.sys, "platform", "darwin")
        with pytest.raises(StartupError, match="Linux"):
            OciSandboxes(tmp_path, "runc")

    @pytest.mark.parametrize("uids", [range(10), range(20_000, 20_001), range(20_000, 20_010, 2)])
    def test_user_ids_have_to_be_usable(self, tmp_path: Path, runc: str, uids: range) -> None:
        """Root's id, a single one, or one with gaps is refused."""
        with pytest.raises(StartupError, match="user ids"):
            OciSandboxes(tmp_path, runc, uids=uids)

    def test_the_name_tells_the_runtime(self, tmp_path: Path, runc: str) -> None:
        """What is in force is the runtime with its version."""
        assert OciSandboxes(tmp_path, runc).name.startswith("oci (runc 1.")
