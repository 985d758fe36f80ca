"""The whole story of an invocation, and its end when the server stops."""

from __future__ import annotations

from lambdad.invocation.concurrency import Concurrency
from lambdad.invocation.placement import EnvironmentCounts, Placement
from lambdad.invocation.snapshots import Snapshots
from lambdad.model.invocation import Invocation, InvocationResult


class Invoker:
    """Runs versions of functions. ServiceError for throttles and for what is our fault; a function's failure is a value."""

    def __init__(self, concurrency: Concurrency, placement: Placement, snapshots: Snapshots) -> None:
        self.concurrency = concurrency
        self.placement = placement
        self.snapshots = snapshots

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        version = invocation.version
        async with self.concurrency.lease(version) as lease, self.placement.environment_for(version) as environment:
            return await environment.run(invocation, lease)

    async def retire(
        self, account_id: str, region: str, function_name: str, version: str | None = None, revision: str | None = None
    ) -> None:
        """To be called when code or configuration has changed, or the function or version is gone. `revision` is the newer one,
        whose environments stay."""
        await self.placement.retire(account_id, region, function_name, version, revision)
        await self.snapshots.retire(account_id, region, function_name, version)

    def counts(self) -> EnvironmentCounts:
        return self.placement.counts()

    async def close(self, grace_seconds: float = 10.0) -> None:
        """Drains: no invocation is taken, those under way get `grace_seconds`, then everything is stopped."""
        await self.placement.close(grace_seconds)
        await self.snapshots.close()
