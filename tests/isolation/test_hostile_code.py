"""Function code that tries to get out: each attempt is contained, and the next invocation and the neighbours work."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.processes import processes_of_user
from support.server import Server, running, wait_until

pytestmark = pytest.mark.root

#: Runs the Python text of the event and answers what `attempt()` returned, or the error it met.
ATTACKER = """
import os, sys, socket, subprocess, ctypes, errno

def handler(event, context):
    scope = {}
    exec(event["code"], globals(), scope)
    globals().update(scope)
    try:
        return {"result": scope["attempt"]()}
    except OSError as error:
        return {"refused": errno.errorcode.get(error.errno, str(error))}
"""
NEIGHBOUR = """
import os
def handler(event, context):
    with open("/tmp/mine", "a") as mine:
        mine.write("x")
    return {"pid": os.getpid(), "written": os.path.getsize("/tmp/mine")}
"""


@pytest.fixture(scope="module")
def arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with an attacker and a neighbour; the neighbour has run once."""
    with running(tmp_path_factory.mktemp("arena")) as server:
        server.create_function("attacker", ATTACKER, MemorySize=256, Timeout=20)
        server.create_function("neighbour", NEIGHBOUR, Timeout=10)
        server.invoke("neighbour")
        yield server


def attempt(server: Server, code: str) -> Any:
    """What the attacker's `attempt()` met; afterwards the neighbour still answers from its own /tmp."""
    answer = server.client("lambda").invoke(
        FunctionName="attacker", Payload=json.dumps({"code": textwrap.dedent(code)}).encode()
    )
    payload = json.loads(answer["Payload"].read())
    before = server.invoke("neighbour")["written"]
    assert server.invoke("neighbour")["written"] == before + 1
    return payload


@pytest.mark.parametrize(
    "path",
    [
        "/root",
        "/home",
        "/etc/shadow",
        "/sys/kernel",
        "/var/lib/dpkg",
        "/dev/kmsg",
        "/dev/mem",
        "/proc/kcore",
        "/var/log",
        "/dev/shm",
    ],
)
def test_host_files_are_not_there(arena: Server, path: str) -> None:
    """The host's own files cannot be listed or opened from inside."""
    payload = attempt(
        arena,
        f"def attempt():\n    p = {path!r}\n    return os.listdir(p) if os.path.isdir(p) else open(p, 'rb').read(1).hex()",
    )
    assert payload.get("refused") in ("ENOENT", "EACCES", "EPERM") or payload.get("result") == ""


def test_the_servers_data_folder_is_not_there(arena: Server) -> None:
    """Neither the database nor the blobs nor another function's code can be reached by their host path."""
    assert attempt(arena, f"def attempt():\n    return os.listdir({str(arena.data_dir)!r})") == {"refused": "ENOENT"}


@pytest.mark.parametrize(
    "path", ["/var/task/new", "/opt/new", "/var/runtime/new", "/usr/new", "/etc/new", "/new", "/var/lang/new"]
)
def test_everything_but_tmp_is_read_only(arena: Server, path: str) -> None:
    """A write outside /tmp fails."""
    assert attempt(arena, f"def attempt():\n    open({path!r}, 'w')")["refused"] in ("EROFS", "EACCES", "ENOENT")


def test_host_processes_are_not_seen(arena: Server) -> None:
    """/proc shows the environment's own processes alone."""
    pids = attempt(arena, "def attempt():\n    return sorted(int(n) for n in os.listdir('/proc') if n.isdigit())")["result"]
    assert len(pids) <= 4
    assert max(pids) < 1000


def test_host_processes_cannot_be_signalled(arena: Server) -> None:
    """The server's process id means nothing inside."""
    assert attempt(arena, f"def attempt():\n    os.kill({arena.process.pid}, 9)") == {"refused": "ESRCH"}


def test_the_servers_environment_variables_are_not_inherited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A secret in the server's environment is in no file and no variable that the function can read."""
    monkeypatch.setenv("HOST_SECRET", "tr0ub4dor")
    with running(tmp_path) as server:
        server.create_function("attacker", ATTACKER)
        code = """
        def attempt():
            texts = [repr(dict(os.environ))]
            for name in os.listdir('/proc'):
                try:
                    texts.append(open('/proc/%s/environ' % name).read())
                except OSError:
                    pass
            return 'tr0ub4dor' in ''.join(texts)
        """
        answer = server.invoke("attacker", {"code": textwrap.dedent(code)})
        assert answer == {"result": False}


