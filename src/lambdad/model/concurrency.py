"""How many invocations may run at once: the rule, without the counting."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

ACCOUNT_CONCURRENCY = 1000  #: AWS's default of concurrent executions per account and region
MIN_UNRESERVED = 100  #: what the functions without a reserve share cannot be made smaller than this


class ThrottleReason(Enum):
    """AWS's values of the member `Reason`."""

    ACCOUNT = "ConcurrentInvocationLimitExceeded"
    RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"


@dataclass(frozen=True, slots=True)
class ConcurrencyLimits:
    """What bounds one function's invocations."""

    unreserved: int = ACCOUNT_CONCURRENCY  #: what the account's functions without a reserve share
    reserved: int | None = None  #: the function's own, which is also all it gets; None if it has no reserve


def throttle_reason(limits: ConcurrencyLimits, *, unreserved_in_use: int, function_in_use: int) -> ThrottleReason | None:
    """Why one more invocation may not start, or None. `unreserved_in_use` counts those of functions without a reserve."""
    if limits.reserved is not None:
        return ThrottleReason.RESERVED if function_in_use >= limits.reserved else None
    return ThrottleReason.ACCOUNT if unreserved_in_use >= limits.unreserved else None
