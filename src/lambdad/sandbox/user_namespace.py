"""How the launcher becomes root of a user namespace where it is not root of the machine.

Inside it may make every other kind of namespace, mounts, and further user namespaces. Outside it is still the user who started
it. The kernel refuses that on some machines; `obstacle` finds out by trying.
"""

from __future__ import annotations

import contextlib
import errno
import os
import pwd
import re
import select
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lambdad.errors import StartupError
from lambdad.sandbox import linux

_ONE_USER = (
    "All functions run as {user}, each in a user namespace of its own: one that broke out of its sandbox would have the rights "
    "of {user}, and could change what this server keeps; {remedy}."
)
_GROUPS = "Functions keep the groups of {user} ({groups}) and can read what those may in the system's read-only folders."
_NO_TOOL = "for users of their own install newuidmap (Debian: apt-get install uidmap)"
_NO_RANGE = "for users of their own give {user} 65536 ids in /etc/subuid and /etc/subgid, as in `usermod --add-subuids`"
_MACHINE_ROOT = "The kernel counts no processes of the machine's root, so a function can start as many as the machine takes."


@dataclass(frozen=True, slots=True)
class Users:
    """Who is who in the namespace. 0 is the user who started the launcher."""

    own: range  #: further users, as they are called inside; empty if there is none
    weaknesses: tuple[str, ...]


def obstacle(proc: Path = Path("/proc")) -> str | None:
    """Why this process cannot have a user namespace in which to mount; None if it can. Forks: before there are threads."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            _try_out()
        except _Refused as refusal:
            os.write(writer, f"{refusal.step} {refusal.number}".encode())
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "r") as pipe:
        step, _, number = pipe.read().partition(" ")
    os.waitpid(pid, 0)
    return reason_of_refusal(step, int(number), proc) if step else None


def has(users: range) -> bool:
    """Whether there are all of these users here: also where this is a user namespace itself."""
    for line in Path("/proc/self/uid_map").read_text().splitlines():
        first, _, count = map(int, line.split())
        if first <= users.start and users.stop <= first + count:
            return True
    return False


def enter(wanted: range) -> Users:
    """Goes on in a child: root in a new user, mount and pid namespace, whose /proc shows the latter. `wanted` are the ids of
    further users, where they can be had. The caller's process ends when that child has, and with its status.

    Above the child stands process 1 of the pid namespace, which does no more than bury orphans; with it everything ends.
    """
    users = _enter_user_namespace(wanted)
    linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWPID)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid:
        os.close(reader)
        _end_with(pid, kept=writer)
    os.close(writer)
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
    if select.select([reader], [], [], 0)[0]:  # the end of the pipe: the parent has died before the line above
        os._exit(1)
    os.close(reader)
    pid = os.fork()
    if pid:
        _end_with(pid)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
    _mount_proc()
    return users


def map_own(inner: int, outer: int = 0) -> None:
    """In a user namespace that was just made: calls `outer`, who made it and is its only user, `inner` here."""
    linux.prctl(linux.PR_SET_DUMPABLE, 1)  # else its files in /proc are not its own
    _write_maps((inner, outer), (inner, outer))


def _enter_user_namespace(wanted: range) -> Users:
    uid, gid, user = os.geteuid(), os.getegid(), _name()
    ranges, reason = _subordinate(user)
    groups = sorted(set(os.getgroups()) - {gid})
    if ranges is not None:
        own = wanted[: min(len(wanted), len(ranges[0]), len(ranges[1]))]
        with _outside(lambda pid: _run_tools(pid, own, (uid, ranges[0][0]), (gid, ranges[1][0]))) as map_users:
            linux.unshare(linux.CLONE_NEWUSER)
            failure = map_users()
        if not failure:
            os.setgroups([])
            return Users(own, ())
        if Path("/proc/self/uid_map").read_text().strip():
            raise StartupError(f"users for sandboxes cannot be had: {failure}")
        reason = failure
    else:
        linux.unshare(linux.CLONE_NEWUSER)
    _write_maps((0, uid), (0, gid))
    weaknesses = [_ONE_USER.format(user=user, remedy=reason)]
    if groups:
        weaknesses.append(_GROUPS.format(user=user, groups=", ".join(map(str, groups))))
    if uid == 0:
        weaknesses.append(_MACHINE_ROOT)
    return Users(range(0), tuple(weaknesses))


def _write_maps(user: tuple[int, int], group: tuple[int, int]) -> None:
    """Who may not choose whom he becomes may not leave a group either: without "deny" the kernel takes no map of groups."""
    for name, line in (("setgroups", "deny"), ("uid_map", "{} {} 1".format(*user)), ("gid_map", "{} {} 1".format(*group))):
        Path("/proc/self", name).write_text(line)


def _mount_proc() -> None:
    linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)


def _end_with(pid: int, kept: int = 2) -> None:
    """Waits for all children, until `pid` has ended. Never returns. Keeps no descriptor but the first three and `kept`."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    os.closerange(3, kept)
    os.closerange(kept + 1, os.sysconf("SC_OPEN_MAX"))
    while True:
        ended, status = os.wait()
        if ended == pid:
            os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