def test_another_functions_tmp_is_not_seen(arena: Server) -> None:
    """What the neighbour wrote to /tmp is not in the attacker's /tmp."""
    assert attempt(arena, "def attempt():\n    return os.path.exists('/tmp/mine')") == {"result": False}


def test_the_hosts_loopback_is_not_reached(arena: Server) -> None:
    """A server that listens on the host's 127.0.0.1, lambdad among them, cannot be connected to."""
    with socket.create_server(("127.0.0.1", 0)) as host_service:
        for port in (arena.port, host_service.getsockname()[1], 22):
            payload = attempt(arena, f"def attempt():\n    socket.create_connection(('127.0.0.1', {port}), 2)")
            assert payload["refused"] in ("ECONNREFUSED", "ENETUNREACH", "EHOSTUNREACH")


def test_the_metadata_address_and_other_hosts_are_not_reached(arena: Server) -> None:
    """There is no route but to the environment's own sockets."""
    for address in ("169.254.169.254", "10.0.0.1", "192.0.2.1"):
        payload = attempt(arena, f"def attempt():\n    socket.create_connection(({address!r}, 80), 2)")
        assert payload["refused"] in ("ENETUNREACH", "EHOSTUNREACH", "ECONNREFUSED")


def test_the_aws_endpoint_is_reached(arena: Server) -> None:
    """The one way out that is meant: boto3 in the function talks to this lambdad."""
    code = """
    import boto3
    def attempt():
        return sorted(f["FunctionName"] for f in boto3.client("lambda").list_functions()["Functions"])
    """
    assert attempt(arena, code) == {"result": ["attacker", "neighbour"]}


def test_the_code_is_nobody_on_the_host(arena: Server) -> None:
    """No root, no capability, no way to gain one, and no host user's id."""
    code = """
    def attempt():
        status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
        names = ("CapEff", "CapPrm", "CapBnd", "NoNewPrivs", "Seccomp")
        return [os.getuid(), os.getgid(), os.getgroups()] + [status[name].strip() for name in names]
    """
    uid, gid, groups, *rest = attempt(arena, code)["result"]
    assert uid >= 1000
    assert gid >= 1000
    assert groups in ([], [gid])
    assert rest == ["0" * 16, "0" * 16, "0" * 16, "1", "2"]


@pytest.mark.parametrize(
    ("what", "call"),
    [
        ("mount", "libc.mount(b'none', b'/tmp', b'tmpfs', 0, None)"),
        ("unshare a user namespace", "libc.unshare(0x10000000)"),
        ("unshare a mount namespace", "libc.unshare(0x20000)"),
        ("ptrace", "libc.ptrace(16, 1, 0, 0)"),
        ("bpf", "libc.syscall(321, 0, 0, 0)"),
        ("keyctl", "libc.syscall(250, 0, 0, 0)"),
        ("io_uring", "libc.syscall(425, 1, 0)"),
        ("userfaultfd", "libc.syscall(323, 0)"),
        ("perf_event_open", "libc.syscall(298, 0, 0, -1, -1, 0)"),
        ("setns", "libc.setns(0, 0)"),
        ("chroot", "libc.chroot(b'/tmp')"),
        ("reboot", "libc.reboot(0x89abcdef)"),
    ],
)
def test_dangerous_calls_are_refused(arena: Server, what: str, call: str) -> None:
    """The call fails with a refusal, not for its arguments."""
    if os.uname().machine != "x86_64" and "syscall" in call:
        pytest.skip("numbers of x86_64")
    code = f"""
    def attempt():
        libc = ctypes.CDLL(None, use_errno=True)
        if {call} != -1:
            return "allowed"
        raise OSError(ctypes.get_errno(), {what!r})
    """
    assert attempt(arena, code)["refused"] in ("EPERM", "ENOSYS", "EACCES")


@pytest.mark.parametrize(("family", "name"), [(38, "AF_ALG"), (17, "AF_PACKET"), (40, "AF_VSOCK")])
def test_socket_families_of_the_kernels_inside_are_refused(arena: Server, family: int, name: str) -> None:
    """Sockets that reach kernel subsystems or the host are not made."""
    payload = attempt(
        arena, f"def attempt():\n    socket.socket({family}, socket.SOCK_RAW if {family} == 17 else socket.SOCK_SEQPACKET)"
    )
    assert payload["refused"] in ("EPERM", "EACCES", "EAFNOSUPPORT"), name


