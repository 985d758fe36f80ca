"""Limits of Init, and what it says of its kind."""

from __future__ import annotations

import asyncio

import pytest

from lambdad.invocation.execution_environment import ExecutionEnvironment
from lambdad.invocation.initialization import InitFailed, Initialization, init_limit
from lambdad.model.log_settings import LogSettings
from lambdad.runtime_api.session import Beginning


@pytest.mark.parametrize(
    "kind, beginning, timeout, limit",
    [
        (Initialization.ON_DEMAND, Beginning.INIT, 900, 5.0),
        (Initialization.ON_DEMAND, Beginning.CLONE, 900, 4.0),
        (Initialization.PROVISIONED, Beginning.INIT, 3, 130.0),
        (Initialization.PROVISIONED, Beginning.INIT, 900, 900.0),
        (Initialization.SNAP_START, Beginning.TEMPLATE, 3, 130.0),
        (Initialization.SNAP_START, Beginning.TEMPLATE, 131, 131.0),
    ],
)
def test_limits(make_any_world, version, kind, beginning, timeout, limit):
    """Ahead of invocations AWS gives 130 seconds, or the function's timeout if that is longer; else ten, here set to five."""

    async def asked() -> float:
        world = make_any_world(init_seconds=5.0, restore_seconds=4.0)
        return init_limit(kind, beginning, version(timeout_seconds=timeout), world.parts)

    assert asyncio.run(asked()) == limit


async def test_a_provisioned_one_is_not_reset(world, version, exits):
    """Its failed Init is told to whoever started it, and nothing of it is left; telemetry and environment name its kind."""
    seen = []

    async def script(runtime):
        seen.append(runtime.spec.environment["AWS_LAMBDA_INITIALIZATION_TYPE"])
        raise exits(code=1)

    world.sandboxes.script = script
    environment = ExecutionEnvironment(
        version(log_settings=LogSettings("JSON", "INFO", "DEBUG")), world.parts, is_provisioned=True
    )
    with pytest.raises(InitFailed) as failed:
        await environment.start()
    assert failed.value.failure.reported_type == "Runtime.ExitError"
    assert seen == ["provisioned-concurrency"]
    assert world.sandboxes.running == 0
    assert any('"initializationType":"provisioned-concurrency"' in line for line in world.lines())
