"""The `namespace` backend: sandboxes made of Linux namespaces, cgroups and a seccomp filter, by a launcher that runs as root.

This side holds no privilege and makes nothing by itself: it asks the launcher, and hands out the descriptors it gets.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import itertools
import os
import platform
import re
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from lambdad.errors import SandboxError, StartupError
from lambdad.sandbox import user_namespace
from lambdad.sandbox.base import (
    ENDPOINT_PORT,
    RUNTIME_API_PORT,
    SANDBOX_ADDRESS,
    NetworkStatus,
    SandboxSpec,
    Snapshot,
    UnpackLimits,
    UnpackReport,
)
from lambdad.sandbox.cgroup import Cgroups, GroupFiles
from lambdad.sandbox.init_connection import InitConnection, InitProcess, Seat, adopt
from lambdad.sandbox.launcher import Settings
from lambdad.sandbox.namespace_snapshot import NamespaceSnapshot, Order, Snapshots, snapshot_problem
from lambdad.sandbox.records import (
    MAX_RECORD_BYTES,
    CannotOpen,
    Channel,
    Cloned,
    Failed,
    Opened,
    Program,
    RecordTooLong,
    Refused,
    Remove,
    Removed,
    SnapshotStep,
    Start,
    Started,
    Stop,
    Stopped,
    TemplateEnded,
    ToLauncher,
    ToServer,
    Unpack,
    Unpacked,
    close_all,
)
from lambdad.sandbox.seccomp import filter_program

DEFAULT_UIDS = range(20_000, 30_000)
_OLDEST_KERNEL = (5, 12)  # mount_setattr
_OLDEST_KERNEL_WITHOUT_ROOT = (5, 14)  # RLIMIT_NPROC counts by user namespace
#: What the launcher needs, by number: CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID, SETPCAP, NET_ADMIN, SYS_CHROOT, SYS_ADMIN,
#: MKNOD
_NEEDED_CAPABILITIES = (0, 1, 5, 6, 7, 8, 12, 18, 21, 27)
_UNPACKING_AT_ONCE = 4
MAX_ENVIRONMENT_BYTES = MAX_RECORD_BYTES - 8192  #: room for the rest of the record that it travels in
_LOST = "the launcher has ended; no sandbox can be made until the server is started again"
TMP_IS_MEMORY = "What a function writes to /tmp counts towards its memory size, so a large file there can get it killed."
_LAUNCH = """
import sys
sys.path.insert(0, {path!r})
from lambdad.sandbox.launcher import main
main({connection}, {settings!r})
"""

_Answer = TypeVar("_Answer")


class NamespaceSandbox:
    """`descriptors` are those of `Started`, whose `files` name the last of them."""

    address = SANDBOX_ADDRESS

    def __init__(self, owner: NamespaceSandboxes, sandbox_id: str, descriptors: list[int], files: list[str]) -> None:
        runtime, endpoint, commands, start, connection, log_pipe, *rest = descriptors
        self.sandbox_id = sandbox_id
        self.runtime: InitProcess | None = None
        self.runtime_listener = adopt(runtime)
        self.endpoint_listener: socket.socket | None = adopt(endpoint)
        self.loopback_listener: socket.socket | None = None
        self._group = GroupFiles(dict(zip(files, rest, strict=True)))
        self._init = InitConnection(adopt(commands), self._group.oom_kills)
        self._waiting: _WaitingRuntime | None = _WaitingRuntime(adopt(start), adopt(connection), log_pipe)
        self._owner = owner
        self._stopping: asyncio.Task[None] | None = None
        self._seat: Seat | None = None  #: for a runtime that is a template, or a clone of `_source`
        self._source: NamespaceSnapshot | None = None
        self._taken: NamespaceSnapshot | None = None

    async def prepare_snapshot(self, source: NamespaceSnapshot | None) -> None:
        """The runtime is to be a clone of `source`, or else a template."""
        self._source = source
        self._forget_waiting()
        self._seat = await self._init.make_seat()
        self.loopback_listener = adopt(self._seat.listener)

    async def take_snapshot(self, let_go: Callable[[], None]) -> NamespaceSnapshot:
        memory_bytes = self.memory_peak_bytes()
        snapshots, release = self._owner.snapshots, lambda: self._owner.release(self.sandbox_id)
        self._taken = await snapshots.take(self.sandbox_id, self._init, memory_bytes, release, let_go)
        return self._taken

    async def run_runtime(self, environment: Mapping[str, str]) -> InitProcess:
        if self.runtime is not None and not self.runtime.has_ended:
            raise SandboxError("a runtime is running already")
        variables = with_addresses(environment)
        self._close_connection()
        if self._seat is not None:
            self.runtime = await self._run_from_seat(variables)
        elif self._waiting is None:
            self.runtime = await self._init.run_runtime(variables)
        else:
            self._waiting.begin(encoded(variables))
            self.runtime = self._init.adopt_first_runtime(self._waiting.log_pipe, self._waiting.connection)
            self._waiting = None
        return self.runtime

    async def _run_from_seat(self, variables: dict[str, str]) -> InitProcess:
        seat, self._seat = self._seat, None
        assert seat is not None
        if self._source is not None:
            return await self._owner.snapshots.clone(self._source, self.sandbox_id, self._init, seat)
        return self._owner.snapshots.run_template(self.sandbox_id, self._init, seat, encoded(variables))

    async def run(self, path: str, environment: Mapping[str, str]) -> InitProcess:
        return await self._init.run(path, with_addresses(environment))

    async def kill_all(self) -> None:
        self._group.thaw()  # what is stopped by a signal dies nevertheless
        self._forget_waiting()
        await self._init.kill_all()

    async def open_socket(self) -> socket.socket:
        return await self._init.open_socket()

    def memory_peak_bytes(self) -> int | None:
        return self._group.memory_peak_bytes()

    def limit_cpu(self, share: float | None) -> None:
        self._group.limit_cpu(share)

    async def freeze(self) -> None:
        if self._stopping is not None:
            return
        if self._group.has_freezer:
            self._group.freeze()
        else:
            with contextlib.suppress(SandboxError):  # it has ended
                await self._init.stop_all()

    async def thaw(self) -> None:
        if self._group.has_freezer:
            self._group.thaw()
        else:
            self._init.send({"do": "continue"})

    async def stop(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop())
        await asyncio.shield(self._stopping)

    def note_end(self) -> None:
        """The launcher is gone, and every sandbox with it, unless it is frozen."""
        self._group.thaw()
        self._init.close()

    def abandon(self) -> None:
        """Nobody has seen it."""
        if self.runtime is not None:
            os.close(self.runtime.log_pipe)
        self._close_descriptors()

    async def _stop(self) -> None:
        self._group.memory_peak_bytes()  # remembers it
        self._group.thaw()
        if self._taken is None:  # else what is left of it is the snapshot's
            await self._owner.release(self.sandbox_id)
        self._close_descriptors()

    def _close_descriptors(self) -> None:
        """All but log pipes, which are their owner's to read to the end."""
        self._init.close()
        self._forget_waiting()
        self._close_connection()
        for listener in (self.runtime_listener, self.endpoint_listener, self.loopback_listener):
            if listener is not None:
                listener.close()
        if self._seat is not None:
            self._seat.close_inner()
            close_all([self._seat.log_pipe, self._seat.connection])
            self._seat = None
        self._group.close()

    def _close_connection(self) -> None:
        if self.runtime is not None and self.runtime.connection is not None:
            self.runtime.connection.close()

    def _forget_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.close()
            self._waiting = None


