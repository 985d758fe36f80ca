"""For tests of sandbox backends: which there are, a tiny runtime client that runs the Python it is sent, and the other end of
its connection."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import socket
import sys
import textwrap
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from _pytest.mark import ParameterSet

from lambdad.errors import StartupError
from lambdad.sandbox import user_namespace
from lambdad.sandbox.base import RuntimeProgram, Sandbox, Sandboxes, SandboxSpec
from lambdad.sandbox.namespace import NamespaceSandboxes
from lambdad.sandbox.oci import OciSandboxes
from lambdad.sandbox.oci_runtime import find_runtime
from lambdad.sandbox.process import ProcessSandboxes
from support import ordinary_user

#: Reads lines of JSON, each a piece of Python; runs it; answers with the value of its variable `result`, or with its error.
BOOTSTRAP = """
import json, os, socket, sys

def preload():
    import threading, random, subprocess

def serve(descriptor):
    connection = socket.fromfd(descriptor, socket.AF_UNIX, socket.SOCK_STREAM)
    answer(connection)

def answer(connection):
    lines = connection.makefile("rb")
    while True:
        line = lines.readline()
        if not line:
            os._exit(0)
        scope = {}
        try:
            exec(json.loads(line.decode("utf-8")), scope)
            reply = {"result": scope.get("result")}
        except Exception as error:
            reply = {"error": type(error).__name__, "errno": getattr(error, "errno", None), "message": str(error)}
        sys.stdout.flush()
        connection.sendall(json.dumps(reply).encode("utf-8") + b"\\n")

if __name__ == "__main__":
    host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
    answer(socket.create_connection((host, int(port))))
"""

#: The fixture of tests that open a backend for themselves.
Opened = Callable[[Any], Awaitable[Any]]
_NUMBERS = itertools.count(1)

ENVIRONMENT = {
    "PATH": "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin",
    "LD_LIBRARY_PATH": "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
    "LAMBDA_TASK_ROOT": "/var/task",
    "LAMBDA_RUNTIME_DIR": "/var/runtime",
    "TZ": ":UTC",
    "GREETING": "grüß Gott",
}


@dataclass(frozen=True, slots=True)
class Backend:
    """An isolation backend as the tests name it; one OCI runtime is one."""

    name: str
    isolation: str  #: as in `--isolation`
    make: Callable[..., Sandboxes]  #: with its state folder and, as `file_systems`, folders by ARN; to be opened
    options: Sequence[str] = ()  #: what else `lambdad up` has to be told: `running(folder, *backend.options, isolation=...)`
    isolates: bool = True
    missing: str | None = None  #: why it cannot run on this machine
    is_long: bool = False  #: so much like another one that `make test-long` is soon enough

    def __str__(self) -> str:
        return self.name


def backends(*, isolating: bool = False) -> list[ParameterSet]:
    """Parameters for a fixture or a test: every `Backend`, or only those that isolate. What this machine lacks is skipped by
    name."""
    made = []
    for backend in _all_backends():
        if backend.isolates or not isolating:
            marks = [pytest.mark.long] if backend.is_long else []
            if backend.missing:
                marks.append(pytest.mark.skip(reason=f"{backend.name}: {backend.missing}"))
            made.append(pytest.param(backend, id=backend.name, marks=marks))
    return made


def _all_backends() -> Iterator[Backend]:
    is_root = sys.platform == "linux" and os.geteuid() == 0
    yield Backend("namespace", "namespace", NamespaceSandboxes, missing=None if is_root else "needs root on Linux")
    obstacle = user_namespace.obstacle() if sys.platform == "linux" else "needs Linux"
    yield Backend("namespace-rootless", "namespace", RootlessSandboxes if is_root else NamespaceSandboxes, missing=obstacle)
    for runtime in ("runc", "crun", "runsc"):
        yield _oci_backend(runtime, is_root)
    yield Backend("process", "process", lambda state, **_: ProcessSandboxes(state, "http://127.0.0.1:4566"), isolates=False)


def _oci_backend(runtime: str, is_root: bool) -> Backend:
    missing = None if is_root else "needs root on Linux"
    if missing is None:
        try:
            find_runtime(runtime)
        except StartupError as error:
            missing = str(error)
    return Backend(
        f"oci-{runtime}",
        "oci",
        lambda state, **options: OciSandboxes(state, runtime, **options),
        options=("--oci-runtime", runtime),
        missing=missing,
        is_long=runtime == "crun",
    )


class RootlessSandboxes(NamespaceSandboxes):
    """As root's own, but that the launcher is started by an ordinary user."""

    def __init__(self, state_dir: Path, **options: Any) -> None:
        super().__init__(state_dir, **options)
        self._settings = msgspec.structs.replace(self._settings, has_user_namespace=True)
        self._link.command_prefix = ordinary_user.command(options=["--reach", os.fspath(state_dir.parent)])
        os.chown(state_dir.parent, ordinary_user.UID, ordinary_user.UID)


