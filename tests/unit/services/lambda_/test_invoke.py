"""Invocations through the API."""

from __future__ import annotations

import base64
import re
from typing import Any
from unittest.mock import patch

import pytest

from lambdad.errors import ServiceError
from lambdad.model.event import decode_event
from lambdad.model.invocation import Invocation, InvocationResult
from support.lambda_service import ACCOUNT, OTHER_ACCOUNT, REGION, World, function_request, refused

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
CONTEXT = base64.b64encode(b'{"client": {"x": "\xc3\xa4"}}').decode()


async def test_request_and_answer(world: World) -> None:
    """The payload's bytes reach the function as they came; the answer has its headers' members."""
    await world.create()
    payload = b' {"a" :\t1.0e2, "\xc3\xa4": []}\n'
    answered = await world.answer("Invoke", FunctionName="f", Payload=payload, ClientContext=CONTEXT, LogType="None")
    invocation = world.invoker.invocations[0]
    assert invocation.payload == payload
    assert invocation.client_context == '{"client": {"x": "ä"}}'
    assert invocation.invoked_function_arn == ARN
    assert not invocation.wants_log_tail
    assert answered.status == 200
    assert answered.output == {"StatusCode": 200, "ExecutedVersion": "$LATEST", "Payload": b'"done"'}
    trace = r"Root=1-601bed7f-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0;Lineage=[0-9a-f]{8}:1"
    assert re.fullmatch(trace, answered.headers["X-Amzn-Trace-Id"])
    assert answered.headers["x-amzn-Remapped-Content-Length"] == "0"


NOT_MADE = ServiceError("ServiceException", "The execution environment could not be made.", status=500)


async def test_a_function_that_went_meanwhile_is_not_found(world: World) -> None:
    """An invocation finds its code gone because the function was deleted after it was looked up: 404, as a moment later."""
    await world.create()

    async def delete(invocation: Invocation) -> InvocationResult:
        await world.call("DeleteFunction", FunctionName="f")
        raise NOT_MADE

    with patch.object(world.invoker, "invoke", delete):
        error = await refused(world.call("Invoke", FunctionName="f"))
    assert (error.code, error.message) == ("ResourceNotFoundException", f"Function not found: {ARN}:$LATEST")


async def test_a_function_that_changed_meanwhile_is_looked_up_again(world: World) -> None:
    """An invocation finds its code gone because of an update: it runs the new code, and keeps its request id and event."""
    await world.create()
    ran: list[Invocation] = []

    async def update(invocation: Invocation) -> InvocationResult:
        ran.append(invocation)
        if len(ran) == 1:
            await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
            await world.settled("f")
            raise NOT_MADE
        return InvocationResult(b"1", "$LATEST")

    with patch.object(world.invoker, "invoke", update):
        answered = await world.answer("Invoke", FunctionName="f", Payload=b"[2]")
    assert answered.output["Payload"] == b"1"
    assert [invocation.version.timeout_seconds for invocation in ran] == [3, 9]
    assert [(invocation.request_id, invocation.payload) for invocation in ran] == [(ran[0].request_id, b"[2]")] * 2


@pytest.mark.parametrize("error", [NOT_MADE, ServiceError("TooManyRequestsException", "Rate Exceeded.")])
async def test_a_function_that_did_not_change_is_refused_once(world: World, error: ServiceError) -> None:
    """What cannot be run for another reason is said at once, and not tried again."""
    await world.create()
    tried: list[Invocation] = []

    async def fail(invocation: Invocation) -> InvocationResult:
        tried.append(invocation)
        raise error

    with patch.object(world.invoker, "invoke", fail):
        assert await refused(world.call("Invoke", FunctionName="f")) is error
    assert len(tried) == 1


async def test_function_error_and_log_tail(world: World) -> None:
    """A function's error is a 200 with FunctionError; the log tail is base64."""
    await world.create()
    world.invoker.result = InvocationResult(b'{"errorMessage":"x"}', "1", "Unhandled", b"START\nEND\n")
    answered = await world.answer("Invoke", FunctionName="f", LogType="Tail")
    assert world.invoker.invocations[0].wants_log_tail
    assert answered.status == 200
    assert answered.output["FunctionError"] == "Unhandled"
    assert base64.b64decode(answered.output["LogResult"]) == b"START\nEND\n"


async def test_empty_body_is_an_empty_object(world: World) -> None:
    """Without a body the function gets {}."""
    await world.create()
    await world.call("Invoke", FunctionName="f")
    assert world.invoker.invocations[0].payload == b"{}"


