"""Holds sandboxes to their memory size where no cgroup can: a process that measures, again and again, and kills.

What `cgroup` is where the kernel does it, and for the same callers; the files that the server reads are kept in the kernel's
format. It is weaker, and says so: see `WEAKNESS`.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from lambdad.sandbox import linux
from lambdad.sandbox.event_loop import EventLoop
from lambdad.sandbox.records import Channel, close_all

WEAKNESS = (
    "No cgroup holds memory and processors here ({reason}): lambdad measures memory ten times a second and kills what is over "
    "its size, so a function can be over it for a moment, and one that means to can hide memory; functions share the "
    "processors regardless of their memory size, and idle ones are stopped by signals."
)
_SECONDS = 0.1
_SHARE_OF_TIME = 0.05  #: of one processor that measuring may take: with very many sandboxes it is done less often
_FIELD = re.compile(rb"^(PPid|VmHWM|RssAnon|RssFile|RssShmem|VmSwap|Pss_Anon|Pss_Shmem|SwapPss):\s*(\d+)", re.MULTILINE)


class _Watch(msgspec.Struct, frozen=True):
    """With the pidfd of a sandbox's process 1, and the files for the peak and for the number of kills."""

    memory_mb: int


class WatchedGroup:
    """What `cgroup.Group` is, of a sandbox without one."""

    def __init__(self, watch: MemoryWatch) -> None:
        self._watch = watch
        self._limit: tuple[int, int] | None = None

    def create(self) -> None:
        """There is nothing to make."""

    def open_procs(self) -> list[int]:
        return []

    def limit(self, memory_mb: int, init: int) -> None:
        self._limit = memory_mb, init

    def weigh(self, share: float) -> None:
        """Nobody could hold it to that."""

    def open_files(self) -> dict[str, int]:
        """From now on it is watched: to be called when `limit` is known and before any code of a function runs."""
        assert self._limit is not None
        memory_mb, init = self._limit
        files = {name: os.memfd_create(name, os.MFD_CLOEXEC) for name in ("memory-peak", "oom-kills")}
        os.pwrite(files["memory-peak"], b"0\n", 0)
        os.pwrite(files["oom-kills"], b"oom_kill 0\n", 0)
        self._watch.add(memory_mb, init, list(files.values()))
        runtime = _only_child(_pid_of(init))
        if runtime is not None:
            with contextlib.suppress(OSError):  # it has ended already
                files["runtime-status"] = os.open(f"/proc/{runtime}/status", os.O_RDONLY | os.O_CLOEXEC)
        return files

    def thaw(self) -> None:
        """What is stopped by a signal dies nevertheless."""

    def remove(self) -> bool:
        return True


