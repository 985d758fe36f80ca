"""Leases of concurrency."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from lambdad.errors import ServiceError
from lambdad.invocation.concurrency import Concurrency
from lambdad.model.concurrency import ConcurrencyLimits


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
