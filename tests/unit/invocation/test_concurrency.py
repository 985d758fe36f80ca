"""Leases of concurrency."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from lambdad.errors import ServiceError
from lambdad.invocation.concurrency import Concurrency, Lease
from lambdad.model.concurrency import ConcurrencyLimits

from .conftest import make_version


@pytest.fixture
def concurrency():
    return Concurrency(lambda version: ConcurrencyLimits(unreserved=2))


async def test_exact_counts(concurrency, version):
    """A unit comes back after success, after an error, after a cancellation; a refused one never was taken."""
    one = version()

    async def hold(*, error: bool = False, forever: bool = False):
        async with concurrency.lease(one):
            if forever:
                await asyncio.Event().wait()
            if error:
                raise KeyError

    await hold()
    with pytest.raises(KeyError):
        await hold(error=True)
    holding = [asyncio.create_task(hold(forever=True)) for _ in range(2)]
    await asyncio.sleep(0)
    assert concurrency.in_use("000000000000", "us-east-1") == 2
    for _ in range(3):
        with pytest.raises(ServiceError):
            await hold()
    for task in holding:
        task.cancel()
    await asyncio.gather(*holding, return_exceptions=True)
    assert concurrency.in_use("000000000000", "us-east-1") == 0


async def test_kept_lease(concurrency, version):
    """A lease that is kept outlives its block and is given back once."""
    async with concurrency.lease(version()) as lease:
        lease.keep()
    assert concurrency.in_use("000000000000", "us-east-1") == 1
    lease.give_back()
    lease.give_back()
    assert concurrency.in_use("000000000000", "us-east-1") == 0


async def test_accounts_and_regions_are_apart(concurrency, version):
    """One account's or region's load does not throttle another's."""
    here, there = version(), replace(version(), region="eu-west-1")
    async with concurrency.lease(here), concurrency.lease(here), concurrency.lease(there):
        with pytest.raises(ServiceError):
            async with concurrency.lease(here):
                pass


