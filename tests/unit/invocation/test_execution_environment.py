"""Invocations of an environment, their log, and the ways in which a function can end."""

from __future__ import annotations

import asyncio
import re
import socket
from dataclasses import replace

import pytest
import uvloop

from lambdad.invocation.execution_environment import MAX_RESETS, ExecutionEnvironment
from lambdad.model.execution_environment import EnvironmentState


def answering(body: bytes = b"1"):
    async def script(runtime):
        while True:
            request_id, _ = await runtime.next()
            await runtime.respond(request_id, body)

    return script


async def test_echo_and_log(world, version):
    """Payload in, response out; START, output, END and REPORT in one stream, Init Duration only at first."""

    async def script(runtime):
        while True:
            request_id, body = await runtime.next()
            runtime.print(b"hello\n\xff no utf-8\nSTART RequestId: forged Version: 1\nunfinished")
            await runtime.respond(request_id, body, "Content-Type: text/plain")

    world.sandboxes.script = script
    one = version(log_group="/custom")
    first = await world.invoke(one, b'{"a": "b"}')
    assert (first.payload, first.executed_version, first.function_error) == (b'{"a": "b"}', "$LATEST", None)
    assert (first.content_type, first.log_tail) == ("text/plain", None)
    await world.invoke(one)
    await world.invoker.close(1)
    lines = world.lines()
    assert lines[0].startswith(
        "INIT_START Runtime Version: python:3.12.v1\tRuntime Version ARN: arn:aws:lambda:us-east-1::runtime:"
    )
    assert lines[1:7] == [
        "START RequestId: request-1 Version: $LATEST",
        "hello",
        "\ufffd no utf-8",
        "START RequestId: forged Version: 1",
        "unfinished",
        "END RequestId: request-1",
    ]
    figures = r"Duration: \d+\.\d\d ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB\tMax Memory Used: 36 MB\t"
    assert re.fullmatch(rf"REPORT RequestId: request-1\t{figures}Init Duration: \d+\.\d\d ms\t", lines[7])
    assert re.fullmatch(rf"REPORT RequestId: request-2\t{figures}", lines[-1])
    batch = world.batches[0]
    assert (batch.account_id, batch.region, batch.group) == ("000000000000", "us-east-1", "/custom")
    assert re.fullmatch(r"\d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{32}", batch.stream)
    assert len({batch.stream for batch in world.batches}) == 1
    assert world.sandboxes.started[0].spec.environment["AWS_LAMBDA_LOG_STREAM_NAME"] == batch.stream


async def test_silent_function_has_its_lines(world, version):
    """An invocation without output still has START, END and REPORT."""
    await world.invoke(version())
    await world.invoker.close(1)
    assert [line.split()[0] for line in world.lines()] == ["INIT_START", "START", "END", "REPORT"]


async def test_log_tail(world, version):
    """The tail runs from START to REPORT and holds at most the last 4 KB."""

    async def script(runtime):
        request_id, _ = await runtime.next()
        runtime.print(b"short\n")
        await runtime.respond(request_id, b"1")
        request_id, _ = await runtime.next()
        runtime.print(b"x" * 99 + b"\n" + b"y" * 9999 + b"\n")
        await runtime.respond(request_id, b"2")
        await runtime.next()

    world.sandboxes.script = script
    first = await world.invoke(version(), wants_log_tail=True)
    lines = first.log_tail.decode().splitlines()
    assert lines[:3] == ["START RequestId: request-1 Version: $LATEST", "short", "END RequestId: request-1"]
    assert lines[3].startswith("REPORT RequestId: request-1\t")
    assert first.log_tail.endswith(b"\t\n")
    second = await world.invoke(version(), wants_log_tail=True)
    assert len(second.log_tail) == 4096
    assert second.log_tail.startswith(b"yyy")


