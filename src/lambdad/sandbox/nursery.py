"""The zygote of one language, the spare shells it has made, some with a booted runtime, and the starts that wait for one."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from lambdad.model.runtime_program import StartCommand
from lambdad.sandbox import linux, private_root
from lambdad.sandbox.base import RuntimeProgram
from lambdad.sandbox.image_root import lay_image
from lambdad.sandbox.pre_boot import Kind
from lambdad.sandbox.records import Channel, Program, RecordTooLong, Start
from lambdad.sandbox.shell import Shell

_CHANNEL_IN_ZYGOTE = 3
MOST_IMAGES = 32  #: whose zygotes are kept though no sandbox of theirs is left; there may be any number of images
_FAILURES_OF_SPARES = 3  #: in a row, before no more spares are tried
#: All that a zygote, or another process of ours inside, has for an environment; its sandboxes get their own.
ENVIRONMENT = {
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
    "LANG": "C.UTF-8",
    "TZ": ":UTC",
}


def zygote_variables(program: RuntimeProgram) -> dict[str, str]:
    """As ENVIRONMENT, with the libraries of lambdad's own Python where it stands in a folder of its own."""
    if program.image_root is not None:
        return {name: value for name, value in ENVIRONMENT.items() if name != "LD_LIBRARY_PATH"}
    if program.python_root is None or program.python_root.is_relative_to("/usr"):
        return ENVIRONMENT
    return {**ENVIRONMENT, "LD_LIBRARY_PATH": f"{private_root.PYTHON_DIR}/lib:{ENVIRONMENT['LD_LIBRARY_PATH']}"}


class ZygoteSettings(msgspec.Struct, frozen=True):
    filter: str  #: BPF program, base64
    user_namespace: UserNamespace | None = None  #: where sandboxes have one of their own
    start: StartCommand | None = None  #: of a runtime that is no Python


class UserNamespace(msgspec.Struct, frozen=True):
    has_users: bool  #: a user id for each sandbox; else all are 0


@dataclass(slots=True)
class Nursery:
    program: Program
    channel: Channel  #: to the zygote
    pid: int
    handle: int  #: pidfd of the zygote
    last_used: float
    is_ready: bool = False  #: the zygote has imported the runtime client
    spares: deque[Shell] = field(default_factory=deque)
    pre_booted: list[Shell] = field(default_factory=list)
    forking: set[int] = field(default_factory=set)  #: numbers of the shells in the making
    waiting: deque[Start] = field(default_factory=deque)
    failure: str | None = None
    is_dead: bool = False
    failures: int = 0  #: shells that could not be made since the last that could
    ancestors: int = 0  #: zygotes whose waiting starts it has, since they were killed; none once it has made a shell itself
    started: float = 0.0
    files: tuple[int, int] | None = None  #: which folder its image's files are in, at whose path there may be another one later
    is_outdated: bool = False  #: it is to end, perhaps because those files are being removed: whoever waits is its heir's

    @property
    def is_faulty(self) -> bool:
        """The last shells could not be made: none is tried that nobody waits for. One alone may have been killed."""
        return self.failures >= _FAILURES_OF_SPARES

    def wanted(self, spares: int, now: float, idle_seconds: float) -> int:
        """How many more shells should be asked for, leaving aside how many can be made at a time."""
        kept = spares if now - self.last_used < idle_seconds and not self.is_faulty else 0
        return len(self.waiting) + kept - len(self.spares) - len(self.forking)

    def pairs(self) -> Iterator[tuple[Start, Shell]]:
        """Who waits, each with the shell that it is to have, taken out: one of its kind that has booted, or else a spare.
        One that still boots might never come to its end."""
        for start in list(self.waiting) if self.pre_booted else ():
            kind = Kind.of(start)
            booted = (shell for shell in self.pre_booted if shell.kind == kind and shell.is_booted)
            shell = next((shell for shell in booted if not shell.has_lost_runtime), None)
            if shell is not None:
                self.waiting.remove(start)
                self.pre_booted.remove(shell)
                yield start, shell
        while self.waiting and self.spares:
            spare = self.spares.popleft()
            if spare.has_lost_runtime:
                spare.kill()
            else:
                yield self.waiting.popleft(), spare

    def is_idle(self, now: float, idle_seconds: float) -> bool:
        """Nothing was asked of it for a while, and it has nothing that is unused."""
        return not (self.waiting or self.forking or self.spares or self.pre_booted) and now - self.last_used >= idle_seconds

    def kill(self) -> None:
        """Ends the zygote, if it has not ended by itself."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.handle, signal.SIGKILL)


def one_too_many(nurseries: Iterable[Nursery], used: Collection[Nursery]) -> Nursery | None:
    """Which zygote should make room for one of another image: the one that nobody has asked for anything for longest."""
    of_images = [nursery for nursery in nurseries if nursery.program.image_root is not None and not nursery.is_outdated]
    if len(of_images) < MOST_IMAGES:
        return None
    idle = [nursery for nursery in of_images if not nursery.waiting and nursery not in used]
    return min(idle, key=lambda nursery: nursery.last_used, default=None)


def start_zygote(program: Program, staging: Path, settings: ZygoteSettings, now: float) -> Nursery:
    """Forks the zygote; it says by itself when it is ready, or why it never will be. OSError, or RecordTooLong for a start
    command that cannot be told to it."""
    files = None if program.image_root is None else identity(program.image_root)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel = Channel(ours)
    with theirs:
        try:
            channel.send(msgspec.structs.replace(settings, start=program.start))
            launcher = os.getpid()
            pid = os.fork()
        except (OSError, RecordTooLong):
            channel.close()
            raise
        if pid == 0:
            _become_zygote(program, staging, theirs.fileno(), launcher)
    return Nursery(program, channel, pid, os.pidfd_open(pid), now, started=now, files=files)


def identity(folder: str) -> tuple[int, int]:
    """Of a folder, whatever path it is at."""
    status = os.lstat(folder)
    return status.st_dev, status.st_ino


def _become_zygote(program: Program, staging: Path, channel: int, launcher: int) -> None:
    """In the child: never returns."""
    try:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != launcher:  # it died before the line above
            os._exit(1)
        os.umask(0o022)
        made = program.as_runtime_program()
        if made.image_root is None:
            line = [private_root.enter(staging, made), f"{private_root.ZYGOTE_DIR}/zygote.py"]
        else:
            line = lay_image(staging, made)
        nothing = os.open("/dev/null", os.O_RDWR)
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        os.dup2(channel, _CHANNEL_IN_ZYGOTE)
        os.set_inheritable(_CHANNEL_IN_ZYGOTE, True)
        linux.reset_signals()
        os.execve(line[0], line, zygote_variables(made))
    except BaseException as error:  # noqa: BLE001 - whatever it is, the launcher is told and this process ends
        os.write(channel, msgspec.json.encode({"failed": f"{type(error).__name__}: {error}"}))
    os._exit(1)
