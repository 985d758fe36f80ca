"""Execution environments whose runtime is a script in this process, talking over real sockets."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from lambdad.errors import SandboxError
from lambdad.invocation.concurrency import Concurrency
from lambdad.invocation.environment_parts import EnvironmentParts
from lambdad.invocation.environment_variables import FunctionCredentials
from lambdad.invocation.execution_environment import ExecutionEnvironment
from lambdad.invocation.invoke import Invoker
from lambdad.invocation.managed import Managed
from lambdad.invocation.managed_environment import ManagedEnvironment
from lambdad.invocation.placement import Placement
from lambdad.invocation.provisioned import Provisioned
from lambdad.invocation.provisioned_pool import PoolParts
from lambdad.invocation.snapshots import Snapshots
from lambdad.model.concurrency import ConcurrencyLimits
from lambdad.model.invocation import Invocation, LogBatch
from lambdad.model.version import CodeArchive, Version
from lambdad.sandbox.base import ExitStatus, RuntimeProgram, SandboxSpec, UnpackLimits

ROOT = "/2018-06-01/runtime"


class Exit(Exception):
    def __init__(self, status: ExitStatus) -> None:
        self.status = status


class FakeRuntime:
    """What a script in the sandbox can do."""

    def __init__(self, spec: SandboxSpec, address: tuple[str, int], output: int, *, is_fast: bool = False) -> None:
        self.spec = spec
        self.output = output
        self._address = address
        self._early = socket.create_connection(address) if is_fast else None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def ask(self, method: str, path: str, body: bytes = b"", *headers: str) -> tuple[int, dict[str, str], bytes]:
        if self._writer is None:
            where = {"sock": self._early} if self._early else {"host": self._address[0], "port": self._address[1]}
            connecting = asyncio.create_task(asyncio.open_connection(**where, limit=2**24))  # type: ignore[arg-type]
            try:
                self._reader, self._writer = await asyncio.shield(connecting)
            except asyncio.CancelledError:
                # Killed while it connects: a process's socket is closed with it, so this one must be, too.
                connecting.add_done_callback(_close_connection)
                raise
        lines = [f"{method} {ROOT}/{path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
        self._writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        first, *rest = head.split("\r\n")
        said = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest if line)}
        return int(first.split()[1]), said, await self._reader.readexactly(int(said["content-length"]))

    async def next(self) -> tuple[str, bytes]:
        _, headers, body = await self.ask("GET", "invocation/next")
        return headers["lambda-runtime-aws-request-id"], body

    async def respond(self, request_id: str, body: bytes, *headers: str) -> int:
        return (await self.ask("POST", f"invocation/{request_id}/response", body, *headers))[0]

    async def fail(self, request_id: str, body: bytes, *headers: str) -> int:
        return (await self.ask("POST", f"invocation/{request_id}/error", body, *headers))[0]

    def print(self, data: bytes) -> None:
        os.write(self.output, data)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
        elif self._early is not None:
            self._early.close()


def _close_connection(connected: asyncio.Task[tuple[asyncio.StreamReader, asyncio.StreamWriter]]) -> None:
    if not connected.cancelled() and connected.exception() is None:
        connected.result()[1].close()


Script = Callable[[FakeRuntime], Awaitable[None]]


class FakeProcess:
    """A script in the place of a process."""

    def __init__(self, spec: SandboxSpec, address: tuple[str, int], script: Script, *, is_fast: bool = False) -> None:
        self.connection = None
        self.log_pipe, self._output = os.pipe()
        os.set_blocking(self.log_pipe, False)
        os.set_blocking(self._output, False)
        self._exit: asyncio.Future[ExitStatus] = asyncio.get_running_loop().create_future()
        self._runtime = FakeRuntime(spec, address, self._output, is_fast=is_fast)
        self._task = asyncio.create_task(self._live(script))
        self._task.add_done_callback(self._end)

    async def _live(self, script: Script) -> ExitStatus:
        try:
            await script(self._runtime)
        except Exit as ended:
            return ended.status
        except (ConnectionError, asyncio.IncompleteReadError):
            return ExitStatus(code=1)
        return ExitStatus(code=0)

    def _end(self, task: asyncio.Task[ExitStatus]) -> None:
        """Of one that was killed before it had done anything as well."""
        self._runtime.close()
        os.close(self._output)
        self._exit.set_result(ExitStatus(signal=9) if task.cancelled() else task.result())

    async def exited(self) -> ExitStatus:
        return await asyncio.shield(self._exit)

    def signal(self, number: int) -> None:
        self._task.cancel()

    async def kill(self) -> None:
        self._task.cancel()
        await self.exited()


class FakeSnapshot:
    def __init__(self) -> None:
        self.memory_bytes: int | None = 40 << 20
        self.gone = asyncio.Event()
        self.is_closed = False

    @property
    def is_lost(self) -> bool:
        return self.gone.is_set()

    async def lost(self) -> None:
        await self.gone.wait()

    async def close(self) -> None:
        self.gone.set()
        self.is_closed = True


class FakeSandbox:
    address = "127.0.0.1"

    def __init__(self, owner: FakeSandboxes, spec: SandboxSpec) -> None:
        self.sandbox_id = spec.sandbox_id
        self.spec = spec
        self.runtime_listener = socket.create_server(("127.0.0.1", 0))
        self.endpoint_listener = None
        self.loopback_listener = None
        self.runtime: FakeProcess | None = None
        self.runtimes = 0
        self.is_frozen = False
        self.shares: list[float | None] = []  #: of processors, as they were set
        self.is_stopped = False
        self.cannot_kill = False
        self._owner = owner

    async def run_runtime(self, environment: Mapping[str, str]) -> FakeProcess:
        self.runtimes += 1
        address, script = self.runtime_listener.getsockname(), self._owner.script
        self.runtime = FakeProcess(self.spec, address, script, is_fast=self._owner.is_fast)
        return self.runtime

    async def run(self, path: str, environment: Mapping[str, str]) -> FakeProcess:
        raise SandboxError("no such file or directory")

    async def take_snapshot(self, let_go: Callable[[], None]) -> FakeSnapshot:
        let_go()
        await self.kill_all()
        self._owner.snapshots.append(FakeSnapshot())
        return self._owner.snapshots[-1]

    async def kill_all(self) -> None:
        if self.cannot_kill:
            raise SandboxError("the sandbox has ended")
        if self.runtime is not None:
            await self.runtime.kill()

    async def open_socket(self) -> socket.socket:
        return socket.socket()

    def limit_cpu(self, share: float | None) -> None:
        self.shares.append(share)

    async def freeze(self) -> None:
        self.is_frozen = True

    async def thaw(self) -> None:
        self.is_frozen = False

    def memory_peak_bytes(self) -> int | None:
        return 35 * 1024 * 1024 + 1

    async def stop(self) -> None:
        if self.runtime is not None:
            await self.runtime.kill()
        self.runtime_listener.close()
        if not self.is_stopped:
            self.is_stopped = True
            self._owner.running -= 1


async def echo(runtime: FakeRuntime) -> None:
    while True:
        request_id, body = await runtime.next()
        await runtime.respond(request_id, body)


class FakeSandboxes:
    """`script` is what a runtime does; `refuse` of the next starts fail. A fast one has connected when it is there."""

    name = "fake"
    snapshot_problem = None
    weaknesses = ()
    shares_processors = True

    def __init__(self) -> None:
        self.script: Script = echo
        self.is_fast = False
        self.refuse = 0
        self.losses = 0  #: so many of the next snapshots are lost while they are cloned
        self.started: list[FakeSandbox] = []
        self.snapshots: list[FakeSnapshot] = []
        self.running = 0
        self.most = 0

    async def start(self, spec: SandboxSpec) -> FakeSandbox:
        await asyncio.sleep(0)
        if self.refuse:
            self.refuse -= 1
            raise SandboxError("no room for it")
        if spec.snapshot is not None and self.losses:
            self.losses -= 1
            spec.snapshot.gone.set()  # type: ignore[attr-defined]
            raise SandboxError("the snapshot is gone")
        sandbox = FakeSandbox(self, spec)
        if not spec.waits_with_runtime:
            await sandbox.run_runtime(spec.environment)
        self.started.append(sandbox)
        self.running += 1
        self.most = max(self.most, self.running)
        return sandbox


class FakeCode:
    def __init__(self) -> None:
        self.held = 0

    async def acquire(self, digests: tuple[str, ...], limits: UnpackLimits) -> Path:
        self.held += 1
        return Path("/code") / "+".join(digests)

    def release(self, digests: tuple[str, ...]) -> None:
        self.held -= 1


async def _program(name: str) -> RuntimeProgram:
    return RuntimeProgram(name, Path("/p"), Path("/l"), Path("/r"))


class World:
    """An invoker with everything below it."""

    def __init__(self, **settings: object) -> None:
        self.sandboxes = FakeSandboxes()
        self.code = FakeCode()
        self.batches: list[LogBatch] = []
        self.minted: list[FunctionCredentials] = []
        self.revoked: list[FunctionCredentials] = []
        self.limit = 1000
        self.retry_seconds = float(settings.pop("retry_seconds", 60.0))  # type: ignore[arg-type]
        ids = (f"{number:032x}" for number in itertools.count(1))
        self.snapshots = Snapshots(lambda version, token: ExecutionEnvironment(version, self.parts, token))
        self.parts = EnvironmentParts(
            sandboxes=self.sandboxes,
            code=self.code,  # type: ignore[arg-type]
            program_for=_program,
            mint=self._mint,
            log_sink=self.batches.append,
            unpack_limits=UnpackLimits(1000),
            revoke=self.revoked.append,
            new_id=lambda: next(ids),
            snapshots=self.snapshots,
            restore_seconds=float(settings.pop("restore_seconds", 5.0)),  # type: ignore[arg-type]
            has_cpu_quota=bool(settings.pop("has_cpu_quota", False)),
            init_seconds=float(settings.pop("init_seconds", 60.0)),  # type: ignore[arg-type]
        )
        self.concurrency = Concurrency(lambda version: ConcurrencyLimits(unreserved=self.limit))
        settings.setdefault("memory_budget_mb", 100_000)
        settings.setdefault("settle_seconds", 60.0)  # this machine may be busy; no test waits for it
        settings.setdefault("give_up_snapshots", self.snapshots.give_up)
        self.placement = Placement(lambda version: ExecutionEnvironment(version, self.parts), **settings)  # type: ignore[arg-type]
        self.snapshots.room = self.placement
        self.provisioned = Provisioned(
            PoolParts(
                make=lambda version: ExecutionEnvironment(version, self.parts, is_provisioned=True),
                room=self.placement,
                turns=asyncio.Semaphore(4),
                settle_seconds=float(settings.get("settle_seconds", 60.0)),  # type: ignore[arg-type]
                machine_retry_seconds=self.retry_seconds,
                init_retry_seconds=self.retry_seconds,
            )
        )
        self.managed = Managed(lambda version: ManagedEnvironment(version, self.parts), self.placement)
        self.invoker = Invoker(self.concurrency, self.placement, self.provisioned, self.snapshots, self.managed)
        self._requests = itertools.count(1)

    def _mint(self, version: Version) -> FunctionCredentials:
        self.minted.append(FunctionCredentials(f"ASIA{len(self.minted)}", "secret", "token"))
        return self.minted[-1]

    def invocation(self, version: Version, payload: bytes = b"{}", **others: object) -> Invocation:
        request_id = f"request-{next(self._requests)}"
        return Invocation(request_id, version, version.function_arn, payload, "Root=1-2-3;Sampled=0", **others)  # type: ignore[arg-type]

    async def invoke(self, version: Version, payload: bytes = b"{}", **others: object):  # type: ignore[no-untyped-def]
        return await self.invoker.invoke(self.invocation(version, payload, **others))

    def lines(self) -> list[str]:
        return [event.message for batch in self.batches for event in batch.events]

    async def close(self) -> None:
        await self.invoker.close(0)
        for _ in range(5):  # asyncio closes a connection that was made or let in just now in its next turns
            await asyncio.sleep(0)
        assert self.sandboxes.running == 0
        assert self.code.held == 0
        assert (self.revoked and sorted(self.revoked, key=str) == sorted(self.minted, key=str)) or not self.minted
        assert self.concurrency.in_use("000000000000", "us-east-1") == 0
        counts = self.concurrency.counts()
        assert (counts.unreserved, counts.reserved, counts.provisioned) == (0, 0, 0)
        assert self.placement.counts().memory_mb == 0


def make_version(name: str = "f", revision: str = "r1", **others: object) -> Version:
    settings: dict[str, object] = {"version": "$LATEST", "runtime": "python3.12", "handler": "m.f", **others}
    return Version("000000000000", "us-east-1", name, revision_id=revision, code=CodeArchive("d" * 64, 1, 1), **settings)  # type: ignore[arg-type]


@pytest.fixture
def version():  # type: ignore[no-untyped-def]
    """Makes versions."""
    return make_version


@pytest.fixture
async def make_world():  # type: ignore[no-untyped-def]
    """Makes worlds; after the test each must close without leaving anything behind."""
    worlds: list[World] = []

    def make(**settings: object) -> World:
        worlds.append(World(**settings))
        return worlds[-1]

    yield make
    for world in worlds:
        await world.close()


@pytest.fixture
def make_any_world():  # type: ignore[no-untyped-def]
    """Makes worlds that the test closes itself."""
    return World


@pytest.fixture
async def world(make_world) -> World:  # type: ignore[no-untyped-def]
    return make_world()


@pytest.fixture
def exits():  # type: ignore[no-untyped-def]
    """How a script ends its process."""

    def leave(**status: object) -> Exit:
        return Exit(ExitStatus(**status))  # type: ignore[arg-type]

    return leave


@pytest.fixture
def error_of():  # type: ignore[no-untyped-def]
    def read(result) -> dict[str, str]:  # type: ignore[no-untyped-def]
        assert result.function_error == "Unhandled"
        return json.loads(result.payload)  # type: ignore[no-any-return]

    return read