async def test_timeout(world, version, error_of):
    """A function that runs too long is ended, with AWS's message; the next call begins with Init in the same sandbox."""

    async def script(runtime):
        request_id, body = await runtime.next()
        if body == b"hang":
            runtime.print(b"before\n")
            await asyncio.Event().wait()
        await runtime.respond(request_id, body)
        await runtime.next()

    world.sandboxes.script = script
    result = await world.invoke(version(timeout_seconds=0.5), b"hang")
    assert error_of(result) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "RequestId: request-1 Error: Task timed out after 0.50 seconds",
    }
    assert world.lines()[-3:-1] == ["before", "END RequestId: request-1"]
    assert "\tDuration: 500.00 ms\tBilled Duration: 500 ms\t" in world.lines()[-1].replace("REPORT RequestId: request-1", "")
    assert world.lines()[-1].endswith("\tStatus: timeout")
    assert (await world.invoke(version(timeout_seconds=0.5), b"fine")).payload == b"fine"
    assert [sandbox.runtimes for sandbox in world.sandboxes.started] == [2]
    await world.invoker.close(1)
    assert sum(line.startswith("INIT_START") for line in world.lines()) == 1
    assert "Init Duration" not in world.lines()[-1]


@pytest.mark.parametrize(
    ("status", "message", "reported"),
    [
        ({"code": 0}, "Runtime exited without providing a reason", "Runtime.ExitError"),
        ({"code": 3}, "Runtime exited with error: exit status 3", "Runtime.ExitError"),
        ({"signal": 9}, "Runtime exited with error: signal: killed", "Runtime.ExitError"),
        ({"signal": 11}, "Runtime exited with error: signal: segmentation fault", "Runtime.ExitError"),
        ({"signal": 60}, "Runtime exited with error: signal: signal 60", "Runtime.ExitError"),
        ({"signal": 9, "out_of_memory": True}, "Runtime exited with error: signal: killed", "Runtime.OutOfMemory"),
    ],
)
@pytest.mark.parametrize("in_init", [False, True])
async def test_process_ends(world, version, error_of, exits, status, message, reported, in_init):
    """Whatever ends the process is told in AWS's words, in Init as in an invocation, and a new process follows."""

    async def script(runtime):
        if sum(sandbox.runtimes for sandbox in world.sandboxes.started) <= (2 if in_init else 1):
            if not in_init:
                await runtime.next()
            runtime.print(b"last words\n")
            raise exits(**status)
        request_id, _ = await runtime.next()
        await runtime.respond(request_id, b"1")
        await runtime.next()

    world.sandboxes.script = script
    result = await world.invoke(version())
    assert error_of(result) == {"errorType": "Runtime.ExitError", "errorMessage": f"RequestId: request-1 Error: {message}"}
    report = next(line for line in world.lines() if line.startswith("REPORT"))
    assert report.endswith(f"\tStatus: error\tError Type: {reported}")
    assert world.lines().count("last words") == (2 if in_init else 1)
    phases = [line.split("\t")[1] for line in world.lines() if line.startswith("INIT_REPORT")]
    assert phases == (["Phase: init", "Phase: invoke"] if in_init else [])
    assert (await world.invoke(version())).payload == b"1"
    assert len(world.sandboxes.started) == (2 if reported == "Runtime.OutOfMemory" else 1)


async def test_failing_again_and_again_gets_a_new_sandbox(world, version, exits):
    """After a few resets without a success in between the environment is replaced; a success starts the count anew."""

    async def script(runtime):
        request_id, body = await runtime.next()
        if body == b"die":
            raise exits(code=1)
        await runtime.respond(request_id, body)
        await runtime.next()

    world.sandboxes.script = script
    for body in [b"die"] * MAX_RESETS + [b"fine"] + [b"die"] * MAX_RESETS:
        await world.invoke(version(), body)
    assert len(world.sandboxes.started) == 1
    await world.invoke(version(), b"die")
    assert (await world.invoke(version(), b"fine")).payload == b"fine"
    assert len(world.sandboxes.started) == 2


