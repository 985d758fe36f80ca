"""Provisioned concurrency through the API: what is refused, kept, shown, and told to the data plane."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lambdad.model.arn import FunctionName
from lambdad.model.provisioned_concurrency import ProvisionedStatus
from lambdad.services.lambda_.provisioner import Provisioner
from lambdad.services.lambda_.resolve import resolve_version
from support.lambda_service import ACCOUNT, OTHER_CODE, REGION, World, function_request, refused

KEY = (ACCOUNT, REGION, "f")
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"


async def with_versions(world: World) -> None:
    """Versions 1 and 2, and an alias of the first."""
    await world.create(Publish=True)
    await world.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_CODE, Publish=True)
    await world.settled()
    await world.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")


async def put(world: World, qualifier: str, count: int = 5, name: str = "f") -> dict[str, Any]:
    request = {"FunctionName": name, "Qualifier": qualifier, "ProvisionedConcurrentExecutions": count}
    return await world.call("PutProvisionedConcurrencyConfig", **request)


async def get(world: World, qualifier: str, name: str = "f") -> dict[str, Any]:
    return await world.call("GetProvisionedConcurrencyConfig", FunctionName=name, Qualifier=qualifier)


def planned(world: World) -> dict[str, list[tuple[str, int]]]:
    """Qualifier -> versions and how many of each."""
    plans = world.pools.plans.get(KEY, {})
    return {name: [(share.version.version, share.count) for share in plan.shares] for name, plan in plans.items()}


async def unreserved(world: World) -> int:
    return (await world.call("GetAccountSettings"))["AccountLimit"]["UnreservedConcurrentExecutions"]


async def test_put_get_list_delete(world: World) -> None:
    """202 and IN_PROGRESS at first; then what the data plane says; after deletion AWS's 404, and deleting again is no error."""
    await with_versions(world)
    request = {"FunctionName": "f", "Qualifier": "live", "ProvisionedConcurrentExecutions": 5}
    answer = await world.answer("PutProvisionedConcurrencyConfig", **request)
    assert answer.status == 202
    assert answer.output == {
        "RequestedProvisionedConcurrentExecutions": 5,
        "AvailableProvisionedConcurrentExecutions": 0,
        "AllocatedProvisionedConcurrentExecutions": 0,
        "Status": "IN_PROGRESS",
        "LastModified": "2021-02-04T12:50:07.629+0000",
    }
    assert planned(world) == {"live": [("1", 5)]}
    world.pools.statuses[(*KEY, "live")] = ProvisionedStatus(5, 4, "READY")
    shown = await get(world, "live")
    assert (shown["Status"], shown["AllocatedProvisionedConcurrentExecutions"]) == ("READY", 5)
    assert shown["AvailableProvisionedConcurrentExecutions"] == 4
    world.pools.statuses[(*KEY, "live")] = ProvisionedStatus(0, 0, "FAILED", "FUNCTION_ERROR_INIT_FAILURE")
    assert (await get(world, "live", ARN))["StatusReason"] == "FUNCTION_ERROR_INIT_FAILURE"
    assert (await put(world, "live", 6))["Status"] == "IN_PROGRESS"
    await put(world, "2", 1)
    listed = await world.call("ListProvisionedConcurrencyConfigs", FunctionName="f", MaxItems=1)
    assert [each["FunctionArn"] for each in listed["ProvisionedConcurrencyConfigs"]] == [f"{ARN}:2"]
    listed = await world.call("ListProvisionedConcurrencyConfigs", FunctionName="f", Marker=listed["NextMarker"])
    assert [each["FunctionArn"] for each in listed["ProvisionedConcurrencyConfigs"]] == [f"{ARN}:live"]
    assert "NextMarker" not in listed
    for _ in range(2):
        answer = await world.answer("DeleteProvisionedConcurrencyConfig", FunctionName="f", Qualifier="live")
        assert answer.status == 204
    error = await refused(get(world, "live"))
    assert error.code == "ProvisionedConcurrencyConfigNotFoundException"
    assert error.message == "No Provisioned Concurrency Config found for this function"
    assert planned(world) == {"2": [("2", 1)]}
    await world.call("DeleteProvisionedConcurrencyConfig", FunctionName="f", Qualifier="2")
    assert planned(world) == {}


