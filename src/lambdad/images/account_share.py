"""What the images of each account take of the disk, as they are kept, and how much they may."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

UNBOUNDED = 1 << 62


class NoShareLeft(Exception):
    """More would be the account's than its share; the text says how much that is."""


@dataclass(slots=True)
class _Kept:
    size: int  #: bytes
    holders: int = 0


class AccountShares:
    """In memory, told of everything that is kept and of what is given up. What an account keeps several times counts once."""

    def __init__(self, most_bytes: int = UNBOUNDED) -> None:
        self._most_bytes = most_bytes
        self._kept: dict[tuple[str, str], _Kept] = {}  #: by account and digest
        self._used: Counter[str] = Counter()  #: what is on its way included

    def used(self, account_id: str) -> int:
        return self._used[account_id]

    def has(self, account_id: str, digest: str) -> bool:
        return (account_id, digest) in self._kept

    def take(self, account_id: str, digest: str, size: int) -> None:
        """One more of the account's holds it. What is there is never refused: that was decided when it came."""
        kept = self._kept.get((account_id, digest))
        if kept is None:
            kept = self._kept[account_id, digest] = _Kept(size)
            self._used[account_id] += size
        kept.holders += 1

    def give_back(self, account_id: str, digest: str) -> None:
        """Of what was taken."""
        kept = self._kept[account_id, digest]
        kept.holders -= 1
        if not kept.holders:
            del self._kept[account_id, digest]
            self._lower(account_id, kept.size)

    def arriving(self, account_id: str) -> Arriving:
        return Arriving(self, account_id)

    def _raise(self, account_id: str, size: int) -> None:
        if size and self._used[account_id] + size > self._most_bytes:
            share = f"{self._most_bytes / 2**20:.0f} MB of the disk"
            advice = "delete some, or have the setting image_share_mb raised"
            raise NoShareLeft(f"The images of the account {account_id} may take {share}: {advice}.")
        self._used[account_id] += size

    def _lower(self, account_id: str, size: int) -> None:
        self._used[account_id] -= size
        if not self._used[account_id]:
            del self._used[account_id]


class Arriving:
    """Bytes that are on their way: the account's until `end`, which may be repeated. What has been kept of them is told by
    `AccountShares.take`."""

    def __init__(self, shares: AccountShares, account_id: str) -> None:
        self._shares = shares
        self._account_id = account_id
        self._size = 0

    def add(self, size: int) -> None:
        """NoShareLeft where they are too many."""
        self._shares._raise(self._account_id, size)
        self._size += size

    def end(self) -> None:
        size, self._size = self._size, 0
        self._shares._lower(self._account_id, size)
