"""The `namespace` backend: sandboxes made of Linux namespaces, cgroups and a seccomp filter, by a launcher that runs as root.

This side holds no privilege and makes nothing by itself: it asks the launcher, and hands out the descriptors it gets.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import platform
import re
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

import msgspec

from lambdad.errors import SandboxError, StartupError
from lambdad.sandbox.base import (
    ENDPOINT_PORT,
    RUNTIME_API_PORT,
    SANDBOX_ADDRESS,
    ExitStatus,
    SandboxSpec,
    UnpackLimits,
    UnpackReport,
)
from lambdad.sandbox.cgroup import Cgroups
from lambdad.sandbox.launcher import Settings
from lambdad.sandbox.records import (
    CannotOpen,
    Channel,
    Exited,
    Failed,
    Opened,
    Program,
    RecordTooLong,
    Refused,
    Remove,
    Removed,
    Start,
    Started,
    Stop,
    Stopped,
    ToLauncher,
    ToServer,
    Unpack,
    Unpacked,
    close_all,
)
from lambdad.sandbox.seccomp import filter_program

DEFAULT_UIDS = range(20_000, 30_000)
_OLDEST_KERNEL = (5, 12)  # mount_setattr
#: What the launcher needs, by number: CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID, SETPCAP, NET_ADMIN, SYS_CHROOT, SYS_ADMIN,
#: MKNOD
_NEEDED_CAPABILITIES = (0, 1, 5, 6, 7, 8, 12, 18, 21, 27)
_UNPACKING_AT_ONCE = 4
_LOST = "the launcher has ended; no sandbox can be made until the server is started again"
_TMP_IS_MEMORY = "What a function writes to /tmp counts towards its memory size, so a large file there can get it killed."
_LAUNCH = """
import sys
sys.path.insert(0, {path!r})
from lambdad.sandbox.launcher import main
main({connection}, {settings!r})
"""

_Answer = TypeVar("_Answer")


class NamespaceSandbox:
    def __init__(self, owner: NamespaceSandboxes, sandbox_id: str, descriptors: list[int], log_pipe: int) -> None:
        runtime, endpoint, connection, *peak = descriptors
        self.sandbox_id = sandbox_id
        self.runtime_listener = _adopt(runtime)
        self.endpoint_listener: socket.socket | None = _adopt(endpoint)
        self.runtime_connection: socket.socket | None = _adopt(connection)
        self.log_pipe = log_pipe
        self._owner = owner
        self._peak_file: int | None = peak[0] if peak else None
        self._peak: int | None = None
        self._end: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self._stopping: asyncio.Task[None] | None = None

    async def exited(self) -> ExitStatus:
        return await asyncio.shield(self._end)

    def memory_peak_bytes(self) -> int | None:
        if self._peak_file is not None:
            try:
                self._peak = int(os.pread(self._peak_file, 32, 0))
            except OSError:  # its cgroup is gone: what was read last stays true
                return self._peak
        return self._peak

    async def stop(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop())
        await asyncio.shield(self._stopping)

    def note_end(self, status: ExitStatus) -> None:
        if not self._end.done():
            self._end.set_result(status)

    def close_descriptors(self) -> None:
        """All but the log pipe, which is its owner's to read to the end."""
        for door in (self.runtime_listener, self.endpoint_listener, self.runtime_connection):
            if door is not None:
                door.close()
        if self._peak_file is not None:
            os.close(self._peak_file)
            self._peak_file = None

    async def _stop(self) -> None:
        self.memory_peak_bytes()
        await self._owner.release(self.sandbox_id)
        self.close_descriptors()
        self.note_end(ExitStatus(signal=9))


class _Starting(NamedTuple):
    answer: asyncio.Future[NamespaceSandbox]
    log_pipe: int


