"""What is wanted of provisioned concurrency, and what is said of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.model.provisioned_concurrency import split, status_of


@pytest.mark.parametrize(
    "requested, allocated, available, failure, status, reason",
    [
        (2, 0, 0, None, "IN_PROGRESS", None),
        (2, 1, 1, None, "IN_PROGRESS", None),
        (2, 2, 2, None, "READY", None),
        (2, 2, 1, None, "IN_PROGRESS", None),
        (2, 1, 1, "no room", "FAILED", "no room"),
        (2, 3, 3, "no room", "READY", None),
    ],
)
def test_the_status(requested, allocated, available, failure, status, reason):
    """READY when all are there, FAILED with its reason while one cannot be had, else on the way."""
    told = status_of(requested, allocated, available, failure)
    assert (told.allocated, told.available, told.status, told.reason) == (allocated, available, status, reason)


def test_a_weighted_alias_shares_its_environments():
    """By its weight, rounded; a version with none of the weight has no environments."""
    assert split(10, "1", {}) == {"1": 10}
    assert split(10, "1", {"2": 0.25}) == {"1": 7, "2": 3}
    assert split(10, "1", {"2": 0.0}) == {"1": 10}
    assert split(10, "1", {"2": 1.0}) == {"2": 10}
    assert split(1, "1", {"2": 0.1}) == {"1": 1}


@given(st.integers(1, 1000), st.floats(0, 1))
def test_shares_add_up(requested, weight):
    """Whatever the weight, as many as were requested, and no negative share."""
    shares = split(requested, "1", {"2": weight})
    assert sum(shares.values()) == requested
    assert all(count > 0 for count in shares.values())
