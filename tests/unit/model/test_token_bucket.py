"""Rates that are refilled continuously."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lambdad.model.token_bucket import TokenBucket


def test_a_burst_then_the_rate():
    """The whole bucket at once; then as fast as it is refilled; a long rest saves no more than the bucket holds."""
    bucket = TokenBucket(3, 0.0)
    assert [bucket.take(0.0, 2.0, 3) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(0.4, 2.0, 3)
    assert bucket.take(0.5, 2.0, 3)
    assert [bucket.take(100.0, 2.0, 3) for _ in range(4)] == [True, True, True, False]


def test_a_smaller_size_holds_at_once():
    """A limit that is lowered is not outlived by what was saved under the old one."""
    bucket = TokenBucket(100, 0.0)
    assert [bucket.take(0.0, 2.0, 2) for _ in range(3)] == [True, True, False]
    assert not TokenBucket(0, 0.0).take(5.0, 0.0, 0)


@given(
    size=st.integers(1, 50),
    rate=st.floats(0.1, 100),
    steps=st.lists(st.floats(0, 2), max_size=100),
)
def test_never_more_than_burst_and_rate(size, rate, steps):
    """In any stretch of time no more is taken than the bucket holds and the rate brings."""
    bucket, now, taken = TokenBucket(size, 0.0), 0.0, 0
    for step in steps:
        now += step
        taken += bucket.take(now, rate, size)
        assert taken <= size + rate * now + 1e-6
