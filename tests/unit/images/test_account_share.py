"""How much of the disk an account's images may take."""

from __future__ import annotations

import pytest

from lambdad.images.account_share import AccountShares, NoShareLeft

ONE, TWO = "1" * 12, "2" * 12


def test_what_an_account_has_several_times_counts_once() -> None:
    """As long as it has it at all; for another account it counts as well."""
    shares = AccountShares()
    for account in (ONE, ONE, TWO):
        shares.take(account, "digest", 10)
    assert (shares.used(ONE), shares.used(TWO)) == (10, 10)
    shares.give_back(ONE, "digest")
    assert shares.used(ONE) == 10
    shares.give_back(ONE, "digest")
    assert (shares.used(ONE), shares.used(TWO)) == (0, 10)


def test_what_is_on_its_way_counts() -> None:
    """Until it has ended, however often; what is refused does not."""
    shares = AccountShares(20)
    shares.take(ONE, "digest", 10)
    first, second = shares.arriving(ONE), shares.arriving(ONE)
    first.add(6)
    with pytest.raises(NoShareLeft, match=ONE):
        second.add(5)
    second.add(4)
    first.end()
    first.end()
    assert shares.used(ONE) == 14
    second.add(6)
    shares.take(ONE, "more", 100)  # what has come is there, and makes no further room
    with pytest.raises(NoShareLeft):
        first.add(1)
