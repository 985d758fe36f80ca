"""The `process` backend: functions as plain processes of the server's user, not isolated. For platforms without namespaces."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from lambdad.errors import SandboxError, StartupError
from lambdad.sandbox.base import ExitStatus, SandboxSpec, UnpackLimits, UnpackReport

_WEAKNESSES = (
    "Functions run as ordinary processes of the server's user and can read and change all that this user can.",
    "Functions can reach the network, each other and this machine's own services.",
    "The memory size and the size of /tmp are not enforced, and the number of processes is not limited.",
    "The paths /var/task, /opt and /tmp do not exist; LAMBDA_TASK_ROOT, PATH, TMPDIR and the like hold the real ones.",
)
_MAX_OPEN_FILES = 1024
_UNPACKING_AT_ONCE = 2
#: Variables whose values are paths inside a sandbox, alone or in lists parted by colons.
_PATH_VARIABLES = ("LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "PYTHONPATH", "PATH", "LD_LIBRARY_PATH", "AWS_LAMBDA_EXEC_WRAPPER")
_UNPACK = "import sys; sys.path.insert(0, sys.argv[1]); from lambdad.sandbox.unpack import main; main(*sys.argv[2:])"

_PEAK = re.compile(r"^VmHWM:\s*(\d+) kB", re.MULTILINE)


class ProcessSandbox:
    def __init__(
        self,
        sandbox_id: str,
        listener: socket.socket,
        log_pipe: int,
        process: asyncio.subprocess.Process,
        folder: Path,
        forget: Callable[[str], object],
    ) -> None:
        self.sandbox_id = sandbox_id
        self.runtime_listener = listener
        self.runtime_connection: socket.socket | None = None
        self.endpoint_listener: socket.socket | None = None
        self.log_pipe = log_pipe
        self._process = process
        self._folder = folder
        self._forget = forget
        self._end = asyncio.get_running_loop().create_task(self._watch())
        self._stopping: asyncio.Task[None] | None = None
        self._peak: int | None = None

    async def exited(self) -> ExitStatus:
        return await asyncio.shield(self._end)

    def memory_peak_bytes(self) -> int | None:
        """Of the runtime process alone: what it starts is not counted. Only Linux tells."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text()
        except OSError:  # another system, or the process has ended: what was read last stays true
            return self._peak
        peak = _PEAK.search(status)
        if peak:  # a zombie has none
            self._peak = int(peak[1]) * 1024
        return self._peak

    async def stop(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop())
        await asyncio.shield(self._stopping)

    async def _stop(self) -> None:
        if not self._end.done():
            self._kill_group()
        await asyncio.shield(self._end)
        self.runtime_listener.close()
        await asyncio.to_thread(_remove_tree, self._folder)
        self._forget(self.sandbox_id)

    async def _watch(self) -> ExitStatus:
        code = await self._process.wait()
        self._kill_group()  # what the runtime has left running
        return ExitStatus(signal=-code) if code < 0 else ExitStatus(code=code)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):  # nobody is left in it; macOS says it the second way
            os.killpg(self._process.pid, signal.SIGKILL)