def test_a_process_that_connects_at_once_after_a_reset(make_any_world, version, exits):
    """Programs in C or Go are there before the server has had a turn; uvloop lets them in within it. They are not dead."""

    async def script(runtime):
        request_id, body = await runtime.next()
        if body == b"die":
            raise exits(code=1)
        await runtime.respond(request_id, body)
        await runtime.next()

    async def die_and_go_on():
        world = make_any_world()
        world.sandboxes.script, world.sandboxes.is_fast = script, True
        await world.invoke(version(), b"die")
        answer = await world.invoke(version(), b"fine")
        await world.close()
        return answer.payload

    for loop in (asyncio.new_event_loop, uvloop.new_event_loop):
        with asyncio.Runner(loop_factory=loop) as runner:
            assert runner.run(die_and_go_on()) == b"fine"


async def test_a_sandbox_that_cannot_be_cleared_is_replaced(make_world, version, exits):
    """When not everything inside can be killed, nobody gets that environment again."""
    world = make_world(settle_seconds=0.02)

    async def script(runtime):
        request_id, body = await runtime.next()
        if body == b"die":
            world.sandboxes.started[0].cannot_kill = True
            raise exits(code=1)
        await runtime.respond(request_id, body)
        await runtime.next()

    world.sandboxes.script = script
    assert (await world.invoke(version(), b"die")).function_error
    assert (await world.invoke(version(), b"fine")).payload == b"fine"
    assert len(world.sandboxes.started) == 2


