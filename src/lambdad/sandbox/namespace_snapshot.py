"""The server's side of snapshots in the `namespace` backend: what it asks of the launcher, and what it hears of it."""

from __future__ import annotations

import asyncio
import os
import platform
import socket
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import BinaryIO

from lambdad.errors import CannotSnapshot, SandboxError
from lambdad.sandbox.init_connection import InitConnection, InitProcess, Seat, adopt
from lambdad.sandbox.records import Channel, Clone, Cloned, RunTemplate, SnapshotStep, TakeSnapshot, TemplateEnded, close_all

_CAP_SYS_PTRACE = 19
_GONE = "the snapshot is gone"
MOST_TMP_BYTES = 512 << 20  #: /tmp of a function with SnapStart has no more

Order = RunTemplate | TakeSnapshot | Clone
Send = Callable[[Order, Sequence[int]], None]


def snapshot_problem(capabilities: int, proc: Path = Path("/proc")) -> str | None:
    """Why no snapshots can be taken on this machine by root with these effective capabilities."""
    if platform.machine() != "x86_64":
        return f"snapshots are made on x86_64 only, and this is {platform.machine()}"
    if not capabilities >> _CAP_SYS_PTRACE & 1:
        return "root has no right to trace processes here (CAP_SYS_PTRACE)"
    scope = proc / "sys/kernel/yama/ptrace_scope"
    if scope.exists() and scope.read_text().strip() == "3":
        return "this machine forbids to trace processes (kernel.yama.ptrace_scope is 3)"
    return None


class NamespaceSnapshot:
    """Named after the sandbox of its template. `release` has the launcher let go of both. `files` has what was in /tmp, if
    there was anything; it has no name, and goes when it is closed."""

    def __init__(
        self,
        snapshot_id: str,
        memory_bytes: int | None,
        release: Callable[[], Awaitable[None]],
        files: BinaryIO | None = None,
    ) -> None:
        self.snapshot_id = snapshot_id
        self._files = files
        self.memory_bytes = memory_bytes
        self._release = release
        self._lost = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None

    @property
    def is_lost(self) -> bool:
        return self._lost.is_set()

    async def lost(self) -> None:
        await self._lost.wait()

    async def fill(self, init: InitConnection) -> None:
        """Gives the sandbox of a clone what was in the template's /tmp."""
        if self._files is None or self.is_lost:
            return
        # Opened anew: from the start, and not to write.
        source = os.open(f"/proc/self/fd/{self._files.fileno()}", os.O_RDONLY | os.O_CLOEXEC)
        try:
            await init.unpack_files(source)
        finally:
            os.close(source)

    async def close(self) -> None:
        self.note_loss()
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._release())
        await asyncio.shield(self._closing)

    def note_loss(self) -> None:
        self._lost.set()
        if self._files is not None:
            self._files.close()
            self._files = None


