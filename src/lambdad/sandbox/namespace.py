"""The `namespace` backend: sandboxes made of Linux namespaces, cgroups and a seccomp filter, by a launcher that runs as root.

This side holds no privilege and makes nothing by itself: it asks the launcher, and hands out the descriptors it gets.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import re
import socket
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from lambdad.errors import SandboxError, StartupError
from lambdad.sandbox import user_namespace
from lambdad.sandbox.base import SANDBOX_ADDRESS, SandboxSpec, Snapshot
from lambdad.sandbox.cgroup import Cgroups, GroupFiles
from lambdad.sandbox.init_connection import InitConnection, InitProcess, Seat, adopt
from lambdad.sandbox.launched import DEFAULT_UIDS, LaunchedSandboxes, cgroup_name, check_uids
from lambdad.sandbox.launcher import Settings
from lambdad.sandbox.launcher_link import LauncherLink
from lambdad.sandbox.namespace_snapshot import NamespaceSnapshot, Snapshots, snapshot_problem
from lambdad.sandbox.records import (
    Channel,
    PreBooted,
    Started,
    ToLauncher,
    ToServer,
    close_all,
)
from lambdad.sandbox.seccomp import filter_program
from lambdad.sandbox.start_record import absolute, encoded, with_addresses

_OLDEST_KERNEL = (5, 12)  # mount_setattr
_OLDEST_KERNEL_WITHOUT_ROOT = (5, 14)  # RLIMIT_NPROC counts by user namespace
#: What the launcher needs, by number: CHOWN, DAC_OVERRIDE, KILL, SETGID, SETUID, SETPCAP, NET_ADMIN, SYS_CHROOT, SYS_ADMIN,
#: MKNOD
_NEEDED_CAPABILITIES = (0, 1, 5, 6, 7, 8, 12, 18, 21, 27)


class NamespaceSandbox:
    """`descriptors` are those of `Started`, whose `files` name the last of them."""

    address = SANDBOX_ADDRESS

    def __init__(self, owner: NamespaceSandboxes, record: Started, descriptors: list[int]) -> None:
        runtime, endpoint, commands, start, connection, log_pipe, *rest = descriptors
        self.sandbox_id = record.sandbox_id
        self.runtime: InitProcess | None = None
        self.runtime_listener = adopt(runtime)
        self.endpoint_listener: socket.socket | None = adopt(endpoint)
        self.loopback_listener: socket.socket | None = None
        self._group = GroupFiles(dict(zip(record.files, rest, strict=True)))
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
        if source is not None:
            await source.fill(self._init)

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
        self._owner.snapshots.forget(self.sandbox_id)
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


class NamespaceSandboxes(LaunchedSandboxes[NamespaceSandbox]):
    """`state_dir` is a folder of this backend's own, on the file system of the trees that it unpacks. With `has_cpu_quota`
    sandboxes have `limit_cpu`, or `open` raises StartupError."""

    name = "namespace"
    file_system_problem: str | None = None

    def __init__(
        self,
        state_dir: Path,
        uids: range = DEFAULT_UIDS,
        spares: int = 2,
        *,
        pre_booted: int = 0,
        has_cpu_quota: bool = False,
        network: str = "none",
        file_systems: Mapping[str, Path] | None = None,
    ) -> None:
        """`network` is what is wanted: "nat", "none", or "auto" for nat where it can be had. `file_systems` are folders by the
        ARNs of access points."""
        self._is_root = _check_machine(uids)
        no_root = "without root no process may be led into another's sandbox"
        self.snapshot_problem = snapshot_problem(_effective_capabilities()) if self._is_root else no_root
        self.snapshots = Snapshots(lambda order, descriptors: self._link.send(order, descriptors), state_dir)
        filter_program()
        check_uids(uids)
        group = cgroup_name(state_dir)
        self.pre_booted: Mapping[str, int] | None = {} if pre_booted and spares else None
        settings = Settings(
            os.fspath(state_dir.absolute()),
            group,
            uids[0],
            uids[-1],
            spares,
            pre_booted,
            has_cpu_quota,
            network,
            {arn: absolute(folder) for arn, folder in (file_systems or {}).items()},
            not self._is_root,
        )
        link = LauncherLink("lambdad.sandbox.launcher", ToLauncher, ToServer)
        weaknesses = Cgroups(group).weaknesses if self._is_root else ()
        super().__init__(link, settings, partial(NamespaceSandbox, self), weaknesses)

    async def start(self, spec: SandboxSpec) -> NamespaceSandbox:
        encoded(with_addresses(spec.environment))  # what is wrong with it had better be known before anything is made
        async with self._started(spec) as sandbox:
            if spec.is_template or spec.snapshot is not None:
                await sandbox.prepare_snapshot(_own(spec.snapshot))
            if not spec.waits_with_runtime:
                await sandbox.run_runtime(spec.environment)
        return sandbox

    async def release(self, sandbox_id: str) -> None:
        """Has the launcher kill the sandbox and waits until nothing of it is left."""
        await super().release(sandbox_id)
        self.snapshots.forget(sandbox_id)

    def _hear_event(self, record: Any) -> None:
        if isinstance(record, PreBooted):
            self.pre_booted = record.waiting
        else:
            self.snapshots.note(record)

    def _note_loss(self) -> None:
        self.snapshots.lose_all()
        super()._note_loss()


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
