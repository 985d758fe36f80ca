"""The contract of an isolation backend. `tests/contract/test_sandbox.py` holds every backend to it.

A sandbox is the isolation of one execution environment and the runtime process in it, for one version of one function. It knows
nothing of invocations: bytes on the Runtime API sockets are somebody else's business.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lambdad.model.file_system import FileSystem
from lambdad.model.runtime_program import RuntimeProgram as RuntimeProgram

#: Where the code inside finds the Runtime API and the AWS endpoint, when the backend has a network of its own for it.
SANDBOX_ADDRESS = "169.254.100.1"
RUNTIME_API_PORT = 9001
ENDPOINT_PORT = 4566
RESOLVER_ADDRESS = "169.254.100.2"  #: where it asks for names, if its network leads anywhere


@dataclass(frozen=True, slots=True)
class NetworkStatus:
    """Where the code in sandboxes gets, besides its Runtime API and the AWS endpoint."""

    #: "nat": outside, and nowhere else. "none": nowhere. "host": wherever this machine does, its own services included.
    mode: str
    remark: str = ""  #: why it is not more than that, or what was changed on the machine for it


class Snapshot(Protocol):
    """The memory of an initialised runtime, of which clones get copies on write."""

    memory_bytes: int | None  #: the most that its making took; None where the backend cannot tell

    @property
    def is_lost(self) -> bool:
        """Nothing can be cloned from it any more."""
        ...

    async def lost(self) -> None:
        """Waits until nothing can be cloned from it any more. May be awaited by several."""
        ...

    async def close(self) -> None:
        """Gives the memory back; clones live on. Returns when that is done. May be repeated."""
        ...


@dataclass(frozen=True, slots=True)
class SandboxSpec:
    sandbox_id: str  #: [a-z0-9-]{1,40}, unique in this server
    program: RuntimeProgram
    task_root: Path | None  #: unpacked package, seen as /var/task, read-only; None for an image, which has its own
    opt_root: Path | None  #: merged layers, seen as /opt, read-only
    memory_mb: int
    tmp_mb: int
    #: The runtime process's whole environment, with paths as they are inside (/var/task ...). The backend sets or corrects
    #: AWS_LAMBDA_RUNTIME_API and AWS_ENDPOINT_URL, and paths where it cannot mount.
    environment: Mapping[str, str]
    #: Leave the runtime process out for now: extensions are started first, and then `Sandbox.run_runtime`.
    waits_with_runtime: bool = False
    #: What a runtime may be booted with before there is a function, so that this one may begin in it; None where it needs an
    #: interpreter of its own. Nothing of the function's is in it. A backend may do without.
    boot: Mapping[str, str] | None = None
    file_system: FileSystem | None = None  #: one of those that the backend was told of
    has_network: bool = True  #: False: its Runtime API and the AWS endpoint are all that it reaches, whatever others do
    #: The runtime is to be the template of a snapshot: see `Sandbox.take_snapshot`.
    is_template: bool = False
    #: The runtime is a clone from here: whoever reads its connection goes on where the template was, and `environment` is the
    #: template's. It has a sandbox of its own like any other.
    snapshot: Snapshot | None = None


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process ended: an exit code, or the number of the signal that killed it."""

    code: int | None = None
    signal: int | None = None
    out_of_memory: bool = False


class SandboxProcess(Protocol):
    """A process that lambdad started in a sandbox: the runtime, or an extension. Every method is harmless after its end."""

    log_pipe: int  #: read end of its stdout and stderr, non-blocking; the owner closes it
    connection: socket.socket | None  #: a connection to the runtime client that needs no accept; only a runtime has one

    async def exited(self) -> ExitStatus:
        """Waits for its end, also that of the whole sandbox. May be awaited by several, and after the end."""
        ...

    def signal(self, number: int) -> None:
        """Sends it a signal."""
        ...