def make_program(folder: Path, interpreter: Path | None = None) -> RuntimeProgram:
    """`interpreter` is by default the one that runs the tests."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    (folder / "bootstrap.py").write_text(BOOTSTRAP)
    interpreter = (interpreter or Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}").absolute()
    version = interpreter.name.removeprefix("python")
    return RuntimeProgram(f"python{version}", interpreter, interpreter.parents[1], folder)


def find_interpreters(*versions: str) -> Iterator[Path]:
    """Those that pyenv has installed for the user who runs the tests."""
    root = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    for version in versions:
        yield from sorted((root / "versions").glob(f"{version}*/bin/python{version}"))[:1]


def make_task(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    (folder / "module.py").write_text("ANSWER = 42\n")
    return folder


def make_spec(program: RuntimeProgram, task: Path, sandbox_id: str | None = None, **changes: Any) -> SandboxSpec:
    """Each has a name of its own unless it is given one: no test is in the way of another that has left its sandbox behind."""
    values: dict[str, Any] = {
        "sandbox_id": sandbox_id or new_name(),
        "program": program,
        "task_root": task,
        "opt_root": None,
        "memory_mb": 128,
        "tmp_mb": 512,
        "environment": ENVIRONMENT,
    }
    return SandboxSpec(**{**values, **changes})


def new_name() -> str:
    return f"sandbox-{next(_NUMBERS)}"


class Peer:
    """The server's end of the connection to the runtime client in a sandbox."""

    def __init__(self, connection: socket.socket, is_ours: bool) -> None:
        self._connection = connection
        self._is_ours = is_ours

    @classmethod
    async def of(cls, sandbox: Sandbox) -> Peer:
        if sandbox.runtime.connection is not None:
            return cls(sandbox.runtime.connection, is_ours=False)
        connection, _ = await asyncio.get_running_loop().sock_accept(sandbox.runtime_listener)
        connection.setblocking(False)
        return cls(connection, is_ours=True)

    @classmethod
    @asynccontextmanager
    async def at(cls, sandbox: Sandbox) -> AsyncIterator[Peer]:
        """As `of`, closed in the end."""
        peer = await cls.of(sandbox)
        try:
            yield peer
        finally:
            peer.close()

    async def ask(self, code: str) -> dict[str, Any] | None:
        """What the code answered: a `result`, or an `error`; None if the runtime ended instead."""
        try:
            await asyncio.get_running_loop().sock_sendall(self._connection, json.dumps(textwrap.dedent(code)).encode() + b"\n")
        except ConnectionError:
            return None
        return await self.hear()

    async def hear(self) -> dict[str, Any] | None:
        """The next answer; None if the runtime ended instead."""
        loop = asyncio.get_running_loop()
        try:
            answer = b""
            while not answer.endswith(b"\n"):
                chunk = await loop.sock_recv(self._connection, 65536)
                if not chunk:
                    return None
                answer += chunk
        except ConnectionError:
            return None
        reply: dict[str, Any] = json.loads(answer)
        return reply

    async def run(self, code: str) -> Any:
        """The `result` of code that must not fail."""
        reply = await self.ask(code)
        assert reply is not None, "the runtime ended"
        assert "error" not in reply, reply
        return reply["result"]

    def close(self) -> None:
        if self._is_ours:
            self._connection.close()


@asynccontextmanager
async def started(sandboxes: Sandboxes, spec: SandboxSpec) -> AsyncIterator[tuple[Sandbox, Peer]]:
    """A sandbox for the length of a block, with the other end of its runtime's connection."""
    sandbox = await sandboxes.start(spec)
    try:
        async with Peer.at(sandbox) as peer:
            yield sandbox, peer
    finally:
        await sandbox.stop()
        os.close(sandbox.runtime.log_pipe)


def started_in(sandboxes: Sandboxes, folder: Path, **changes: Any) -> AbstractAsyncContextManager[tuple[Sandbox, Peer]]:
    """As `started`, of a package and a runtime client that are made in a folder."""
    program = changes.pop("program", None) or make_program(folder / "runtime")
    return started(sandboxes, make_spec(program, make_task(folder / "task"), **changes))


async def read_log(sandbox: Sandbox) -> bytes:
    """All that the runtime prints until its end."""
    return await read_pipe(sandbox.runtime.log_pipe)


async def read_pipe(pipe: int) -> bytes:
    """All that comes until every writer is gone."""
    loop = asyncio.get_running_loop()
    text, ended = bytearray(), loop.create_future()

    def read() -> None:
        chunk = os.read(pipe, 65536)
        text.extend(chunk)
        if not chunk:
            loop.remove_reader(pipe)
            ended.set_result(None)

    loop.add_reader(pipe, read)
    await ended
    return bytes(text)
