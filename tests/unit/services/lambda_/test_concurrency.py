"""Reserved concurrency."""

from __future__ import annotations

import asyncio

import pytest

from lambdad.model.arn import FunctionName
from lambdad.services.lambda_.resolve import resolve_version
from support.lambda_service import ACCOUNT, REGION, World, refused


async def reserved(world: World, name: str = "f") -> int | None:
    version = await resolve_version(world.state, FunctionName(ACCOUNT, REGION, name))
    return version.reserved_concurrency


async def test_set_shown_and_taken_away(world: World) -> None:
    """It is what the next invocation gets, in every version; GetFunction and the account's settings show it."""
    await world.create(Publish=True)
    assert await world.call("GetFunctionConcurrency", FunctionName="f") == {}
    assert "Concurrency" not in await world.call("GetFunction", FunctionName="f")
    told = {"ReservedConcurrentExecutions": 7}
    assert await world.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=7) == told
    assert await world.call("GetFunctionConcurrency", FunctionName="f") == told
    assert (await world.call("GetFunction", FunctionName="f"))["Concurrency"] == told
    assert (await world.call("GetAccountSettings"))["AccountLimit"]["UnreservedConcurrentExecutions"] == 993
    assert await reserved(world) == 7
    assert (await resolve_version(world.state, FunctionName(ACCOUNT, REGION, "f", "1"))).reserved_concurrency == 7
    answer = await world.answer("DeleteFunctionConcurrency", FunctionName="f")
    assert answer.status == 204
    assert await world.call("GetFunctionConcurrency", FunctionName="f") == {}
    assert await reserved(world) is None
    assert (await world.call("GetAccountSettings"))["AccountLimit"]["UnreservedConcurrentExecutions"] == 1000


async def test_survives_a_restart_and_goes_with_its_function(world: World) -> None:
    """Another server over the same records counts it; a deleted function gives it back."""
    await world.create()
    await world.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=900)
    again = world.restarted()
    await again.records.open()
    assert again.records.claimed_concurrency(ACCOUNT, REGION) == 900
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    await world.settled()
    assert await reserved(world) == 900
    await world.call("DeleteFunction", FunctionName="f")
    assert world.state.records.claimed_concurrency(ACCOUNT, REGION) == 0
    again = world.restarted()
    await again.records.open()
    assert again.records.claimed_concurrency(ACCOUNT, REGION) == 0


async def test_the_unreserved_minimum(world: World) -> None:
    """At least 100 stay with the functions without a reserve; a function's own reserve does not count against its new one."""
    for name in ("f", "g"):
        await world.create(name)
    await world.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=900)
    error = await refused(world.call("PutFunctionConcurrency", FunctionName="g", ReservedConcurrentExecutions=1))
    assert error.code == "InvalidParameterValueException"
    assert error.message == (
        "Specified ReservedConcurrentExecutions for function decreases account's UnreservedConcurrentExecution below its "
        "minimum value of [100]."
    )
    await world.call("PutFunctionConcurrency", FunctionName="g", ReservedConcurrentExecutions=0)
    await world.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=899)
    await world.call("PutFunctionConcurrency", FunctionName="g", ReservedConcurrentExecutions=1)


async def test_two_at_once_do_not_pass_the_minimum_together(world: World) -> None:
    """Of two reserves that fit alone and not together, one is refused."""
    for name in ("f", "g"):
        await world.create(name)
    puts = [
        asyncio.create_task(world.call("PutFunctionConcurrency", FunctionName=name, ReservedConcurrentExecutions=500))
        for name in ("f", "g")
    ]
    await asyncio.wait(puts)
    assert sum(put.exception() is None for put in puts) == 1
    assert world.state.records.claimed_concurrency(ACCOUNT, REGION) == 500


@pytest.mark.parametrize("name, code", [("f:1", "InvalidParameterValueException"), ("nobody", "ResourceNotFoundException")])
async def test_refusals(world: World, name: str, code: str) -> None:
    """Versions have no reserve of their own, and functions that are not there have none."""
    await world.create(Publish=True)
    for operation, more in (
        ("PutFunctionConcurrency", {"ReservedConcurrentExecutions": 1}),
        ("GetFunctionConcurrency", {}),
        ("DeleteFunctionConcurrency", {}),
    ):
        assert (await refused(world.call(operation, FunctionName=name, **more))).code == code


async def test_a_reserve_is_put_by_the_unqualified_name_alone(world: World) -> None:
    """`$LATEST` is a version here like any other, though it is the function itself elsewhere."""
    await world.create()
    for name in ("f:$LATEST", f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f:$LATEST"):
        error = await refused(world.call("PutFunctionConcurrency", FunctionName=name, ReservedConcurrentExecutions=1))
        assert error.code == "InvalidParameterValueException"
        assert error.message.startswith("This operation is permitted on Lambda functions only.")
    assert await world.call("GetFunctionConcurrency", FunctionName="f") == {}
