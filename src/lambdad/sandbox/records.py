"""What the server and the launcher say to each other, and the socket it travels on.

Every record is one packet of a SOCK_SEQPACKET pair: JSON with a tag, checked field by field by whoever receives it, with
descriptors beside it. Neither side ever waits for the other.
"""

from __future__ import annotations

import array
import os
import socket
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from lambdad.model.runtime_program import RuntimeProgram, StartCommand
from lambdad.sandbox.base import NetworkStatus

MAX_RECORD_BYTES = 128 * 1024
_MAX_DESCRIPTORS = 32

SandboxId = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]{1,40}\Z")]
AbsolutePath = Annotated[str, msgspec.Meta(pattern=r"^/[^\x00]*\Z", max_length=4096)]
MemoryMb = Annotated[int, msgspec.Meta(ge=16, le=1 << 20)]
TmpMb = Annotated[int, msgspec.Meta(ge=1, le=1 << 20)]
RequestNumber = Annotated[int, msgspec.Meta(ge=0)]


class _Record(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="record"):
    """Base of all records: nothing unknown in them."""


class Program(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9.-]{1,40}\Z")]
    interpreter: AbsolutePath
    language_root: AbsolutePath
    runtime_dir: AbsolutePath
    start: StartCommand | None = None
    python_root: AbsolutePath | None = None
    image_root: AbsolutePath | None = None

    def as_runtime_program(self) -> RuntimeProgram:
        return RuntimeProgram(
            self.name,
            Path(self.interpreter),
            Path(self.language_root),
            Path(self.runtime_dir),
            self.start,
            None if self.python_root is None else Path(self.python_root),
            None if self.image_root is None else Path(self.image_root),
        )


