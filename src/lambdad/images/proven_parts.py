"""Which parts of images accounts have shown that they have, whole: those need not be read again to be theirs."""

from __future__ import annotations

from collections import OrderedDict

MOST = 100_000


class ProvenParts:
    """In memory, those of late. What was shown once stays true: the digest says what the content is."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._parts: OrderedDict[tuple[str, str], None] = OrderedDict()  #: by account and digest

    def of(self, account_id: str) -> AccountParts:
        return AccountParts(self, account_id)

    def has(self, account_id: str, digest: str) -> bool:
        known = (account_id, digest) in self._parts
        if known:
            self._parts.move_to_end((account_id, digest))
        return known

    def note(self, account_id: str, digest: str) -> None:
        self._parts[account_id, digest] = None
        self._parts.move_to_end((account_id, digest))
        if len(self._parts) > self._most:
            self._parts.popitem(last=False)


class AccountParts:
    """Those of one account."""

    def __init__(self, parts: ProvenParts, account_id: str) -> None:
        self._parts = parts
        self._account_id = account_id

    def has(self, digest: str) -> bool:
        return self._parts.has(self._account_id, digest)

    def note(self, digest: str) -> None:
        self._parts.note(self._account_id, digest)
