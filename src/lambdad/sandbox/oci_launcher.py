"""The launcher of OCI sandboxes: the only privileged process of that backend. It has sandboxes made by an OCI runtime, on the
server's word, and unmade.

It runs in one thread, and reads no user's files: see `launcher`, whose records it understands. Its end is the end of everything
it made.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path

import msgspec

from lambdad.errors import FileSystemTrouble, SandboxError, StartupError
from lambdad.sandbox import linux
from lambdad.sandbox.cgroup import Cgroups
from lambdad.sandbox.cgroup_hierarchies import mount_points, version_2_beside_1
from lambdad.sandbox.cgroup_trees import remove_everywhere
from lambdad.sandbox.children import Children
from lambdad.sandbox.core_limit import make_room_for_one_byte
from lambdad.sandbox.file_system import Standing
from lambdad.sandbox.file_system_keeper import FileSystemKeeper
from lambdad.sandbox.file_work import FileWork
from lambdad.sandbox.launcher import CGROUPS_RECORD, beginning_anywhere, lock_folder
from lambdad.sandbox.network_keeper import NetworkKeeper
from lambdad.sandbox.oci_bundle import Root, Ways
from lambdad.sandbox.oci_container import Container, Workshop
from lambdad.sandbox.oci_file_system import FileSystems, enter_own_mounts
from lambdad.sandbox.oci_network import Networks
from lambdad.sandbox.oci_runtime import OciRuntime, Program
from lambdad.sandbox.oci_trial import try_out
from lambdad.sandbox.records import (
    CannotOpen,
    Channel,
    Failed,
    GiveUp,
    Merge,
    Opened,
    OpenSocket,
    Refused,
    Remove,
    SocketOpened,
    Start,
    Started,
    Stop,
    Stopped,
    ToOciLauncher,
    ToOciServer,
    Unpack,
    UnpackLayer,
    close_all,
)
from lambdad.sandbox.seccomp import filter_program
from lambdad.sandbox.shell_keeper import log
from lambdad.sandbox.tree_removal import remove_tree

_ROOT, _BUNDLES, _RUNTIME, _STAGING, _TRIAL, _FILE_SYSTEMS = (
    "root",
    "bundles",
    "runtime",
    "unpacking",
    "trial",
    "file-systems",
)  # folders in the state directory
_NO_UIDS = "all user ids for sandboxes are taken"
_MAKING_AT_ONCE = 2 * (os.cpu_count() or 1)


class Settings(msgspec.Struct, frozen=True):
    state_dir: str
    cgroup_name: str
    first_uid: int  #: unpacks, and passes on questions for names; the rest are the sandboxes'
    last_uid: int
    runtime: Program
    has_cpu_quota: bool = False
    network: str = "none"  #: what is wanted: nat, none, or auto
    file_systems: dict[str, str] = {}  #: ARN -> folder of the machine


class OciLauncher:
    def __init__(self, settings: Settings, server: Channel) -> None:
        self._settings = settings
        self._folder = Path(settings.state_dir)
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._is_over = asyncio.Event()
        self._making: dict[str, asyncio.Task[None]] = {}
        self._containers: dict[str, Container] = {}
        self._unmaking: dict[str, asyncio.Task[None]] = {}
        self._turn = asyncio.Semaphore(_MAKING_AT_ONCE)
        self._next_number = 0

    async def run(self) -> None:
        self._folder.mkdir(parents=True, mode=0o700, exist_ok=True)
        lock_folder(self._folder)
        if not self._settings.runtime.kind.takes_mixed_cgroups:
            _hide_version_2()
        if self._settings.file_systems:
            enter_own_mounts()
        name, uids = self._settings.cgroup_name, range(self._settings.first_uid, self._settings.last_uid + 1)
        keeper = NetworkKeeper(self._settings.network, name, uids[0], filter_program())
        networks = Networks(keeper, self._end)
        children = Children()
        core_weaknesses = make_room_for_one_byte()
        cgroups = Cgroups(name, has_quota=self._settings.has_cpu_quota, is_at_top=True)
        runtime = OciRuntime(self._settings.runtime, self._made(_RUNTIME), children)
        await self._clear_leftovers(runtime)
        cgroups.open(self._folder / CGROUPS_RECORD)
        watch = _Watch(self._loop)
        file_systems = FileSystemKeeper(watch, self._settings.file_systems, Standing.ROOT, self._loop.time)
        try:
            kind = self._settings.runtime.kind
            workshop = Workshop(
                runtime,
                cgroups,
                networks,
                name,
                self._made(_BUNDLES),
                Root.make(self._made(_ROOT), mount_points()),
                Ways(kind.memory_besides_mb, kind.init_capabilities, kind.hidden, kind.has_devices),
                FileSystems.make(file_systems, self._made(_FILE_SYSTEMS)),
            )
            self._workshop = workshop
            self._uids = deque(beginning_anywhere(uids[1:], name))
            await try_out(workshop, self._made(_TRIAL), self._uids[0], self._settings.runtime)
            files = FileWork(watch, self._made(_STAGING), uids[0], filter_program(), self._answer)
            self._files = files
            self._loop.add_reader(self._server.socket, self._hear_server)
            weaknesses = [*kind.weaknesses, *cgroups.weaknesses, *keeper.weaknesses, *file_systems.weaknesses, *core_weaknesses]
            self._answer(Opened(weaknesses, keeper.status, cgroups.shares_processors))
            await self._is_over.wait()
            files.close()
            await self._unmake_all()
        finally:
            self._clear_folders(_ROOT, _STAGING, _TRIAL)  # a bundle that is still there is one of what is left
            remove_everywhere(name)
            networks.close()
            file_systems.close()
            children.close()

    # -- what the server wants -------------------------------------------------------------------------------------------

    def _hear_server(self) -> None:
        while not self._is_over.is_set() and (received := self._server.receive()) is not None:
            data, descriptors = received
            if not data:
                self._end()
                return
            try:
                self._obey(msgspec.json.decode(data, type=ToOciLauncher), descriptors)
            except msgspec.DecodeError as error:  # a fault of the server's: it is safer to end than to guess
                log(f"a record of the server was refused: {error}")
                self._end()
            finally:
                close_all(descriptors)

    def _end(self) -> None:
        self._loop.remove_reader(self._server.socket)
        self._is_over.set()

    def _obey(self, record: ToOciLauncher, descriptors: list[int]) -> None:
        match record:
            case Start():
                self._begin(record)
            case Stop():
                self._begin_to_unmake(record.sandbox_id)
            case OpenSocket():
                self._open_socket(record)
            case Unpack():
                self._files.unpack(record, descriptors[0])
            case Merge():
                self._files.merge(record)
            case UnpackLayer():
                self._files.unpack_layer(record, descriptors[0])
            case GiveUp():
                self._files.give_up(record)
            case Remove():
                self._files.remove(record)

    def _begin(self, start: Start) -> None:
        if start.sandbox_id in self._containers or start.sandbox_id in self._making or start.sandbox_id in self._unmaking:
            self._answer(Refused(start.sandbox_id, "there is a sandbox of this name"))
        elif not self._uids:
            self._answer(Refused(start.sandbox_id, _NO_UIDS))
        else:
            self._making[start.sandbox_id] = self._loop.create_task(self._make(start))

    async def _make(self, start: Start) -> None:
        container: Container | None = None
        try:
            async with self._turn:
                container = self._container(start)
                await container.make()
                descriptors, files = container.hand_over()
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - somebody waits for an answer, whatever went wrong
            if container is not None:
                await self._discard(start.sandbox_id, container)
            del self._making[start.sandbox_id]
            trouble = error.kind if isinstance(error, FileSystemTrouble) else ""
            self._answer(Refused(start.sandbox_id, str(error) or type(error).__name__, trouble))
            return
        del self._making[start.sandbox_id]
        self._containers[start.sandbox_id] = container
        self._answer(Started(start.sandbox_id, files), descriptors)
        close_all(descriptors)

    def _container(self, start: Start) -> Container:
        if not self._uids:  # others have come before it since it was begun
            raise SandboxError(_NO_UIDS)
        number, self._next_number = self._next_number, self._next_number + 1
        return Container(self._workshop, start, number, self._uids.popleft())

    def _open_socket(self, record: OpenSocket) -> None:
        container = self._containers.get(record.sandbox_id)
        try:
            if container is None:
                raise SandboxError("the sandbox has ended")
            with container.open_socket() as made:
                self._answer(SocketOpened(record.request), [made.fileno()])
        except (SandboxError, OSError) as error:
            self._answer(Failed(record.request, str(error)))

    # -- the end of sandboxes --------------------------------------------------------------------------------------------

    def _begin_to_unmake(self, sandbox_id: str) -> None:
        if sandbox_id not in self._making and sandbox_id not in self._containers:
            if sandbox_id not in self._unmaking:
                self._answer(Stopped(sandbox_id))
        elif sandbox_id not in self._unmaking:
            self._unmaking[sandbox_id] = self._loop.create_task(self._unmake(sandbox_id))

    async def _unmake(self, sandbox_id: str) -> None:
        making = self._making.get(sandbox_id)
        if making is not None:
            making.cancel()
            await asyncio.wait([making])
        container = self._containers.pop(sandbox_id, None)
        if container is not None:
            await self._discard(sandbox_id, container)
        del self._unmaking[sandbox_id]
        self._answer(Stopped(sandbox_id))

    async def _discard(self, sandbox_id: str, container: Container) -> None:
        left = await container.unmake()
        if left is None:
            self._uids.append(container.uid)
        else:  # nobody else should be the user of what may still be there
            log(f"something of sandbox {sandbox_id} is left to the next start: {left}")

    async def _unmake_all(self) -> None:
        for sandbox_id in {*self._making, *self._containers}:
            self._begin_to_unmake(sandbox_id)
        await asyncio.gather(*self._unmaking.values())

    # -- beginning and end -----------------------------------------------------------------------------------------------

    async def _clear_leftovers(self, runtime: OciRuntime) -> None:
        """What an earlier, killed launcher has made, whose sandboxes bundles are named after."""
        remove_everywhere(self._settings.cgroup_name)
        for bundle in self._made(_BUNDLES).iterdir():
            left = await runtime.delete(bundle.name)
            if left is not None:
                raise StartupError(f"what is left of a sandbox of an earlier server cannot be removed: {left}")
        self._clear_folders(_ROOT, _BUNDLES, _STAGING, _TRIAL)

    def _clear_folders(self, *names: str) -> None:
        for name in names:
            remove_tree(self._folder / name)

    def _made(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir(mode=0o755, exist_ok=True)
        return folder

    def _answer(self, record: ToOciServer, descriptors: list[int] | tuple[int, ...] = ()) -> None:
        self._server.send(record, descriptors)
        if self._server.has_unsent:
            self._loop.add_writer(self._server.socket, self._flush)

    def _flush(self) -> None:
        self._server.flush()
        if not self._server.has_unsent:
            self._loop.remove_writer(self._server.socket)


class _Watch:
    """What `FileWork` needs of an event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def watch(self, source: int, handler: Callable[[], None]) -> None:
        self._loop.add_reader(source, handler)

    def forget(self, source: int) -> None:
        self._loop.remove_reader(source)


def _hide_version_2() -> None:
    """From this process and the runtime, where version 1 is mounted too, and has the controllers of interest."""
    unwanted = version_2_beside_1()
    if unwanted:
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount(None, "/", None, linux.MS_REC | linux.MS_SLAVE)
        for mount_point in unwanted:
            linux.unmount(os.fspath(mount_point))


async def _run(settings: Settings, server: Channel) -> None:
    try:
        await OciLauncher(settings, server).run()
    except (OSError, StartupError, SandboxError) as error:
        server.send(CannotOpen(str(error)))


def main(connection: int, settings: str) -> None:
    """`connection` is the descriptor of a SOCK_SEQPACKET socket to the server, which has the other end."""
    for number in (signal.SIGINT, signal.SIGTERM):  # it ends when the server has, however that came about
        signal.signal(number, signal.SIG_IGN)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    linux.prctl(linux.PR_SET_DUMPABLE, 0)
    os.set_inheritable(connection, False)
    os.umask(0o022)
    asyncio.run(_run(msgspec.json.decode(settings, type=Settings), Channel(socket.socket(fileno=connection))))
    sys.exit(0)