async def test_a_reserve_is_apart_from_the_pool(version):
    """A function with a reserve gets that and no more, over all its versions; the account's pool is neither asked nor used."""
    concurrency = Concurrency(lambda version: ConcurrencyLimits(unreserved=1, reserved=version.reserved_concurrency))
    one = replace(version(), function_name="reserved", reserved_concurrency=2)
    another = replace(one, version="1")
    async with concurrency.lease(version()), concurrency.lease(one), concurrency.lease(another):
        assert concurrency.in_use("000000000000", "us-east-1") == 1
        with pytest.raises(ServiceError) as refused:
            async with concurrency.lease(one):
                pass
        assert refused.value.members["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        with pytest.raises(ServiceError) as refused:
            async with concurrency.lease(version()):
                pass
        assert refused.value.members["Reason"] == "ConcurrentInvocationLimitExceeded"


async def test_a_reserve_that_comes_while_a_function_runs(version):
    """What an invocation took from the pool goes back to the pool, whatever the function has been given since."""
    concurrency = Concurrency(lambda version: ConcurrencyLimits(unreserved=1, reserved=version.reserved_concurrency))
    reserved = replace(version(), reserved_concurrency=2)
    async with concurrency.lease(version()):
        async with concurrency.lease(reserved):
            assert concurrency.in_use("000000000000", "us-east-1") == 1
            with pytest.raises(ServiceError):
                async with concurrency.lease(reserved):
                    pass
        assert concurrency.in_use("000000000000", "us-east-1") == 1
    assert concurrency.in_use("000000000000", "us-east-1") == 0


async def test_the_synchronous_rate(version):
    """Ten times the concurrency a second, with the reason of what bounds it; events are bound by no rate."""
    now = [0.0]
    concurrency = Concurrency(
        lambda version: ConcurrencyLimits(unreserved=1, reserved=version.reserved_concurrency), monotonic=lambda: now[0]
    )

    async def call(one, *, is_rated: bool = True) -> str:
        try:
            async with concurrency.lease(one, is_rated=is_rated):
                return "ran"
        except ServiceError as error:
            assert error.headers["retry-after"] == "1"
            return error.members["Reason"]

    free, reserved = version("f"), replace(version("g"), reserved_concurrency=2)
    assert [await call(free) for _ in range(11)] == ["ran"] * 10 + ["FunctionInvocationRateLimitExceeded"]
    assert [await call(reserved) for _ in range(21)] == ["ran"] * 20 + ["ReservedFunctionInvocationRateLimitExceeded"]
    assert await call(free, is_rated=False) == "ran"
    now[0] = 0.1
    assert [await call(free) for _ in range(2)] == ["ran", "FunctionInvocationRateLimitExceeded"]
    now[0] = 60.0
    assert [await call(free) for _ in range(11)].count("ran") == 10


async def test_a_stopped_function_is_throttled_by_its_reserve(version):
    """A reserve of 0 gives its own reason, not that of a rate of 0."""
    concurrency = Concurrency(lambda version: ConcurrencyLimits(reserved=0))
    with pytest.raises(ServiceError) as refused:
        concurrency.lease(version()).take()
    assert refused.value.members["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"


def test_functions_at_rest_are_forgotten(version):
    """Memory does not grow with each function that ever ran, and what is in use stays counted."""
    concurrency = Concurrency()
    held = concurrency.lease(version("held"))
    held.take()
    for number in range(9000):
        lease = concurrency.lease(version(f"f{number}"))
        lease.take()
        lease.end()
    assert len(concurrency._functions) < 5000
    assert concurrency.counts().unreserved == 1
    held.give_back()
    assert concurrency.counts().unreserved == 0


class Leases(RuleBasedStateMachine):
    """A plain list of what is held against the counters: at each moment, whatever way leases are given back."""

    def __init__(self) -> None:
        super().__init__()
        self.limits: dict[str, ConcurrencyLimits] = {name: ConcurrencyLimits(unreserved=3) for name in "ab"}
        self.concurrency = Concurrency(lambda version: self.limits[version.function_name], monotonic=lambda: 0.0)
        self.held: list[tuple[str, str, Lease]] = []  #: function, pool, lease

    def count(self, pool: str, function: str | None = None) -> int:
        return sum(1 for name, each, _ in self.held if each == pool and function in (None, name))

    @rule(name=st.sampled_from("ab"), reserved=st.one_of(st.none(), st.integers(0, 3)), unreserved=st.integers(0, 3))
    def change_limits(self, name, reserved, unreserved):
        self.limits[name] = ConcurrencyLimits(unreserved, reserved)

    @rule(name=st.sampled_from("ab"))
    def take(self, name):
        limits, lease = self.limits[name], self.concurrency.lease(make_version(name), is_rated=False)
        pool = "unreserved" if limits.reserved is None else "reserved"
        of_function = self.count("unreserved", name) + self.count("reserved", name)
        is_free = self.count("unreserved") < limits.unreserved if limits.reserved is None else of_function < limits.reserved
        try:
            lease.take()
        except ServiceError as error:
            assert not is_free
            assert ("Reserved" in error.members["Reason"]) == (limits.reserved is not None)
            lease.end()  # of what never was taken
        else:
            assert is_free
            self.held.append((name, pool, lease))

    @rule(name=st.sampled_from("ab"))
    def take_provisioned(self, name):
        lease = self.concurrency.provisioned_lease(make_version(name))
        lease.take()
        self.held.append((name, "provisioned", lease))

    @precondition(lambda self: self.held)
    @rule(index=st.integers(0, 100), is_kept=st.booleans(), times=st.integers(1, 3))
    def end(self, index, is_kept, times):
        name, pool, lease = self.held.pop(index % len(self.held))
        if is_kept:
            lease.keep()
            lease.end()
            self.held.append((name, pool, lease))
            return
        lease.end()
        for _ in range(times):
            lease.give_back()

    @invariant()
    def counts_are_exact(self):
        counts = self.concurrency.counts()
        told = {"unreserved": counts.unreserved, "reserved": counts.reserved, "provisioned": counts.provisioned}
        assert told == {pool: self.count(pool) for pool in told}
        assert self.concurrency.in_use("000000000000", "us-east-1") == self.count("unreserved")

    def teardown(self):
        for _, _, lease in self.held:
            lease.give_back()
        counts = self.concurrency.counts()
        assert (counts.unreserved, counts.reserved, counts.provisioned) == (0, 0, 0)


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
