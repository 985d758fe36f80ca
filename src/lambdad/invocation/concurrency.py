"""Leases units of concurrency, or throttles. Counts are exact whatever way an invocation ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from lambdad.errors import ServiceError
from lambdad.model.concurrency import ConcurrencyLimits, ThrottleReason, throttle_reason
from lambdad.model.version import Version

RETRY_AFTER_SECONDS = 1

FunctionKey = tuple[str, str, str]
_Key = TypeVar("_Key")


class Lease:
    """One unit of concurrency, held from the beginning of an `async with` to its end, or until `give_back` if kept longer."""

    def __init__(self, concurrency: Concurrency, version: Version) -> None:
        self._concurrency = concurrency
        self._version = version
        self._is_held = False
        self._is_kept = False
        self._is_unreserved = False  #: of the account's pool; the function may get a reserve while it runs

    async def __aenter__(self) -> Lease:
        self._is_unreserved = self._concurrency._take(self._version)
        self._is_held = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if not self._is_kept:
            self.give_back()

    def keep(self) -> None:
        """The unit is held until `give_back`: a function may run on after its invoker has its answer, or has gone."""
        self._is_kept = True

    def give_back(self) -> None:
        """May be repeated."""
        if self._is_held:
            self._is_held = False
            self._concurrency._put_back(self._version, self._is_unreserved)


class Concurrency:
    """In-flight invocations of every account and region. `limits` is asked at each lease."""

    def __init__(self, limits: Callable[[Version], ConcurrencyLimits] = lambda version: ConcurrencyLimits()) -> None:
        self._limits = limits
        self._unreserved: Counter[tuple[str, str]] = Counter()
        self._functions: Counter[FunctionKey] = Counter()

    def lease(self, version: Version) -> Lease:
        """Entering it raises ServiceError TooManyRequestsException when there is no unit left."""
        return Lease(self, version)

    def in_use(self, account_id: str, region: str) -> int:
        """Of the pool that functions without a reserve share."""
        return self._unreserved[account_id, region]

    def _take(self, version: Version) -> bool:
        """True if the unit is of the account's pool."""
        account = (version.account_id, version.region)
        function = (*account, version.function_name)
        limits = self._limits(version)
        reason = throttle_reason(limits, unreserved_in_use=self._unreserved[account], function_in_use=self._functions[function])
        if reason is not None:
            raise throttled(reason)
        self._functions[function] += 1
        if limits.reserved is not None:
            return False
        self._unreserved[account] += 1
        return True

    def _put_back(self, version: Version, is_unreserved: bool) -> None:
        account = (version.account_id, version.region)
        _decrease(self._functions, (*account, version.function_name))
        if is_unreserved:
            _decrease(self._unreserved, account)


def throttled(reason: ThrottleReason) -> ServiceError:
    return ServiceError(
        "TooManyRequestsException",
        "Rate Exceeded.",
        members={"Reason": reason.value, "Type": "User"},
        headers={"retry-after": str(RETRY_AFTER_SECONDS)},
    )


def _decrease(counter: Counter[_Key], key: _Key) -> None:
    counter[key] -= 1
    if not counter[key]:
        del counter[key]