class ProcessSandboxes:
    """`state_dir` holds each sandbox's own TMPDIR; `endpoint_url` is where functions find the AWS endpoint."""

    name = "process"

    def __init__(self, state_dir: Path, endpoint_url: str) -> None:
        if os.name != "posix":
            raise StartupError("functions need a POSIX system: Linux, macOS or another Unix")
        self.weaknesses: Sequence[str] = _WEAKNESSES
        self._folders = state_dir.absolute() / "sandboxes"
        self._staging = state_dir.absolute() / "unpacking"
        self._endpoint_url = endpoint_url
        self._sandboxes: dict[str, ProcessSandbox] = {}
        self._unpacking = asyncio.Semaphore(_UNPACKING_AT_ONCE)
        self._is_open = False

    async def open(self) -> None:
        for folder in (self._folders, self._staging):
            _remove_tree(folder)  # not in a thread: there may be none before the server gives up its rights
            folder.mkdir(parents=True, mode=0o700)
        self._is_open = True

    async def start(self, spec: SandboxSpec) -> ProcessSandbox:
        if not self._is_open:
            raise SandboxError("the process backend is closed")
        if not spec.task_root.is_dir():
            raise SandboxError(f"there is no folder {spec.task_root}")
        folder = self._folders / spec.sandbox_id
        try:
            folder.mkdir()
        except FileExistsError as error:
            raise SandboxError(f"there is a sandbox {spec.sandbox_id} already") from error
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        listener.setblocking(False)
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        try:
            process = await self._start_process(spec, folder, listener.getsockname()[1], writer)
        except BaseException as error:
            listener.close()
            os.close(reader)
            _remove_tree(folder)
            if isinstance(error, OSError):
                raise SandboxError(f"{spec.program.name} could not be started: {error}") from error
            raise
        finally:
            os.close(writer)
        sandbox = ProcessSandbox(spec.sandbox_id, listener, reader, process, folder, self._forget)
        self._sandboxes[spec.sandbox_id] = sandbox
        return sandbox

    async def unpack(self, archives: Sequence[Path], destination: Path, limits: UnpackLimits) -> UnpackReport:
        if os.path.lexists(destination):
            raise SandboxError(f"{destination} is there already")
        async with self._unpacking:
            staging = Path(tempfile.mkdtemp(dir=self._staging))
            try:
                report = await self._unpack(archives, staging, limits)
                if report.refusal is None:
                    staging.chmod(0o755)
                    staging.rename(destination)
            except (OSError, msgspec.DecodeError) as error:
                raise SandboxError(f"unpacking failed: {error}") from error
            finally:
                await asyncio.to_thread(_remove_tree, staging)
        return report

    async def remove(self, tree: Path) -> None:
        await asyncio.to_thread(_remove_tree, tree)

    async def lost(self) -> str:
        never: asyncio.Future[str] = asyncio.get_running_loop().create_future()  # it has no process that could be lost
        return await never

    async def close(self) -> None:
        self._is_open = False
        await asyncio.gather(*(sandbox.stop() for sandbox in list(self._sandboxes.values())))
        for folder in (self._folders, self._staging):
            await asyncio.to_thread(_remove_tree, folder)

    def _forget(self, sandbox_id: str) -> None:
        self._sandboxes.pop(sandbox_id, None)

    async def _start_process(self, spec: SandboxSpec, folder: Path, port: int, log: int) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            spec.program.interpreter,
            spec.program.runtime_dir / "bootstrap.py",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=spec.task_root,
            env=self._environment(spec, folder, port),
            start_new_session=True,
        )
        if sys.platform == "linux":
            with contextlib.suppress(ProcessLookupError):  # it has ended already
                resource.prlimit(process.pid, resource.RLIMIT_NOFILE, (_MAX_OPEN_FILES, _MAX_OPEN_FILES))
                resource.prlimit(process.pid, resource.RLIMIT_CORE, (0, 0))
        return process

    def _environment(self, spec: SandboxSpec, folder: Path, port: int) -> dict[str, str]:
        real = {
            "/var/task": spec.task_root.absolute(),
            "/var/runtime": spec.program.runtime_dir.absolute(),
            "/var/lang": spec.program.language_root.absolute(),
            "/opt": spec.opt_root.absolute() if spec.opt_root is not None else folder / "opt",
        }
        environment = dict(spec.environment)
        for name in _PATH_VARIABLES:
            if name in environment:
                environment[name] = ":".join(_real_path(path, real) for path in environment[name].split(":"))
        environment["AWS_LAMBDA_RUNTIME_API"] = f"127.0.0.1:{port}"
        environment["AWS_ENDPOINT_URL"] = self._endpoint_url
        environment["TMPDIR"] = os.fspath(folder)
        environment["_LAMBDAD_OPT_ROOT"] = os.fspath(real["/opt"])  # where the runtime client looks for layers
        return environment

    async def _unpack(self, archives: Sequence[Path], staging: Path, limits: UnpackLimits) -> UnpackReport:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-c", _UNPACK, os.fspath(Path(__file__).parents[2])),
            *(os.fspath(staging), str(limits.unpacked_bytes), str(limits.files)),
            *(os.fspath(archive.absolute()) for archive in archives),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
        )
        try:
            output, _ = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            await process.wait()
            raise
        return msgspec.json.decode(output, type=UnpackReport)


def _real_path(path: str, real: Mapping[str, Path]) -> str:
    for inside, outside in real.items():
        if path == inside or path.startswith(inside + "/"):
            return f"{outside}{path[len(inside) :]}"
    return path


def _remove_tree(tree: Path) -> None:
    """Links in it are removed, not followed. Harmless if there is none."""
    if os.path.lexists(tree):
        shutil.rmtree(tree)
