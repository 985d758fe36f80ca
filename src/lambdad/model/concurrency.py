"""How many invocations may run at once: the rule, without the counting."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

ACCOUNT_CONCURRENCY = 1000  #: AWS's default of concurrent executions per account and region


class ThrottleReason(Enum):
    """AWS's values of the member `Reason`."""

    ACCOUNT = "ConcurrentInvocationLimitExceeded"
    RESERVED = "ReservedFunctionConcurrentInvocationLimitExceeded"


@dataclass(frozen=True, slots=True)
class ConcurrencyLimits:
    """What bounds one function's invocations. `reserved` of None means that it draws on the account's pool."""

    account: int = ACCOUNT_CONCURRENCY
    reserved: int | None = None


def throttle_reason(limits: ConcurrencyLimits, *, account_in_use: int, function_in_use: int) -> ThrottleReason | None:
    """Why one more invocation may not start, or None. `account_in_use` counts the unreserved functions' invocations."""
    if limits.reserved is not None:
        return ThrottleReason.RESERVED if function_in_use >= limits.reserved else None
    return ThrottleReason.ACCOUNT if account_in_use >= limits.account else None
