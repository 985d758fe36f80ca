"""Provisioned concurrency at work: a pool of environments for each version or alias that has it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from lambdad.invocation.concurrency import FunctionKey
from lambdad.invocation.provisioned_pool import PoolParts, ProvisionedPool
from lambdad.model.provisioned_concurrency import ProvisionedKey, ProvisionedPlan, ProvisionedStatus
from lambdad.model.version import Version

STARTED_AT_ONCE = 8  #: of all pools together, so that a big one leaves the machine to invocations


class Provisioned:
    """Told what is wanted, it makes it so in tasks of its own."""

    def __init__(self, parts: PoolParts) -> None:
        self._parts = parts
        self._pools: dict[ProvisionedKey, ProvisionedPool] = {}
        self._is_closed = False

    def plan(self, function: FunctionKey, plans: Mapping[str, ProvisionedPlan]) -> None:
        """All that a function has, by qualifier; what it has no longer is ended."""
        if self._is_closed:
            return
        for qualifier, wanted in plans.items():
            key = (*function, qualifier)
            if key not in self._pools:
                self._pools[key] = ProvisionedPool(self._parts)
            self._pools[key].plan(wanted)
        for key, pool in list(self._pools.items()):
            if key[:3] == function and key[3] not in plans:
                pool.plan(None)
        self._pools = {key: pool for key, pool in self._pools.items() if not pool.is_over}

    def pool(self, version: Version) -> ProvisionedPool | None:
        """Whose environments serve an invocation of this reading first."""
        return None if version.provisioned_for is None else self._pools.get(version.provisioned_for)

    def status(self, key: ProvisionedKey) -> ProvisionedStatus:
        pool = self._pools.get(key)
        return ProvisionedStatus() if pool is None else pool.status()

    def counts(self) -> tuple[int, int, int, int]:
        """Starting, idle, busy, stopping."""
        starting = idle = busy = stopping = 0
        for pool in self._pools.values():
            counted = pool.counts()
            starting, idle = starting + counted[0], idle + counted[1]
            busy, stopping = busy + counted[2], stopping + counted[3]
        return starting, idle, busy, stopping

    def figures(self) -> dict[str, int]:
        """Of the whole server, for its health."""
        pools = self._pools.values()
        return {
            "requested": sum(pool.requested for pool in pools),
            "allocated": sum(pool.allocated for pool in pools),
        }

    async def close(self, grace_seconds: float) -> None:
        self._is_closed = True
        await asyncio.gather(*(pool.close(grace_seconds) for pool in self._pools.values()))
