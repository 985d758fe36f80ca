"""How fast each function may gain execution environments: AWS's concurrency scaling rate."""

from __future__ import annotations

import time
from collections.abc import Callable

from lambdad.invocation.concurrency import FunctionKey, throttled
from lambdad.model.concurrency import ThrottleReason
from lambdad.model.token_bucket import TokenBucket

BURST = 1000  #: environments at once
PER_MINUTE = 6000  #: 1,000 every 10 seconds, refilled continuously and not saved
#: So many functions are remembered before those whose bucket is full again are forgotten.
_MANY_FUNCTIONS = 1024


class ScalingRate:
    """A bucket for each function that has gained environments lately."""

    def __init__(
        self, burst: int = BURST, per_minute: int = PER_MINUTE, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._burst = burst
        self._per_second = per_minute / 60
        self._monotonic = monotonic
        self._buckets: dict[FunctionKey, TokenBucket] = {}
        self._most = _MANY_FUNCTIONS

    def check(self, function: FunctionKey) -> None:
        """Raises ServiceError TooManyRequestsException where the function may not gain an environment now."""
        bucket = self._buckets.get(function)
        if self._burst < 1 or (bucket is not None and self._left(bucket) < 1.0):
            raise throttled(ThrottleReason.ACCOUNT)

    def note_start(self, function: FunctionKey) -> None:
        """To be called after `check`."""
        bucket = self._buckets.get(function)
        if bucket is None:
            if len(self._buckets) >= self._most:
                self._forget_full()
            bucket = self._buckets[function] = TokenBucket(self._burst, self._monotonic())
        bucket.take(self._monotonic(), self._per_second, self._burst)

    def _left(self, bucket: TokenBucket) -> float:
        return bucket.left(self._monotonic(), self._per_second, self._burst)

    def _forget_full(self) -> None:
        self._buckets = {key: bucket for key, bucket in self._buckets.items() if self._left(bucket) < self._burst}
        self._most = max(_MANY_FUNCTIONS, 2 * len(self._buckets))