async def test_trace_header_of_the_caller(world: World) -> None:
    """A well-formed trace header is passed on with the function's lineage, another is replaced."""
    await world.create()
    given = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    await world.call("Invoke", FunctionName="f", headers={"x-amzn-trace-id": given})
    await world.call("Invoke", FunctionName="f", headers={"x-amzn-trace-id": "Root=x\r\nBad: 1"})
    assert re.fullmatch(f"{given};Lineage=[0-9a-f]{{8}}:1", world.invoker.invocations[0].trace_header)
    assert world.invoker.invocations[1].trace_header.startswith("Root=1-601bed7f-")


async def test_event_is_queued(world: World) -> None:
    """An Event answers 202 when the event is in the queue, and runs nothing."""
    await world.create(Publish=True)
    answered = await world.answer("Invoke", FunctionName="f", Qualifier="1", InvocationType="Event", Payload=b"[1]")
    assert (answered.status, answered.output["StatusCode"]) == (202, 202)
    [body] = await world.events()
    event = decode_event(body)
    assert (event.payload, event.qualifier, event.invoked_function_arn) == (b"[1]", "1", f"{ARN}:1")
    assert event.request_id == "11111111-2222-3333-4444-555555555555"
    assert not world.invoker.invocations


async def test_dry_run(world: World) -> None:
    """DryRun answers 204 and runs nothing, but finds what a real call would."""
    await world.create()
    answered = await world.answer("Invoke", FunctionName="f", InvocationType="DryRun")
    assert answered.status == 204
    assert not world.invoker.invocations
    error = await refused(world.call("Invoke", FunctionName="none", InvocationType="DryRun"))
    assert error.code == "ResourceNotFoundException"


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        ({"FunctionName": "none"}, "ResourceNotFoundException", f"Function not found: {ARN[:-1]}none:$LATEST"),
        ({"Qualifier": "9"}, "ResourceNotFoundException", f"Function not found: {ARN}:9"),
        ({"Qualifier": "prod"}, "ResourceNotFoundException", f"Function not found: {ARN}:prod"),
        ({"FunctionName": "f:1", "Qualifier": "2"}, "InvalidParameterValueException", "The derived qualifier"),
        ({"Payload": b"value"}, "InvalidRequestContentException", "Unrecognized token 'value': was expecting"),
        (
            {"Payload": bytes(6_291_457)},
            "RequestEntityTooLargeException",
            "6291457 byte payload is too large for the RequestResponse invocation type (limit 6291456 bytes)",
        ),
        (
            {"Payload": bytes(6_291_557)},
            "RequestEntityTooLargeException",
            "Request must be smaller than 6291456 bytes for the InvokeFunction operation",
        ),
        (
            {"Payload": bytes(1_048_577), "InvocationType": "Event"},
            "RequestEntityTooLargeException",
            "1048577 byte payload is too large for the Event invocation type (limit 1048576 bytes)",
        ),
        (
            {"ClientContext": "?"},
            "InvalidRequestContentException",
            "Client context must be a valid Base64-encoded JSON object.",
        ),
        ({"ClientContext": base64.b64encode(b"[1]").decode()}, "InvalidRequestContentException", "Base64-encoded JSON object"),
        ({"ClientContext": "A" * 3584}, "InvalidRequestContentException", "at most 3583 bytes; got 3584"),
        ({"FunctionName": ARN.replace(ACCOUNT, OTHER_ACCOUNT)}, "AccessDeniedException", "lambda:InvokeFunction"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_refusals(world: World, request_: dict[str, Any], code: str, message: str) -> None:
    """What cannot be invoked is refused in AWS's words, and nothing runs."""
    await world.create()
    error = await refused(world.call("Invoke", **{"FunctionName": "f", **request_}))
    assert error.code == code
    assert message in error.message
    assert not world.invoker.invocations


async def test_another_account_by_policy(world: World) -> None:
    """Another account may invoke what the function's policy opens to it, and only that."""
    await world.create(Publish=True)
    permission = {"StatementId": "s", "Action": "lambda:InvokeFunction", "Principal": OTHER_ACCOUNT}
    await world.call("AddPermission", FunctionName="f", Qualifier="1", **permission)
    answered = await world.call("Invoke", account=OTHER_ACCOUNT, FunctionName=f"{ARN}:1")
    assert answered["ExecutedVersion"] == "1"
    assert (await refused(world.call("Invoke", account=OTHER_ACCOUNT, FunctionName=ARN))).code == "AccessDeniedException"


async def test_warm_invocation_reads_no_record(world: World) -> None:
    """After the first invocation the version comes from memory, as one and the same object."""
    await world.create()
    await world.call("Invoke", FunctionName="f")

    async def no_reading(*_: object) -> None:
        raise AssertionError("a record was read")

    world.store.get = no_reading  # type: ignore[method-assign,assignment]
    await world.call("Invoke", FunctionName="f")
    first, second = world.invoker.invocations
    assert first.version is second.version


async def test_order_of_refusals(world: World) -> None:
    """Whether the function is there comes first, then whether it can run, then the payload's size, then what it says."""
    bad = {"Payload": b"x" * 6_291_457, "ClientContext": "?"}
    missing = await refused(world.call("Invoke", FunctionName="f", **bad))
    assert missing.code == "ResourceNotFoundException"
    await world.call("CreateFunction", **function_request("f"))
    pending = await refused(world.call("Invoke", FunctionName="f", **bad))
    assert pending.code == "ResourceConflictException"
    await world.settled()
    assert (await refused(world.call("Invoke", FunctionName="f", **bad))).code == "RequestEntityTooLargeException"
    bad["Payload"] = b"x"
    assert "Unrecognized token" in (await refused(world.call("Invoke", FunctionName="f", **bad))).message


@pytest.mark.parametrize("invocation_type", ["RequestResponse", "Event", "DryRun"])
async def test_limits_to_the_byte(world: World, invocation_type: str) -> None:
    """The largest payload is taken, and one byte more is not."""
    await world.create()
    limit = 1_048_576 if invocation_type == "Event" else 6_291_456
    payload = b'"' + b"x" * (limit - 2) + b'"'
    await world.call("Invoke", FunctionName="f", InvocationType=invocation_type, Payload=payload)
    error = await refused(world.call("Invoke", FunctionName="f", InvocationType=invocation_type, Payload=payload + b" "))
    assert (error.code, error.status) == ("RequestEntityTooLargeException", 413)


async def test_invoke_async_is_queued(world: World) -> None:
    """The old operation answers 202 when the event is in the queue. The trace goes along, since it counts loops."""
    await world.create(Publish=True)
    trace = {"x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"}
    answered = await world.answer("InvokeAsync", FunctionName="f:1", InvokeArgs=b"[1]", headers=trace)
    assert (answered.status, answered.output) == (202, {"Status": 202})
    [body] = await world.events()
    event = decode_event(body)
    assert (event.payload, event.qualifier, event.invoked_function_arn) == (b"[1]", "1", f"{ARN}:1")
    assert event.trace_header.startswith(f"{trace['x-amzn-trace-id']};Lineage=")
    assert not world.invoker.invocations


async def test_invoke_async_without_a_body(world: World) -> None:
    """The event is {} then, as for Invoke."""
    await world.create()
    await world.call("InvokeAsync", FunctionName=ARN, InvokeArgs=b"")
    assert [decode_event(body).payload for body in await world.events()] == [b"{}"]


async def test_invoke_async_takes_less(world: World) -> None:
    """256 KB, where an Event of Invoke may have 1 MB; the message names this limit."""
    await world.create()
    await world.call("InvokeAsync", FunctionName="f", InvokeArgs=b"1" * 262_144)
    error = await refused(world.call("InvokeAsync", FunctionName="f", InvokeArgs=b"1" * 262_145))
    assert error.message == "262145 byte payload is too large for the Event invocation type (limit 262144 bytes)"
    assert len(await world.events()) == 1


async def test_invoke_async_needs_its_own_action(world: World) -> None:
    """What opens InvokeFunction to another account does not open InvokeAsync to it."""
    await world.create()
    grant = {"FunctionName": "f", "Principal": OTHER_ACCOUNT}
    request = {"account": OTHER_ACCOUNT, "FunctionName": ARN, "InvokeArgs": b"{}"}
    await world.call("AddPermission", **grant, StatementId="one", Action="lambda:InvokeFunction")
    assert (await refused(world.call("InvokeAsync", **request))).code == "AccessDeniedException"
    await world.call("AddPermission", **grant, StatementId="two", Action="lambda:InvokeAsync")
    assert await world.call("InvokeAsync", **request) == {"Status": 202}


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"FunctionName": "none"}, "ResourceNotFoundException"),
        ({"FunctionName": "f:9"}, "ResourceNotFoundException"),
        ({"InvokeArgs": b"value"}, "InvalidRequestContentException"),
        ({"InvokeArgs": b"1" * 262_145}, "RequestEntityTooLargeException"),
        ({"FunctionName": ARN.replace(ACCOUNT, OTHER_ACCOUNT)}, "AccessDeniedException"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_invoke_async_refuses(world: World, request_: dict[str, Any], code: str) -> None:
    """What Invoke would not queue, and nothing is queued."""
    await world.create()
    assert (await refused(world.call("InvokeAsync", **{"FunctionName": "f", "InvokeArgs": b"1", **request_}))).code == code
    assert await world.events() == []
