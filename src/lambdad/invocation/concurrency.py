"""Leases units of concurrency, or throttles. Counts are exact whatever way an invocation ends."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType

from lambdad.errors import ServiceError
from lambdad.model.concurrency import ConcurrencyLimits, ThrottleReason, throttle_reason
from lambdad.model.token_bucket import TokenBucket
from lambdad.model.version import Version

RETRY_AFTER_SECONDS = 1
#: So many functions are remembered for their rate before those that are at rest are forgotten.
_MANY_FUNCTIONS = 4096

FunctionKey = tuple[str, str, str]


@dataclass(slots=True)
class _AccountUse:
    unreserved: int = 0  #: of the pool that functions without a reserve share
    reserved: int = 0
    provisioned: int = 0


@dataclass(slots=True)
class _FunctionUse:
    account: _AccountUse
    rate: TokenBucket
    on_demand: int = 0  #: of all its versions


@dataclass(slots=True)
class ConcurrencyCounts:
    """What is in use now, and what has happened since the server started."""

    unreserved: int
    reserved: int
    provisioned: int
    spilled_over: int
    throttles: dict[str, int] = field(default_factory=dict)  #: by AWS's reason


class Lease:
    """One unit of concurrency, held from the beginning of an `async with` to its end, or until `give_back` if kept longer."""

    __slots__ = ("_concurrency", "_is_kept", "_is_rated", "_is_unreserved", "_use", "_version")

    def __init__(self, concurrency: Concurrency, version: Version, *, is_rated: bool) -> None:
        self._concurrency = concurrency
        self._version = version
        self._is_rated = is_rated
        self._use: _FunctionUse | None = None  #: while it is held
        self._is_kept = False
        self._is_unreserved = False  #: of the account's pool; the function may get a reserve while it runs

    def take(self) -> None:
        """Raises ServiceError TooManyRequestsException when there is no unit left."""
        self._use, self._is_unreserved = self._concurrency._take(self._version, self._is_rated)

    def end(self) -> None:
        """At the end of what it was taken for."""
        if not self._is_kept:
            self.give_back()

    def keep(self) -> None:
        """The unit is held until `give_back`: a function may run on after its invoker has its answer, or has gone."""
        self._is_kept = True

    def give_back(self) -> None:
        """May be repeated."""
        use, self._use = self._use, None
        if use is not None:
            use.on_demand -= 1
            if self._is_unreserved:
                use.account.unreserved -= 1
            else:
                use.account.reserved -= 1

    async def __aenter__(self) -> Lease:
        self.take()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()


class ProvisionedLease(Lease):
    """The unit that comes with a provisioned environment: it was set aside with it, so it is only counted."""

    __slots__ = ()

    def take(self) -> None:
        self._use = self._concurrency._use_of(self._version)
        self._use.account.provisioned += 1

    def give_back(self) -> None:
        use, self._use = self._use, None
        if use is not None:
            use.account.provisioned -= 1


class UnboundedLease(Lease):
    """No unit at all: of what its environments alone bound."""

    __slots__ = ()

    def take(self) -> None: ...

    def give_back(self) -> None: ...


class Concurrency:
    """In-flight invocations of every account and region. `limits` is asked at each lease."""

    def __init__(
        self,
        limits: Callable[[Version], ConcurrencyLimits] = lambda version: ConcurrencyLimits(),
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits = limits
        self._monotonic = monotonic
        self._accounts: dict[tuple[str, str], _AccountUse] = {}
        self._functions: dict[FunctionKey, _FunctionUse] = {}
        self._most_functions = _MANY_FUNCTIONS
        self._throttles: Counter[str] = Counter()
        self.spilled_over = 0  #: invocations of a provisioned qualifier that found no provisioned environment free

    def lease(self, version: Version, *, is_rated: bool = True) -> Lease:
        """Entering it raises ServiceError TooManyRequestsException when there is no unit left.

        Without a rate for what does not come from a caller who waits: events are bound by concurrency alone.
        """
        return Lease(self, version, is_rated=is_rated)

    def provisioned_lease(self, version: Version) -> Lease:
        return ProvisionedLease(self, version, is_rated=False)

    def unbounded_lease(self, version: Version) -> Lease:
        return UnboundedLease(self, version, is_rated=False)

    def in_use(self, account_id: str, region: str) -> int:
        """Of the pool that functions without a reserve share."""
        account = self._accounts.get((account_id, region))
        return 0 if account is None else account.unreserved

    def note_throttle(self, error: ServiceError) -> None:
        if error.code == "TooManyRequestsException":
            self._throttles[error.members["Reason"]] += 1

    def counts(self) -> ConcurrencyCounts:
        accounts = self._accounts.values()
        return ConcurrencyCounts(
            unreserved=sum(account.unreserved for account in accounts),
            reserved=sum(account.reserved for account in accounts),
            provisioned=sum(account.provisioned for account in accounts),
            spilled_over=self.spilled_over,
            throttles=dict(self._throttles),
        )

    def _take(self, version: Version, is_rated: bool) -> tuple[_FunctionUse, bool]:
        """True if the unit is of the account's pool."""
        use = self._use_of(version)
        account = use.account
        limits = self._limits(version)
        reason = throttle_reason(limits, unreserved_in_use=account.unreserved, function_in_use=use.on_demand)
        if reason is None and is_rated:
            rate = limits.requests_per_second
            if not use.rate.take(self._monotonic(), rate, rate):
                reason = limits.rate_reason
        if reason is not None:
            raise throttled(reason)
        use.on_demand += 1
        is_unreserved = limits.reserved is None
        if is_unreserved:
            account.unreserved += 1
        else:
            account.reserved += 1
        return use, is_unreserved

    def _use_of(self, version: Version) -> _FunctionUse:
        key = version.function_key
        use = self._functions.get(key)
        if use is None:
            if len(self._functions) >= self._most_functions:
                self._forget_resting()
            account = self._accounts.setdefault(key[:2], _AccountUse())
            rate = TokenBucket(self._limits(version).requests_per_second, self._monotonic())
            use = self._functions[key] = _FunctionUse(account, rate)
        return use

    def _forget_resting(self) -> None:
        self._functions = {key: use for key, use in self._functions.items() if use.on_demand}
        self._most_functions = max(_MANY_FUNCTIONS, 2 * len(self._functions))


def throttled(reason: ThrottleReason) -> ServiceError:
    return ServiceError(
        "TooManyRequestsException",
        "Rate Exceeded.",
        members={"Reason": reason.value, "Type": "User"},
        headers={"retry-after": str(RETRY_AFTER_SECONDS)},
    )
