"""One sandbox that an OCI runtime makes: from its bundle to the moment when nothing of it is left."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from lambdad.errors import SandboxError
from lambdad.sandbox import oci_image
from lambdad.sandbox.cgroup import Cgroups, Group
from lambdad.sandbox.oci_bundle import Root, Ways, write_bundle
from lambdad.sandbox.oci_file_system import FileSystems
from lambdad.sandbox.oci_network import Network, Networks
from lambdad.sandbox.oci_runtime import OciRuntime
from lambdad.sandbox.records import Channel, Start, close_all

_READY_SECONDS = 60.0
_DEATH_SECONDS = 10.0
_CAPABILITY_NUMBERS = {"CAP_KILL": 5, "CAP_SETGID": 6, "CAP_SETUID": 7, "CAP_SETPCAP": 8, "CAP_SYS_CHROOT": 18}


@dataclass(frozen=True, slots=True)
class Workshop:
    """What all sandboxes of a launcher are made with."""

    runtime: OciRuntime
    cgroups: Cgroups
    networks: Networks
    cgroup_name: str
    bundles: Path
    root: Root
    ways: Ways
    file_systems: FileSystems


class Container:
    def __init__(self, workshop: Workshop, start: Start, number: int, uid: int) -> None:
        self.uid = uid
        self._workshop = workshop
        self._start = start
        self._name = f"{workshop.cgroup_name}-{number}"  # unique on the machine: some runtimes name sockets after it
        self._bundle = workshop.bundles / self._name
        self._group: Group = workshop.cgroups.group(self._name)
        self._network: Network | None = None
        self._init: Channel | None = None  #: its socket, until somebody else has it
        self._handle: int | None = None  #: pidfd of its first process, as the machine sees that

    async def make(self) -> None:
        """Its init waits for requests afterwards. SandboxError, and `unmake` has to be called then as well."""
        for root in (self._start.task_root, self._start.opt_root, self._start.program.image_root):
            if root is not None and not Path(root).is_dir():
                raise SandboxError(f"there is no folder {root}")
        try:
            await self._make()
        except OSError as error:
            raise SandboxError(str(error)) from error

    def hand_over(self) -> tuple[list[int], list[str]]:
        """The descriptors of `Started`, for the caller to close, and the names of its last ones."""
        assert self._network is not None
        assert self._init is not None
        files = self._group.open_files()
        doors = [os.dup(door.fileno()) for door in (*self._network.doors, self._init.socket)]
        self._network.close_doors()
        self._init.close()
        self._init = None
        return [*doors, *files.values()], list(files)

    def open_socket(self) -> socket.socket:
        if self._network is None:
            raise SandboxError("the sandbox has ended")
        return self._network.open_socket()

    async def ask(self, command: dict[str, Any], given: int) -> dict[str, Any]:
        """The init's answer to a request, or whatever else it says first. Before it was handed over."""
        assert self._init is not None
        self._init.send(command, [given])
        return await self.hear()

    async def hear(self) -> dict[str, Any]:
        """What the init says next, before it was handed over."""
        assert self._init is not None
        if not await _readable(self._init.socket.fileno(), _READY_SECONDS):
            raise SandboxError(f"its first process said nothing for {_READY_SECONDS:.0f} seconds")
        received = self._init.receive()
        if received is None or not received[0]:
            raise SandboxError("its first process ended before it was ready")
        close_all(received[1])
        report: dict[str, Any] = msgspec.json.decode(received[0])
        return report

    async def unmake(self) -> str | None:
        """Kills everything inside and gives back all that it had, at whatever stage. The reason, should something be left."""
        if self._init is not None:
            self._init.close()
            self._init = None
        self._group.thaw()
        if self._handle is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, signal.SIGKILL)
            await _readable(self._handle, _DEATH_SECONDS)  # or else `delete` has to do it, which is slower
            os.close(self._handle)
            self._handle = None
        left = await self._workshop.runtime.delete(self._name)
        if self._network is not None:
            self._network.close()
            self._network = None
        if left is None:  # else the next launcher finds by it what is left
            await asyncio.to_thread(shutil.rmtree, self._bundle, ignore_errors=True)
        return left

    async def _make(self) -> None:
        workshop, runtime = self._workshop, self._workshop.runtime
        self._network = await workshop.networks.make(has_way_out=self._start.has_network)
        self._bundle.mkdir(mode=0o755)
        cgroup = f"/{workshop.cgroup_name}/{self._name}"
        wanted = self._start.file_system
        async with workshop.file_systems.shown(wanted, self.uid, self._name) as shown:
            network, ways = self._network.path, workshop.ways
            write_bundle(self._bundle, self._start, workshop.root, self.uid, network, cgroup, ways, shown)
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._init = Channel(ours)
            with theirs:
                pid = await runtime.create(self._name, self._bundle, theirs.fileno())
        self._handle = os.pidfd_open(pid)
        self._check_group(pid)
        await runtime.start(self._name)
        self._check(await self.hear())

    def _check_group(self, pid: int) -> None:
        """The limits are the point of it all, so a runtime is not trusted to have put them where it was told."""
        try:
            is_member = self._group.holds(pid)
        except FileNotFoundError:
            is_member = False
        if not is_member:
            raise SandboxError("the OCI runtime has not put the sandbox into the control group that it was told")
        self._group.prepare()
        self._group.limit(self._start.memory_mb, besides_mb=self._workshop.ways.memory_besides_mb)

    def _check(self, report: dict[str, Any]) -> None:
        """By what the first process says of itself, before anything of a function runs."""
        if "ready" not in report:
            raise SandboxError(f"its first process failed: {report.get('failed', report)}")
        status = report["ready"]
        ways = self._workshop.ways
        uid = str(ways.init_uid(self.uid))
        if set(status["Uid"]) != {uid} or set(status["Gid"]) != {uid} or set(status.get("Groups", ())) - {uid}:
            raise SandboxError(f"the OCI runtime started it as another user than {uid}: {status}")
        allowed = sum(1 << _CAPABILITY_NUMBERS[name] for name in ways.init_capabilities)
        # The init of an image gives up the right that it had, but may not be allowed to take it off this list, of which nothing
        # is gained any more.
        of_image = {} if self._start.program.image_root is None else {"CapBnd": 1 << _CAPABILITY_NUMBERS[oci_image.CAPABILITY]}
        sets = [name for name in status if name.startswith("Cap")]
        gained = [name for name in sets if int(status[name][0], 16) & ~(allowed | of_image.get(name, 0))]
        if gained:
            raise SandboxError(f"the OCI runtime left it capabilities: {', '.join(gained)}")


async def _readable(descriptor: int, seconds: float) -> bool:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await asyncio.wait_for(ready.wait(), seconds)
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
    return True
