"""The launcher: the one privileged process. It makes zygotes, sandboxes and cgroups at the server's word, and unmakes them.

Single-threaded; nothing in its loop waits for anything but the next event. It reads no user's files: a zip is opened by a
forked process that has given up root, and a function's files are only mounted. Its end is the end of everything it made.
"""

from __future__ import annotations

import base64
import fcntl
import os
import resource
import signal
import socket
import time
import zlib
from pathlib import Path

import msgspec

from lambdad.errors import StartupError
from lambdad.sandbox import linux, user_namespace
from lambdad.sandbox.base import NetworkStatus
from lambdad.sandbox.cgroup import Cgroups
from lambdad.sandbox.core_limit import make_room_for_one_byte
from lambdad.sandbox.event_loop import EventLoop
from lambdad.sandbox.file_system import Standing
from lambdad.sandbox.file_system_keeper import FileSystemKeeper
from lambdad.sandbox.file_work import FileWork
from lambdad.sandbox.limits import Limits
from lambdad.sandbox.memory_watch import MemoryWatch
from lambdad.sandbox.network_keeper import OWN, NetworkKeeper
from lambdad.sandbox.nursery import UserNamespace, ZygoteSettings
from lambdad.sandbox.records import (
    CannotOpen,
    Channel,
    Clone,
    GiveUp,
    Merge,
    Opened,
    Remove,
    RunTemplate,
    Start,
    Stop,
    TakeSnapshot,
    ToLauncher,
    Unpack,
    UnpackLayer,
    close_all,
)
from lambdad.sandbox.seccomp import filter_program
from lambdad.sandbox.shell_keeper import ShellKeeper, log
from lambdad.sandbox.snapshot_keeper import SnapshotKeeper
from lambdad.sandbox.tree_removal import remove_tree
from lambdad.sandbox.user_namespace import Users

_ROOT, _STAGING = "root", "unpacking"  # folders in the state directory
CGROUPS_RECORD = "cgroups"  #: and the file in which `Cgroups` names its own
_PREDECESSOR_SECONDS = 10
_NO_CGROUP = "there is no cgroup with memory and pids that this user may change"
_NO_WAY_OUT = "a way out for functions takes root"
_CGROUP_REMEDY = "with systemd, start it as `systemd-run --user --scope -p Delegate=yes lambdad up`"


class Settings(msgspec.Struct, frozen=True):
    state_dir: str
    cgroup_name: str
    first_uid: int  #: unpacks, and passes on questions for names; the rest are the sandboxes'
    last_uid: int
    spares: int
    pre_booted: int = 0
    has_cpu_quota: bool = False
    network: str = "none"  #: what is wanted: nat, none, or auto
    file_systems: dict[str, str] = {}  #: ARN -> folder of the machine
    has_user_namespace: bool = False  #: for want of root it is made root of one