def test_only_the_standard_descriptors_and_the_runtimes_own_are_open(arena: Server) -> None:
    """Nothing of the server or the launcher leaks in as a file descriptor."""
    code = """
    def attempt():
        kinds = []
        for fd in os.listdir('/proc/self/fd'):
            try:
                kinds.append(os.readlink('/proc/self/fd/' + fd).split(':')[0])
            except OSError:
                pass
        return sorted(kinds)
    """
    kinds = [kind for kind in attempt(arena, code)["result"] if not kind.startswith("/proc/")]  # the listing's own
    assert set(kinds) <= {"/dev/null", "pipe", "socket"}
    assert kinds.count("socket") <= 1
    assert kinds.count("pipe") <= 2


def test_more_memory_than_it_has_kills_the_environment_only(arena: Server) -> None:
    """The caller is told of the kill; REPORT names the lack of memory; the next invocation works."""
    code = textwrap.dedent("""
    def attempt():
        blocks = []
        while True:
            blocks.append(bytearray(b'x') * (16 << 20))
    """)
    answer = arena.client("lambda").invoke(FunctionName="attacker", LogType="Tail", Payload=json.dumps({"code": code}).encode())
    assert answer["FunctionError"] == "Unhandled"
    error = json.loads(answer["Payload"].read())
    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith("Error: Runtime exited with error: signal: killed")
    assert attempt(arena, "def attempt():\n    return 1") == {"result": 1}


def test_a_fork_bomb_is_bounded_and_ends_with_its_environment(arena: Server) -> None:
    """Processes stop at the limit; when the invocation has timed out none of them is left."""
    arena.create_function(
        "bomb",
        "import os, time\ndef handler(event, context):\n    print('uid', os.getuid(), flush=True)\n    while True:\n"
        "        try:\n            os.fork()\n        except OSError:\n            time.sleep(0.2)\n",
        Timeout=3,
        MemorySize=512,
    )
    answer = arena.client("lambda").invoke(FunctionName="bomb", LogType="Tail")
    error = json.loads(answer["Payload"].read())
    assert answer["FunctionError"] == "Unhandled"
    assert error["errorType"] in ("Sandbox.Timedout", "Runtime.ExitError")
    assert attempt(arena, "def attempt():\n    return 1") == {"result": 1}
    uid = int(re.search(r"uid (\d+)", base64.b64decode(answer["LogResult"]).decode())[1])
    wait_until(lambda: not processes_of_user(uid), 30, "the bomb's processes to end")


def test_a_full_tmp_is_the_functions_own_trouble(arena: Server) -> None:
    """Writing past EphemeralStorage fails with ENOSPC (or the memory limit), and the neighbour can still write."""
    code = """
    def attempt():
        with open('/tmp/big', 'wb') as big:
            for _ in range(600):
                big.write(bytes(1 << 20))
    """
    payload = attempt(arena, code)
    assert payload.get("refused") == "ENOSPC" or payload.get("errorType") == "Runtime.ExitError"


def test_a_daemon_that_ignores_sigterm_does_not_outlive_its_environment(arena: Server) -> None:
    """A double-forked process with a session of its own dies with the environment when the function is deleted."""
    source = """
import os, signal, time
def handler(event, context):
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            while True:
                time.sleep(1)
        os._exit(0)
    return os.getuid()
"""
    arena.create_function("daemon", source)
    uid = arena.invoke("daemon")
    wait_until(lambda: len(processes_of_user(uid)) >= 2, 10, "the daemon to run")
    arena.client("lambda").delete_function(FunctionName="daemon")
    wait_until(lambda: not processes_of_user(uid), 30, "the daemon to die")


def test_setuid_programs_give_nothing(arena: Server) -> None:
    """A setuid-root program of the host runs as the function's own user."""
    code = """
    def attempt():
        for path in ('/usr/bin/su', '/bin/su', '/usr/bin/mount', '/usr/bin/passwd'):
            if os.path.exists(path):
                child = subprocess.run([path, '--help'], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        return subprocess.run(['id', '-u'], stdout=subprocess.PIPE).stdout.decode().strip()
    """
    answer = attempt(arena, code)
    assert int(answer.get("result", -1)) >= 1000, answer


def test_a_flood_of_output_neither_stops_the_function_nor_grows_the_server(arena: Server) -> None:
    """Fifty megabytes of output are taken; the server's memory stays within bounds; the answer arrives."""
    code = """
    def attempt():
        line = 'y' * 1000
        for _ in range(50000):
            print(line)
        return 'done'
    """
    assert attempt(arena, code) == {"result": "done"}
    resident_kb = next(
        int(line.split()[1])
        for line in Path(f"/proc/{arena.process.pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )
    assert resident_kb < 400 * 1024
