"""The namespace backend: what code inside cannot do, with root and without."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from lambdad.sandbox.base import ExitStatus
from lambdad.sandbox.namespace import NamespaceSandboxes
from support.namespaces import (
    KINDS,
    UIDS,
)
from support.sandbox import Peer, make_program, make_spec, make_task, started_in

pytestmark = [pytest.mark.root, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module", params=list(KINDS))
def home(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the backend gets to, which may be that of a user without root."""
    return tmp_path_factory.mktemp(request.param)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def sandboxes(home: Path) -> AsyncIterator[NamespaceSandboxes]:
    """One for all tests here: none of them does anything to it."""
    backend = KINDS[home.name.rstrip("0123456789")](home / "state")
    await backend.open()
    yield backend
    await backend.close()


async def test_host_files_are_not_there(sandboxes: NamespaceSandboxes, home: Path) -> None:
    """Of the machine's files, only those that programs need are seen."""
    paths = ["/root", "/home", "/sys", "/boot", "/etc/shadow", "/dev/shm", "/dev/kmsg", "/media"]
    async with started_in(sandboxes, home) as (_, peer):
        assert await peer.run(f"import os; result = [path for path in {paths} if os.path.exists(path)]") == []


async def test_all_but_tmp_is_read_only(sandboxes: NamespaceSandboxes, home: Path) -> None:
    """Writing anywhere but to /tmp says that the file system is read-only."""
    async with started_in(sandboxes, home, opt_root=make_task(home / "opt")) as (_, peer):
        for path in ("/", "/var/task", "/opt", "/var/runtime", "/usr", "/etc", "/run", "/dev", "/var/lang"):
            answer = await peer.ask(f"open({path!r} + '/new', 'w')")
            assert answer is not None
            assert answer["errno"] == errno.EROFS, path


async def test_nothing_writable_but_tmp(sandboxes: NamespaceSandboxes, home: Path) -> None:
    """Every mount but /tmp and /proc is read-only, and none honours set-user-id programs."""
    async with started_in(sandboxes, home) as (_, peer):
        mounts = [line.split() for line in (await peer.run("result = open('/proc/self/mounts').read()")).splitlines()]
    writable = {mount[1] for mount in mounts if "rw" in mount[3].split(",")}
    assert writable == {"/tmp", "/proc"}
    assert all("nosuid" in mount[3].split(",") for mount in mounts)


async def test_only_its_own_processes(sandboxes: NamespaceSandboxes, home: Path) -> None:
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
    async with started_in(sandboxes, home) as (sandbox, peer):
        assert await peer.run("import os; result = [name for name in os.listdir('/proc') if name.isdigit()]") == ["2"]
        assert await peer.run(attack) == [1024, 1024]
        listing = await sandbox.run("/bin/ls", {})
        assert await listing.exited() == ExitStatus(code=0)
        os.close(listing.log_pipe)
        assert await peer.run("result = 1") == 1


async def test_the_init_cannot_be_held_up(sandboxes: NamespaceSandboxes, home: Path) -> None:
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
    async with started_in(sandboxes, home) as (sandbox, peer):
        await peer.run(attack)
        for _ in range(3):
            process = await asyncio.wait_for(sandbox.run("/bin/true", {}), 60)
            os.close(process.log_pipe)
        await asyncio.wait_for(sandbox.kill_all(), 60)
        process = await asyncio.wait_for(sandbox.run("/bin/true", {}), 60)
        assert await process.exited() == ExitStatus(code=0)
        os.close(process.log_pipe)


async def test_the_init_cannot_be_read(sandboxes: NamespaceSandboxes, home: Path) -> None:
    """Though it has the function's own user: no memory, no descriptors, no environment, no tracing, no stealing."""
    async with started_in(sandboxes, home) as (_, peer):
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


async def test_no_rights(sandboxes: NamespaceSandboxes, home: Path) -> None:
    """The runtime has its own user, no groups of others, no capabilities, no way to new ones, and a filter."""
    async with started_in(sandboxes, home) as (_, peer):
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


async def test_each_has_a_user_of_its_own(sandboxes: NamespaceSandboxes, home: Path) -> None:
    """Two sandboxes that live at once never share a user id."""
    program, task = make_program(home / "runtime"), make_task(home / "task")
    made = [await sandboxes.start(make_spec(program, task, f"s{number}")) for number in range(4)]
    uids = [await (await Peer.of(sandbox)).run("import os; result = os.getuid()") for sandbox in made]
    assert len(set(uids)) == 4
    for sandbox in made:
        await sandbox.stop()
        os.close(sandbox.runtime.log_pipe)


async def test_descriptors_are_the_standard_ones(sandboxes: NamespaceSandboxes, home: Path) -> None:
    """Besides 0, 1 and 2 the runtime holds its connection to the server, and children do not inherit that."""
    code = """
    import os, subprocess, sys
    result = subprocess.check_output([sys.executable, "-c", "import os; print(os.listdir('/proc/self/fd'))"]).decode()
    """
    async with started_in(sandboxes, home) as (_, peer):
        inherited = await peer.run(code)
    assert sorted(eval(inherited)) == ["0", "1", "2", "3"]  # the last one is the listing's own


async def test_no_way_out_by_network(sandboxes: NamespaceSandboxes, home: Path) -> None:
    """There is only a loopback of its own: the machine's ports, its addresses and the world are out of reach."""
    code = """
    import errno, socket
    result = []
    for host in ("127.0.0.1", "192.168.0.1", "8.8.8.8", "169.254.169.254"):
        connection = socket.socket()
        connection.settimeout(2)
        result.append(errno.errorcode[connection.connect_ex((host, PORT))])
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with started_in(sandboxes, home) as (_, peer):
            answers = await peer.run(code.replace("PORT", str(listener.getsockname()[1])))
    assert answers == ["ECONNREFUSED", "ENETUNREACH", "ENETUNREACH", "ENETUNREACH"]


async def test_endpoint_listener(sandboxes: NamespaceSandboxes, home: Path) -> None:
    """A connection to AWS_ENDPOINT_URL arrives at the endpoint listener, though the network is the sandbox's own."""
    code = """
    import os, socket
    host, port = os.environ["AWS_ENDPOINT_URL"][7:].split(":")
    socket.create_connection((host, int(port)), 5).sendall(b"hello")
    """
    async with started_in(sandboxes, home) as (sandbox, peer):
        await peer.run(code)
        assert sandbox.endpoint_listener is not None
        loop = asyncio.get_running_loop()
        connection, _ = await loop.sock_accept(sandbox.endpoint_listener)
        with connection:
            assert await loop.sock_recv(connection, 10) == b"hello"


REFUSED_CALLS = (
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
)


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the numbers are those of x86_64")
async def test_kernel_refuses(sandboxes: NamespaceSandboxes, home: Path) -> None:
    """System calls that could widen a sandbox are refused by the filter."""
    async with started_in(sandboxes, home) as (_, peer):
        for call, number in REFUSED_CALLS:
            code = f"import ctypes; libc = ctypes.CDLL(None, use_errno=True); result = ({call}, ctypes.get_errno())"
            assert await peer.run(code) == [-1, number], call


async def test_ordinary_things_work(sandboxes: NamespaceSandboxes, home: Path) -> None:
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
    async with started_in(sandboxes, home) as (sandbox, peer):
        assert await peer.run(code) == [[1], "42\n", "127.0.0.1", ["lo"], True, "sandbox"]
        assert os.read(sandbox.runtime.log_pipe, 100) == b"hello"