class Snapshots:
    """All that are being taken or are there, and the clones in the making."""

    def __init__(self, send: Send, folder: Path) -> None:
        """`folder` is on a disk with room for what functions leave in /tmp."""
        self._send = send
        self._folder = folder
        self._steps: dict[str, asyncio.Queue[SnapshotStep]] = {}
        self._snapshots: dict[str, NamespaceSnapshot] = {}
        self._templates: dict[str, InitConnection] = {}
        self._cloning: dict[str, asyncio.Future[int]] = {}

    def run_template(self, sandbox_id: str, init: InitConnection, seat: Seat, environment: bytes) -> InitProcess:
        start, inner_start = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._steps[sandbox_id] = asyncio.Queue()
        self._templates[sandbox_id] = init
        try:
            with start, inner_start:
                self._send(RunTemplate(sandbox_id), [inner_start.fileno(), seat.inside, seat.log])
                Channel(start).send(environment)
        except BaseException:  # the launcher is lost
            close_all([seat.log_pipe, seat.connection])
            self.forget(sandbox_id)
            raise
        finally:
            seat.close_inner()
        return init.add_template(seat.log_pipe, adopt(seat.connection))

    async def take(
        self,
        sandbox_id: str,
        init: InitConnection,
        memory_bytes: int | None,
        release: Callable[[], Awaitable[None]],
        let_go: Callable[[], None],
    ) -> NamespaceSnapshot:
        steps = self._steps.get(sandbox_id)
        if steps is None:
            raise SandboxError("this is no template")
        files = await self._files_of(init)
        snapshot = NamespaceSnapshot(sandbox_id, memory_bytes, release, files)
        try:
            self._send(TakeSnapshot(sandbox_id), [])
            await self._await(steps, "expecting")
            let_go()
            self._snapshots[sandbox_id] = snapshot
            await self._await(steps, "taken")
        except BaseException:
            self._snapshots.pop(sandbox_id, None)
            snapshot.note_loss()
            raise
        return snapshot

    async def _files_of(self, init: InitConnection) -> BinaryIO | None:
        if not await init.has_files():
            return None
        try:
            files = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 - the snapshot's to close
        except OSError as error:
            raise SandboxError(f"what is in /tmp cannot be kept: {error}") from error
        try:
            await init.pack_files(files.fileno(), MOST_TMP_BYTES)
        except BaseException:
            files.close()
            raise
        return files

    async def clone(self, snapshot: NamespaceSnapshot, sandbox_id: str, init: InitConnection, seat: Seat) -> InitProcess:
        made: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._cloning[sandbox_id] = made
        try:
            try:
                self._send(Clone(sandbox_id, snapshot.snapshot_id), [seat.log, seat.inside])
            finally:
                seat.close_inner()
            pid = await made
        except BaseException:
            os.close(seat.log_pipe)
            os.close(seat.connection)
            raise
        finally:
            del self._cloning[sandbox_id]
        connection = adopt(seat.connection)
        try:
            return await init.adopt_clone(pid, seat.log_pipe, connection)
        except SandboxError:  # it has ended already, or its sandbox has
            os.close(seat.log_pipe)
            connection.close()
            raise

    def note(self, record: TemplateEnded | SnapshotStep | Cloned) -> None:
        match record:
            case TemplateEnded():
                self._end_template(record.sandbox_id, record.code, record.signal)
            case SnapshotStep():
                self._note_step(record)
            case Cloned():
                self._note_clone(record)

    def lose_all(self) -> None:
        """The launcher is gone, and all that it has made."""
        for sandbox_id in list(self._steps):
            self._note_step(SnapshotStep(sandbox_id, "gone", _GONE))
        for made in self._cloning.values():
            if not made.done():
                made.set_exception(SandboxError(_GONE))

    def forget(self, sandbox_id: str) -> None:
        """Its sandbox, and so the snapshot, is no more."""
        self._steps.pop(sandbox_id, None)
        self._templates.pop(sandbox_id, None)
        self._snapshots.pop(sandbox_id, None)

    async def _await(self, steps: asyncio.Queue[SnapshotStep], wanted: str) -> None:
        step = await steps.get()
        if step.step == "refused":
            raise CannotSnapshot(step.reason)
        if step.step != wanted:
            raise SandboxError(f"the snapshot could not be taken: {step.reason}")

    def _note_step(self, record: SnapshotStep) -> None:
        if record.step == "gone":
            if record.sandbox_id in self._snapshots:
                self._snapshots[record.sandbox_id].note_loss()
            self._end_template(record.sandbox_id, None, 9)
        steps = self._steps.get(record.sandbox_id)
        if steps is not None:
            steps.put_nowait(record)

    def _end_template(self, sandbox_id: str, code: int | None, number: int | None) -> None:
        init = self._templates.pop(sandbox_id, None)
        if init is not None:
            init.note_template_end(code, number)

    def _note_clone(self, record: Cloned) -> None:
        made = self._cloning.get(record.sandbox_id)
        if made is None or made.done():
            return
        if record.pid is None:
            made.set_exception(SandboxError(record.reason))
        else:
            made.set_result(record.pid)
