"""Functions on managed instances: what they may be, their states, and what is published of them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from lambdad.model.event import decode_event
from lambdad.model.function import Failure
from lambdad.model.managed import ScalingConfig
from lambdad.services.lambda_.resolve import EventFunctions
from support.lambda_service import ACCOUNT, OTHER_CODE, REGION, World, capacity, create_provider, refused

KEY = (ACCOUNT, REGION, "f")
PUBLISHED = "$LATEST.PUBLISHED"


async def made(world: World, **request: Any) -> dict[str, Any]:
    """A function with a capacity provider and `$LATEST.PUBLISHED`."""
    await create_provider(world)
    return await world.create(CapacityProviderConfig=capacity(), PublishTo="LATEST_PUBLISHED", **request)


async def read(world: World, qualifier: str) -> dict[str, Any]:
    shown: dict[str, Any] = await world.call("GetFunctionConfiguration", FunctionName="f", Qualifier=qualifier)
    return shown


async def invoked(world: World, **request: Any) -> str:
    """The version that an invocation runs."""
    await world.call("Invoke", FunctionName="f", **request)
    return world.invoker.invocations[-1].version.version


def planned(world: World) -> dict[str, tuple[str, ScalingConfig]]:
    """By version: its revision, and how it scales."""
    plans = world.managed.plans[KEY].values()
    return {plan.version.version: (plan.version.revision_id, plan.scaling) for plan in plans}


async def test_latest_is_not_invoked_and_its_publication_is(world: World) -> None:
    """Who names no version gets `$LATEST.PUBLISHED`; `$LATEST` itself takes no invocation."""
    created = await made(world)
    assert (created["Version"], created["FunctionArn"].rpartition(":")[2]) == (PUBLISHED, "f")
    assert (created["MemorySize"], created["LoggingConfig"]["LogFormat"]) == (2048, "JSON")
    assert created["CapacityProviderConfig"] == capacity()
    assert (await read(world, "$LATEST"))["State"] == "ActiveNonInvocable"
    assert (await read(world, PUBLISHED))["State"] == "Active"
    assert await invoked(world) == PUBLISHED
    version = world.invoker.invocations[-1].version
    assert version.managed is not None and (version.managed.concurrency, version.managed.vcpus) == (16, 1.0)
    assert version.provisioned_for == (*KEY, PUBLISHED)
    error = await refused(world.call("Invoke", FunctionName="f", Qualifier="$LATEST"))
    assert error.code == "ResourceConflictException" and "ActiveNonInvocable" in error.message
    await world.call("Invoke", FunctionName="f", InvocationType="Event")
    [queued] = await world.events()
    assert (await EventFunctions(world.state).resolve(decode_event(queued))).version == PUBLISHED


async def test_without_a_publication_there_is_nothing_to_run(world: World) -> None:
    """The function is there, but not what invocations run."""
    await create_provider(world)
    await world.create(CapacityProviderConfig=capacity())
    error = await refused(world.call("Invoke", FunctionName="f"))
    assert error.code == "ResourceNotFoundException" and error.message.endswith(f":f:{PUBLISHED}")
    assert world.managed.plans[KEY] == {}


async def test_numbers_and_aliases(world: World) -> None:
    """Numbered versions have environments of their own, and aliases lead to any of them."""
    await made(world)
    await world.call("PublishVersion", FunctionName="f")
    await world.settled()
    assert sorted(planned(world)) == [PUBLISHED, "1"]
    await world.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    await world.call("CreateAlias", FunctionName="f", Name="newest", FunctionVersion=PUBLISHED)
    assert [await invoked(world, Qualifier=each) for each in ("1", "live", "newest", PUBLISHED)] == [
        "1",
        "1",
        PUBLISHED,
        PUBLISHED,
    ]
    listed = await world.call("ListVersionsByFunction", FunctionName="f")
    assert [each["Version"] for each in listed["Versions"]] == ["$LATEST", PUBLISHED, "1"]
    everything: list[str] = []
    marker: dict[str, Any] = {}
    while len(everything) < 3:
        page = await world.call("ListFunctions", FunctionVersion="ALL", MaxItems=1, **marker)
        everything += [each["Version"] for each in page["Functions"]]
        marker = {"Marker": page.get("NextMarker")}
    assert everything == ["$LATEST", PUBLISHED, "1"] and marker == {"Marker": None}


async def test_pending_until_its_environments_are_there(world: World) -> None:
    """Meanwhile it is not invoked; a failure of its Init is the version's."""
    ready = asyncio.Event()
    world.managed.outcomes.append(ready)
    await create_provider(world)
    await world.call(
        "CreateFunction",
        FunctionName="f",
        Runtime="python3.12",
        Role=f"arn:aws:iam::{ACCOUNT}:role/r",
        Handler="app.handler",
        Code={"ZipFile": OTHER_CODE},
        CapacityProviderConfig=capacity(),
        PublishTo="LATEST_PUBLISHED",
    )
    assert (await read(world, PUBLISHED))["State"] == "Pending"
    assert (await refused(world.call("Invoke", FunctionName="f"))).code == "ResourceConflictException"
    ready.set()
    await world.settled()
    assert (await read(world, PUBLISHED))["State"] == "Active"
    world.managed.outcomes.append(Failure("FunctionError.RuntimeInitError", "Bad: no"))
    await world.call("PublishVersion", FunctionName="f")
    await world.settled()
    failed = await read(world, "1")
    assert (failed["State"], failed["StateReasonCode"], failed["StateReason"]) == (
        "Failed",
        "FunctionError.RuntimeInitError",
        "Bad: no",
    )
    assert list(planned(world)) == [PUBLISHED]


