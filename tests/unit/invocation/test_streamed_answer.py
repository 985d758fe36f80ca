"""Invocations whose response is streamed, with a runtime that is a script in this process."""

from __future__ import annotations

import asyncio
import json

import pytest

from lambdad.errors import ServiceError
from lambdad.model.execution_environment import EnvironmentState
from lambdad.model.invocation import StreamEnd
from lambdad.model.log_settings import LogSettings

HEAD = (
    "POST /2018-06-01/runtime/invocation/{}/response HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
    "Lambda-Runtime-Function-Response-Mode: streaming\r\nContent-Type: text/plain\r\n\r\n"
)


class Streaming:
    """A runtime that streams what the test gives it, a stream an invocation."""

    def __init__(self, world) -> None:
        self.pieces: asyncio.Queue[bytes] = asyncio.Queue()  #: "" ends a stream, "!" the process
        self.streams = 0
        world.sandboxes.script = self.script

    async def script(self, runtime) -> None:
        while True:
            request_id, _ = await runtime.next()
            runtime._writer.write(HEAD.format(request_id).encode())
            self.streams += 1
            while piece := await self.pieces.get():
                if piece == b"!":
                    return
                runtime._writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            runtime._writer.write(b"0\r\n\r\n")
            await runtime._reader.readuntil(b'{"status":"OK"}\n')


@pytest.fixture
def streaming(world):
    return Streaming(world)


@pytest.fixture
async def begun(world, version, streaming):
    """An invocation whose stream has begun, of a function that may run once at a time."""
    world.limit = 1
    return await world.invoke(version(), wants_stream=True)


async def test_pieces_then_the_end(world, streaming, begun):
    """The result is there before the first byte, and a piece as soon as it was written."""
    assert (begun.payload, begun.executed_version, begun.content_type) == (b"", "$LATEST", "text/plain")
    for piece in (b"one", b"two"):
        streaming.pieces.put_nowait(piece)
        assert await anext(aiter(begun.stream)) == piece
    streaming.pieces.put_nowait(b"")
    assert [piece async for piece in begun.stream] == []
    assert await begun.stream.end() == StreamEnd()


async def test_concurrency_is_in_use_until_the_function_has_ended(world, version, streaming, begun):
    """The invoker has its result, and gives the stream up, but another call is throttled until the function has ended."""
    one = version()
    begun.stream.close()
    with pytest.raises(ServiceError, match="Rate Exceeded"):
        await world.invoke(one, wants_stream=True)
    for _ in range(40):
        streaming.pieces.put_nowait(b"x" * 100_000)  # more than any buffer holds, for nobody
    streaming.pieces.put_nowait(b"")
    [environment] = world.placement._pools[one.environment_key].members
    await environment.until_settled()
    assert world.concurrency.in_use("000000000000", "us-east-1") == 0
    again = await world.invoke(one, wants_stream=True)
    streaming.pieces.put_nowait(b"")
    assert [piece async for piece in again.stream] == []
    assert len(world.sandboxes.started) == 1, "the same environment"


async def test_a_streaming_environment_is_not_nearly_free(world, version, streaming, begun):
    """One that has only begun to answer is not waited for: the next call gets an environment of its own at once."""
    world.limit = 2
    other = await world.invoke(version(), wants_stream=True)  # within the five seconds that a test here waits for nearly free
    assert len(world.sandboxes.started) == 2
    for _ in range(2):
        streaming.pieces.put_nowait(b"")
    assert [piece async for piece in begun.stream] == [piece async for piece in other.stream] == []


async def test_the_tail_has_the_report(world, version, streaming):
    """The tail of the log is complete, so the end of the stream waits for the function's."""
    result = await world.invoke(version(), wants_stream=True, wants_log_tail=True)
    streaming.pieces.put_nowait(b"")
    assert [piece async for piece in result.stream] == []
    lines = (await result.stream.end()).log_tail.decode().splitlines()
    assert [line.split()[0] for line in lines] == ["START", "END", "REPORT"]