@pytest.mark.parametrize("operation", ["Put", "Get", "Delete"])
@pytest.mark.parametrize(
    "name, qualifier, code, message",
    [
        ("f", "3", "ResourceNotFoundException", f"Function not found: {ARN}:3"),
        ("f", "nobody", "ResourceNotFoundException", f"Cannot find alias arn: {ARN}:nobody"),
        ("g", "1", "ResourceNotFoundException", f"Function not found: {ARN[:-1]}g:1"),
        ("f", "$LATEST", "InvalidParameterValueException", None),
    ],
)
async def test_wrong_qualifiers(
    world: World, operation: str, name: str, qualifier: str, code: str, message: str | None
) -> None:
    """Only a published version or an alias that is there; nothing is kept of what was refused."""
    await with_versions(world)
    more = {"ProvisionedConcurrentExecutions": 1} if operation == "Put" else {}
    error = await refused(
        world.call(f"{operation}ProvisionedConcurrencyConfig", FunctionName=name, Qualifier=qualifier, **more)
    )
    unpublished = (
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions."
        if operation == "Put"
        else "The function resource provided must be an alias or a published version."
    )
    assert (error.code, error.message) == (code, message or unpublished)
    assert planned(world) == {}


async def test_a_version_has_it_once(world: World) -> None:
    """By itself or through one alias; a weighted alias is refused, and so is an alias of $LATEST."""
    await with_versions(world)
    await put(world, "live")
    error = await refused(put(world, "1"))
    assert (error.code, error.message) == (
        "ResourceConflictException",
        "Version is pointed by a Provisioned Concurrency alias",
    )
    await world.call("CreateAlias", FunctionName="f", Name="second", FunctionVersion="1")
    taken = "Alias can't be used for Provisioned Concurrency configuration on an already Provisioned version"
    error = await refused(put(world, "second"))
    assert (error.code, error.message) == ("ResourceConflictException", taken)
    await put(world, "2")
    error = await refused(world.call("UpdateAlias", FunctionName="f", Name="live", FunctionVersion="2"))
    assert (error.code, error.message) == ("ResourceConflictException", taken)
    await world.call("CreateAlias", FunctionName="f", Name="newest", FunctionVersion="$LATEST")
    error = await refused(put(world, "newest"))
    assert "unpublished" in error.message
    await world.call("DeleteProvisionedConcurrencyConfig", FunctionName="f", Qualifier="live")
    weights = {"AdditionalVersionWeights": {"2": 0.5}}
    await world.call("UpdateAlias", FunctionName="f", Name="live", RoutingConfig=weights)
    error = await refused(put(world, "live"))
    assert (error.code, error.message) == (
        "InvalidParameterValueException",
        "Alias with weights can not be used with Provisioned Concurrency",
    )


async def test_how_much(world: World) -> None:
    """No more than the reserve, and without one no more than leaves 100 unreserved; all figures count it."""
    await with_versions(world)
    error = await refused(put(world, "1", 901))
    assert error.message == (
        "Specified ConcurrentExecutions for function decreases account's UnreservedConcurrentExecution "
        "below its minimum value of [100]."
    )
    error = await refused(put(world, "1", 1001))
    assert error.message == (
        "Specified ConcurrentExecutions for function is greater than account's unreserved concurrency [1000]."
    )
    await put(world, "1", 900)
    assert await unreserved(world) == 100
    await put(world, "1", 10)
    await put(world, "2", 5)
    assert await unreserved(world) == 985
    error = await refused(world.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=14))
    assert error.message == (
        "ReservedConcurrentExecutions  should not be lower than function's total provisioned concurrency [15]."
    )
    await world.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=20)
    assert await unreserved(world) == 980  # the reserve has room for what is provisioned
    error = await refused(put(world, "1", 16))
    assert error.message == (
        "Requested Provisioned Concurrency should not be greater than the reservedConcurrentExecution for function"
    )
    await put(world, "1", 15)
    version = await resolve_version(world.state, FunctionName(*KEY, "2"))
    assert (version.reserved_concurrency, version.provisioned_concurrency) == (20, 20)
    await world.call("DeleteFunctionConcurrency", FunctionName="f")
    assert await unreserved(world) == 980
    await world.call("DeleteFunction", FunctionName="f")
    assert await unreserved(world) == 1000
    assert planned(world) == {}