async def test_the_one_that_is_replaced_serves_until_the_next_is_ready(world: World) -> None:
    """Nobody is refused while `$LATEST.PUBLISHED` is published again; if that fails, invocations stay on the one before."""
    await made(world)
    before = (await read(world, PUBLISHED))["RevisionId"]
    ready = asyncio.Event()
    world.managed.outcomes.append(ready)
    updated = await world.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_CODE, PublishTo="LATEST_PUBLISHED")
    assert (updated["Version"], updated["State"], updated["LastUpdateStatus"]) == (PUBLISHED, "Active", "InProgress")
    await invoked(world)
    assert world.invoker.invocations[-1].version.revision_id == before
    assert len(world.managed.plans[KEY]) == 2
    ready.set()
    await world.settled()
    await invoked(world)
    after = world.invoker.invocations[-1].version.revision_id
    assert after == updated["RevisionId"] != before and len(world.managed.plans[KEY]) == 1
    world.managed.outcomes.append(Failure("FunctionError.InitTimeout", "too slow"))
    await world.call("PublishVersion", FunctionName="f", PublishTo="LATEST_PUBLISHED")
    await world.settled()
    shown = await read(world, PUBLISHED)
    assert (shown["State"], shown["LastUpdateStatus"], shown["LastUpdateStatusReasonCode"]) == (
        "Active",
        "Failed",
        "FunctionError.InitTimeout",
    )
    await invoked(world)
    assert world.invoker.invocations[-1].version.revision_id == after
    assert [revision for revision, _ in planned(world).values()] == [after]
    await world.call("PublishVersion", FunctionName="f", PublishTo="LATEST_PUBLISHED")
    await world.settled()
    assert [revision for revision, _ in planned(world).values()] == [(await read(world, PUBLISHED))["RevisionId"]]


async def test_after_a_restart_all_is_planned_again(world: World) -> None:
    """Providers' vCPUs and functions' environments, as they were."""
    await made(world)
    await world.call("UpdateCapacityProvider", CapacityProviderName="p", CapacityProviderScalingConfig={"MaxVCpuCount": 7})
    config = {"MinExecutionEnvironments": 2, "MaxExecutionEnvironments": 9}
    await world.call("PutFunctionScalingConfig", FunctionName="f", Qualifier=PUBLISHED, FunctionScalingConfig=config)
    before = planned(world)
    world.managed.plans.clear()
    world.managed.limits.clear()
    await world.restarted().managed.start()
    assert planned(world) == before and before[PUBLISHED][1] == ScalingConfig(2, 9)
    assert world.managed.limits == {(ACCOUNT, REGION, "p"): 7}
    await world.call("DeleteFunction", FunctionName="f", Qualifier=PUBLISHED)
    assert world.managed.plans[KEY] == {}


