"""How many environments a function may have for its tenants: AWS's limit, 2,500 for every 1,000 concurrent executions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from lambdad.invocation.concurrency import FunctionKey, throttled
from lambdad.model.concurrency import ConcurrencyLimits, ThrottleReason
from lambdad.model.version import Version

PER_CONCURRENCY = 2.5


class TenantEnvironments:
    """Counts those that there are, busy or idle. Versions without a tenant cost a look."""

    def __init__(self, limits: Callable[[Version], ConcurrencyLimits]) -> None:
        self._limits = limits
        self._counts: Counter[FunctionKey] = Counter()

    def check(self, version: Version) -> None:
        """Raises ServiceError TooManyRequestsException where the function may not have one more."""
        if not version.tenant_id:
            return
        limits = self._limits(version)
        concurrency = limits.unreserved if limits.reserved is None else limits.reserved
        if self._counts[version.function_key] + 1 > concurrency * PER_CONCURRENCY:
            raise throttled(ThrottleReason.ACCOUNT if limits.reserved is None else ThrottleReason.RESERVED)

    def note_start(self, version: Version) -> None:
        """To be called after `check`."""
        if version.tenant_id:
            self._counts[version.function_key] += 1

    def note_end(self, version: Version) -> None:
        if version.tenant_id:
            key = version.function_key
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]