class NamespaceSandboxes:
    """`state_dir` is a folder of this backend's own, on the file system of the trees that it unpacks."""

    name = "namespace"

    def __init__(self, state_dir: Path, uids: range = DEFAULT_UIDS, spares: int = 2) -> None:
        _check_machine()
        filter_program()
        if len(uids) < 3 or uids.step != 1 or uids.start < 1:
            raise StartupError(f"sandboxes need at least three user ids other than root's, not {uids}")
        cgroup_name = "lambdad-" + hashlib.sha256(os.fsencode(state_dir.absolute())).hexdigest()[:8]
        self.weaknesses: Sequence[str] = [_TMP_IS_MEMORY, *Cgroups(cgroup_name).weaknesses]
        self._settings = Settings(os.fspath(state_dir.absolute()), cgroup_name, uids[0], uids[-1], spares)
        self._channel: Channel | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._opened: asyncio.Future[Opened] | None = None
        self._lost = asyncio.Event()
        self._starting: dict[str, _Starting] = {}
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
                sys.executable,
                *("-I", "-c", code),
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
            self.weaknesses = [_TMP_IS_MEMORY, *(await self._opened).weaknesses]
        except StartupError:
            await self.close()
            raise

    async def start(self, spec: SandboxSpec) -> NamespaceSandbox:
        if spec.sandbox_id in self._starting or spec.sandbox_id in self._sandboxes:
            raise SandboxError(f"there is a sandbox {spec.sandbox_id} already")
        reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(writer, True)  # a function that prints faster than we read waits, as on AWS
        answer: asyncio.Future[NamespaceSandbox] = asyncio.get_running_loop().create_future()
        self._starting[spec.sandbox_id] = _Starting(answer, reader)
        try:
            self._send(_start_record(spec), [writer])
            return await answer
        except BaseException:
            self._abandon(spec.sandbox_id, reader)
            raise
        finally:
            os.close(writer)
            self._starting.pop(spec.sandbox_id, None)

    async def release(self, sandbox_id: str) -> None:
        """Has the launcher kill the sandbox and waits until nothing of it is left."""
        if self._channel is not None and sandbox_id in self._sandboxes:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._stopping[sandbox_id] = done
            self._send(Stop(sandbox_id))
            await done
        self._sandboxes.pop(sandbox_id, None)

    async def unpack(self, archives: Sequence[Path], destination: Path, limits: UnpackLimits) -> UnpackReport:
        async with self._unpacking:
            descriptors = [os.open(archive, os.O_RDONLY | os.O_CLOEXEC) for archive in archives]
            try:
                request = next(self._request_numbers)
                record = Unpack(request, _absolute(destination), limits.unpacked_bytes, limits.files)
                answer = await self._ask(record, descriptors)
            finally:
                close_all(descriptors)
        assert isinstance(answer, Unpacked)
        return UnpackReport(answer.unpacked_bytes, answer.refusal, answer.detail)

    async def remove(self, tree: Path) -> None:
        await self._ask(Remove(next(self._request_numbers), _absolute(tree)))

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

    def _send(self, record: Start | Stop | Unpack | Remove, descriptors: Sequence[int] = ()) -> None:
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
                self._note_start(record.sandbox_id, descriptors)
            case Refused():
                if record.sandbox_id in self._starting:
                    _fail(self._starting[record.sandbox_id].answer, SandboxError(record.reason))
            case Exited():
                if record.sandbox_id in self._sandboxes:
                    status = ExitStatus(record.code, record.signal, record.out_of_memory)
                    self._sandboxes[record.sandbox_id].note_end(status)
            case Stopped():
                _resolve(self._stopping.pop(record.sandbox_id, None), None)
            case Unpacked() | Removed():
                _resolve(self._requests.get(record.request), record)
            case Failed():
                _fail(self._requests.get(record.request), SandboxError(record.reason))
            case Opened():
                _resolve(self._opened, record)
            case CannotOpen():
                _fail(self._opened, StartupError(record.reason))

    def _note_start(self, sandbox_id: str, descriptors: list[int]) -> None:
        starting = self._starting.get(sandbox_id)
        if starting is None or starting.answer.done():
            close_all(descriptors)
            return
        sandbox = NamespaceSandbox(self, sandbox_id, descriptors, starting.log_pipe)
        self._sandboxes[sandbox_id] = sandbox
        starting.answer.set_result(sandbox)

    def _abandon(self, sandbox_id: str, reader: int) -> None:
        """Nobody wants this sandbox any more. The launcher forgets it, or kills what it has just made."""
        sandbox = self._sandboxes.pop(sandbox_id, None)
        if sandbox is not None:
            sandbox.close_descriptors()
        os.close(reader)
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
            _fail(starting.answer, SandboxError(_LOST))
        for request in self._requests.values():
            _fail(request, SandboxError(_LOST))
        for done in self._stopping.values():
            _resolve(done, None)
        for sandbox in self._sandboxes.values():
            sandbox.note_end(ExitStatus(signal=9))
        self._stopping.clear()


def _start_record(spec: SandboxSpec) -> Start:
    program = spec.program
    paths = {name: _absolute(getattr(program, name)) for name in ("interpreter", "language_root", "runtime_dir")}
    environment = {
        **spec.environment,
        "AWS_LAMBDA_RUNTIME_API": f"{SANDBOX_ADDRESS}:{RUNTIME_API_PORT}",
        "AWS_ENDPOINT_URL": f"http://{SANDBOX_ADDRESS}:{ENDPOINT_PORT}",
    }
    return Start(
        spec.sandbox_id,
        Program(program.name, **paths),
        _absolute(spec.task_root),
        None if spec.opt_root is None else _absolute(spec.opt_root),
        spec.memory_mb,
        spec.tmp_mb,
        environment,
    )


def _absolute(path: Path) -> str:
    return os.fspath(path.absolute())


def _check_machine() -> None:
    if sys.platform != "linux":
        raise StartupError("sandboxes made of namespaces need Linux")
    version = re.match(r"(\d+)\.(\d+)", platform.release())
    if version is None or (int(version[1]), int(version[2])) < _OLDEST_KERNEL:
        raise StartupError(f"sandboxes need Linux 5.12 or newer, and this is {platform.release()}")
    if os.geteuid() != 0:
        raise StartupError("making sandboxes needs root")
    status = Path("/proc/self/status").read_text()
    effective = int(re.search(r"^CapEff:\s*(\w+)", status, re.MULTILINE)[1], 16)  # type: ignore[index]
    if any(not effective >> number & 1 for number in _NEEDED_CAPABILITIES):
        raise StartupError(
            "root has no right to make namespaces, mounts and devices here, as in a container without privileges"
        )


def _adopt(descriptor: int) -> socket.socket:
    adopted = socket.socket(fileno=descriptor)
    adopted.setblocking(False)
    return adopted


def _resolve(future: asyncio.Future[_Answer] | None, value: _Answer) -> bool:
    if future is None or future.done():
        return False
    future.set_result(value)
    return True


def _fail(future: asyncio.Future[_Answer] | None, error: Exception) -> None:
    if future is not None and not future.done():
        future.set_exception(error)