async def test_scaling(world: World) -> None:
    """Three by default; what is left out stays; none at all deactivates, and any figure then activates again."""
    await made(world)
    where = {"FunctionName": "f", "Qualifier": PUBLISHED}
    shown = await world.call("GetFunctionScalingConfig", **where)
    assert shown["AppliedFunctionScalingConfig"] == {"MinExecutionEnvironments": 3, "MaxExecutionEnvironments": 3}

    async def put(**config: int) -> str:
        answer = await world.call("PutFunctionScalingConfig", **where, FunctionScalingConfig=config)
        return str(answer["FunctionState"])

    assert await put(MaxExecutionEnvironments=8) == "Active"
    assert planned(world)[PUBLISHED][1] == ScalingConfig(3, 8)
    await put(MinExecutionEnvironments=9)
    assert planned(world)[PUBLISHED][1] == ScalingConfig(9, 9)
    await put(MaxExecutionEnvironments=2)
    assert planned(world)[PUBLISHED][1] == ScalingConfig(2, 2)
    assert await put(MinExecutionEnvironments=0, MaxExecutionEnvironments=0) == "Deactivating"
    assert planned(world) == {} and (await read(world, PUBLISHED))["State"] == "Deactivated"
    assert "Deactivated" in (await refused(world.call("Invoke", FunctionName="f"))).message
    assert await put(MaxExecutionEnvironments=1) == "Pending"
    await world.settled()
    assert (await read(world, PUBLISHED))["State"] == "Active" and await invoked(world) == PUBLISHED
    error = await refused(put(MinExecutionEnvironments=3, MaxExecutionEnvironments=2))
    assert error.code == "InvalidParameterValueException"
    for name, qualifier in (("f", "7"), ("gone", PUBLISHED)):
        error = await refused(world.call("GetFunctionScalingConfig", FunctionName=name, Qualifier=qualifier))
        assert error.code == "ResourceNotFoundException"
    await world.create("plain", Publish=True)
    error = await refused(world.call("PutFunctionScalingConfig", FunctionName="plain", Qualifier="1"))
    assert "Lambda Managed Instances only" in error.message


async def test_a_version_that_failed_is_tried_again(world: World) -> None:
    """When it is told how to scale, perhaps by less."""
    world.managed.outcomes.append(Failure("InsufficientCapacity", "no room"))
    await made(world)
    assert (await read(world, PUBLISHED))["State"] == "Failed"
    config = {"MaxExecutionEnvironments": 1}
    await world.call("PutFunctionScalingConfig", FunctionName="f", Qualifier=PUBLISHED, FunctionScalingConfig=config)
    await world.settled()
    assert (await read(world, PUBLISHED))["State"] == "Active"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"MemorySize": 2047}, "'MemorySize' value failed"),
        ({"MemorySize": 32769}, "'MemorySize' value failed"),
        ({"LoggingConfig": {"LogFormat": "Text"}}, "the log format JSON only"),
        (
            {"SnapStart": {"ApplyOn": "PublishedVersions"}},
            "SnapStart is not supported for functions on Lambda Managed Instances",
        ),
        ({"TenancyConfig": {"TenantIsolationMode": "PER_TENANT"}}, "enabled with tenancy configuration"),
        (
            {"CapacityProviderConfig": capacity(PerExecutionEnvironmentMaxConcurrency=257)},
            "PerExecutionEnvironmentMaxConcurrency",
        ),
        ({"MemorySize": 32768, "CapacityProviderConfig": capacity(ExecutionEnvironmentMemoryGiBPerVCpu=2.0)}, None),
        ({"CapacityProviderConfig": capacity("other")}, "Capacity provider not found"),
    ],
)
async def test_what_is_refused_at_creation(world: World, request_: dict[str, Any], message: str | None) -> None:
    """What managed instances do not have, or not of that size; nothing is made then."""
    await create_provider(world)
    call = world.create(**{"CapacityProviderConfig": capacity(), **request_})
    if message is None:
        assert (await call)["MemorySize"] == 32768
        return
    error = await refused(call)
    assert message in error.message
    assert await world.state.functions.find(KEY) is None


