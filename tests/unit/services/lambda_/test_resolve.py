"""Which version an invocation runs, and functions that cannot be invoked now."""

from __future__ import annotations

import asyncio

import pytest

from support.lambda_service import World, function_request, refused

TYPES = ("RequestResponse", "Event", "DryRun")
NOT_NOW = "The operation cannot be performed at this time. The function is currently in the following state: {}"


@pytest.mark.parametrize("invocation_type", TYPES)
async def test_a_function_that_is_not_ready_yet(world: World, invocation_type: str) -> None:
    """While it is Pending every type is refused and nothing is queued, whatever the body; then it can be invoked."""
    world.runtimes.gate = asyncio.Event()
    await world.call("CreateFunction", **function_request("f"))
    for payload in (b"{}", b"no JSON"):
        error = await refused(world.call("Invoke", FunctionName="f", InvocationType=invocation_type, Payload=payload))
        assert (error.code, error.message) == ("ResourceConflictException", NOT_NOW.format("Pending"))
    world.runtimes.gate.set()
    await world.settled()
    assert not world.invoker.invocations
    assert not await world.events()
    await world.call("Invoke", FunctionName="f", InvocationType=invocation_type)


@pytest.mark.parametrize("invocation_type", TYPES)
async def test_a_function_that_failed(world: World, invocation_type: str) -> None:
    """Every type is refused, and nothing is queued for a function that cannot run."""
    world.runtimes.failure = "There is no room for the SDK."
    await world.create()
    error = await refused(world.call("Invoke", FunctionName="f", InvocationType=invocation_type))
    assert (error.code, error.message) == ("ResourceConflictException", NOT_NOW.format("Failed"))
    assert not await world.events()


async def test_an_alias_runs_what_it_points_to(world: World) -> None:
    """With weights, a draw for each invocation decides; the function's ARN names the alias all the same."""
    await world.create(Publish=True)
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Description="second")
    await world.settled()
    await world.call("PublishVersion", FunctionName="f")
    routing = {"AdditionalVersionWeights": {"2": 0.3}}
    await world.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1", RoutingConfig=routing)
    world.draws[:] = [0.29, 0.31, 0.99]
    for _ in range(3):
        await world.call("Invoke", FunctionName="f", Qualifier="live")
    assert sorted(found.version.version for found in world.invoker.invocations) == ["1", "1", "2"]
    assert {found.invoked_function_arn.rpartition(":")[2] for found in world.invoker.invocations} == {"live"}
