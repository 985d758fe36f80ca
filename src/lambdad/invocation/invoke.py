"""The whole story of an invocation, and its end when the server stops."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from types import TracebackType
from typing import Any

from lambdad.errors import ServiceError
from lambdad.invocation.concurrency import Concurrency, Lease, throttled
from lambdad.invocation.execution_environment import ExecutionEnvironment
from lambdad.invocation.managed import Managed
from lambdad.invocation.managed_environment import ManagedEnvironment
from lambdad.invocation.managed_pool import ManagedPool
from lambdad.invocation.placement import EnvironmentCounts, Placement
from lambdad.invocation.provisioned import Provisioned
from lambdad.invocation.provisioned_pool import ProvisionedPool
from lambdad.invocation.snapshots import Snapshots
from lambdad.model.concurrency import ThrottleReason
from lambdad.model.invocation import Invocation, InvocationResult


class Invoker:
    """Runs versions of functions. ServiceError for throttles and for what is our fault; a function's failure is a value."""

    def __init__(
        self,
        concurrency: Concurrency,
        placement: Placement,
        provisioned: Provisioned,
        snapshots: Snapshots,
        managed: Managed,
    ) -> None:
        self.concurrency = concurrency
        self.managed = managed
        self.placement = placement
        self.provisioned = provisioned
        self.snapshots = snapshots

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        async with self.seat(invocation) as seat:
            return await seat.environment.run(invocation, seat.lease)

    def seat(self, invocation: Invocation) -> Seat:
        """A unit of concurrency and an environment, for the length of a block. Raises ServiceError when there is none."""
        return Seat(self, invocation)

    async def retire(
        self, account_id: str, region: str, function_name: str, version: str | None = None, revision: str | None = None
    ) -> None:
        """To be called when code or configuration has changed, or the function or version is gone. `revision` is the newer one,
        whose environments stay."""
        await self.placement.retire(account_id, region, function_name, version, revision)
        await self.snapshots.retire(account_id, region, function_name, version)

    def counts(self) -> EnvironmentCounts:
        counts = self.placement.counts()
        pairs = zip(self.provisioned.counts(), self.managed.counts(), strict=True)
        starting, idle, busy, stopping = (provisioned + managed for provisioned, managed in pairs)
        return replace(
            counts,
            starting=counts.starting + starting,
            idle=counts.idle + idle,
            busy=counts.busy + busy,
            stopping=counts.stopping + stopping,
        )

    def concurrency_figures(self) -> dict[str, Any]:
        """For the server's health: what is in use now, and what was refused since the server started."""
        counts = self.concurrency.counts()
        return {
            "in_use": {"unreserved": counts.unreserved, "reserved": counts.reserved, "provisioned": counts.provisioned},
            "provisioned": self.provisioned.figures(),
            "spilled_over": counts.spilled_over,
            "throttles": counts.throttles,
        }

    async def close(self, grace_seconds: float = 10.0) -> None:
        """Drains: no invocation is taken, those under way get `grace_seconds`, then everything is stopped."""
        await asyncio.gather(
            self.placement.close(grace_seconds), self.provisioned.close(grace_seconds), self.managed.close(grace_seconds)
        )
        await self.snapshots.close()


class Seat:
    """Provisioned while there is one free of those that the invocation's qualifier has, else on demand. Of managed instances,
    a place in an environment, else nothing."""

    __slots__ = ("_invocation", "_invoker", "_pool", "environment", "lease")

    environment: ExecutionEnvironment | ManagedEnvironment
    lease: Lease

    def __init__(self, invoker: Invoker, invocation: Invocation) -> None:
        self._invoker = invoker
        self._invocation = invocation
        self._pool: Placement | ProvisionedPool | ManagedPool = invoker.placement

    async def __aenter__(self) -> Seat:
        invocation, invoker = self._invocation, self._invoker
        version = invocation.version
        if version.provisioned_for is not None and await self._take_ahead():
            return self
        self.lease = invoker.concurrency.lease(version, is_rated=not invocation.is_event)
        try:
            self.lease.take()
            self.environment = await invoker.placement.take(version)
        except BaseException as error:
            self.lease.give_back()
            if isinstance(error, ServiceError):
                invoker.concurrency.note_throttle(error)
            raise
        if version.provisioned_for is not None:
            invoker.concurrency.spilled_over += 1
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._pool.give_back(self.environment)  # type: ignore[arg-type]  # what the pool gave
        self.lease.end()

    async def _take_ahead(self) -> bool:
        """Of those that were started ahead of invocations."""
        invoker, version = self._invoker, self._invocation.version
        if version.managed is not None:
            await self._take_managed()
            return True
        pool = invoker.provisioned.pool(version)
        if pool is None:
            return False
        environment = pool.take(version) or await pool.take_nearly_free(version)
        if environment is None:
            return False
        self._pool, self.environment = pool, environment
        self.lease = invoker.concurrency.provisioned_lease(version)
        self.lease.take()
        return True

    async def _take_managed(self) -> None:
        """Its environments bound it, and no limit of concurrency."""
        invoker, version = self._invoker, self._invocation.version
        pool = invoker.managed.pool(version)
        if pool is None:
            raise throttled(ThrottleReason.ACCOUNT)
        try:
            self.environment = await pool.take(self._invocation.request_id)
        except ServiceError as error:
            invoker.concurrency.note_throttle(error)
            raise
        self._pool = pool
        self.lease = invoker.concurrency.unbounded_lease(version)
