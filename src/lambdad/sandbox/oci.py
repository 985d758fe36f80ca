"""The `oci` backend: sandboxes made by an OCI runtime that the user names (runc, crun, gVisor's runsc), without any engine.

This side holds no privilege and makes nothing by itself: it asks the launcher, and hands out the descriptors it gets.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from lambdad.errors import FileSystemTrouble, SandboxError, StartupError
from lambdad.sandbox.base import SANDBOX_ADDRESS, SandboxSpec, Snapshot
from lambdad.sandbox.cgroup import Cgroups, GroupFiles
from lambdad.sandbox.init_connection import InitConnection, InitProcess, adopt
from lambdad.sandbox.launched import DEFAULT_UIDS, LaunchedSandboxes, cgroup_name, check_uids
from lambdad.sandbox.launcher_link import LauncherLink
from lambdad.sandbox.oci_launcher import Settings
from lambdad.sandbox.oci_runtime import find_runtime
from lambdad.sandbox.records import OpenSocket, Started, ToOciLauncher, ToOciServer, close_all
from lambdad.sandbox.seccomp import filter_program
from lambdad.sandbox.start_record import absolute, encoded, with_addresses

DEFAULT_RUNTIME = "runc"
_NO_SNAPSHOTS = "an OCI runtime's containers cannot be cloned"


class OciInit(InitConnection):
    """To an init that is given the pipe for a process's output, and sends no descriptors: see `container_init`."""

    async def run(self, path: str, environment: Mapping[str, str]) -> InitProcess:
        return await self._start({"do": "run", "path": path, "environment": environment})

    async def run_runtime(self, environment: Mapping[str, str]) -> InitProcess:
        return await self._start({"do": "runtime", "environment": environment})

    async def _start(self, command: Mapping[str, object]) -> InitProcess:
        reader, writer = os.pipe()
        os.fchmod(writer, 0o622)  # /dev/stdout is opened anew by its user
        owned = [reader]
        try:
            return await self._ask(command, lambda number, _: self._add(number, owned.pop(), None), [writer])
        finally:
            os.close(writer)
            close_all(owned)


class OciSandbox:
    """`descriptors` are those of `Started`, whose `files` name the last of them."""

    address = SANDBOX_ADDRESS

    def __init__(self, owner: OciSandboxes, record: Started, descriptors: list[int]) -> None:
        runtime, endpoint, commands, *rest = descriptors
        self.sandbox_id = record.sandbox_id
        self.runtime: InitProcess | None = None
        self.runtime_listener = adopt(runtime)
        self.endpoint_listener: socket.socket | None = adopt(endpoint)
        self.loopback_listener: socket.socket | None = None
        self._group = GroupFiles(dict(zip(record.files, rest, strict=True)))
        self._init = OciInit(adopt(commands), self._group.oom_kills)
        self._owner = owner
        self._stopping: asyncio.Task[None] | None = None

    async def run_runtime(self, environment: Mapping[str, str]) -> InitProcess:
        if self.runtime is not None and not self.runtime.has_ended:
            raise SandboxError("a runtime is running already")
        self.runtime = await self._init.run_runtime(_checked(environment))
        return self.runtime

    async def run(self, path: str, environment: Mapping[str, str]) -> InitProcess:
        return await self._init.run(path, _checked(environment))

    async def kill_all(self) -> None:
        self._group.thaw()
        await self._init.kill_all()

    async def open_socket(self) -> socket.socket:
        return await self._owner.open_socket(self.sandbox_id)

    async def take_snapshot(self, let_go: Callable[[], None]) -> Snapshot:
        raise SandboxError(_NO_SNAPSHOTS)

    def memory_peak_bytes(self) -> int | None:
        return self._group.memory_peak_bytes()

    def limit_cpu(self, share: float | None) -> None:
        self._group.limit_cpu(share)

    async def freeze(self) -> None:
        if self._stopping is None:
            self._group.freeze()

    async def thaw(self) -> None:
        self._group.thaw()

    async def stop(self) -> None:
        if self._stopping is None:
            self._stopping = asyncio.get_running_loop().create_task(self._stop())
        await asyncio.shield(self._stopping)

    def note_end(self) -> None:
        """The launcher is gone, and every sandbox goes with it."""
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
        await self._owner.release(self.sandbox_id)
        self._close_descriptors()

    def _close_descriptors(self) -> None:
        """All but log pipes, which are their owner's to read to the end."""
        self._init.close()
        for listener in (self.runtime_listener, self.endpoint_listener):
            if listener is not None:
                listener.close()
        self._group.close()


class OciSandboxes(LaunchedSandboxes[OciSandbox]):
    """`state_dir` is a folder of this backend's own, on the file system of the trees that it unpacks. `runtime` is the name or
    the path of an OCI runtime."""

    snapshot_problem: str | None = _NO_SNAPSHOTS
    pre_booted: Mapping[str, int] | None = None

    def __init__(
        self,
        state_dir: Path,
        runtime: str,
        uids: range = DEFAULT_UIDS,
        *,
        has_cpu_quota: bool = False,
        network: str = "none",
        file_systems: Mapping[str, Path] | None = None,
    ) -> None:
        """`network` is what is wanted: "nat", "none", or "auto" for nat where it can be had. `file_systems` are folders by the
        ARNs of access points."""
        if sys.platform != "linux":
            raise StartupError("OCI runtimes need Linux")
        if os.geteuid() != 0:
            raise StartupError("making sandboxes with an OCI runtime needs root")
        filter_program()
        check_uids(uids)
        program = find_runtime(runtime)
        self.name = f"oci ({program.name} {program.version})"
        group = cgroup_name(state_dir)
        own = [*program.kind.weaknesses, *Cgroups(group, has_quota=has_cpu_quota, is_at_top=True).weaknesses]
        self.file_system_problem = program.kind.file_system_problem
        shown = {} if self.file_system_problem else {arn: absolute(folder) for arn, folder in (file_systems or {}).items()}
        settings = Settings(absolute(state_dir), group, uids[0], uids[-1], program, has_cpu_quota, network, shown)
        link = LauncherLink("lambdad.sandbox.oci_launcher", ToOciLauncher, ToOciServer)
        super().__init__(link, settings, partial(OciSandbox, self), own)

    async def start(self, spec: SandboxSpec) -> OciSandbox:
        if spec.file_system is not None and self.file_system_problem is not None:
            raise FileSystemTrouble(FileSystemTrouble.UNSUITABLE, self.file_system_problem)
        if spec.is_template or spec.snapshot is not None:
            raise SandboxError(_NO_SNAPSHOTS)
        _checked(spec.environment)  # what is wrong with it had better be known before anything is made
        async with self._started(spec) as sandbox:
            if not spec.waits_with_runtime:
                await sandbox.run_runtime(spec.environment)
        return sandbox

    async def open_socket(self, sandbox_id: str) -> socket.socket:
        request = next(self._link.numbers)
        return await self._link.ask(request, OpenSocket(request, sandbox_id), lambda _, descriptors: adopt(descriptors[0]))


def _checked(environment: Mapping[str, str]) -> dict[str, str]:
    variables = with_addresses(environment)
    encoded(variables)
    return variables
