"""What an environment is supplied with is given back, whatever goes wrong when it is taken down."""

from __future__ import annotations

import asyncio

import pytest

from lambdad.invocation.environment_log import EnvironmentLog
from lambdad.invocation.environment_supplies import EnvironmentSupplies
from lambdad.invocation.initialization import Initialization
from lambdad.runtime_api.server import RuntimeApiServer
from lambdad.runtime_api.session import Beginning, RuntimeSession


def supplies_of(world, version) -> EnvironmentSupplies:
    loop = asyncio.get_running_loop()
    log = EnvironmentLog(version, world.parts, Initialization.MANAGED)
    return EnvironmentSupplies(version, world.parts, log, RuntimeApiServer(RuntimeSession(loop), loop))


class Part:
    """A sandbox, a life or an endpoint, whose end may fail."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.has_ended = False

    async def stop(self) -> None:
        self.has_ended = True
        if self.error is not None:
            raise self.error

    close = stop


@pytest.mark.parametrize("failing", ["endpoint", "sandbox", "life"])
async def test_whatever_fails_everything_is_given_back(world, version, failing):
    """The error is told; the sandbox was stopped all the same, and neither files nor credentials are held any more."""
    supplies = supplies_of(world, version())
    await supplies.spec(Initialization.MANAGED)
    assert (world.code.held, len(world.minted), world.revoked) == (1, 1, [])
    parts = {name: Part(OSError("broken") if name == failing else None) for name in ("endpoint", "sandbox", "life")}
    supplies._endpoint = parts["endpoint"]
    with pytest.raises(OSError, match="broken"):
        await supplies.take_down(parts["sandbox"], parts["life"])
    assert parts["sandbox"].has_ended and parts["endpoint"].has_ended
    assert (world.code.held, world.revoked) == (0, world.minted)


async def test_another_spec_after_giving_back(world, version):
    """As when a snapshot was lost: the second has files and credentials of its own, and nothing is given back twice."""
    supplies = supplies_of(world, version())
    await supplies.spec(Initialization.ON_DEMAND)
    supplies.give_back()
    supplies.give_back()
    assert (world.code.held, world.revoked) == (0, world.minted)
    spec = await supplies.spec(Initialization.PROVISIONED)
    assert spec.environment["AWS_ACCESS_KEY_ID"] == "ASIA1"  # of the second mint
    assert spec.environment["AWS_LAMBDA_INITIALIZATION_TYPE"] == "provisioned-concurrency"
    await supplies.take_down(None, None)
    assert (world.code.held, world.revoked) == (0, world.minted)


@pytest.mark.parametrize(
    ("settings", "beginning", "may"),
    [
        ({"runtime": "nodejs20.x"}, Beginning.INIT, True),
        ({"runtime": "nodejs20.x"}, Beginning.TEMPLATE, False),
        ({"runtime": "nodejs20.x", "environment": {"NODE_OPTIONS": "--no-warnings"}}, Beginning.INIT, False),
        ({}, Beginning.INIT, False),
    ],
)
async def test_who_may_begin_in_a_runtime_that_waits(world, version, settings, beginning, may):
    """Node.js functions that set nothing of what it reads at its start, and no template of a snapshot."""
    supplies = supplies_of(world, version(**settings))
    spec = await supplies.spec(Initialization.ON_DEMAND, beginning)
    supplies.give_back()
    assert (spec.boot is not None) == may
