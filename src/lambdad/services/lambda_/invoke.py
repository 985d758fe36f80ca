"""Invocations asked for through the API: synchronous, asynchronous, or only tried for parameters and permission."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from random import getrandbits
from typing import Any

from lambdad.model.arn import FunctionName, parse_function_name
from lambdad.model.event import QueuedEvent
from lambdad.model.invocation import Invocation
from lambdad.model.policy import Caller, allows
from lambdad.model.request import RequestContext, Response
from lambdad.model.version import Version
from lambdad.services.lambda_.payload import EMPTY, check_json, check_size, read_client_context
from lambdad.services.lambda_.refusal import access_denied
from lambdad.services.lambda_.resolve import resolve_version
from lambdad.services.lambda_.state import LambdaState

_TRACE_HEADER = re.compile(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}(;[A-Za-z]+=[A-Za-z0-9:|_.-]*)*;?")
_LONGEST_TRACE_HEADER = 512


async def invoke(state: LambdaState, context: RequestContext, request: Mapping[str, Any]) -> Response:
    name = parse_function_name(request["FunctionName"], context.account_id, context.region, request.get("Qualifier"))
    invocation_type = request.get("InvocationType", "RequestResponse")
    payload = request.get("Payload") or EMPTY
    check_size(len(payload), invocation_type, state.quotas)
    await _check_permission(state, context, name)
    version = await resolve_version(state, name)
    check_json(payload)
    client_context = _client_context(state, request)
    trace_header = trace_header_of(context, state.clock())
    if invocation_type == "DryRun":
        return Response({"StatusCode": 204}, status=204)
    if invocation_type == "Event":
        return await _accept_event(state, context, name, payload, trace_header)
    return await _invoke_and_wait(state, context, request, name, version, payload, client_context, trace_header)


async def _invoke_and_wait(
    state: LambdaState,
    context: RequestContext,
    request: Mapping[str, Any],
    name: FunctionName,
    version: Version,
    payload: bytes,
    client_context: str | None,
    trace_header: str,
) -> Response:
    result = await state.invoker.invoke(
        Invocation(
            request_id=context.request_id,
            version=version,
            invoked_function_arn=name.qualified_arn,
            payload=payload,
            trace_header=trace_header,
            client_context=client_context,
            wants_log_tail=request.get("LogType") == "Tail",
        )
    )
    output: dict[str, Any] = {"StatusCode": 200, "ExecutedVersion": result.executed_version, "Payload": result.payload}
    if result.function_error is not None:
        output["FunctionError"] = result.function_error
    if result.log_tail is not None:
        output["LogResult"] = base64.b64encode(result.log_tail).decode()
    headers = {"X-Amzn-Trace-Id": trace_header, "x-amzn-Remapped-Content-Length": "0", "Content-Type": result.content_type}
    return Response(output, status=200, headers=headers)


async def _accept_event(
    state: LambdaState, context: RequestContext, name: FunctionName, payload: bytes, trace_header: str
) -> Response:
    """202 only after the event is on stable storage. Client contexts and log tails are for callers who wait, as on AWS."""
    await state.events.accept(
        QueuedEvent(
            request_id=context.request_id,
            account_id=name.account_id,
            region=name.region,
            function_name=name.name,
            qualifier=name.qualifier,
            invoked_function_arn=name.qualified_arn,
            payload=payload,
            trace_header=trace_header,
            accepted_at=state.clock(),
        )
    )
    return Response({"StatusCode": 202, "Payload": b""}, status=202, headers={"X-Amzn-Trace-Id": trace_header})


def _client_context(state: LambdaState, request: Mapping[str, Any]) -> str | None:
    """Read for a dry run too, which is refused as the call would be. Events have none."""
    given = request.get("ClientContext")
    if not given or request.get("InvocationType") == "Event":
        return None
    return read_client_context(given, state.quotas)


async def _check_permission(state: LambdaState, context: RequestContext, name: FunctionName) -> None:
    """Another account's function is for those that its resource policy names, also with `--auth off`."""
    if context.is_permitted or name.account_id == context.account_id:
        return
    stored = await state.functions.find(name.key)
    policy = stored.policies.get(name.qualifier or "") if stored else None
    caller = Caller(principal_arn=context.principal.arn, account_id=context.account_id)
    if not allows(policy, caller, "lambda:InvokeFunction", name.qualified_arn):
        raise access_denied(context.principal.arn, "lambda:InvokeFunction", name.qualified_arn)


def trace_header_of(context: RequestContext, now: float) -> str:
    """The caller's trace, or a new one that is not sampled: tracing is PassThrough."""
    return trace_header_from(context.headers.get("x-amzn-trace-id", ""), now)


def trace_header_from(given: str, now: float) -> str:
    if len(given) <= _LONGEST_TRACE_HEADER and _TRACE_HEADER.fullmatch(given):
        return given
    return new_trace_header(now)


def new_trace_header(now: float) -> str:
    return f"Root=1-{int(now) & 0xFFFFFFFF:08x}-{getrandbits(96):024x};Parent={getrandbits(64):016x};Sampled=0"
