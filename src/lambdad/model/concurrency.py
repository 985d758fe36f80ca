"""How many invocations may run at once, and how many may begin in a second: the rules, without the counting."""

from __future__ import annotations

from enum import Enum

import msgspec

ACCOUNT_CONCURRENCY = 1000  #: AWS's default of concurrent executions per account and region
MIN_UNRESERVED = 100  #: what the functions without a reserve share cannot be made smaller than this
REQUESTS_PER_ENVIRONMENT = 10  #: AWS's rate for each unit of concurrency and second


class ThrottleReason(Enum):
    """AWS's values of the member `Reason`."""

    ACCOUNT = "ConcurrentInvocationLimitExceeded"
    RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"
    FUNCTION_RATE = "FunctionInvocationRateLimitExceeded"
    RESERVED_RATE = "ReservedFunctionInvocationRateLimitExceeded"


class ConcurrencyLimits(msgspec.Struct, frozen=True, gc=False):
    """What bounds one function's on-demand invocations. What is provisioned is in neither figure."""

    unreserved: int = ACCOUNT_CONCURRENCY  #: what the account's functions without a reserve share
    reserved: int | None = None  #: the function's own, which is also all it gets; None if it has no reserve
    requests_per_environment: int = REQUESTS_PER_ENVIRONMENT

    @property
    def requests_per_second(self) -> int:
        """Synchronous invocations that the function may begin."""
        concurrency = self.unreserved if self.reserved is None else self.reserved
        return concurrency * self.requests_per_environment

    @property
    def rate_reason(self) -> ThrottleReason:
        return ThrottleReason.FUNCTION_RATE if self.reserved is None else ThrottleReason.RESERVED_RATE


def throttle_reason(limits: ConcurrencyLimits, *, unreserved_in_use: int, function_in_use: int) -> ThrottleReason | None:
    """Why one more invocation may not start, or None. `unreserved_in_use` counts those of functions without a reserve."""
    if limits.reserved is not None:
        return ThrottleReason.RESERVED if function_in_use >= limits.reserved else None
    return ThrottleReason.ACCOUNT if unreserved_in_use >= limits.unreserved else None
