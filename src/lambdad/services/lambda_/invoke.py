"""Invocations asked for through the API: synchronous, asynchronous, or only tried for parameters and permission."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from lambdad.errors import ServiceError
from lambdad.model.arn import FunctionName, parse_function_name
from lambdad.model.event import QueuedEvent
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.policy import allows
from lambdad.model.request import RequestContext, Response
from lambdad.model.request_keys import caller_of
from lambdad.model.trace_header import MOST_INVOCATIONS, entering
from lambdad.services.lambda_.managed_rules import not_with_instances
from lambdad.services.lambda_.payload import EMPTY, check_json, check_size, read_client_context
from lambdad.services.lambda_.recursion import check_recursion
from lambdad.services.lambda_.refusal import access_denied
from lambdad.services.lambda_.resolve import failure_targets, is_current, resolve_version
from lambdad.services.lambda_.state import LambdaState


async def invoke(state: LambdaState, context: RequestContext, request: Mapping[str, Any]) -> Response:
    invocation_type = request.get("InvocationType", "RequestResponse")
    payload = request.get("Payload") or EMPTY
    name, invocation = await prepare(state, context, request, payload, invocation_type)
    if invocation_type == "DryRun":
        return Response({"StatusCode": 204}, status=204)
    if invocation_type == "Event":
        await _accept_event(state, name, invocation)
        headers = {"X-Amzn-Trace-Id": invocation.trace_header}
        return Response({"StatusCode": 202, "Payload": b""}, status=202, headers=headers)
    result = await run(state, name, invocation)
    output: dict[str, Any] = {"StatusCode": 200, "ExecutedVersion": result.executed_version, "Payload": result.payload}
    if result.function_error is not None:
        output["FunctionError"] = result.function_error
    if result.log_tail is not None:
        output["LogResult"] = base64.b64encode(result.log_tail).decode()
    headers = {
        "X-Amzn-Trace-Id": invocation.trace_header,
        "x-amzn-Remapped-Content-Length": "0",
        "Content-Type": result.content_type,
    }
    return Response(output, status=200, headers=headers)


async def invoke_async(state: LambdaState, context: RequestContext, request: Mapping[str, Any]) -> Response:
    """The old way to queue an event. Unlike on AWS the trace goes along, so that a loop by this way is stopped too."""
    payload, limit = request.get("InvokeArgs") or EMPTY, state.quotas.invoke_async_payload_bytes
    name, invocation = await prepare(state, context, request, payload, "Event", action="lambda:InvokeAsync", size_limit=limit)
    await _accept_event(state, name, invocation)
    return Response({"Status": 202}, status=202)


async def prepare(
    state: LambdaState,
    context: RequestContext,
    request: Mapping[str, Any],
    payload: bytes,
    invocation_type: str,
    *,
    wants_stream: bool = False,
    action: str = "lambda:InvokeFunction",
    size_limit: int | None = None,
) -> tuple[FunctionName, Invocation]:
    """What is to be run, refused in this order: permission on another account's function, existence, state, size, content,
    recursion. It is here that a loop is counted, also of events, which are stopped when they are dispatched."""
    name = parse_function_name(request["FunctionName"], context.account_id, context.region, request.get("Qualifier"))
    await _check_permission(state, context, name, action)
    version = await resolve_version(state, name, request.get("TenantId"), is_dry_run=invocation_type == "DryRun")
    if version.managed is not None and request.get("LogType") == "Tail":
        raise not_with_instances("LogType Tail")
    check_size(len(payload), invocation_type, state.quotas, size_limit)
    check_json(payload)
    client_context = _client_context(state, request, invocation_type)
    trace_header, times = entering(context.headers.get("x-amzn-trace-id", ""), name.key, state.clock())
    if times > MOST_INVOCATIONS and invocation_type == "RequestResponse":
        await check_recursion(state, name)
    invocation = Invocation(
        request_id=context.request_id,
        version=version,
        invoked_function_arn=name.qualified_arn,
        payload=payload,
        trace_header=trace_header,
        client_context=client_context,
        wants_log_tail=request.get("LogType") == "Tail",
        wants_stream=wants_stream,
    )
    return name, invocation


async def run(state: LambdaState, name: FunctionName, invocation: Invocation) -> InvocationResult:
    """What no environment could be made for may have been deleted or updated since it was looked up, and its code with it: then
    the function is looked up again. Nothing has run when the invoker raises."""
    while True:
        try:
            return await state.invoker.invoke(invocation)
        except ServiceError as error:
            if error.code == "TooManyRequestsException" or await is_current(state, invocation.version):
                raise
        version = await resolve_version(state, name, invocation.version.tenant_id)
        invocation = msgspec.structs.replace(invocation, version=version)


async def _accept_event(state: LambdaState, name: FunctionName, invocation: Invocation) -> None:
    """Returns when the event is on stable storage. Client contexts and log tails are for callers who wait, as on AWS."""
    await state.events.accept(
        QueuedEvent(
            request_id=invocation.request_id,
            account_id=name.account_id,
            region=name.region,
            function_name=name.name,
            qualifier=name.qualifier,
            invoked_function_arn=name.qualified_arn,
            payload=invocation.payload,
            trace_header=invocation.trace_header,
            accepted_at=state.clock(),
            if_function_goes=failure_targets(await state.functions.find(name.key), name.qualifier),
            tenant_id=invocation.version.tenant_id,
        )
    )


def _client_context(state: LambdaState, request: Mapping[str, Any], invocation_type: str) -> str | None:
    """Read for a dry run too, which is refused as the call would be. Events have none."""
    given = request.get("ClientContext")
    if not given or invocation_type == "Event":
        return None
    return read_client_context(given, state.quotas)


async def _check_permission(state: LambdaState, context: RequestContext, name: FunctionName, action: str) -> None:
    """Another account's function is for those that its resource policy names, also with `--auth off`."""
    if context.is_permitted or name.account_id == context.account_id:
        return
    stored = await state.functions.find(name.key)
    policy = stored.policies.get(name.qualifier or "") if stored else None
    if not allows(policy, caller_of(context, state.clock, {}), action, name.qualified_arn):
        raise access_denied(context.principal.arn, action, name.qualified_arn)
