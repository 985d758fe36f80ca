"""The `process` backend: functions as plain processes of the server's user, not isolated. For platforms without namespaces."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import resource
import signal
import socket
import sys
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from lambdad.errors import FileSystemTrouble, SandboxEnded, SandboxError, StartupError
from lambdad.model.runtime_program import StartCommand
from lambdad.sandbox.base import ExitStatus, NetworkStatus, SandboxSpec, Snapshot, UnpackLimits, UnpackReport
from lambdad.sandbox.records import close_all
from lambdad.sandbox.shared_tree import merge
from lambdad.sandbox.tree_removal import remove_tree

_WEAKNESSES = (
    "Functions run as ordinary processes of the server's user and can read and change all that this user can.",
    "Functions can reach the network, each other and this machine's own services.",
    "The memory size and the size of /tmp are not enforced, and the number of processes is not limited.",
    "Processors are not shared by memory size: a function that is busy can slow down the others and the server.",
    "The paths /var/task, /opt and /tmp do not exist; LAMBDA_TASK_ROOT, PATH, TMPDIR and the like hold the real ones.",
)
_NO_IMAGES = "functions that are not isolated have no root folder of their own"
_NO_SNAPSHOTS = "functions that are not isolated cannot be cloned"
_NO_FILE_SYSTEMS = "functions that are not isolated see the machine's folders where they are, and none at /mnt"
_MAX_OPEN_FILES = 1024
_UNPACKING_AT_ONCE = 2
#: Variables whose values are paths inside a sandbox, alone or in lists parted by colons.
_STARTER = ("-B", "-E", "-s", "-S", os.fspath(Path(__file__).parent / "zygote" / "zygote_program.py"))
_PATH_VARIABLES = (
    *("LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "PATH", "LD_LIBRARY_PATH", "AWS_LAMBDA_EXEC_WRAPPER"),
    *("PYTHONPATH", "NODE_PATH", "NODE_EXTRA_CA_CERTS", "GEM_HOME", "GEM_PATH", "RUBYLIB", "DOTNET_ROOT"),
)
_UNPACK = "import sys; sys.path.insert(0, sys.argv[1]); from lambdad.sandbox.unpack import main; main(*sys.argv[2:])"

_PEAK = re.compile(r"^VmHWM:\s*(\d+) kB", re.MULTILINE)


class PlainProcess:
    """A process in a group of its own: a `SandboxProcess`."""

    def __init__(self, process: asyncio.subprocess.Process, log_pipe: int) -> None:
        self.log_pipe = log_pipe
        self.connection: socket.socket | None = None
        self.pid = process.pid
        self._process = process
        self._end = asyncio.get_running_loop().create_task(self._watch())

    @property
    def has_ended(self) -> bool:
        return self._end.done()

    async def exited(self) -> ExitStatus:
        return await asyncio.shield(self._end)

    def signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)

    def signal_group(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left in it; macOS says it the second way
            os.killpg(self.pid, number)

    async def kill(self) -> None:
        if not self._end.done():
            self.signal_group(signal.SIGKILL)
        await asyncio.shield(self._end)

    async def _watch(self) -> ExitStatus:
        code = await self._process.wait()
        self.signal_group(signal.SIGKILL)  # what it has left running
        return ExitStatus(signal=-code) if code < 0 else ExitStatus(code=code)


class ProcessSandbox:
    address = "127.0.0.1"

    def __init__(
        self,
        spec: SandboxSpec,
        listener: socket.socket,
        folder: Path,
        endpoint_url: str,
        forget: Callable[[str], object],
    ) -> None:
        self.sandbox_id = spec.sandbox_id
        self.runtime: PlainProcess | None = None
        self.runtime_listener = listener
        self.endpoint_listener: socket.socket | None = None
        self.loopback_listener: socket.socket | None = None
        self._spec = spec
        self._folder = folder
        self._endpoint_url = endpoint_url
        self._forget = forget
        self._processes: list[PlainProcess] = []
        self._stopping: asyncio.Task[None] | None = None
        self._peak: int | None = None

    async def run_runtime(self, environment: Mapping[str, str]) -> PlainProcess:
        if self.runtime is not None and not self.runtime.has_ended:
            raise SandboxError("a runtime is running already")
        program = self._spec.program
        if program.start is None:
            command = [os.fspath(program.interpreter), os.fspath(program.runtime_dir / "bootstrap.py")]
        else:
            command = [os.fspath(program.interpreter), *_STARTER, self._real_command(program.start)]
        assert self._spec.task_root is not None  # the backend makes no sandbox without
        self.runtime = await self._start(command, environment, self._spec.task_root)
        return self.runtime

    def _real_command(self, start: StartCommand) -> str:
        """With paths as they are on this machine; error messages have those inside."""
        real = self._real_paths()
        programs, arguments = ([_real_argument(text, real) for text in part] for part in (start.programs, start.arguments))
        return json.dumps({**msgspec.to_builtins(start), "programs": programs, "arguments": arguments, "names": start.programs})

    async def run(self, path: str, environment: Mapping[str, str]) -> PlainProcess:
        return await self._start([_real_path(path, self._real_paths())], environment, self._folder)

    async def kill_all(self) -> None:
        await asyncio.gather(*(process.kill() for process in self._processes))
        self._processes.clear()

    async def open_socket(self) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        made.setblocking(False)
        return made

    async def take_snapshot(self, let_go: Callable[[], None]) -> Snapshot:
        raise SandboxError(_NO_SNAPSHOTS)

    def memory_peak_bytes(self) -> int | None:
        """Of the runtime process alone: what it starts is not counted. Only Linux tells."""
        if self.runtime is None:
            return None
        try:
            status = Path(f"/proc/{self.runtime.pid}/status").read_text()
        except OSError:  # another system, or the process has ended: what was read last stays true
            return self._peak
        peak = _PEAK.search(status)
        if peak:  # a zombie has none
            self._peak = int(peak[1]) * 1024
        return self._peak

    def limit_cpu(self, share: float | None) -> None:
        """Without effect: nothing here could hold it."""

    async def freeze(self) -> None:
        self._signal_all(signal.SIGSTOP)

    async def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    async def stop(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        await self.kill_all()
        self.runtime_listener.close()
        await asyncio.to_thread(remove_tree, self._folder)
        self._forget(self.sandbox_id)

    def _signal_all(self, number: int) -> None:
        for process in self._processes:
            if not process.has_ended:
                process.signal_group(number)

    async def _start(self, command: Sequence[str], environment: Mapping[str, str], folder: Path) -> PlainProcess:
        if self._stopping is not None:
            raise SandboxEnded("the sandbox has ended")
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writer,
                stderr=writer,
                cwd=folder,
                env=self._environment(environment),
                start_new_session=True,
            )
        except BaseException as error:
            os.close(reader)
            if isinstance(error, OSError):
                raise SandboxError(error.strerror or str(error)) from error
            raise
        finally:
            os.close(writer)
        if sys.platform == "linux":
            with contextlib.suppress(ProcessLookupError):  # it has ended already
                resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (_MAX_OPEN_FILES, _MAX_OPEN_FILES))
                resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))
        made = PlainProcess(process, reader)
        self._processes = [one for one in self._processes if not one.has_ended] + [made]
        return made

    def _environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        real = self._real_paths()
        environment = dict(variables)
        for name in _PATH_VARIABLES:
            if name in environment:
                environment[name] = _real_paths(environment[name], real)
        environment["AWS_LAMBDA_RUNTIME_API"] = f"127.0.0.1:{self.runtime_listener.getsockname()[1]}"
        environment["AWS_ENDPOINT_URL"] = self._endpoint_url
        environment["TMPDIR"] = os.fspath(self._folder)
        environment["_LAMBDAD_OPT_ROOT"] = os.fspath(real["/opt"])  # where the runtime client looks for layers
        return environment

    def _real_paths(self) -> dict[str, Path]:
        spec = self._spec
        return {
            "/var/task": (spec.task_root or self._folder).absolute(),
            "/var/runtime": spec.program.runtime_dir.absolute(),
            "/var/lang": spec.program.language_root.absolute(),
            "/opt": spec.opt_root.absolute() if spec.opt_root is not None else self._folder / "opt",
        }


class ProcessSandboxes:
    """`state_dir` holds each sandbox's own TMPDIR; `endpoint_url` is where functions find the AWS endpoint."""

    name = "process"
    snapshot_problem: str | None = _NO_SNAPSHOTS
    pre_booted: Mapping[str, int] | None = None
    file_system_problem: str | None = _NO_FILE_SYSTEMS
    image_problem: str | None = _NO_IMAGES
    shares_processors = False

    def __init__(self, state_dir: Path, endpoint_url: str) -> None:
        if os.name != "posix":
            raise StartupError("functions need a POSIX system: Linux, macOS or another Unix")
        self.weaknesses: Sequence[str] = _WEAKNESSES
        self.network = NetworkStatus("host")
        self._folders = state_dir.absolute() / "sandboxes"
        self._staging = state_dir.absolute() / "unpacking"
        self._endpoint_url = endpoint_url
        self._sandboxes: dict[str, ProcessSandbox] = {}
        self._unpacking = asyncio.Semaphore(_UNPACKING_AT_ONCE)
        self._is_open = False

    async def open(self) -> None:
        for folder in (self._folders, self._staging):
            remove_tree(folder)  # not in a thread: there may be none before the server gives up its rights
            folder.mkdir(parents=True, mode=0o700)
        self._is_open = True

    async def start(self, spec: SandboxSpec) -> ProcessSandbox:
        if not self._is_open:
            raise SandboxError("the process backend is closed")
        if not spec.has_network:
            raise SandboxError("a function that is to have no network cannot run without isolation")
        if spec.task_root is None or not spec.task_root.is_dir():
            raise SandboxError(f"there is no folder {spec.task_root}")
        if spec.file_system is not None:
            raise FileSystemTrouble(FileSystemTrouble.UNSUITABLE, _NO_FILE_SYSTEMS)
        if spec.is_template or spec.snapshot is not None:
            raise SandboxError(_NO_SNAPSHOTS)
        folder = self._folders / spec.sandbox_id
        try:
            folder.mkdir()
        except FileExistsError as error:
            raise SandboxError(f"there is a sandbox {spec.sandbox_id} already") from error
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        listener.setblocking(False)
        sandbox = ProcessSandbox(spec, listener, folder, self._endpoint_url, self._forget)
        self._sandboxes[spec.sandbox_id] = sandbox
        if not spec.waits_with_runtime:
            try:
                await sandbox.run_runtime(spec.environment)
            except BaseException as error:
                await sandbox.stop()
                if isinstance(error, SandboxError):
                    raise SandboxError(f"{spec.program.name} could not be started: {error}") from error
                raise
        return sandbox

    async def unpack(self, archive: Path, destination: Path, limits: UnpackLimits) -> UnpackReport:
        return await self._make(destination, lambda staging: self._unpack(archive, staging, limits))

    async def merge(self, trees: Sequence[Path], destination: Path, limits: UnpackLimits) -> UnpackReport:
        return await self._make(destination, lambda staging: _merge_to_the_end(trees, staging, limits))

    async def _make(self, destination: Path, make: Callable[[Path], Awaitable[UnpackReport]]) -> UnpackReport:
        if os.path.lexists(destination):
            raise SandboxError(f"{destination} is there already")
        async with self._unpacking:
            staging = Path(tempfile.mkdtemp(dir=self._staging))
            try:
                report = await make(staging)
                if report.refusal is None:
                    staging.chmod(0o755)
                    staging.rename(destination)
            except (OSError, msgspec.DecodeError) as error:
                raise SandboxError(f"unpacking failed: {error}") from error
            finally:
                await asyncio.to_thread(remove_tree, staging)
        return report

    async def remove(self, tree: Path) -> None:
        await asyncio.to_thread(remove_tree, tree)

    async def lost(self) -> str:
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # it has no process that could be lost
        return await never

    async def close(self) -> None:
        self._is_open = False
        await asyncio.gather(*(sandbox.stop() for sandbox in list(self._sandboxes.values())))
        for folder in (self._folders, self._staging):
            await asyncio.to_thread(remove_tree, folder)

    def _forget(self, sandbox_id: str) -> None:
        self._sandboxes.pop(sandbox_id, None)

    async def unpack_layer(self, layer: Path, below: Path | None, destination: Path, limits: UnpackLimits) -> UnpackReport:
        raise SandboxError(
            "container images cannot be run with --isolation process: their files need a root folder of their own"
        )

    async def _unpack(self, archive: Path, staging: Path, limits: UnpackLimits) -> UnpackReport:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-c", _UNPACK, os.fspath(Path(__file__).parents[2])),
            *(os.fspath(staging), str(limits.unpacked_bytes), str(limits.files)),
            os.fspath(archive.absolute()),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            output, _ = await process.communicate()
        except asyncio.CancelledError:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                process.kill()
            await process.wait()
            raise
        return msgspec.json.decode(output, type=UnpackReport)


