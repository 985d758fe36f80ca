"""Environments of a function's tenants: never shared, counted, and given up for one another when memory is short."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from lambdad.errors import ServiceError
from lambdad.invocation.tenants import TenantEnvironments
from lambdad.model.concurrency import ConcurrencyLimits


def limits_of(unreserved=1000):
    return lambda version: ConcurrencyLimits(unreserved=unreserved, reserved=version.reserved_concurrency)


def test_the_limit(version):
    """AWS's 2,500 for every 1,000 concurrent executions, of the reserve if the function has one; what ends makes room."""
    tenants = TenantEnvironments(limits_of(2))
    blue = replace(version("a"), tenant_id="blue")
    for _ in range(5):
        tenants.check(blue)
        tenants.note_start(blue)
    with pytest.raises(ServiceError) as refused:
        tenants.check(replace(blue, tenant_id="green"))
    assert refused.value.code == "TooManyRequestsException"
    assert refused.value.members["Reason"] == "ConcurrentInvocationLimitExceeded"
    tenants.check(version("a"))  # without a tenant nothing is counted
    tenants.check(replace(version("b"), tenant_id="blue"))
    tenants.note_end(blue)
    tenants.check(blue)
    reserved = replace(version("c"), tenant_id="blue", reserved_concurrency=0)
    with pytest.raises(ServiceError) as refused:
        tenants.check(reserved)
    assert refused.value.members["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"


async def test_two_tenants_never_share(world, version):
    """Calls in turn of two tenants have one environment each, and a call without a tenant's id has a third."""
    a = version("a")
    for tenant in ("blue", "green", "blue", "green", ""):
        await world.invoke(replace(a, tenant_id=tenant))
    assert len(world.sandboxes.started) == 3


async def test_many_tenants_in_little_memory(make_world, version):
    """Idle environments of tenants make room for each other; each call still gets one of its own tenant."""
    world = make_world(memory_budget_mb=256)
    served: dict[str, str] = {}

    async def script(runtime):
        while True:
            request_id, body = await runtime.next()
            owner = served.setdefault(runtime.spec.sandbox_id, body.decode())
            await runtime.respond(request_id, owner.encode())

    world.sandboxes.script = script
    for number in range(12):
        tenant = f"tenant-{number % 4}"
        assert (await world.invoke(replace(version("a"), tenant_id=tenant), tenant.encode())).payload == tenant.encode()
    assert world.sandboxes.most == 2
    await world.invoker.retire("000000000000", "us-east-1", "a")
    async with asyncio.timeout(60):
        while world.sandboxes.running:
            await asyncio.sleep(0.001)


async def test_the_count_follows_what_there_is(make_world, version):
    """Whatever way an environment ends, its place is free again."""
    world = make_world(idle_seconds=0.01, limits=limits_of(1))
    for number in range(6):
        await world.invoke(replace(version("a"), tenant_id=f"t{number}"))
        async with asyncio.timeout(60):
            while world.sandboxes.running:
                await asyncio.sleep(0.001)
    world.sandboxes.refuse = 3
    for _ in range(3):
        with pytest.raises(ServiceError):
            await world.invoke(replace(version("a"), tenant_id="unlucky"))
    assert (await world.invoke(replace(version("a"), tenant_id="lucky"))).function_error is None
