"""Invocations asked for through the API: synchronous, asynchronous, or only tried for parameters and permission."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from lambdad.model.arn import FunctionName, parse_function_name
from lambdad.model.event import QueuedEvent
from lambdad.model.invocation import Invocation
from lambdad.model.policy import Caller, allows
from lambdad.model.request import RequestContext, Response
from lambdad.model.trace_header import MOST_INVOCATIONS, entering
from lambdad.model.version import Version
from lambdad.services.lambda_.payload import EMPTY, check_json, check_size, read_client_context
from lambdad.services.lambda_.recursion import check_recursion
from lambdad.services.lambda_.refusal import access_denied
from lambdad.services.lambda_.resolve import failure_targets, resolve_version
from lambdad.services.lambda_.state import LambdaState


async def invoke(state: LambdaState, context: RequestContext, request: Mapping[str, Any]) -> Response:
    name = parse_function_name(request["FunctionName"], context.account_id, context.region, request.get("Qualifier"))
    invocation_type = request.get("InvocationType", "RequestResponse")
    payload = request.get("Payload") or EMPTY
    check_size(len(payload), invocation_type, state.quotas)
    await _check_permission(state, context, name)
    version = await resolve_version(state, name)
    check_json(payload)
    client_context = _client_context(state, request)
    if invocation_type == "DryRun":
        return Response({"StatusCode": 204}, status=204)
    trace_header, times = entering(context.headers.get("x-amzn-trace-id", ""), name.key, state.clock())
    if invocation_type == "Event":
        return await _accept_event(state, context, name, payload, trace_header)
    if times > MOST_INVOCATIONS:
        await check_recursion(state, name)
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
            if_function_goes=failure_targets(await state.functions.find(name.key), name.qualifier),
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