async def test_a_late_request_of_a_dead_process_is_not_the_next_ones(world, version, exits):
    """What a killed process left in its sockets never counts for the process after it."""
    connections = []

    async def script(runtime):
        if world.sandboxes.started[0].runtimes > 1:
            request_id, _ = await runtime.next()
            await runtime.respond(request_id, b"by the new one")
            await runtime.next()
        await runtime.next()
        for _ in range(5):
            connection = socket.create_connection(world.sandboxes.started[0].runtime_listener.getsockname())
            connection.sendall(b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: x\r\n\r\n")
            connections.append(connection)
        raise exits(code=1)

    world.sandboxes.script = script
    await world.invoke(version())
    assert (await world.invoke(version())).payload == b"by the new one"
    for connection in connections:
        connection.setblocking(True)
        try:
            assert not connection.recv(1000).startswith(b"HTTP/1.1 200")
        except ConnectionResetError:
            continue
        finally:
            connection.close()


async def test_freezing(world, version):
    """An idle environment stands still when asked to, and is let go for its next invocation and for nothing else."""
    environment = ExecutionEnvironment(version(), world.parts)
    await environment.freeze()  # not yet anything to freeze
    await environment.start()
    sandbox = world.sandboxes.started[0]
    await environment.freeze()
    await environment.freeze()
    assert (environment.state, sandbox.is_frozen) == (EnvironmentState.FROZEN, True)
    assert (await environment.run(world.invocation(version()))).function_error is None
    await environment.until_settled()
    assert (environment.state, sandbox.is_frozen) == (EnvironmentState.IDLE, False)
    await environment.freeze()
    await environment.stop()
    assert environment.state is EnvironmentState.DEAD


async def test_error_is_passed_on(world, version):
    """A reported error keeps its body; one without a body is made from its type; the environment is reused."""

    async def script(runtime):
        request_id, _ = await runtime.next()
        await runtime.fail(request_id, b'{ "errorMessage":"x"}')
        request_id, _ = await runtime.next()
        await runtime.fail(request_id, b"", "Lambda-Runtime-Function-Error-Type: Function.Bad")
        await runtime.next()

    world.sandboxes.script = script
    first, second = await world.invoke(version()), await world.invoke(version())
    assert (first.payload, first.function_error) == (b'{ "errorMessage":"x"}', "Unhandled")
    assert second.payload == b'{"errorType":"Function.Bad","errorMessage":"RequestId: request-2 Error: Function.Bad"}'
    assert len(world.sandboxes.started) == 1


async def test_response_too_large(world, version, error_of):
    """A response above the limit is an error for the invoker; the environment survives."""

    async def script(runtime):
        request_id, _ = await runtime.next()
        assert await runtime.respond(request_id, b"x" * 6_291_557) == 413
        request_id, _ = await runtime.next()
        await runtime.respond(request_id, b"2")
        await runtime.next()

    world.sandboxes.script = script
    result = await world.invoke(version())
    assert error_of(result) == {
        "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        "errorType": "Function.ResponseSizeTooLarge",
    }
    assert (await world.invoke(version())).payload == b"2"
    assert len(world.sandboxes.started) == 1


async def test_cancelled_invoker(world, version):
    """A function goes on when its invoker has gone; concurrency is held to its end, then the environment is reused."""
    started, go_on = asyncio.Event(), asyncio.Event()

    async def script(runtime):
        for _ in range(2):
            request_id, body = await runtime.next()
            started.set()
            await go_on.wait()
            await runtime.respond(request_id, body)
        await runtime.next()

    world.sandboxes.script = script
    caller = asyncio.create_task(world.invoke(version(), b"1"))
    await started.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert world.concurrency.in_use("000000000000", "us-east-1") == 1
    assert world.invoker.counts().busy == 1
    go_on.set()
    assert (await world.invoke(version(), b"2")).payload == b"2"
    assert world.sandboxes.started[0].is_stopped is False
    assert sum(line.startswith("REPORT RequestId: request-1") for line in world.lines()) == 1


async def test_crash_while_idle(world, version, exits):
    """An environment that dies between invocations is replaced without anyone noticing."""
    die = asyncio.Event()

    async def script(runtime):
        request_id, body = await runtime.next()
        await runtime.respond(request_id, body)
        waiting = asyncio.ensure_future(runtime.next())
        await die.wait()
        waiting.cancel()
        raise exits(code=1)

    world.sandboxes.script = script
    await world.invoke(version())
    die.set()
    while world.invoker.counts().idle:
        await asyncio.sleep(0)
    assert (await world.invoke(version(), b"2")).payload == b"2"


async def test_flood_of_output(world, version):
    """A function that writes without end is slowed by its pipe, and ended by its timeout, while another one is served."""

    async def script(runtime):
        request_id, body = await runtime.next()
        while body == b"flood":
            try:
                runtime.print(b"x" * 60_000 + b"\n")
            except BlockingIOError:
                await asyncio.sleep(0)
        await runtime.respond(request_id, body)
        await runtime.next()

    world.sandboxes.script = script
    flood = asyncio.create_task(world.invoke(version(timeout_seconds=0.3), b"flood"))
    await asyncio.sleep(0)
    assert (await world.invoke(version("other"), b"fine")).payload == b"fine"
    assert (await flood).function_error == "Unhandled"
    assert sum(len(line) for line in world.lines()) < 20_000_000


async def test_output_held_back_stands_before_the_report(world, version):
    """What a flooding function wrote last stands in its own request's lines, though reading was paused when it ended."""
    is_full = []
    world.parts = replace(world.parts, is_log_sink_full=lambda stream: bool(is_full))

    async def script(runtime):
        while True:
            request_id, body = await runtime.next()
            is_full.append(True)
            runtime.print(b"said by %b\n" % body)
            await runtime.respond(request_id, body)

    world.sandboxes.script = script
    await world.invoke(version(), b"first")
    await world.invoke(version(), b"second")
    await world.placement.close(1)
    words = [line.split()[0] for line in world.lines()]
    assert words == ["INIT_START", *["START", "said", "END", "REPORT"] * 2]
    assert [line for line in world.lines() if line.startswith("said")] == ["said by first", "said by second"]
