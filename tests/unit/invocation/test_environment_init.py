"""The Init of an environment: how long it may take, what it may use, and the ways in which it can fail."""

from __future__ import annotations

import asyncio

import pytest

from lambdad.errors import ServiceError
from lambdad.invocation.execution_environment import ExecutionEnvironment
from lambdad.model.execution_environment import EnvironmentState
from lambdad.model.runtime_version import runtime_version


async def test_init_error_then_exit(world, version, exits):
    """A runtime that posts an init error and exits at once: the posted body goes to the invoker as it is."""
    body = b'{"errorMessage": "no module", "errorType": "Runtime.ImportModuleError", "requestId": ""}'

    async def script(runtime):
        await runtime.ask("POST", "init/error", body, "Lambda-Runtime-Function-Error-Type: Runtime.ImportModuleError")
        raise exits(code=1)

    world.sandboxes.script = script
    result = await world.invoke(version(), wants_log_tail=True)
    assert (result.payload, result.function_error) == (body, "Unhandled")
    assert result.log_tail.endswith(b"\tStatus: error\tError Type: Runtime.ImportModuleError\n")
    kinds = [line.split()[0] for line in world.lines()]
    assert kinds == ["INIT_START", "INIT_REPORT", "INIT_REPORT", "START", "END", "REPORT"]
    await world.invoke(version())
    assert [sandbox.runtimes for sandbox in world.sandboxes.started] == [3]


async def test_init_takes_too_long(make_world, version):
    """Init has a limit of its own; what did not make it gets the function's own time inside the first invocation."""
    world = make_world(init_seconds=0.05)

    async def script(runtime):
        if world.sandboxes.started[0].runtimes == 1:
            await asyncio.Event().wait()
        runtime.print(b"initialising\n")
        request_id, body = await runtime.next()
        await runtime.respond(request_id, body)
        await runtime.next()

    world.sandboxes.script = script
    assert (await world.invoke(version(), b"1")).payload == b"1"
    await world.invoker.close(1)
    lines = world.lines()
    assert [line.split()[0] for line in lines[:4]] == ["INIT_START", "INIT_REPORT", "initialising", "START"]
    assert lines[1].endswith("Phase: init\tStatus: timeout")
    assert "Init Duration" not in lines[-1]


async def test_init_inside_an_invocation_is_bounded_by_the_functions_timeout(make_world, version, error_of):
    """The invoker hears of the function's timeout, and the log of the phase in which it struck."""
    world = make_world(init_seconds=0.05)

    async def script(runtime):
        await asyncio.Event().wait()

    world.sandboxes.script = script
    result = await world.invoke(version(timeout_seconds=0.1))
    assert error_of(result)["errorMessage"] == "RequestId: request-1 Error: Task timed out after 0.10 seconds"
    reports = [line for line in world.lines() if line.startswith("INIT_REPORT")]
    assert [line.split("\t", 1)[1] for line in reports] == ["Phase: init\tStatus: timeout", "Phase: invoke\tStatus: timeout"]


async def test_an_invoker_that_leaves_during_init(make_world, version):
    """The invocation goes on: its Init ends, the function runs, and the environment is used again."""
    world = make_world(init_seconds=0.02)
    starting, go_on = asyncio.Event(), asyncio.Event()

    async def script(runtime):
        if world.sandboxes.started[0].runtimes == 1:
            await asyncio.Event().wait()
        starting.set()
        await go_on.wait()
        for _ in range(2):
            request_id, body = await runtime.next()
            await runtime.respond(request_id, body)
        await runtime.next()

    world.sandboxes.script = script
    caller = asyncio.create_task(world.invoke(version(), b"1"))
    await starting.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert world.concurrency.in_use("000000000000", "us-east-1") == 1
    go_on.set()
    while world.invoker.counts().busy:
        await asyncio.sleep(0)
    assert (await world.invoke(version(), b"2")).payload == b"2"
    await world.invoker.close(1)
    assert sum(line.startswith("REPORT RequestId: request-1") for line in world.lines()) == 1
    assert len(world.sandboxes.started) == 1


async def test_stopped_before_it_started(world, version):
    """An environment that was stopped before its start makes no sandbox."""
    environment = ExecutionEnvironment(version(), world.parts)
    await environment.stop()
    await environment.start()
    assert world.sandboxes.started == []


async def test_exit_in_the_moment_of_readiness(world, version, exits, error_of):
    """A process that ends in the moment in which it is ready never counts as idle; its exit is told."""

    async def script(runtime):
        raise exits(code=3)

    class Waiter:
        def deliver(self, answer):
            raise AssertionError("the process is gone")

    world.sandboxes.script = script
    environment = ExecutionEnvironment(version(), world.parts)
    begin = world.sandboxes.start

    async def start(spec):
        sandbox = await begin(spec)
        exited = sandbox.runtime.exited

        async def exited_when_ready():
            status = await exited()
            sandbox.runtime.exited = exited
            environment._sandbox.life.session.next(Waiter())
            return status

        sandbox.runtime.exited = exited_when_ready
        return sandbox

    world.sandboxes.start = start
    await environment.start()
    assert environment.state is EnvironmentState.RESET
    assert world.lines()[-1].endswith("\tPhase: init\tStatus: error\tError Type: Runtime.ExitError")
    world.sandboxes.start = begin
    result = await environment.run(world.invocation(version()))
    assert "exit status 3" in error_of(result)["errorMessage"]
    await environment.stop()


async def test_processor_quota(make_world, version, exits):
    """With a quota, Init runs at full speed and all else at the share of the memory size, also after a reset."""
    seen = []

    async def script(runtime):
        shares = world.sandboxes.started[0].shares if world.sandboxes.started else []
        seen.append(list(shares))  # during Init
        while True:
            request_id, body = await runtime.next()
            seen.append(list(shares or world.sandboxes.started[0].shares))
            if body == b"crash":
                raise exits(code=1)
            await runtime.respond(request_id, body)

    world = make_world(has_cpu_quota=True)
    world.sandboxes.script = script
    await world.invoke(version(memory_mb=1769), b"1")
    await world.invoke(version(memory_mb=1769), b"crash")
    await world.invoke(version(memory_mb=1769), b"2")
    assert seen == [[], [1.0], [1.0], [1.0, None], [1.0, None, 1.0]]


async def test_no_processor_quota(world, version):
    """Without one the sandbox is never told of any."""
    await world.invoke(version())
    assert world.sandboxes.started[0].shares == []


async def test_no_environment_on_another_version_of_the_runtime(world, version):
    """A version that is held to one runs on that alone, whoever asks for environments, and nothing else of it is started."""
    here = runtime_version("python3.12").arn("us-east-1")
    assert (await world.invoke(version(runtime_version_arn=here))).function_error is None
    started = len(world.sandboxes.started)
    with pytest.raises(ServiceError) as caught:
        await world.invoke(version("other", runtime_version_arn=here.replace("us-east-1", "eu-west-1")))
    assert (caught.value.code, caught.value.status) == ("RuntimeVersionDeletedException", 409)
    assert len(world.sandboxes.started) == started
    await world.invoker.close(1)
