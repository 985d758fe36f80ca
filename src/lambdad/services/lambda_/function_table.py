"""Functions in memory, kept true to the records, so that an invocation finds its version by a look into a dict."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

from lambdad.errors import ServiceError
from lambdad.model.function import FunctionVersion
from lambdad.model.version import Version
from lambdad.services.lambda_.records import LambdaRecords
from lambdad.services.lambda_.stored_function import FunctionKey, Stack, StoredFunction
from lambdad.store.base import Conflict
from lambdad.store.keyed_locks import KeyedLocks
from lambdad.store.to_the_end import to_the_end

T = TypeVar("T")

CHANGED_ELSEWHERE = "The operation cannot be performed at this time. The function was changed by another request."


class FunctionTable:
    """Loads a function whole at its first use and keeps the most recently used ones.

    Every change goes through `change`, one at a time for a function, and reaches the memory only after the commit.
    """

    def __init__(
        self, records: LambdaRecords, released: Callable[[set[Stack]], Awaitable[None]], *, max_functions: int = 5000
    ) -> None:
        self._records = records
        self._released = released  #: told which archives a function stopped needing
        self._max_functions = max_functions
        self._stored: OrderedDict[FunctionKey, StoredFunction] = OrderedDict()
        self._runnable: dict[FunctionKey, dict[tuple[str, str | None], Version]] = {}
        self._locks = KeyedLocks()
        #: Told of each function that has changed, after the commit, and of each that is gone.
        self.followers: list[Callable[[FunctionKey, StoredFunction | None], None]] = []

    async def find(self, key: FunctionKey) -> StoredFunction | None:
        """The function as it stands, or None."""
        stored = self._stored.get(key)
        if stored is not None:
            self._stored.move_to_end(key)
            return stored
        async with self._locks.hold(key):
            return await self._load(key)

    def runnable(self, stored: StoredFunction, reading: FunctionVersion, provisioned: str | None = None) -> Version:
        """What the data plane needs to run a reading of the function, made once; `provisioned` is the qualifier whose
        provisioned environments serve it."""
        known = self._runnable.get(stored.key)
        if known is None or self._stored.get(stored.key) is not stored:
            return runnable(stored, reading, provisioned)
        key = (reading.version, provisioned)
        version = known.get(key)
        if version is None:
            version = known[key] = runnable(stored, reading, provisioned)
        return version

    @asynccontextmanager
    async def change(self, key: FunctionKey) -> AsyncIterator[FunctionChange]:
        """Holds the function against other changes. `stored` is None where there is no function."""
        async with self._locks.hold(key):
            yield FunctionChange(self, key, await self._load(key))

    async def save(self, old: StoredFunction | None, new: StoredFunction) -> StoredFunction:
        async def commit() -> StoredFunction:
            saved, dropped = await self._records.save_function(old, new)
            self._keep(saved)
            self._tell(saved.key, saved)
            await self._released(dropped)
            return saved

        return await self._finish(new.key, commit())

    async def delete(self, stored: StoredFunction) -> None:
        async def commit() -> None:
            dropped = await self._records.delete_function(stored)
            self._forget(stored.key)
            self._tell(stored.key, None)
            await self._released(dropped)

        await self._finish(stored.key, commit())

    def _tell(self, key: FunctionKey, stored: StoredFunction | None) -> None:
        for follower in self.followers:
            follower(key, stored)

    async def _load(self, key: FunctionKey) -> StoredFunction | None:
        stored = self._stored.get(key)
        if stored is None:
            stored = await self._records.function(key)
            if stored is not None:
                self._keep(stored)
        return stored

    def _keep(self, stored: StoredFunction) -> None:
        self._stored[stored.key] = stored
        self._stored.move_to_end(stored.key)
        self._runnable[stored.key] = {}
        while len(self._stored) > self._max_functions:
            self._forget(next(iter(self._stored)))

    def _forget(self, key: FunctionKey) -> None:
        self._stored.pop(key, None)
        self._runnable.pop(key, None)

    async def _finish(self, key: FunctionKey, commit: Coroutine[Any, Any, T]) -> T:
        """A change that has begun is finished even if the caller goes away, so that memory and records stay one."""
        try:
            return await to_the_end(commit)
        except Conflict as error:
            self._forget(key)
            raise ServiceError("ResourceConflictException", CHANGED_ELSEWHERE) from error


def runnable(stored: StoredFunction, reading: FunctionVersion, provisioned: str | None = None) -> Version:
    function = stored.function
    return replace(
        reading.runnable(),
        reserved_concurrency=function.reserved_concurrency,
        provisioned_concurrency=stored.provisioned_concurrency,
        provisioned_for=None if provisioned is None else (*stored.key, provisioned),
        has_network=function.has_network,
    )


class FunctionChange:
    """One function, held. `save` and `delete` may be called once each."""

    def __init__(self, table: FunctionTable, key: FunctionKey, stored: StoredFunction | None) -> None:
        self._table = table
        self.key = key
        self.stored = stored

    async def save(self, new: StoredFunction) -> StoredFunction:
        """Durable on return."""
        self.stored = await self._table.save(self.stored, new)
        return self.stored

    async def delete(self) -> None:
        if self.stored is not None:
            await self._table.delete(self.stored)
            self.stored = None