class FileSystemMount(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A folder that the launcher knows by the ARN, to be seen as /mnt/`name`."""

    arn: Annotated[str, msgspec.Meta(max_length=256)]
    name: Annotated[str, msgspec.Meta(pattern=r"^(?!\.{1,2}\Z)[a-zA-Z0-9_.-]{1,155}\Z")]


class Start(_Record, frozen=True, tag="start"):
    """Answered by Started or Refused."""

    sandbox_id: SandboxId
    program: Program
    task_root: AbsolutePath | None
    opt_root: AbsolutePath | None
    memory_mb: MemoryMb
    tmp_mb: TmpMb
    has_network: bool = True
    file_system: FileSystemMount | None = None
    boot: dict[str, str] | None = None  #: as `SandboxSpec` has it


class Stop(_Record, frozen=True, tag="stop"):
    """Answered by Stopped when everything inside is gone."""

    sandbox_id: SandboxId


class Unpack(_Record, frozen=True, tag="unpack"):
    """With the opened archive. Answered by Unpacked or Failed."""

    request: RequestNumber
    destination: AbsolutePath
    unpacked_bytes: Annotated[int, msgspec.Meta(ge=0)]
    files: Annotated[int, msgspec.Meta(ge=0)]


class Merge(_Record, frozen=True, tag="merge"):
    """Answered by Unpacked or Failed."""

    request: RequestNumber
    destination: AbsolutePath
    trees: tuple[AbsolutePath, ...]
    unpacked_bytes: Annotated[int, msgspec.Meta(ge=0)]
    files: Annotated[int, msgspec.Meta(ge=0)]


class UnpackLayer(_Record, frozen=True, tag="unpack-layer"):
    """With the opened layer. `below` is the tree of the layers below, if there are any; as a path, for files can be linked only
    as the launcher sees them. Answered by Unpacked or Failed."""

    request: RequestNumber
    destination: AbsolutePath
    below: AbsolutePath | None
    unpacked_bytes: Annotated[int, msgspec.Meta(ge=0)]
    files: Annotated[int, msgspec.Meta(ge=0)]
    disk_bytes: Annotated[int, msgspec.Meta(ge=0)]
    inodes: Annotated[int, msgspec.Meta(ge=0)]


class GiveUp(_Record, frozen=True, tag="give-up"):
    """Ends an unpacking that was begun by this request, and is answered by Failed then, once nothing of it is left. Without
    effect where it has ended."""

    request: RequestNumber


class Remove(_Record, frozen=True, tag="remove"):
    """Answered by Removed or Failed."""

    request: RequestNumber
    tree: AbsolutePath


class OpenSocket(_Record, frozen=True, tag="open-socket"):
    """Only of the launcher of OCI sandboxes. Answered by SocketOpened, with the socket, or Failed."""

    request: RequestNumber
    sandbox_id: SandboxId


class RunTemplate(_Record, frozen=True, tag="run-template"):
    """Runs, in a started sandbox, the runtime of which a snapshot is to be taken; the snapshot has the sandbox's name. With the
    socket on which its environment comes, its connection and its log. Answered by TemplateEnded if it ends by itself, and by
    the SnapshotStep `gone` when the snapshot is no more, whatever the reason; Stop brings that about."""

    sandbox_id: SandboxId


class TakeSnapshot(_Record, frozen=True, tag="take-snapshot"):
    """Answered by SnapshotStep: `expecting` a fork of the template's, then `taken` when its sandbox has ended, or `refused`."""

    sandbox_id: SandboxId


class Clone(_Record, frozen=True, tag="clone"):
    """Puts a clone into a started sandbox. With its log and its connection. Answered by Cloned."""

    sandbox_id: SandboxId
    snapshot_id: SandboxId


class Opened(_Record, frozen=True, tag="opened"):
    """The launcher is ready."""

    weaknesses: list[str]
    network: NetworkStatus
    shares_processors: bool  #: by memory size


class CannotOpen(_Record, frozen=True, tag="cannot-open"):
    """The machine does not provide what sandboxes need; the launcher ends."""

    reason: str


class Started(_Record, frozen=True, tag="started"):
    """The sandbox is made, and its runtime waits for its environment. With, in this order: the runtime listener, the endpoint
    listener, the init's socket, the socket on which the runtime's environment is to come, the runtime's connection, the read
    end of its output, and the `files` of the cgroup, which are as `Group.open_files` has them. In an OCI sandbox no runtime
    waits: of it there is nothing."""

    sandbox_id: SandboxId
    files: list[str]


class Refused(_Record, frozen=True, tag="refused"):
    sandbox_id: SandboxId
    reason: str
    file_system_trouble: str = ""  #: its kind, where that is the reason


class Stopped(_Record, frozen=True, tag="stopped"):
    sandbox_id: SandboxId


class PreBooted(_Record, frozen=True, tag="pre-booted"):
    """How many runtimes wait for a function, by the program's name. Sent by itself whenever that has changed."""

    waiting: dict[str, int]


class Unpacked(_Record, frozen=True, tag="unpacked"):
    request: RequestNumber
    unpacked_bytes: int
    refusal: str | None
    detail: str
    diff_id: str = ""
    disk_bytes: int = 0
    inodes: int = 0


class Removed(_Record, frozen=True, tag="removed"):
    request: RequestNumber


class Failed(_Record, frozen=True, tag="failed"):
    request: RequestNumber
    reason: str


class SocketOpened(_Record, frozen=True, tag="socket-opened"):
    request: RequestNumber


class TemplateEnded(_Record, frozen=True, tag="template-ended"):
    sandbox_id: SandboxId
    code: int | None
    signal: int | None


class SnapshotStep(_Record, frozen=True, tag="snapshot-step"):
    sandbox_id: SandboxId
    step: Literal["expecting", "taken", "refused", "gone"]
    reason: str


class Cloned(_Record, frozen=True, tag="cloned"):
    """`pid` is as seen inside; None if it could not be made."""

    sandbox_id: SandboxId
    pid: int | None
    reason: str


ToLauncher = Start | Stop | Unpack | Merge | UnpackLayer | GiveUp | Remove | RunTemplate | TakeSnapshot | Clone
ToServer = (
    Opened
    | CannotOpen
    | Started
    | Refused
    | Stopped
    | PreBooted
    | Unpacked
    | Removed
    | Failed
    | TemplateEnded
    | SnapshotStep
    | Cloned
)

ToOciLauncher = Start | Stop | Unpack | Merge | UnpackLayer | GiveUp | Remove | OpenSocket
ToOciServer = Opened | CannotOpen | Started | Refused | Stopped | Unpacked | Removed | Failed | SocketOpened


class RecordTooLong(ValueError):
    """The record does not fit into a packet."""


class Channel:
    """One end of a pair, never blocking: what cannot be sent now is kept, in order, until `flush` is called."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self.socket = connection
        self._outbox: deque[tuple[bytes, list[int]]] = deque()

    @property
    def has_unsent(self) -> bool:
        return bool(self._outbox)

    def send(self, record: object, descriptors: Sequence[int] = ()) -> None:
        """Sends copies of `descriptors` along; the caller may close its own at once."""
        data = record if isinstance(record, bytes) else msgspec.json.encode(record)
        if len(data) > MAX_RECORD_BYTES:
            raise RecordTooLong(f"a record of {len(data)} bytes is longer than {MAX_RECORD_BYTES}")
        if self._outbox or not self._try_send(data, descriptors):
            self._outbox.append((data, [os.dup(descriptor) for descriptor in descriptors]))

    def flush(self) -> None:
        while self._outbox:
            data, descriptors = self._outbox[0]
            if not self._try_send(data, descriptors):
                return
            self._outbox.popleft()
            close_all(descriptors)

    def receive(self) -> tuple[bytes, list[int]] | None:
        """The next record and its descriptors; None if there is none now; (b"", []) when the other side is gone."""
        try:
            data, ancillary, flags, _ = self.socket.recvmsg(
                MAX_RECORD_BYTES, socket.CMSG_SPACE(4 * _MAX_DESCRIPTORS), socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return None
        except ConnectionError:
            return b"", []
        descriptors = array.array("i")
        for level, kind, content in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
        if flags & (socket.MSG_TRUNC | socket.MSG_CTRUNC):
            close_all(descriptors)
            raise RecordTooLong("a record arrived cut short")
        return data, list(descriptors)

    def close(self) -> None:
        for _, descriptors in self._outbox:
            close_all(descriptors)
        self._outbox.clear()
        self.socket.close()

    def _try_send(self, data: bytes, descriptors: Sequence[int]) -> bool:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        try:
            self.socket.sendmsg([data], ancillary, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            return False
        except ConnectionError:
            return True  # nobody is left to read it; the end is noticed where records are received
        return True


def close_all(descriptors: Sequence[int] | array.array[int]) -> None:
    for descriptor in descriptors:
        os.close(descriptor)
