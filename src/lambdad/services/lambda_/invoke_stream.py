"""Invocations whose response is passed on while the function writes it: InvokeWithResponseStream."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from lambdad.model.invocation import InvocationResult, StreamedResponse, StreamEnd
from lambdad.model.request import RequestContext, Response
from lambdad.services.lambda_.invoke import prepare, run
from lambdad.services.lambda_.payload import EMPTY
from lambdad.services.lambda_.state import LambdaState

Event = Mapping[str, Mapping[str, Any]]

OCTETS = "application/octet-stream"


async def invoke_with_response_stream(state: LambdaState, context: RequestContext, request: Mapping[str, Any]) -> Response:
    """Answers when the function has begun to, so that what refuses or fails before is no stream's end but an answer's."""
    invocation_type = request.get("InvocationType", "RequestResponse")
    payload = request.get("Payload") or EMPTY
    name, invocation = await prepare(state, context, request, payload, invocation_type, wants_stream=True)
    if invocation_type == "DryRun":
        return Response({"StatusCode": 204}, status=204)
    result = await run(state, name, invocation)
    content_type = result.content_type
    if result.stream is None:
        events = _whole(result)
    else:
        events = _pieces(result.stream)
        await anext(events)  # a generator that has begun is closed by the event loop even if nobody iterates it
    output = {"StatusCode": 200, "ExecutedVersion": result.executed_version, "EventStream": events}
    headers = {"X-Amzn-Trace-Id": invocation.trace_header, "X-Amzn-Remapped-Content-Type": content_type}
    return Response(output, status=200, headers=headers)


async def _pieces(stream: StreamedResponse) -> AsyncGenerator[Event]:
    """Without a first one, which is empty, each is what the function has written since the one before."""
    try:
        yield {}
        async for piece in stream:
            yield _chunk(piece)
        yield _complete(await stream.end())
    finally:
        stream.close()


async def _whole(result: InvocationResult) -> AsyncGenerator[Event]:
    """Of a function that does not stream: its response in one piece, or its error."""
    if result.function_error is not None:
        yield _complete(StreamEnd(result.function_error, result.payload, result.log_tail))
        return
    if result.payload:
        yield _chunk(result.payload)
    yield _complete(StreamEnd(log_tail=result.log_tail))


def _chunk(piece: bytes) -> Event:
    return {"PayloadChunk": {"Payload": piece}}


def _complete(end: StreamEnd) -> Event:
    members: dict[str, str] = {}
    if end.error_type is not None:
        members["ErrorCode"] = end.error_type
        members["ErrorDetails"] = end.error.decode("utf-8", "replace")
    if end.log_tail is not None:
        members["LogResult"] = base64.b64encode(end.log_tail).decode()
    return {"InvokeComplete": members}
