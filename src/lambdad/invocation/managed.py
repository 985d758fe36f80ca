"""All environments of managed instances, by the versions that have them and the capacity providers that they belong to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from lambdad.invocation.concurrency import FunctionKey
from lambdad.invocation.managed_environment import ManagedEnvironment
from lambdad.invocation.managed_pool import Budget, ManagedParts, ManagedPool
from lambdad.invocation.started_ahead import Room
from lambdad.model.function import Failure
from lambdad.model.managed import MAX_VCPUS, ManagedKey, ProviderKey, ScalingConfig
from lambdad.model.version import EnvironmentKey, Version

STARTED_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class ManagedPlan:
    """What is to be kept of one version."""

    version: Version
    scaling: ScalingConfig


class Managed:
    def __init__(self, make: Callable[[Version], ManagedEnvironment], room: Room) -> None:
        self._budgets: dict[ProviderKey, Budget] = {}
        self._parts = ManagedParts(make, room, asyncio.Semaphore(STARTED_AT_ONCE), self._budget)
        self._pools: dict[EnvironmentKey, ManagedPool] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._ended_pools: set[ManagedPool] = set()
        self._is_closed = False

    def plan(self, function: FunctionKey, plans: Mapping[EnvironmentKey, ManagedPlan], /) -> None:
        """All that a function is to have; may be repeated."""
        if self._is_closed:
            return
        for key in [key for key in self._pools if key[:3] == function and key not in plans]:
            self._end(self._pools.pop(key))
        for key, plan in plans.items():
            pool = self._pools.get(key)
            if pool is None:
                self._pools[key] = ManagedPool(plan.version, plan.scaling, self._parts)
            else:
                pool.scale(plan.scaling)

    def limit(self, provider: ProviderKey, vcpus: int, /) -> None:
        """The most vCPUs that all environments of a capacity provider may have together."""
        self._budget(provider).limit = vcpus

    def pool(self, version: Version) -> ManagedPool | None:
        return self._pools.get(version.environment_key)

    def size(self, key: ManagedKey, /) -> int:
        """How many environments of a version are ready."""
        return sum(pool.size for environment_key, pool in self._pools.items() if environment_key[:4] == key)

    async def prepare(self, version: Version) -> Failure | None:
        """Returns when as many environments of a version that was planned are ready as there must be; or why they cannot be."""
        pool = self._pools.get(version.environment_key)
        return None if pool is None else await pool.enough()

    def counts(self) -> tuple[int, int, int, int]:
        """Starting, idle, busy, stopping."""
        counted = [pool.counts() for pool in (*self._pools.values(), *self._ended_pools)]
        starting, idle, busy, stopping = (sum(each) for each in zip(*counted, strict=True)) if counted else (0, 0, 0, 0)
        return starting, idle, busy, stopping

    async def close(self, grace_seconds: float) -> None:
        self._is_closed = True
        pools = {*self._pools.values(), *self._ended_pools}
        await asyncio.gather(*(pool.close(grace_seconds) for pool in pools))
        if self._ending:
            await asyncio.wait(self._ending)

    def _budget(self, provider: ProviderKey) -> Budget:
        return self._budgets.setdefault(provider, Budget(MAX_VCPUS))

    def _end(self, pool: ManagedPool) -> None:
        self._ended_pools.add(pool)
        task = asyncio.get_running_loop().create_task(self._retire(pool))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _retire(self, pool: ManagedPool) -> None:
        try:
            await pool.retire()
        finally:
            self._ended_pools.discard(pool)
