"""Who may start one more invocation."""

from __future__ import annotations

import pytest

from lambdad.model.concurrency import ConcurrencyLimits, ThrottleReason, throttle_reason


@pytest.mark.parametrize(
    ("limits", "account", "function", "reason"),
    [
        (ConcurrencyLimits(), 999, 999, None),
        (ConcurrencyLimits(), 1000, 0, ThrottleReason.ACCOUNT),
        (ConcurrencyLimits(unreserved=0), 0, 0, ThrottleReason.ACCOUNT),
        (ConcurrencyLimits(reserved=2), 1000, 1, None),
        (ConcurrencyLimits(reserved=2), 0, 2, ThrottleReason.RESERVED),
        (ConcurrencyLimits(reserved=0), 0, 0, ThrottleReason.RESERVED),
    ],
)
def test_throttle_reason(limits, account, function, reason):
    """A reserve counts for itself; without one the account's pool decides."""
    assert throttle_reason(limits, unreserved_in_use=account, function_in_use=function) is reason
