"""Tells the data plane what is provisioned: after each change of a function that has any, and when the server starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from lambdad.model.function import FunctionVersion
from lambdad.model.provisioned_concurrency import (
    ProvisionedConfig,
    ProvisionedKey,
    ProvisionedPlan,
    ProvisionedShare,
    ProvisionedStatus,
    split,
)
from lambdad.services.lambda_.function_table import FunctionTable, runnable
from lambdad.services.lambda_.records import LambdaRecords
from lambdad.services.lambda_.stored_function import FunctionKey, StoredFunction


class Pools(Protocol):
    def plan(self, function: FunctionKey, plans: Mapping[str, ProvisionedPlan], /) -> None:
        """All that a function is to have, by qualifier; may be repeated."""
        ...

    def status(self, key: ProvisionedKey, /) -> ProvisionedStatus: ...


class Provisioner:
    """`start` it when functions can run; until then it only notes what changes."""

    def __init__(self, records: LambdaRecords, functions: FunctionTable, pools: Pools) -> None:
        self._records = records
        self._functions = functions
        self._pools = pools
        self._has: set[FunctionKey] = set()
        functions.followers.append(self.follow)

    async def start(self) -> None:
        """Takes up what an earlier server had."""
        for key in await self._records.provisioned():
            stored = await self._functions.find(key)
            self.follow(key, stored)

    def follow(self, key: FunctionKey, stored: StoredFunction | None) -> None:
        if stored is not None and stored.provisioned:
            self._has.add(key)
            self._pools.plan(key, plans_of(stored))
        elif key in self._has:
            self._has.discard(key)
            self._pools.plan(key, {})

    def status(self, key: ProvisionedKey) -> ProvisionedStatus:
        return self._pools.status(key)


def plans_of(stored: StoredFunction) -> dict[str, ProvisionedPlan]:
    return {qualifier: _plan(stored, qualifier, config) for qualifier, config in stored.provisioned.items()}


def _plan(stored: StoredFunction, qualifier: str, config: ProvisionedConfig) -> ProvisionedPlan:
    """Versions that are not ready yet have their share when they are."""
    alias = stored.aliases.get(qualifier)
    counts = {qualifier: config.requested}
    if alias is not None:
        counts = split(config.requested, alias.function_version, alias.weights)
    readings = {number: stored.versions[number] for number in counts}
    shares = tuple(
        ProvisionedShare(runnable(stored, reading, qualifier), counts[number])
        for number, reading in readings.items()
        if reading.state == "Active"
    )
    return ProvisionedPlan(config.requested, config.last_modified, shares, _problem(readings.values()))


def _problem(readings: Iterable[FunctionVersion]) -> str | None:
    for reading in readings:
        if reading.state == "Failed":
            return f"Version {reading.version} is Failed: {reading.state_reason or reading.state_reason_code}"
    return None