class _WaitingRuntime(NamedTuple):
    """The runtime client that was made before the function was known."""

    start: socket.socket
    connection: socket.socket
    log_pipe: int

    def begin(self, environment: bytes) -> None:
        Channel(self.start).send(environment)
        self.start.close()

    def close(self) -> None:
        self.start.close()
        self.connection.close()
        os.close(self.log_pipe)


class NamespaceSandboxes:
    """`state_dir` is a folder of this backend's own, on the file system of the trees that it unpacks. With `has_cpu_quota`
    sandboxes have `limit_cpu`, or `open` raises StartupError."""

    name = "namespace"

    def __init__(
        self,
        state_dir: Path,
        uids: range = DEFAULT_UIDS,
        spares: int = 2,
        *,
        has_cpu_quota: bool = False,
        network: str = "none",
    ) -> None:
        """`network` is what is wanted: "nat", "none", or "auto" for nat where it can be had."""
        self._is_root = _check_machine(uids)
        no_root = "without root no process may be led into another's sandbox"
        self.snapshot_problem = snapshot_problem(_effective_capabilities()) if self._is_root else no_root
        self.snapshots = Snapshots(self._send)
        filter_program()
        if len(uids) < 2 or uids.step != 1 or uids.start < 1:
            raise StartupError(f"sandboxes need at least two user ids other than root's, not {uids}")
        cgroup_name = "lambdad-" + hashlib.sha256(os.fsencode(state_dir.absolute())).hexdigest()[:8]
        self.weaknesses: Sequence[str] = [TMP_IS_MEMORY, *(Cgroups(cgroup_name).weaknesses if self._is_root else ())]
        self.network = NetworkStatus("none")
        self._settings = Settings(
            os.fspath(state_dir.absolute()), cgroup_name, uids[0], uids[-1], spares, has_cpu_quota, network, not self._is_root
        )
        self._launch_prefix: Sequence[str] = ()  #: for tests, who have it started by another user
        self._channel: Channel | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._opened: asyncio.Future[Opened] | None = None
        self._lost = asyncio.Event()
        self._starting: dict[str, asyncio.Future[NamespaceSandbox]] = {}
        self._stopping: dict[str, asyncio.Future[None]] = {}
        self._sandboxes: dict[str, NamespaceSandbox] = {}
        self._requests: dict[int, asyncio.Future[Unpacked | Removed]] = {}
        self._request_numbers = itertools.count()
        self._unpacking = asyncio.Semaphore(_UNPACKING_AT_ONCE)

    async def open(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            code = _LAUNCH.format(
                path=os.fspath(Path(__file__).parents[2]),
                connection=theirs.fileno(),
                settings=msgspec.json.encode(self._settings).decode(),
            )
            self._process = await asyncio.create_subprocess_exec(
                *self._launch_prefix,
                *(sys.executable, "-I", "-c", code),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        loop = asyncio.get_running_loop()
        self._lost.clear()
        self._channel = Channel(ours)
        self._opened = loop.create_future()
        loop.add_reader(ours, self._hear)
        try:
            opened = await self._opened
            self.weaknesses = [TMP_IS_MEMORY, *opened.weaknesses]
            self.network = opened.network
        except StartupError:
            await self.close()
            raise

    async def start(self, spec: SandboxSpec) -> NamespaceSandbox:
        if spec.sandbox_id in self._starting or spec.sandbox_id in self._sandboxes:
            raise SandboxError(f"there is a sandbox {spec.sandbox_id} already")
        encoded(with_addresses(spec.environment))  # what is wrong with it had better be known before anything is made
        answer: asyncio.Future[NamespaceSandbox] = asyncio.get_running_loop().create_future()
        self._starting[spec.sandbox_id] = answer
        try:
            self._send(start_record(spec))
            sandbox = await answer
            if spec.is_template or spec.snapshot is not None:
                await sandbox.prepare_snapshot(_own(spec.snapshot))
            if not spec.waits_with_runtime:
                await sandbox.run_runtime(spec.environment)
        except BaseException:
            self._abandon(spec.sandbox_id)
            raise
        finally:
            self._starting.pop(spec.sandbox_id, None)
        return sandbox

    async def release(self, sandbox_id: str) -> None:
        """Has the launcher kill the sandbox and waits until nothing of it is left."""
        if self._channel is not None and sandbox_id in self._sandboxes:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._stopping[sandbox_id] = done
            self._send(Stop(sandbox_id))
            await done
        self.snapshots.forget(sandbox_id)
        self._sandboxes.pop(sandbox_id, None)

    async def unpack(self, archives: Sequence[Path], destination: Path, limits: UnpackLimits) -> UnpackReport:
        async with self._unpacking:
            descriptors = [os.open(archive, os.O_RDONLY | os.O_CLOEXEC) for archive in archives]
            try:
                request = next(self._request_numbers)
                record = Unpack(request, absolute(destination), limits.unpacked_bytes, limits.files)
                answer = await self._ask(record, descriptors)
            finally:
                close_all(descriptors)
        assert isinstance(answer, Unpacked)
        return UnpackReport(answer.unpacked_bytes, answer.refusal, answer.detail)

    async def remove(self, tree: Path) -> None:
        await self._ask(Remove(next(self._request_numbers), absolute(tree)))

    async def lost(self) -> str:
        await self._lost.wait()
        return _LOST

    async def close(self) -> None:
        """The launcher ends when its socket closes, and takes everything with it."""
        if self._process is None:
            return
        await asyncio.gather(*(sandbox.stop() for sandbox in list(self._sandboxes.values())))
        self._lose()
        await self._process.wait()
        self._process = None

    # -- the launcher ----------------------------------------------------------------------------------------------------

    async def _ask(self, record: Unpack | Remove, descriptors: Sequence[int] = ()) -> Unpacked | Removed:
        answer: asyncio.Future[Unpacked | Removed] = asyncio.get_running_loop().create_future()
        self._requests[record.request] = answer
        try:
            self._send(record, descriptors)
            return await answer
        finally:
            del self._requests[record.request]

    def _send(self, record: Start | Stop | Unpack | Remove | Order, descriptors: Sequence[int] = ()) -> None:
        if self._channel is None:
            raise SandboxError(_LOST)
        data = msgspec.json.encode(record)
        try:
            msgspec.json.decode(data, type=ToLauncher)  # the launcher would end rather than guess what is meant
            self._channel.send(data, descriptors)
        except (msgspec.ValidationError, RecordTooLong) as error:
            raise SandboxError(f"no sandbox can be made like this: {error}") from error
        if self._channel.has_unsent:
            asyncio.get_running_loop().add_writer(self._channel.socket, self._flush)

    def _flush(self) -> None:
        if self._channel is not None:
            self._channel.flush()
            if not self._channel.has_unsent:
                asyncio.get_running_loop().remove_writer(self._channel.socket)

    def _hear(self) -> None:
        while self._channel is not None and (received := self._channel.receive()) is not None:
            data, descriptors = received
            if not data:
                self._lose()
                self._lost.set()
                return
            self._note(msgspec.json.decode(data, type=ToServer), descriptors)

    def _note(self, record: ToServer, descriptors: list[int]) -> None:
        match record:
            case Started():
                self._note_start(record, descriptors)
            case Refused():
                _fail(self._starting.get(record.sandbox_id), SandboxError(record.reason))
            case Stopped():
                _resolve(self._stopping.pop(record.sandbox_id, None), None)
            case Unpacked() | Removed():
                _resolve(self._requests.get(record.request), record)
            case Failed():
                _fail(self._requests.get(record.request), SandboxError(record.reason))
            case TemplateEnded() | SnapshotStep() | Cloned():
                self.snapshots.note(record)
            case Opened():
                _resolve(self._opened, record)
            case CannotOpen():
                _fail(self._opened, StartupError(record.reason))

    def _note_start(self, record: Started, descriptors: list[int]) -> None:
        answer = self._starting.get(record.sandbox_id)
        if answer is None or answer.done():
            close_all(descriptors)
            return
        sandbox = NamespaceSandbox(self, record.sandbox_id, descriptors, record.files)
        self._sandboxes[record.sandbox_id] = sandbox
        answer.set_result(sandbox)

    def _abandon(self, sandbox_id: str) -> None:
        """Nobody wants this sandbox any more. The launcher forgets it, or kills what it has just made."""
        sandbox = self._sandboxes.pop(sandbox_id, None)
        if sandbox is not None:
            sandbox.abandon()
        self.snapshots.forget(sandbox_id)
        if self._channel is not None:
            self._send(Stop(sandbox_id))

    def _lose(self) -> None:
        """Nothing more comes from the launcher: every sandbox is dead, every wait is over."""
        if self._channel is None:
            return
        asyncio.get_running_loop().remove_reader(self._channel.socket)
        asyncio.get_running_loop().remove_writer(self._channel.socket)
        self._channel.close()
        self._channel = None
        _fail(self._opened, StartupError("the launcher ended before it was ready; its reason is above"))
        for starting in self._starting.values():
            _fail(starting, SandboxError(_LOST))
        for request in self._requests.values():
            _fail(request, SandboxError(_LOST))
        for done in self._stopping.values():
            _resolve(done, None)
        self.snapshots.lose_all()
        for sandbox in self._sandboxes.values():
            sandbox.note_end()
        self._stopping.clear()


def start_record(spec: SandboxSpec) -> Start:
    program = spec.program
    paths = {name: absolute(getattr(program, name)) for name in ("interpreter", "language_root", "runtime_dir")}
    return Start(
        spec.sandbox_id,
        Program(program.name, **paths),
        absolute(spec.task_root),
        None if spec.opt_root is None else absolute(spec.opt_root),
        spec.memory_mb,
        spec.tmp_mb,
        spec.has_network,
    )


def with_addresses(environment: Mapping[str, str]) -> dict[str, str]:
    for name, value in environment.items():
        if not name or "=" in name or "\0" in name + value:
            raise SandboxError(f"{name!r} cannot be an environment variable with this value")
    return {
        **environment,
        "AWS_LAMBDA_RUNTIME_API": f"{SANDBOX_ADDRESS}:{RUNTIME_API_PORT}",
        "AWS_ENDPOINT_URL": f"http://{SANDBOX_ADDRESS}:{ENDPOINT_PORT}",
    }


def encoded(environment: Mapping[str, str]) -> bytes:
    data = msgspec.json.encode(environment)
    if len(data) > MAX_ENVIRONMENT_BYTES:
        raise SandboxError(f"an environment of {len(data)} bytes is longer than {MAX_ENVIRONMENT_BYTES}")
    return data


def absolute(path: Path) -> str:
    return os.fspath(path.absolute())


def _own(snapshot: Snapshot | None) -> NamespaceSnapshot | None:
    if snapshot is not None and not isinstance(snapshot, NamespaceSnapshot):
        raise SandboxError("this snapshot is another backend's")
    return snapshot


def _effective_capabilities() -> int:
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"^CapEff:\s*(\w+)", status, re.MULTILINE)[1], 16)  # type: ignore[index]