# -- further users -------------------------------------------------------------------------------------------------------


def _name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # nobody has written down this user
        return f"user {os.geteuid()}"


def _subordinate(user: str) -> tuple[tuple[range, range] | None, str]:
    """The ids that the machine's administrator lets this user give away, of users and of groups; or why there are none."""
    if shutil.which("newuidmap") is None or shutil.which("newgidmap") is None:
        return None, _NO_TOOL
    users, groups = (_largest(Path("/etc", name), user) for name in ("subuid", "subgid"))
    if len(users) < 2 or len(groups) < 2:
        return None, _NO_RANGE.format(user=user)
    return (users, groups), ""


def _largest(file: Path, user: str) -> range:
    names = (user, str(os.geteuid()))
    found = [range(0)]
    with contextlib.suppress(OSError):
        for line in file.read_text().splitlines():
            owner, _, numbers = line.strip().partition(":")
            if owner in names and re.fullmatch(r"\d+:\d+", numbers):
                start, count = map(int, numbers.split(":"))
                found.append(range(start, start + count))
    return max(found, key=len)


@contextlib.contextmanager
def _outside(work: Callable[[int], str]) -> Iterator[Callable[[], str]]:
    """`work` is done by a process that stays where the caller was when this began; the caller's process id is its argument."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    answer_reader, answer_writer = os.pipe2(os.O_CLOEXEC)
    caller = os.getpid()
    helper = os.fork()
    if helper == 0:
        os.close(writer)
        if os.read(reader, 1):
            os.write(answer_writer, work(caller).encode())
        os._exit(0)
    for descriptor in (reader, answer_writer):
        os.close(descriptor)

    def begin() -> str:
        os.write(writer, b"-")
        return os.read(answer_reader, 4096).decode()

    try:
        yield begin
    finally:
        for descriptor in (writer, answer_reader):
            os.close(descriptor)
        os.waitpid(helper, 0)


def _run_tools(pid: int, own: range, user: tuple[int, int], group: tuple[int, int]) -> str:
    """Why the maps could not be written; empty if they were."""
    for tool, (caller, first) in (("newuidmap", user), ("newgidmap", group)):
        numbers = (pid, 0, caller, 1, own.start, first, len(own))
        done = subprocess.run([tool, *map(str, numbers)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return f"{tool} failed: {done.stderr.strip() or done.returncode}"
    return ""


# -- whether it can be done ----------------------------------------------------------------------------------------------


class _Refused(Exception):
    def __init__(self, step: str, number: int) -> None:
        super().__init__(f"{step}: {os.strerror(number)}")
        self.step = step
        self.number = number


def _try_out() -> None:
    """In a child: does once what `enter` does."""
    uid, gid = os.geteuid(), os.getegid()
    with _step("namespace"):
        linux.unshare(linux.CLONE_NEWUSER)
    with _step("rights"):
        _write_maps((0, uid), (0, gid))
        linux.unshare(linux.CLONE_NEWNS | linux.CLONE_NEWPID)
        linux.mount(None, "/", None, linux.MS_REC | linux.MS_PRIVATE)
        linux.mount("tmpfs", "/", "tmpfs", linux.MS_NOSUID | linux.MS_NODEV)
    with _step("proc"):
        pid = os.fork()
        if pid == 0:
            try:
                _mount_proc()
            except OSError as error:
                os._exit(error.errno or errno.EIO)
            os._exit(0)
        number = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if number:
            raise OSError(number, "mount")


@contextlib.contextmanager
def _step(name: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _Refused(name, error.errno or errno.EIO) from error


def reason_of_refusal(step: str, number: int, proc: Path) -> str:
    """What on this machine forbids it, and what would allow it."""
    if step == "proc":
        return (
            "/proc is partly covered, as in a container, and then no other can be mounted; "
            "Docker uncovers it with --security-opt systempaths=unconfined, Podman with --security-opt unmask=ALL"
        )
    if number == errno.ENOSPC:
        return "the machine allows no more user namespaces; `sysctl -w user.max_user_namespaces=15000` allows some"
    if step == "namespace" and number in (errno.EINVAL, errno.ENOSYS):
        return "the kernel was built without user namespaces"
    if _read(proc / "sys/kernel/apparmor_restrict_unprivileged_userns") == "1":
        return (
            "AppArmor leaves a user namespace without rights; "
            "`sysctl -w kernel.apparmor_restrict_unprivileged_userns=0` or a profile with `userns,` for this Python allows them"
        )
    if _read(proc / "sys/kernel/unprivileged_userns_clone") == "0":
        return "the machine keeps user namespaces for root; `sysctl -w kernel.unprivileged_userns_clone=1` lets all have them"
    if re.search(r"^Seccomp:\s*2", _read(proc / "self/status"), re.MULTILINE):
        return (
            "a seccomp filter forbids user namespaces, as in a container; "
            "Docker and Podman lift it with --security-opt seccomp=unconfined"
        )
    return f"the kernel refuses a user namespace ({os.strerror(number)})"


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""