class Sandbox(Protocol):
    """A started sandbox. Every method is harmless after its end, but for those that start something: SandboxError."""

    sandbox_id: str
    address: str  #: where `open_socket` reaches a server inside that listens on all addresses
    runtime_listener: socket.socket  #: listening TCP socket where AWS_LAMBDA_RUNTIME_API points; the owner accepts on it
    endpoint_listener: socket.socket | None  #: listening TCP socket where AWS_ENDPOINT_URL points, if the backend needs one
    loopback_listener: socket.socket | None  #: listening TCP socket at 127.0.0.1:9001, for a template or a clone only

    @property
    def runtime(self) -> SandboxProcess | None:
        """The one started last; None before the first."""
        ...

    async def run_runtime(self, environment: Mapping[str, str]) -> SandboxProcess:
        """Starts the runtime process. SandboxError if one is running."""
        ...

    async def run(self, path: str, environment: Mapping[str, str]) -> SandboxProcess:
        """Starts the executable file at `path`, as it is called inside, as the user of the sandbox. SandboxError with
        the system's reason if it cannot be run."""
        ...

    async def kill_all(self) -> None:
        """Kills every process of the function and of its extensions and waits until they are gone. What is in /tmp stays, and
        `run` and `run_runtime` work again."""
        ...

    async def open_socket(self) -> socket.socket:
        """An unconnected non-blocking TCP socket that connects from within the sandbox: to a server that an extension runs."""
        ...

    async def take_snapshot(self, let_go: Callable[[], None]) -> Snapshot:
        """Of the runtime, a template. It has to call fork when it hears of `let_go`, which is called once that is expected; the
        child is what every clone goes on as. The sandbox has ended afterwards, and is the snapshot's to stop. CannotSnapshot
        with a reason for the function's owner where it holds what a clone cannot have."""
        ...

    def memory_peak_bytes(self) -> int | None:
        """Most memory used so far by everything inside; None where the backend cannot tell."""
        ...

    def limit_cpu(self, share: float | None) -> None:
        """From now on everything inside together gets at most so many processors' time; None, as in the beginning, is no bound.
        Only where the backend was made to hold such a quota: else without effect."""
        ...

    async def freeze(self) -> None:
        """Stops everything inside in its tracks until `thaw`: it uses no processor, keeps its memory, and notices nothing but
        the clock. May be repeated. `kill_all` and `stop` work on what is frozen."""
        ...

    async def thaw(self) -> None:
        """Lets everything inside run on. On the way of an invocation, so it has to be quick. May be repeated."""
        ...

    async def stop(self) -> None:
        """Kills everything inside and gives back every resource; returns when they are gone. Closes the sockets."""
        ...


UNBOUNDED = 1 << 62


@dataclass(frozen=True, slots=True)
class UnpackLimits:
    unpacked_bytes: int
    files: int = 100_000
    disk_bytes: int = UNBOUNDED  #: of a layer: what may be taken of the disk, besides what it shares with those below it
    inodes: int = UNBOUNDED


@dataclass(frozen=True, slots=True)
class UnpackReport:
    """`refusal` is None when the archives were unpacked; else why not, and nothing was left behind."""

    unpacked_bytes: int
    #: "not-a-zip", "not-a-tar", "empty", "too-big", "slip", "link", "bad-crc", "too-many-files", "no-room", "encrypted",
    #: "unsupported"
    refusal: str | None = None
    detail: str = ""
    diff_id: str = ""  #: of a layer: hex SHA-256 of the tar inside
    disk_bytes: int = 0  #: of a layer: what its tree takes of the disk and shares with no layer below
    inodes: int = 0


class Sandboxes(Protocol):
    """A backend: makes sandboxes. Its constructor raises StartupError where the machine cannot provide it."""

    name: str  #: "namespace", "oci (runc 1.1.5)", "process"
    network: NetworkStatus  #: what is in force, once `open` has returned
    snapshot_problem: str | None  #: why no snapshots can be taken here, as a sentence; None where they can
    file_system_problem: str | None  #: why functions have no file systems here, as a sentence; None where they can
    image_problem: str | None  #: why no container images can be run here, as a sentence; None where they can
    weaknesses: Sequence[str]  #: what this backend does not keep apart on this machine, in full sentences; [] if nothing
    shares_processors: bool  #: by memory size, once `open` has returned
    pre_booted: Mapping[str, int] | None  #: how many runtimes wait for a function, by program; None where none ever do

    async def open(self) -> None:
        """Starts the backend's processes and removes what an earlier, killed server left behind."""
        ...

    async def start(self, spec: SandboxSpec) -> Sandbox:
        """A sandbox whose runtime process is running. SandboxError when it cannot be made, FileSystemTrouble if its file system
        is why; then nothing is left behind."""
        ...

    async def unpack(self, archive: Path, destination: Path, limits: UnpackLimits) -> UnpackReport:
        """Checks and unpacks the zip into `destination` (made by this call, must not exist), as an unprivileged process. Files
        become world-readable and read-only to every sandbox."""
        ...

    async def merge(self, trees: Sequence[Path], destination: Path, limits: UnpackLimits) -> UnpackReport:
        """As `unpack`, folders that it made, one over the other: the new one shares their files, and no byte is copied."""
        ...

    async def unpack_layer(self, layer: Path, below: Path | None, destination: Path, limits: UnpackLimits) -> UnpackReport:
        """As `unpack`, a layer of a container image (tar, or tar in gzip or zstd) over the tree `below`, which an earlier call
        has made of the layers below and with which the new one shares files. SandboxError where images cannot be run. Whoever
        is cancelled has it ended, and nothing is left of it."""
        ...

    async def remove(self, tree: Path) -> None:
        """Removes a folder that one of these made."""
        ...

    async def lost(self) -> str:
        """Waits until the backend can make no more sandboxes though nobody closed it, and returns the sentence that says so.
        Every sandbox has ended then. For most backends, and most of the time, that never comes."""
        ...

    async def close(self) -> None:
        """Stops all sandboxes and the backend's processes."""
        ...
