"""The account's code storage: what is let in counts from that moment on, so that no two are let in for the same room."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from lambdad.errors import ServiceError

Account = tuple[str, str]  #: its id, and the region


class CodeStorage:
    """`used` says what an account has kept, by its last commit."""

    def __init__(self, used: Callable[[str, str], Awaitable[int]]) -> None:
        self._used = used
        self._claims: Counter[Account] = Counter()  #: bytes let in whose block has not ended
        self._ended = asyncio.Event()  #: set when a block ends, and replaced

    @asynccontextmanager
    async def room(self, account_id: str, region: str, added_bytes: int, limit: int) -> AsyncIterator[None]:
        """Commit inside the block what brings so many bytes; what brings none always has room.

        While others are about to commit, it is not known yet how much there is: who might not fit waits for them.
        """
        account = (account_id, region)
        claim = max(0, added_bytes)
        if claim:
            await self._claim(account, claim, limit)
        try:
            yield
        finally:
            if claim:
                self._claims[account] -= claim
                self._ended.set()
                self._ended = asyncio.Event()

    async def _claim(self, account: Account, claim: int, limit: int) -> None:
        while True:
            used = await self._used(*account)
            claimed, ended = self._claims[account], self._ended  # nothing may be awaited from here to the claim
            if used + claimed + claim <= limit:
                self._claims[account] += claim
                return
            if not claimed:
                raise ServiceError("CodeStorageExceededException", "Code storage limit exceeded.")
            await ended.wait()