class MemoryWatch:
    """The launcher's view. `reason` completes the sentence why there is no cgroup."""

    shares_processors = False

    def __init__(self, reason: str) -> None:
        self.weaknesses = [WEAKNESS.format(reason=reason)]
        self.channel: Channel | None = None  #: says nothing; its end is that of the process
        self._pid = 0

    def open(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        launcher = os.getpid()
        self._pid = os.fork()
        if self._pid == 0:
            ours.close()
            _run(Channel(theirs), launcher)
        theirs.close()
        self.channel = Channel(ours)

    def group(self, name: str) -> WatchedGroup:
        return WatchedGroup(self)

    def add(self, memory_mb: int, init: int, files: list[int]) -> None:
        assert self.channel is not None
        self.channel.send(_Watch(memory_mb), [init, *files])

    def thaw(self) -> None:
        """See `WatchedGroup.thaw`."""

    def close(self) -> None:
        if self.channel is not None:
            self.channel.close()
            os.waitid(os.P_PID, self._pid, os.WEXITED)
            self.channel = None


# -- the process ---------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class _Sandbox:
    pid: int  #: of its process 1
    handle: int
    limit: int
    files: tuple[int, int]
    peak: int = 0
    kills: int = 0
    members: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Process:
    parent: int
    bytes: int  #: at most: what it shares is counted in full
    peak: int


def _run(launcher_channel: Channel, launcher: int) -> None:
    """In the child: never returns."""
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == launcher:
            _Watcher(launcher_channel).run()
    finally:
        os._exit(0)


class _Watcher:
    def __init__(self, launcher: Channel) -> None:
        self._launcher = launcher
        self._loop = EventLoop()
        self._sandboxes: dict[int, _Sandbox] = {}  #: by the pid of process 1
        self._is_open = True
        self._loop.watch_channel(launcher, self._hear)

    def run(self) -> None:
        due = 0.0
        while self._is_open:
            self._loop.step(max(0.0, due - time.monotonic()) if self._sandboxes else None)
            started = time.monotonic()
            if self._sandboxes and started >= due:
                self._measure_all()
                took = time.monotonic() - started
                due = started + max(_SECONDS, took / _SHARE_OF_TIME)

    def _hear(self) -> None:
        while (received := self._launcher.receive()) is not None:
            data, descriptors = received
            if not data:
                self._is_open = False
                return
            limit = msgspec.json.decode(data, type=_Watch).memory_mb << 20
            handle, *files = descriptors
            pid = _pid_of(handle)
            if pid <= 0:  # it has ended already
                close_all(descriptors)
                continue
            self._sandboxes[pid] = _Sandbox(pid, handle, limit, (files[0], files[1]))
            self._loop.watch(handle, lambda pid=pid: self._forget(pid))  # type: ignore[misc]

    def _forget(self, pid: int) -> None:
        sandbox = self._sandboxes.pop(pid)
        self._loop.forget(sandbox.handle)
        close_all([sandbox.handle, *sandbox.files])

    def _measure_all(self) -> None:
        processes = _processes()
        for sandbox in self._sandboxes.values():
            sandbox.members = []
        for pid in processes:
            owner = self._owner(pid, processes)
            if owner is not None and owner.pid != pid:
                owner.members.append(pid)
        for sandbox in self._sandboxes.values():
            self._judge(sandbox, processes)

    def _owner(self, pid: int, processes: Mapping[int, _Process]) -> _Sandbox | None:
        """The sandbox that a process lives in: its process 1 is above all others."""
        while pid in processes:
            if pid in self._sandboxes:
                return self._sandboxes[pid]
            pid = processes[pid].parent
        return None

    def _judge(self, sandbox: _Sandbox, processes: Mapping[int, _Process]) -> None:
        in_tmp = _bytes_in(f"/proc/{sandbox.pid}/root/tmp")
        used = in_tmp + sum(processes[pid].bytes for pid in sandbox.members)
        if used > sandbox.limit:  # at most that much: now exactly
            sizes = {pid: _exact_bytes(pid) for pid in sandbox.members}
            used = sum(anonymous for anonymous, _ in sizes.values()) + max(in_tmp, sum(shared for _, shared in sizes.values()))
            if used > sandbox.limit and sizes:
                self._kill(sandbox, max(sizes, key=lambda pid: sum(sizes[pid])))
        peak = max([used, *(processes[pid].peak for pid in sandbox.members)])
        if peak > sandbox.peak:
            sandbox.peak = peak
            os.pwrite(sandbox.files[0], b"%d\n" % peak, 0)

    def _kill(self, sandbox: _Sandbox, pid: int) -> None:
        """Its number may have become another's meanwhile: what is held on to must still be in the sandbox."""
        try:
            handle = os.pidfd_open(pid)
        except ProcessLookupError:
            return
        try:
            if self._owner(pid, _processes()) is sandbox:
                sandbox.kills += 1
                os.pwrite(sandbox.files[1], b"oom_kill %d\n" % sandbox.kills, 0)  # first: its end is explained by it
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        except ProcessLookupError:
            return
        finally:
            os.close(handle)


def _processes() -> dict[int, _Process]:
    """All of this pid namespace: those below the launcher."""
    found = {}
    for name in os.listdir("/proc"):  # noqa: PTH208 - ten times a second, and only names are wanted
        if name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                fields = _fields(f"/proc/{name}/status")
                size = sum(fields.get(kind, 0) for kind in ("RssAnon", "RssShmem", "VmSwap"))
                peak = fields.get("VmHWM", 0) - fields.get("RssFile", 0)
                found[int(name)] = _Process(fields["PPid"], size << 10, peak << 10)
    return found


def _exact_bytes(pid: int) -> tuple[int, int]:
    """What a process uses by itself and its part of what it shares, without and with files in memory."""
    try:
        fields = _fields(f"/proc/{pid}/smaps_rollup")
    except OSError:  # it has ended
        return 0, 0
    return (fields.get("Pss_Anon", 0) + fields.get("SwapPss", 0)) << 10, fields.get("Pss_Shmem", 0) << 10


def _fields(file: str) -> dict[str, int]:
    """Numbers of a file in /proc by name. Memory is in KiB."""
    return {name.decode(): int(number) for name, number in _FIELD.findall(Path(file).read_bytes())}


def _bytes_in(folder: str) -> int:
    try:
        state = os.statvfs(folder)
    except OSError:
        return 0
    return (state.f_blocks - state.f_bfree) * state.f_frsize


def _only_child(pid: int) -> int | None:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:  # it has ended, or the kernel was built without
        return None
    return int(children[0]) if len(children) == 1 else None


def _pid_of(handle: int) -> int:
    content = Path(f"/proc/self/fdinfo/{handle}").read_text()
    found = re.search(r"^Pid:\s*(-?\d+)", content, re.MULTILINE)
    return int(found[1]) if found else -1
