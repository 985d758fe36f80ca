"""The whole road with a real process: invoker, placement, environment, Runtime API and our Python runtime client."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

import lambdad.runtimes
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
from lambdad.model.invocation import Invocation
from lambdad.sandbox.base import RuntimeProgram, UnpackLimits
from lambdad.sandbox.process import ProcessSandboxes

SOURCE = """
import os, sys, time
print("loading")
count = 0
def handler(event, context):
    global count
    count += 1
    print("working on", context.aws_request_id)
    if event.get("fail"): raise ValueError("bad " + event["fail"])
    if event.get("exit") is not None: os._exit(event["exit"])
    if event.get("hang"): time.sleep(60)
    if event.get("large"): return "x" * event["large"]
    return {"count": count, "name": context.function_name, "echo": event}
"""


class Code:
    """The package as it is, without an archive."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def acquire(self, digests, limits):
        return self.folder

    def release(self, digests):
        pass


@pytest.fixture
async def invoker(tmp_path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "app.py").write_text(SOURCE)
    sandboxes = ProcessSandboxes(tmp_path / "sandboxes", "http://127.0.0.1:9")
    await sandboxes.open()

    async def program(name):
        client = Path(lambdad.runtimes.__file__).parent / "python" / "client"
        return RuntimeProgram(name, Path(sys.executable), Path(sys.prefix), client)

    parts = EnvironmentParts(
        sandboxes=sandboxes,
        code=Code(package),  # type: ignore[arg-type]
        program_for=program,
        mint=lambda version: FunctionCredentials("ASIA1", "secret", "token"),
        log_sink=lambda batch: None,
        unpack_limits=UnpackLimits(1000),
    )
    placement = Placement(lambda version: ExecutionEnvironment(version, parts), memory_budget_mb=1000)
    provisioned = Provisioned(PoolParts(lambda version: ExecutionEnvironment(version, parts), placement, asyncio.Semaphore(1)))
    invoker = Invoker(
        Concurrency(),
        placement,
        provisioned,
        Snapshots(lambda version, token: ExecutionEnvironment(version, parts, token)),
        Managed(lambda version: ManagedEnvironment(version, parts), placement),
    )
    yield invoker
    await invoker.close(0)
    await sandboxes.close()


async def test_with_a_real_runtime(invoker, version):
    """State is kept between calls; errors, exits, timeouts and large responses come out as on AWS."""
    one = version("hello", handler="app.handler", runtime="python3.11", timeout_seconds=60)

    async def invoke(payload: bytes, request_id: str = "id", one=one):
        return await invoker.invoke(
            Invocation(request_id, one, one.function_arn, payload, "Root=1-2-3;Sampled=0", wants_log_tail=True)
        )

    first = await invoke(b'{"a": 1}', "id-1")
    assert first.payload == b'{"count": 1, "name": "hello", "echo": {"a": 1}}'
    assert b"working on id-1\n" in first.log_tail
    assert (await invoke(b"{}")).payload.startswith(b'{"count": 2,')
    failed = await invoke(b'{"fail": "thing"}')
    assert failed.function_error == "Unhandled"
    assert b'"errorMessage": "bad thing", "errorType": "ValueError"' in failed.payload
    assert b"[ERROR] ValueError: bad thing" in failed.log_tail
    large = await invoke(b'{"large": 6291557}')
    assert b"Function.ResponseSizeTooLarge" in large.payload
    assert (await invoke(b"{}")).payload.startswith(b'{"count": 5,')
    gone = await invoke(b'{"exit": 7}', "id-6")
    assert (
        gone.payload
        == b'{"errorType":"Runtime.ExitError","errorMessage":"RequestId: id-6 Error: Runtime exited with error: exit status 7"}'
    )
    assert (await invoke(b"{}")).payload.startswith(b'{"count": 1,')
    impatient = version("impatient", handler="app.handler", runtime="python3.11", timeout_seconds=1)
    hung = await invoke(b'{"hang": 1}', "id-8", impatient)
    assert b"Sandbox.Timedout" in hung.payload
    assert hung.log_tail.endswith(b"\tStatus: timeout\n")


async def test_init_error_of_a_real_runtime(invoker, version):
    """A handler that does not exist is reported by the runtime itself."""
    one = version("hello", handler="app.missing", runtime="python3.11")
    result = await invoker.invoke(Invocation("id", one, one.function_arn, b"{}", "Root=1-2-3;Sampled=0"))
    assert b"Runtime.HandlerNotFound" in result.payload


async def test_many_real_environments(invoker, version):
    """Concurrent calls run side by side and all come back."""
    one = version("hello", handler="app.handler", runtime="python3.11")
    calls = (invoker.invoke(Invocation(f"id-{n}", one, one.function_arn, b"{}", "Root=1-2-3;Sampled=0")) for n in range(4))
    assert {result.function_error for result in await asyncio.gather(*calls)} == {None}