def _check_machine(uids: range) -> bool:
    """Whether this process is root, with all rights and all `uids`; else it can have a user namespace. Else StartupError."""
    if sys.platform != "linux":
        raise StartupError("sandboxes made of namespaces need Linux")
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    if version is None or _version(version) < _OLDEST_KERNEL:
        raise StartupError(f"sandboxes need Linux 5.12 or newer, and this is {platform.release()}")
    effective = _effective_capabilities()
    if os.geteuid() == 0 and all(effective >> number & 1 for number in _NEEDED_CAPABILITIES) and user_namespace.has(uids):
        return True
    if _version(version) < _OLDEST_KERNEL_WITHOUT_ROOT:
        raise StartupError(f"without root sandboxes need Linux 5.14 or newer, and this is {platform.release()}")
    obstacle = user_namespace.obstacle()
    if obstacle is not None:
        who = "root has no right to make namespaces and mounts here" if os.geteuid() == 0 else "this is not root"
        raise StartupError(f"{who}, and {obstacle}")
    return False


def _version(found: re.Match[str]) -> tuple[int, int]:
    return int(found[1]), int(found[2])


def _resolve(future: asyncio.Future[_Answer] | None, value: _Answer) -> bool:
    if future is None or future.done():
        return False
    future.set_result(value)
    return True


def _fail(future: asyncio.Future[_Answer] | None, error: Exception) -> None:
    if future is not None and not future.done():
        future.set_exception(error)