async def test_timeout_in_the_middle(world, version, streaming):
    """The reader gets what there was, then the timeout in the words that other invokers get."""
    result = await world.invoke(version(timeout_seconds=1.0), wants_stream=True)
    streaming.pieces.put_nowait(b"half")
    assert [piece async for piece in result.stream] == [b"half"]
    end = await result.stream.end()
    assert end.error_type == "Sandbox.Timeout"
    assert json.loads(end.error) == {
        "errorType": "Sandbox.Timedout",
        "errorMessage": "RequestId: request-1 Error: Task timed out after 1.00 seconds",
    }


async def test_a_process_that_ends_in_the_middle(world, version, streaming):
    """The response is cut; who wants the log waits until it is known why, and is told."""
    result = await world.invoke(version(), wants_stream=True, wants_log_tail=True)
    streaming.pieces.put_nowait(b"!")
    assert [piece async for piece in result.stream] == []
    end = await result.stream.end()
    assert end.error_type == "Runtime.TruncatedResponse"
    assert json.loads(end.error)["errorType"] == "Runtime.ExitError"
    assert b"REPORT" in end.log_tail


async def test_a_server_that_stops_in_the_middle(world, streaming, begun):
    """The reader is told."""
    await world.invoker.close(0)
    assert [piece async for piece in begun.stream] == []
    end = await begun.stream.end()
    assert (end.error_type, json.loads(end.error)["errorType"]) == ("Sandbox.Failure", "Sandbox.Failure")


@pytest.mark.parametrize("is_after_failure", [False, True])
async def test_a_caller_that_goes_before_the_stream_begins(world, version, streaming, is_after_failure):
    """Nobody reads the stream then, and the function still runs to its end: also where an Init comes first."""
    one = version()
    if is_after_failure:
        failed = await world.invoke(one, wants_stream=True)
        streaming.pieces.put_nowait(b"!")
        assert [piece async for piece in failed.stream] == []
        [environment] = world.placement._pools[one.environment_key].members
        while environment.state is not EnvironmentState.RESET:
            await environment.until_settled()
    caller = asyncio.ensure_future(world.invoke(one, wants_stream=True))
    while not world.placement._pools or not any(
        environment.state is EnvironmentState.BUSY for environment in world.placement._pools[one.environment_key].members
    ):
        await asyncio.sleep(0)
    [environment] = world.placement._pools[one.environment_key].members
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    for _ in range(40):
        streaming.pieces.put_nowait(b"x" * 100_000)
    streaming.pieces.put_nowait(b"")
    await environment.until_settled()
    assert environment.state is EnvironmentState.IDLE


async def test_what_is_not_streamed_comes_whole(world, version):
    """A runtime that does not stream answers an invocation that would take a stream as any other."""
    result = await world.invoke(version(), b'{"a": 1}', wants_stream=True)
    assert (result.payload, result.stream) == (b'{"a": 1}', None)


async def test_telemetry_measures_the_whole_stream(world, version, streaming):
    """platform.runtimeDone counts the bytes that were streamed, and the time that they took."""
    one = version(log_settings=LogSettings("JSON", "INFO", "DEBUG"))
    result = await world.invoke(one, wants_stream=True, wants_log_tail=True)
    for piece in (b"x" * 5000, b"y", b""):
        streaming.pieces.put_nowait(piece)
    assert sum([len(piece) async for piece in result.stream]) == 5001
    await result.stream.end()
    [done] = [event["record"] for event in map(json.loads, world.lines()) if event["type"] == "platform.runtimeDone"]
    assert done["metrics"]["producedBytes"] == 5001
    spans = {span["name"]: span["durationMs"] for span in done["spans"]}
    assert spans["responseDuration"] > 0
    assert sum(spans.values()) == pytest.approx(done["metrics"]["durationMs"], abs=1)