async def test_what_is_refused_later(world: World) -> None:
    """Concurrency is what the environments have; a function does not change its kind; the log's tail is nobody's."""
    await made(world)
    await world.create("plain")
    for operation, request in (
        ("PutFunctionConcurrency", {"FunctionName": "f", "ReservedConcurrentExecutions": 1}),
        (
            "PutProvisionedConcurrencyConfig",
            {"FunctionName": "f", "Qualifier": "1", "ProvisionedConcurrentExecutions": 1},
        ),
        ("Invoke", {"FunctionName": "f", "LogType": "Tail"}),
        ("UpdateFunctionConfiguration", {"FunctionName": "f", "LoggingConfig": {"LogFormat": "Text"}}),
        ("UpdateFunctionConfiguration", {"FunctionName": "f", "MemorySize": 128}),
        ("UpdateFunctionConfiguration", {"FunctionName": "plain", "CapacityProviderConfig": capacity()}),
        ("PublishVersion", {"FunctionName": "plain", "PublishTo": "LATEST_PUBLISHED"}),
        ("UpdateFunctionCode", {"FunctionName": "plain", "ZipFile": OTHER_CODE, "PublishTo": "LATEST_PUBLISHED"}),
    ):
        if "Provisioned" in operation:
            await world.call("PublishVersion", FunctionName="f")
            await world.settled()
        error = await refused(world.call(operation, **request))
        assert error.code == "InvalidParameterValueException", operation
    assert (await read(world, "$LATEST"))["MemorySize"] == 2048


async def test_another_provider(world: World) -> None:
    """A function may move; its versions stay where they were made."""
    await made(world)
    await create_provider(world, "q")
    moved = await world.call("UpdateFunctionConfiguration", FunctionName="f", CapacityProviderConfig=capacity("q"))
    assert moved["CapacityProviderConfig"] == capacity("q")
    await world.settled()
    assert (await read(world, PUBLISHED))["CapacityProviderConfig"] == capacity("p")
    for name, qualifier in (("p", PUBLISHED), ("q", "$LATEST")):
        listed = await world.call("ListFunctionVersionsByCapacityProvider", CapacityProviderName=name)
        assert [each["FunctionArn"].split(":", 7)[-1] for each in listed["FunctionVersions"]] == [qualifier]
    for name in ("p", "q"):
        assert (
            await refused(world.call("DeleteCapacityProvider", CapacityProviderName=name))
        ).code == "ResourceConflictException"
    await world.call("DeleteFunction", FunctionName="f")
    for name in ("p", "q"):
        await world.call("DeleteCapacityProvider", CapacityProviderName=name)
    assert world.managed.plans[KEY] == {}


async def test_no_more_versions_than_a_provider_may_have(world: World) -> None:
    """`$LATEST` does not count; what is published again takes no further place."""
    world.state.quotas = replace(world.state.quotas, versions_per_capacity_provider=2)
    await made(world)
    await world.call("PublishVersion", FunctionName="f")
    await world.settled()
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Description="changed")
    await world.settled()
    error = await refused(world.call("PublishVersion", FunctionName="f"))
    assert error.code == "FunctionVersionsPerCapacityProviderLimitExceededException"
    await world.call("PublishVersion", FunctionName="f", PublishTo="LATEST_PUBLISHED")
    await world.settled()
    assert (await read(world, PUBLISHED))["Description"] == "changed"
