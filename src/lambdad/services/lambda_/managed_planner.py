"""Tells the data plane which versions are to have managed environments: after each change, and when the server starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from lambdad.invocation.managed import ManagedPlan
from lambdad.model.function import FunctionVersion
from lambdad.model.managed import LATEST_PUBLISHED, CapacityProvider, ProviderKey, ScalingConfig
from lambdad.model.version import EnvironmentKey
from lambdad.services.lambda_.function_table import FunctionTable, runnable
from lambdad.services.lambda_.records import LambdaRecords
from lambdad.services.lambda_.stored_function import FunctionKey, StoredFunction

_WANTS_ENVIRONMENTS = frozenset({"Pending", "Active"})


class ManagedPools(Protocol):
    def plan(self, function: FunctionKey, plans: Mapping[EnvironmentKey, ManagedPlan], /) -> None:
        """All that a function is to have; may be repeated."""
        ...

    def limit(self, provider: ProviderKey, vcpus: int, /) -> None:
        """The most vCPUs that all environments of a capacity provider may have together."""
        ...


class ManagedPlanner:
    """`start` it before functions are settled; until then it only notes what changes."""

    def __init__(self, records: LambdaRecords, functions: FunctionTable, pools: ManagedPools) -> None:
        self._records = records
        self._functions = functions
        self._pools = pools
        self._has: set[FunctionKey] = set()
        functions.followers.append(self.follow)

    async def start(self) -> None:
        """Takes up what an earlier server had."""
        for provider in await self._records.capacity_providers():
            self.limit(provider)
        for key in await self._records.managed():
            self.follow(key, await self._functions.find(key))

    def limit(self, provider: CapacityProvider) -> None:
        self._pools.limit(provider.key, provider.max_vcpus)

    def follow(self, key: FunctionKey, stored: StoredFunction | None) -> None:
        if stored is not None and stored.function.latest.configuration.capacity is not None:
            self._has.add(key)
            self._pools.plan(key, plans_of(stored))
        elif key in self._has:
            self._has.discard(key)
            self._pools.plan(key, {})


def plans_of(stored: StoredFunction) -> dict[EnvironmentKey, ManagedPlan]:
    """Of every published version that is ready or waits to be, and of the one that is being replaced."""
    plans = {}
    for reading in _readings(stored):
        version = runnable(stored, reading, reading.version)
        scaling = stored.scaling.get(reading.version) or ScalingConfig()
        plans[version.environment_key] = ManagedPlan(version, scaling)
    return plans


def _readings(stored: StoredFunction) -> list[FunctionVersion]:
    readings = [reading for reading in stored.versions.values() if reading.state in _WANTS_ENVIRONMENTS]
    replaced = stored.function.republished_from
    current = stored.versions.get(LATEST_PUBLISHED)
    if replaced is not None and current is not None and current.state == "Active":
        is_lost = current.update_status == "Failed"  # then invocations stay on what it was to replace
        readings = [*(each for each in readings if each is not current or not is_lost), replaced]
    return readings
