"""user_namespace.py: whether there can be one, and why not; who is who in it."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from lambdad.sandbox import user_namespace
from lambdad.sandbox.user_namespace import reason_of_refusal
from support import ordinary_user

#: Says what `obstacle` says, after some other Python.
SAY = """
import sys
sys.path.insert(0, {source!r})
from lambdad.sandbox import linux, user_namespace
{before}
print(user_namespace.obstacle())
"""
#: What the launcher tells the server where there can be a user namespace, but no pid namespace in it.
LAUNCH = """
import socket, sys
from pathlib import Path
sys.path.insert(0, {source!r})
import msgspec
from lambdad.sandbox.launcher import Settings, main
Path("/proc/sys/user/max_pid_namespaces").write_text("0")
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
settings = Settings("/nowhere", "lambdad-test", 20_000, 20_010, 0, has_user_namespace=True)
main(theirs.detach(), msgspec.json.encode(settings).decode())
print(ours.recv(4096).decode())
"""
PASSWD = "root:x:0:0::/root:/bin/sh\\nada:x:33456:33456::/tmp:/bin/sh\\n"


def obstacle_after(before: str = "", *prefix: str) -> str:
    code = SAY.format(source=os.fspath(Path(user_namespace.__file__).parents[2]), before=before)
    command = [*prefix, sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.mark.root
class TestObstacle:
    def test_none(self) -> None:
        """An ordinary user of this machine can have a user namespace."""
        assert obstacle_after("", *ordinary_user.command()) == "None"

    def test_none_are_left(self) -> None:
        """Where the administrator allows none, the sysctl is named. (Root of a user namespace is one for those below it.)"""
        limit = "from pathlib import Path; Path('/proc/sys/user/max_user_namespaces').write_text('0')"
        inside = obstacle_after(limit, *ordinary_user.command("unshare", "--user", "--map-root-user"))
        assert "user.max_user_namespaces" in inside

    def test_seccomp(self) -> None:
        """A filter such as a container's is named."""
        filtered = """
from lambdad.sandbox.seccomp import filter_program
linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
linux.install_filter(filter_program())
"""
        assert "seccomp" in obstacle_after(filtered, *ordinary_user.command())

    def test_covered_proc(self) -> None:
        """In a container parts of /proc are covered, and then the kernel lets nobody below see another."""
        covered = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /proc/sys && exec "$@"', "sh")
        assert "/proc is partly covered" in obstacle_after("", *covered, *ordinary_user.command())


@pytest.mark.parametrize(
    ("step", "number", "files", "expected"),
    [
        ("namespace", errno.ENOSYS, {}, "built without user namespaces"),
        ("namespace", errno.EINVAL, {}, "built without user namespaces"),
        (
            "namespace",
            errno.EPERM,
            {"sys/kernel/unprivileged_userns_clone": "0"},
            "sysctl -w kernel.unprivileged_userns_clone=1",
        ),
        ("rights", errno.EACCES, {"sys/kernel/apparmor_restrict_unprivileged_userns": "1"}, "AppArmor"),
        ("rights", errno.EPERM, {"sys/kernel/apparmor_restrict_unprivileged_userns": "0"}, "Operation not permitted"),
        ("namespace", errno.EPERM, {"self/status": "Seccomp:\t2\n"}, "seccomp=unconfined"),
        ("namespace", errno.EPERM, {"self/status": "Seccomp:\t0\n"}, "Operation not permitted"),
        ("namespace", errno.ENOSPC, {}, "user.max_user_namespaces"),
        ("proc", errno.EPERM, {}, "partly covered"),
    ],
)
def test_reasons(tmp_path: Path, step: str, number: int, files: dict[str, str], expected: str) -> None:
    """Each way in which a machine forbids user namespaces is told apart, with what would allow them."""
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content + "\n")
    assert expected in reason_of_refusal(step, number, tmp_path)


#: Enters, and says who it is then, in the terms of this namespace and of the machine.
ENTER = """
import os, sys
sys.path.insert(0, {source!r})
from lambdad.sandbox import user_namespace
users = user_namespace.enter(range(20001, 20011))
print(os.getpid(), os.getuid(), os.getgroups(), users.own)
print(open("/proc/self/uid_map").read().split())
print(*users.weaknesses, sep="\\n")
"""


def enter(*options: str) -> list[str]:
    code = ENTER.format(source=os.fspath(Path(user_namespace.__file__).parents[2]))
    command = [*ordinary_user.command(options=list(options)), sys.executable, "-u", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()


@pytest.mark.root
class TestEnter:
    def test_one_user(self) -> None:
        """Without ids to give away there is the one user; he hears that, and which groups stay with all functions."""
        who, ids, *weaknesses = enter("--groups", "4242")
        assert who == "2 0 [65534] range(0, 0)", "process 1 buries orphans"
        assert ids == "['0', '33456', '1']"
        assert "user 33456" in weaknesses[0]
        assert "4242" in weaknesses[1]

    @pytest.mark.skipif(shutil.which("newuidmap") is None, reason="needs newuidmap (Debian: apt-get install uidmap)")
    def test_many_users(self) -> None:
        """With newuidmap and a range of ids there are as many users as are wanted, and no weakness is left."""
        shown = {"/etc/passwd": PASSWD, "/etc/subuid": "ada:300000:65536\\n", "/etc/subgid": "ada:400000:65536\\n"}
        options = [word for file, content in shown.items() for word in ("--show", f"{file}={content}")]
        who, ids, *weaknesses = enter(*options)
        assert who == "2 0 [] range(20001, 20011)"
        assert ids == "['0', '33456', '1', '20001', '300000', '10']"
        assert weaknesses == [""]

    def test_the_server_hears_what_failed(self) -> None:
        """In a record, as of all else that keeps the launcher from starting, and not in a traceback."""
        code = LAUNCH.format(source=os.fspath(Path(user_namespace.__file__).parents[2]))
        command = [*ordinary_user.command("unshare", "--user", "--map-root-user"), sys.executable, "-c", code]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert '"record":"cannot-open"' in done.stdout
        assert "no user namespace can be had" in done.stdout

    def test_the_status_is_passed_on(self) -> None:
        """Who started it learns how it ended."""
        code = ENTER.format(source=os.fspath(Path(user_namespace.__file__).parents[2])) + "\nos._exit(7)"
        done = subprocess.run([*ordinary_user.command(), sys.executable, "-c", code], capture_output=True, check=False)
        assert done.returncode == 7


@pytest.mark.root
def test_users_of_this_machine() -> None:
    """The machine's root has every user; root of a user namespace may have none but itself."""
    assert user_namespace.has(range(20_000, 30_000))
    code = "import sys; sys.path.insert(0, {!r}); from lambdad.sandbox import user_namespace as u; print(u.has(range(2, 3)))"
    prefix = ["unshare", "--user", "--map-root-user", sys.executable, "-c"]
    source = os.fspath(Path(user_namespace.__file__).parents[2])
    assert subprocess.run([*prefix, code.format(source)], capture_output=True, text=True, check=True).stdout == "False\n"
