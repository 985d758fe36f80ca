"""Turns at registries elsewhere: whoever asks one has a thread to wait in, and nobody gets more of these than is said here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

from lambdad.images.source import BusyRegistry


class RegistryTurns:
    """So many at a time for each registry, and so many of these for one account; the others wait in the order in which they
    came, those of a registry or an account that is slow for nobody else."""

    def __init__(self, at_once: int, at_once_of_account: int, *, patience_seconds: float | None = None) -> None:
        self._at_once = at_once
        self._at_once_of_account = at_once_of_account
        self._patience_seconds = patience_seconds
        self._of_registries: dict[str, asyncio.Semaphore] = {}  #: which the settings name
        self._of_accounts: WeakValueDictionary[tuple[str, str], asyncio.Semaphore] = WeakValueDictionary()

    async def take(self, registry: str, account_id: str) -> Callable[[], None]:
        """What gives the turn back, to be called once. BusyRegistry where none came while there was patience."""
        of_account = self._of_accounts.setdefault((registry, account_id), asyncio.Semaphore(self._at_once_of_account))
        of_registry = self._of_registries.setdefault(registry, asyncio.Semaphore(self._at_once))
        try:
            async with asyncio.timeout(self._patience_seconds):
                await of_account.acquire()
                try:
                    await of_registry.acquire()
                except BaseException:
                    of_account.release()
                    raise
        except TimeoutError as error:
            many = f"{self._at_once_of_account} other images of the account, or for {self._at_once} in all"
            raise BusyRegistry(f"{registry} is asked for {many}") from error

        def give_back() -> None:
            of_registry.release()
            of_account.release()

        return give_back

    @asynccontextmanager
    async def turn(self, registry: str, account_id: str) -> AsyncIterator[None]:
        give_back = await self.take(registry, account_id)
        try:
            yield
        finally:
            give_back()