async def test_two_at_once_do_not_pass_the_minimum_together(world: World) -> None:
    """Of two that fit alone and not together one is refused, reserve or provisioned."""
    await with_versions(world)
    await world.create("g", Publish=True)
    calls = [
        asyncio.create_task(put(world, "1", 500)),
        asyncio.create_task(put(world, "1", 500, "g")),
        asyncio.create_task(world.call("PutFunctionConcurrency", FunctionName="g", ReservedConcurrentExecutions=500)),
    ]
    await asyncio.wait(calls)
    assert sum(call.exception() is None for call in calls) == 1
    assert world.state.records.claimed_concurrency(ACCOUNT, REGION) == 500


async def test_a_version_that_is_not_ready(world: World) -> None:
    """One that is Pending or Failed has no environments: 409 with its state."""
    world.runtimes.gate = asyncio.Event()
    await world.call("CreateFunction", **function_request(), Publish=True)
    error = await refused(put(world, "1"))
    assert error.code == "ResourceConflictException"
    assert error.message.endswith("currently in the following state: Pending")
    world.runtimes.failure = "no such thing"
    world.runtimes.gate.set()
    await world.settled()
    error = await refused(put(world, "1"))
    assert error.message.endswith("currently in the following state: Failed")


async def test_not_with_snapshots(world: World) -> None:
    """A version with SnapStart cannot have it, nor can an alias take it to one."""
    await with_versions(world)
    await put(world, "live")
    await world.call("UpdateFunctionConfiguration", FunctionName="f", SnapStart={"ApplyOn": "PublishedVersions"})
    await world.settled()
    version = (await world.call("PublishVersion", FunctionName="f"))["Version"]
    await world.settled()
    told = "Provisioned Concurrency is not supported for SnapStart enabled functions."
    assert (await refused(put(world, version))).message == told
    moved = world.call("UpdateAlias", FunctionName="f", Name="live", FunctionVersion=version)
    assert (await refused(moved)).message == told


async def test_which_environments_a_call_gets(world: World) -> None:
    """Those of its qualifier; a call through an alias without any gets those of the version; others are on demand."""
    await with_versions(world)
    await world.call("CreateAlias", FunctionName="f", Name="other", FunctionVersion="2")
    await put(world, "live", 1)
    await put(world, "2", 1)

    async def served_by(qualifier: str | None) -> str | None:
        version = await resolve_version(world.state, FunctionName(*KEY, qualifier))
        return version.provisioned_for[3] if version.provisioned_for else None

    assert [await served_by(each) for each in ("live", "2", "other", "1", None, "$LATEST")] == [
        "live",
        "2",
        "2",
        None,
        None,
        None,
    ]


async def test_moves_and_splits_with_its_alias(world: World) -> None:
    """The plan follows the alias to another version, and to two of them by their weights; deletion takes it away."""
    await with_versions(world)
    await put(world, "live", 10)
    await world.call("UpdateAlias", FunctionName="f", Name="live", FunctionVersion="2")
    assert planned(world) == {"live": [("2", 10)]}
    weights = {"AdditionalVersionWeights": {"1": 0.3}}
    await world.call("UpdateAlias", FunctionName="f", Name="live", RoutingConfig=weights)
    assert sorted(planned(world)["live"]) == [("1", 3), ("2", 7)]
    await world.call("DeleteAlias", FunctionName="f", Name="live")
    assert planned(world) == {}
    await put(world, "1", 2)
    await world.call("DeleteFunction", FunctionName="f", Qualifier="1")
    assert planned(world) == {}
    assert await unreserved(world) == 1000


async def test_taken_up_after_a_restart(world: World) -> None:
    """Another server over the same records plans what was asked for, counts it, and shows it."""
    await with_versions(world)
    await put(world, "live", 7)
    await world.call("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=9)
    world.pools.plans.clear()
    again = world.restarted()
    await again.records.open()
    assert again.records.claimed_concurrency(ACCOUNT, REGION) == 9
    await Provisioner(again.records, again.functions, world.pools).start()
    assert planned(world) == {"live": [("1", 7)]}