class Launcher:
    def __init__(self, settings: Settings, server: Channel, users: Users | None = None) -> None:
        """`users` are those of the user namespace that it is root of, if it is not the machine's root."""
        self._state_dir = Path(settings.state_dir)
        self._server = server
        self._is_open = True
        self._state_dir.mkdir(parents=True, mode=0o700, exist_ok=True)
        lock_folder(self._state_dir)
        self._loop = EventLoop()
        self._limits = self._open_limits(settings)
        own = () if users is None else users.weaknesses
        self._weaknesses = [*own, *self._limits.weaknesses, *make_room_for_one_byte()]
        self._clear_folders()
        for name in (_ROOT, _STAGING):
            (self._state_dir / name).mkdir(parents=True, mode=0o700)
        program = filter_program()
        uids = range(settings.first_uid, settings.last_uid + 1)
        self._networks = self._open_network(settings, uids[0], program)
        # In a user namespace files are made by the user who started all this, and whose they will be.
        owner = uids[0] if users is None else 0
        self._files = FileWork(self._loop, self._state_dir / _STAGING, owner, program, server.send)
        file_systems = FileSystemKeeper(self._loop, settings.file_systems, _standing(users), time.monotonic)
        self._weaknesses += file_systems.weaknesses
        self._shells = ShellKeeper(
            self._loop,
            self._limits,
            self._networks,
            file_systems,
            self._state_dir / _ROOT,
            beginning_anywhere(users.own if users is not None and users.own else uids[1:], settings.cgroup_name),
            settings.spares,
            settings.pre_booted,
            ZygoteSettings(
                base64.b64encode(program).decode(), None if users is None else UserNamespace(has_users=bool(users.own))
            ),
            server.send,
            time.monotonic,
        )
        self._snapshots = SnapshotKeeper(self._loop, self._shells.assigned, server.send)
        self._loop.watch_channel(server, self._hear_server)

    def run(self) -> None:
        weaknesses = [*self._weaknesses, *self._networks.weaknesses]
        self._server.send(Opened(weaknesses, self._networks.status, self._limits.shares_processors))
        try:
            while self._is_open:
                self._loop.step(self._shells.patience)
                self._shells.tend()
        finally:
            self._files.close()
            self._snapshots.close()
            self._shells.close()
            self._limits.close()
            self._clear_folders()

    def _open_limits(self, settings: Settings) -> Limits:
        """Without root there may be no cgroup to be had."""
        try:
            cgroups = Cgroups(settings.cgroup_name, has_quota=settings.has_cpu_quota)
        except StartupError:
            if not settings.has_user_namespace:
                raise
        else:
            cgroups.open(self._state_dir / CGROUPS_RECORD)
            return cgroups
        if settings.has_cpu_quota:
            raise StartupError(f"--cpu strict needs a cgroup, and {_NO_CGROUP}. Leave it out, or {_CGROUP_REMEDY}.")
        watch = MemoryWatch(f"{_NO_CGROUP}; {_CGROUP_REMEDY}")
        watch.open()
        assert watch.channel is not None
        self._loop.watch_channel(watch.channel, self._lose_memory_watch)
        return watch

    def _open_network(self, settings: Settings, uid: int, program: bytes) -> NetworkKeeper:
        """Without root there is no way out of the machine's network; each sandbox makes one for itself alone."""
        if not settings.has_user_namespace:
            return NetworkKeeper(settings.network, settings.cgroup_name, uid, program)
        if settings.network == "nat":
            raise StartupError(f"--network nat cannot be had: {_NO_WAY_OUT}")
        keeper = NetworkKeeper(OWN, settings.cgroup_name, uid, program)
        if settings.network == "auto":
            keeper.status = NetworkStatus("none", _NO_WAY_OUT)
        return keeper

    def _lose_memory_watch(self) -> None:
        raise ConnectionError("the watch over the memory of sandboxes has ended")

    def _hear_server(self) -> None:
        while self._is_open and (received := self._server.receive()) is not None:
            data, descriptors = received
            if not data:
                self._is_open = False
                return
            try:
                self._obey(msgspec.json.decode(data, type=ToLauncher), descriptors)
            except msgspec.DecodeError as error:  # a fault of the server's: it is safer to end than to guess
                log(f"a record of the server was refused: {error}")
                self._is_open = False
            finally:
                close_all(descriptors)

    def _obey(self, record: ToLauncher, descriptors: list[int]) -> None:
        match record:
            case Start():
                self._shells.start(record)
            case Stop():
                self._snapshots.end(record.sandbox_id)
                self._shells.stop(record.sandbox_id)
            case Unpack():
                self._files.unpack(record, descriptors[0])
            case Merge():
                self._files.merge(record)
            case UnpackLayer():
                self._files.unpack_layer(record, descriptors[0])
            case GiveUp():
                self._files.give_up(record)
            case Remove():
                self._shells.zygotes.forget_image(record.tree)
                self._files.remove(record)
            case RunTemplate():
                self._snapshots.run_template(record, descriptors)
            case TakeSnapshot():
                self._snapshots.take(record)
            case Clone():
                self._snapshots.clone(record, descriptors)

    def _clear_folders(self) -> None:
        """The root is only ever a mount point in other processes' eyes; staging holds what was never finished."""
        for name in (_ROOT, _STAGING):
            remove_tree(self._state_dir / name)


def _standing(users: Users | None) -> Standing:
    if users is None:
        return Standing.ROOT
    return Standing.USER_WITH_OTHERS if users.own else Standing.USER


def lock_folder(folder: Path) -> None:
    """Has the folder to itself until it ends; waits while the launcher of a killed server clears away what that one made."""

    def give_up(*_: object) -> None:
        raise StartupError(f"another server, or what is left of one, still uses {folder}")

    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(_PREDECESSOR_SECONDS)
    fcntl.flock(handle, fcntl.LOCK_EX)  # never closed: it ends with the process
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def beginning_anywhere(uids: range, name: str) -> list[int]:
    """Two servers on one machine then hardly ever give out the same user id at the same time."""
    first = zlib.crc32(name.encode()) % len(uids)
    return [*uids[first:], *uids[:first]]


def main(connection: int, settings: str) -> None:
    """`connection` is the descriptor of a SOCK_SEQPACKET socket to the server, which has the other end."""
    chosen = msgspec.json.decode(settings, type=Settings)
    server = Channel(socket.socket(fileno=connection))
    users = None
    if chosen.has_user_namespace:
        try:
            users = user_namespace.enter(range(chosen.first_uid + 1, chosen.last_uid + 1))
        except (OSError, StartupError) as error:
            server.send(CannotOpen(f"no user namespace can be had: {error}"))
            return
    for number in (signal.SIGINT, signal.SIGTERM):  # it ends when the server has, however that came about
        signal.signal(number, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    try:
        launcher = Launcher(chosen, server, users)
    except (OSError, StartupError) as error:
        server.send(CannotOpen(str(error)))
        return
    launcher.run()
