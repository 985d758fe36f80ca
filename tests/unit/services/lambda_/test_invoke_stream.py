"""InvokeWithResponseStream: what becomes of a result, streamed or not."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from lambdad.model.event import decode_event
from lambdad.model.invocation import InvocationResult, StreamEnd
from lambdad.model.trace_header import entering, times_invoked
from support.lambda_service import ACCOUNT, REGION, World, refused


class Stream:
    """A streamed response that is there at once."""

    content_type = "text/event-stream"

    def __init__(self, pieces: Sequence[bytes], end: StreamEnd) -> None:
        self._pieces = pieces
        self._end = end
        self.is_closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece

    def close(self) -> None:
        self.is_closed = True

    async def end(self) -> StreamEnd:
        return self._end


async def answer(world: World, result: InvocationResult, **request: Any) -> Any:
    await world.create()
    world.invoker.result = result
    return await world.answer("InvokeWithResponseStream", FunctionName="f", **request)


def streamed(*pieces: bytes, end: StreamEnd) -> InvocationResult:
    stream = Stream(pieces, end)
    return InvocationResult(b"", "$LATEST", content_type=stream.content_type, stream=stream)


async def test_a_stream_is_passed_on(world: World) -> None:
    """A chunk a piece; the end has the error and the log, and the stream is closed then."""
    result = streamed(b"a", b"b", end=StreamEnd("Function.E", b'{"x": "\xff"}', b"START"))
    answered = await answer(world, result, LogType="Tail")
    assert (answered.status, answered.output["ExecutedVersion"]) == (200, "$LATEST")
    assert answered.headers["X-Amzn-Remapped-Content-Type"] == "text/event-stream"
    asked = world.invoker.invocations[0]
    assert (asked.wants_stream, asked.wants_log_tail, asked.payload) == (True, True, b"{}")
    assert [event async for event in answered.output["EventStream"]] == [
        {"PayloadChunk": {"Payload": b"a"}},
        {"PayloadChunk": {"Payload": b"b"}},
        {
            "InvokeComplete": {
                "ErrorCode": "Function.E",
                "ErrorDetails": '{"x": "\ufffd"}',
                "LogResult": base64.b64encode(b"START").decode(),
            }
        },
    ]
    assert result.stream.is_closed  # type: ignore[union-attr]


@pytest.mark.parametrize("is_begun", [True, False])
async def test_closing_the_answer_closes_the_stream(world: World, is_begun: bool) -> None:
    """Also when the answer could not even begin to be sent."""
    result = streamed(b"a", b"b", end=StreamEnd())
    events = (await answer(world, result)).output["EventStream"]
    if is_begun:
        await anext(events)
    await events.aclose()
    assert result.stream.is_closed  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("result", "events"),
    [
        (InvocationResult(b"1", ""), [{"PayloadChunk": {"Payload": b"1"}}, {"InvokeComplete": {}}]),
        (InvocationResult(b"", ""), [{"InvokeComplete": {}}]),
        (
            InvocationResult(b'{"errorType":"E"}', "", "Unhandled", b"LOG"),
            [{"InvokeComplete": {"ErrorCode": "Unhandled", "ErrorDetails": '{"errorType":"E"}', "LogResult": "TE9H"}}],
        ),
    ],
    ids=["whole", "empty", "error"],
)
async def test_what_is_not_streamed(world: World, result: InvocationResult, events: list[Any]) -> None:
    """A whole answer is one chunk; an error is none."""
    assert [event async for event in (await answer(world, result)).output["EventStream"]] == events


async def test_dry_run_and_refusals(world: World) -> None:
    """As for Invoke, and nothing runs."""
    await world.create()
    answered = await world.answer("InvokeWithResponseStream", FunctionName="f", InvocationType="DryRun")
    assert (answered.status, answered.output) == (204, {"StatusCode": 204})
    for request, code in (
        ({"FunctionName": "none"}, "ResourceNotFoundException"),
        ({"Payload": b"{"}, "InvalidRequestContentException"),
        ({"Payload": b"1" * 6_291_457}, "RequestEntityTooLargeException"),
        ({"ClientContext": "?", "InvocationType": "DryRun"}, "InvalidRequestContentException"),
    ):
        error = await refused(world.call("InvokeWithResponseStream", **{"FunctionName": "f", **request}))
        assert error.code == code
    assert not world.invoker.invocations


@pytest.mark.parametrize(("operation", "is_stopped"), [("InvokeWithResponseStream", True), ("InvokeAsync", False)])
async def test_recursion(world: World, operation: str, is_stopped: bool) -> None:
    """A loop by way of streams is stopped here; one by way of events is counted on, and stopped when they are dispatched."""
    await world.create()
    trace = ""
    for _ in range(16):
        trace, times = entering(trace, (ACCOUNT, REGION, "f"), 0.0)
    assert times == 16
    called = world.call(operation, FunctionName="f", headers={"x-amzn-trace-id": trace})
    if is_stopped:
        assert (await refused(called)).code == "RecursiveInvocationException"
        return
    await called
    [body] = await world.events()
    assert times_invoked(decode_event(body).trace_header, (ACCOUNT, REGION, "f")) == 17
