"""Tenant isolation: who names a tenant, and what a function with tenants cannot have."""

from __future__ import annotations

from typing import Any

from lambdad.delivery import Sender
from lambdad.model.event import decode_event
from lambdad.services.lambda_.receiver import LambdaReceiver
from lambdad.services.lambda_.record_keys import FUNCTIONS
from lambdad.services.lambda_.resolve import EventFunctions
from lambdad.store.base import Put
from support.lambda_service import ACCOUNT, OTHER_CODE, REGION, World, refused

PER_TENANT = {"TenantIsolationMode": "PER_TENANT"}
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"


async def test_the_configuration_stays_as_it_was_made(world: World) -> None:
    """Every reading shows it, versions too, and no update takes it away; a function without it shows none."""
    created = await world.create(TenancyConfig=PER_TENANT, Publish=True)
    assert created["TenancyConfig"] == PER_TENANT
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    await world.settled()
    await world.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_CODE)
    await world.settled()
    for qualifier in ("$LATEST", "1"):
        read = await world.call("GetFunctionConfiguration", FunctionName="f", Qualifier=qualifier)
        assert read["TenancyConfig"] == PER_TENANT
    assert "TenancyConfig" not in await world.create("plain")


async def test_a_tenant_is_needed(world: World) -> None:
    """Every way to invoke such a function is refused without a tenant, the old one for events too, and nothing runs."""
    await world.create(TenancyConfig=PER_TENANT)
    ways: list[tuple[str, dict[str, Any]]] = [
        ("Invoke", {"InvocationType": kind}) for kind in ("RequestResponse", "Event", "DryRun")
    ]
    for operation, request in [*ways, ("InvokeWithResponseStream", {}), ("InvokeAsync", {"InvokeArgs": b"{}"})]:
        error = await refused(world.call(operation, FunctionName="f", **request))
        assert error.code == "InvalidParameterValueException"
        assert error.message == (
            "The invoked function is enabled with tenancy configuration. Add a valid tenant ID in your request and try again."
        )
    assert world.invoker.invocations == [] and await world.events() == []


async def test_a_tenant_is_refused_where_there_are_none(world: World) -> None:
    """A function without tenants does not run for one."""
    await world.create()
    error = await refused(world.call("Invoke", FunctionName="f", TenantId="blue"))
    assert error.code == "InvalidParameterValueException"
    assert error.message == (
        "The invoked function is not enabled with tenancy configuration. Remove the tenant ID from your request and try again."
    )


async def test_an_invocation_is_for_its_tenant(world: World) -> None:
    """The version that runs is the tenant's, and its environments no other tenant's; a queued event keeps whose it is."""
    await world.create(TenancyConfig=PER_TENANT)
    for tenant in ("blue", "green", "blue"):
        await world.call("Invoke", FunctionName="f", TenantId=tenant)
    blue, green, again = [invocation.version for invocation in world.invoker.invocations]
    assert blue.tenant_id == "blue" and blue.environment_key == again.environment_key != green.environment_key
    await world.call("Invoke", FunctionName="f", TenantId="red", InvocationType="Event")
    [queued] = await world.events()
    event = decode_event(queued)
    assert event.tenant_id == "red"
    assert (await EventFunctions(world.state).resolve(event)).tenant_id == "red"


async def test_an_event_for_a_tenant_of_a_function_that_was_replaced(world: World) -> None:
    """When a function without tenants has taken the name, such an event is refused and never runs for everybody."""
    await world.create(TenancyConfig=PER_TENANT)
    await world.call("Invoke", FunctionName="f", TenantId="red", InvocationType="Event")
    [queued] = await world.events()
    await world.call("DeleteFunction", FunctionName="f")
    await world.create()
    error = await refused(EventFunctions(world.state).resolve(decode_event(queued)))
    assert error.code == "InvalidParameterValueException"


async def test_what_cannot_be_combined(world: World) -> None:
    """SnapStart, provisioned concurrency, function URLs and other services' events are refused by name."""
    snap_start = {"ApplyOn": "PublishedVersions"}
    error = await refused(world.create(TenancyConfig=PER_TENANT, SnapStart=snap_start))
    assert error.message == "SnapStart is not supported for functions enabled with tenancy configuration"
    await world.create(TenancyConfig=PER_TENANT, Publish=True)
    for call, feature in (
        (world.call("UpdateFunctionConfiguration", FunctionName="f", SnapStart=snap_start), "SnapStart"),
        (world.call("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE"), "Function URL"),
        (
            world.call("PutProvisionedConcurrencyConfig", FunctionName="f", Qualifier="1", ProvisionedConcurrentExecutions=1),
            "Provisioned Concurrency",
        ),
        (
            LambdaReceiver(world.state).check(ARN, Sender("s3.amazonaws.com", "arn:aws:s3:::b", ACCOUNT)),
            "Invocation by another service",
        ),
    ):
        error = await refused(call)
        assert error.code == "InvalidParameterValueException"
        assert error.message == f"{feature} is not supported for functions enabled with tenancy configuration"


async def test_tenants_are_kept(world: World) -> None:
    """A server that comes after knows the function as one with tenants."""
    await world.create(TenancyConfig=PER_TENANT)
    stored = await world.restarted().functions.find((ACCOUNT, REGION, "f"))
    assert stored is not None and stored.function.latest.configuration.is_per_tenant


async def test_a_plain_function_of_an_older_server_is_read(world: World) -> None:
    """Records that were written before there were tenants are of functions without."""
    await world.create()
    key = f"{ACCOUNT}/{REGION}/f"
    record = await world.store.get(FUNCTIONS, key)
    assert record is not None
    older = record.value.replace(b',"is_per_tenant":false', b"")
    assert older != record.value
    await world.store.commit([Put(FUNCTIONS, key, older)])
    stored = await world.restarted().functions.find((ACCOUNT, REGION, "f"))
    assert stored is not None and not stored.function.latest.configuration.is_per_tenant
