"""Work on files that must not hold up the launcher: done in a forked process, which reports when it ends."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from lambdad.sandbox import linux, unpack, user_namespace
from lambdad.sandbox.base import UnpackLimits, UnpackReport
from lambdad.sandbox.shared_tree import merge
from lambdad.sandbox.tree_removal import remove_tree
from lambdad.sandbox.unpack_layer import unpack_layer

_OWN_NAME = 1000


@dataclass(frozen=True, slots=True)
class Job:
    """`pid` names its group too: what it forks may have missed its death, and goes with it."""

    pid: int
    handle: int  #: pidfd
    report: int  #: read end of a pipe

    def finish(self) -> bytes:
        """Its report once it has ended; empty if it failed."""
        self._wait(os.WEXITED | os.WNOWAIT)
        self.kill()
        self._wait(os.WEXITED)
        with os.fdopen(self.report, "rb") as pipe:
            report = pipe.read()
        os.close(self.handle)
        return report

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def _wait(self, options: int) -> None:
        with contextlib.suppress(ChildProcessError):  # whoever reaps orphans has reaped it
            os.waitid(os.P_PID, self.pid, options)


def start_unpacking(archive: int, staging: Path, limits: UnpackLimits, uid: int, filter_program: bytes) -> Job:
    """Unpacks into the empty folder `staging`, as a user that sees nothing else. `uid` is one that owns nothing else, or, in a
    user namespace, 0: then it is given another name in one of its own."""

    def unpack_zip() -> UnpackReport:
        return unpack.unpack(os.fdopen(archive, "rb"), Path("/"), limits)

    return _start_unpacking(unpack_zip, [archive], staging, limits, uid, filter_program)


def start_merging(trees: Sequence[int], staging: Path, limits: UnpackLimits, uid: int, filter_program: bytes) -> Job:
    """As `start_unpacking`, trees that were unpacked one over the other; `trees` are descriptors."""
    return _start_unpacking(lambda: merge(trees, "", limits), trees, staging, limits, uid, filter_program)


def start_unpacking_layer(
    layer: int, below: int | None, staging: Path, limits: UnpackLimits, uid: int, filter_program: bytes
) -> Job:
    """As `start_unpacking`, a layer of an image over the tree that `below` is a descriptor of."""

    def unpack_one() -> UnpackReport:
        return unpack_layer(os.fdopen(layer, "rb"), below, limits)

    kept = [layer] if below is None else [layer, below]
    return _start_unpacking(unpack_one, kept, staging, limits, uid, filter_program)


def _start_unpacking(
    unpacked: Callable[[], UnpackReport],
    kept: Sequence[int],
    staging: Path,
    limits: UnpackLimits,
    uid: int,
    filter_program: bytes,
) -> Job:
    def work() -> UnpackReport:
        others = linux.CLONE_NEWNET | linux.CLONE_NEWIPC | linux.CLONE_NEWPID
        if uid == 0:
            linux.unshare(linux.CLONE_NEWUSER | others)
            user_namespace.map_own(_OWN_NAME)
        else:
            linux.unshare(others)
        _continue_in_child()
        os.chroot(staging)
        os.chdir("/")
        os.umask(0)
        unpack.limit_resources(limits)
        resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
        linux.become(uid or _OWN_NAME)
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)  # a change of user has cleared it
        linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
        linux.install_filter(filter_program)
        return unpacked()

    os.chown(staging, uid, uid)
    return _start(work, kept)


def start_removing(tree: Path) -> Job:
    """Removes a folder, whatever its modes and however deep it is. Links in it are removed, not followed."""

    def work() -> UnpackReport:
        remove_tree(tree)
        return UnpackReport(0)

    return _start(work, ())


def _continue_in_child() -> None:
    """In a pid namespace that was just made: goes on as its process 1, to whom no other can be named."""
    pid = os.fork()
    if pid:
        os._exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) & 0xFF)
    linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)


def _start(work: Callable[[], UnpackReport], kept: Sequence[int]) -> Job:
    reader, writer = os.pipe2(os.O_CLOEXEC)
    launcher = os.getpid()
    pid = os.fork()
    if pid == 0:
        _run(work, [*kept, writer], writer, launcher)
    os.setpgid(pid, pid)  # before anybody can want to kill it; the child may not have got so far
    os.close(writer)
    return Job(pid, os.pidfd_open(pid), reader)


def _run(work: Callable[[], UnpackReport], kept: Sequence[int], writer: int, launcher: int) -> None:
    """In the child: never returns."""
    status = 1
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        os.setpgid(0, 0)  # before it forks
        signal.set_wakeup_fd(-1)  # an event loop's, of whose sockets nothing stays open here
        if os.getppid() == launcher:
            close_all_but(kept)
            report = work()
            # A name in an archive need not be text.
            detail = report.detail.encode("utf-8", "backslashreplace").decode()
            os.write(writer, msgspec.json.encode(replace(report, detail=detail)))
            status = 0
    except BaseException:  # noqa: BLE001 - the end of a process: told on stderr, and by the missing report
        os.write(2, traceback.format_exc().encode())
    os._exit(status)


def close_all_but(kept: Sequence[int]) -> None:
    """Of what a forked process has from the launcher, and does not need: above standard error."""
    start = 3
    for descriptor in sorted(kept):
        os.closerange(start, descriptor)
        start = descriptor + 1
    os.closerange(start, resource.getrlimit(resource.RLIMIT_NOFILE)[0])
