"""Gets file systems ready, each in a process of its own: a folder that does not answer holds up nobody but who wants it."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import msgspec

from lambdad.errors import FileSystemTrouble
from lambdad.sandbox import linux
from lambdad.sandbox.file_system import Standing, open_file_system
from lambdad.sandbox.job import close_all_but
from lambdad.sandbox.records import Channel, close_all

PATIENCE_SECONDS = 15.0  #: AWS's own is not documented
MOST_STUCK = 8  #: processes that were given up and cannot end: with so many of them a folder is not asked again

_STRANGERS = (
    "Functions mount folders as strangers, another one in each environment: the folders have to be open to all, and what one "
    "environment writes another can read at most."
)

#: Told the mount, which is then the receiver's to close, or why there is none.
Answer = Callable[[int | FileSystemTrouble], None]


class Watch(Protocol):
    """The part of an event loop that is needed here."""

    def watch(self, source: int, handler: Callable[[], None]) -> None: ...

    def forget(self, source: int) -> None: ...


class _Report(msgspec.Struct, frozen=True):
    """With the mount, if there is no trouble."""

    trouble: str = ""
    reason: str = ""


@dataclass(slots=True)
class _Opening:
    pid: int
    handle: int  #: pidfd
    channel: Channel
    until: float
    folder: str
    answer: Answer | None  #: None once nobody wants it any more


class FileSystemKeeper:
    """`folders` are what the settings name, by ARN: nobody can ask for others. They are resolved once, here."""

    def __init__(self, loop: Watch, folders: Mapping[str, str], standing: Standing, now: Callable[[], float]) -> None:
        self._loop = loop
        self._folders = {arn: os.path.realpath(folder) for arn, folder in folders.items()}
        self._standing = standing
        self._now = now
        self._openings: dict[int, _Opening] = {}  #: by process id
        self.weaknesses = [
            f"There is no folder {folder}, which stands for {arn}: functions that mount it are refused."
            for arn, folder in self._folders.items()
            if not os.path.isdir(folder)  # noqa: PTH112 - it is a text here
        ]
        if folders and standing is Standing.USER_WITH_OTHERS:
            self.weaknesses.append(_STRANGERS)

    @property
    def is_busy(self) -> bool:
        return any(opening.answer is not None for opening in self._openings.values())

    def open(self, arn: str, uid: int, answer: Answer) -> None:
        """For the sandbox whose user is `uid`. `answer` is called once, at a later step of the loop or now."""
        folder = self._folders.get(arn)
        if folder is None:
            answer(FileSystemTrouble(FileSystemTrouble.MISSING, f"the settings name no folder for {arn}"))
            return
        if self._stuck(folder) >= MOST_STUCK:
            answer(FileSystemTrouble(FileSystemTrouble.SILENT, f"{folder} has not answered for a while"))
            return
        try:
            opening = self._start(folder, uid, answer)
        except OSError as error:
            answer(FileSystemTrouble(FileSystemTrouble.SILENT, f"no process to mount {folder}: {error}"))
            return
        self._openings[opening.pid] = opening
        self._loop.watch(opening.handle, lambda: self._end(opening))

    def tend(self) -> None:
        """Gives up those that take too long. Their processes may be beyond killing for now; they go when they can."""
        now = self._now()
        for opening in list(self._openings.values()):
            if opening.answer is not None and now > opening.until:
                answer, opening.answer = opening.answer, None
                _kill(opening)
                reason = f"the folder did not answer within {PATIENCE_SECONDS:.0f} seconds"
                answer(FileSystemTrouble(FileSystemTrouble.SILENT, reason))

    def close(self) -> None:
        for opening in self._openings.values():
            _kill(opening)

    def _stuck(self, folder: str) -> int:
        return sum(opening.answer is None for opening in self._openings.values() if opening.folder == folder)

    def _start(self, folder: str, uid: int, answer: Answer) -> _Opening:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        launcher = os.getpid()
        with theirs:
            pid = os.fork()
            if pid == 0:
                _work(folder, uid, self._standing, Channel(theirs), launcher)
        return _Opening(pid, os.pidfd_open(pid), Channel(ours), self._now() + PATIENCE_SECONDS, folder, answer)

    def _end(self, opening: _Opening) -> None:
        self._loop.forget(opening.handle)
        del self._openings[opening.pid]
        with contextlib.suppress(ChildProcessError):  # whoever reaps orphans has reaped it
            os.waitid(os.P_PID, opening.pid, os.WEXITED)
        os.close(opening.handle)
        data, descriptors = opening.channel.receive() or (b"", [])
        opening.channel.close()
        if opening.answer is None:
            close_all(descriptors)
        elif descriptors:
            opening.answer(descriptors[0])
        else:
            report = (
                msgspec.json.decode(data, type=_Report) if data else _Report(FileSystemTrouble.SILENT, "its process was killed")
            )
            opening.answer(FileSystemTrouble(report.trouble, report.reason))


def _kill(opening: _Opening) -> None:
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(opening.handle, signal.SIGKILL)


def _work(folder: str, uid: int, standing: Standing, channel: Channel, launcher: int) -> None:
    """In the child: never returns."""
    status = 1
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == launcher:
            close_all_but([channel.socket.fileno()])  # nobody else's sockets stay open for as long as it has to wait
            try:
                channel.send(_Report(), [open_file_system(folder, uid, standing)])
            except FileSystemTrouble as trouble:
                channel.send(_Report(trouble.kind, str(trouble)))
            except OSError as error:
                channel.send(_Report(FileSystemTrouble.UNSUITABLE, f"{folder} cannot be mounted: {error.strerror}"))
            status = 0
    finally:
        os._exit(status)