async def _merge_to_the_end(trees: Sequence[Path], root: Path, limits: UnpackLimits) -> UnpackReport:
    """Whoever waits: a thread cannot be stopped, and nothing is to be removed under it."""
    merging = asyncio.create_task(asyncio.to_thread(_merge, trees, root, limits))
    try:
        return await asyncio.shield(merging)
    except asyncio.CancelledError:
        await asyncio.wait([merging])
        raise


def _merge(trees: Sequence[Path], root: Path, limits: UnpackLimits) -> UnpackReport:
    opened: list[int] = []
    try:
        for tree in trees:
            opened.append(os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        return merge(opened, os.fspath(root), limits)
    finally:
        close_all(opened)


def _real_paths(paths: str, real: Mapping[str, Path]) -> str:
    """Of one path, or a list parted by colons."""
    return ":".join(_real_path(path, real) for path in paths.split(":"))


def _real_argument(text: str, real: Mapping[str, Path]) -> str:
    """Also of "--option=/var/runtime/file" and "-option:/var/runtime/file"."""
    return "=".join(_real_paths(part, real) for part in text.split("="))


def _real_path(path: str, real: Mapping[str, Path]) -> str:
    for inside, outside in real.items():
        if path == inside or path.startswith(inside + "/"):
            return f"{outside}{path[len(inside) :]}"
    return path
