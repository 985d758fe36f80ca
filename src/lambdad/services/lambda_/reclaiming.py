"""Takes back what a version holds that nobody has invoked for long: the files of its image, its snapshot, its environments.

It is Inactive then. The next invocation is refused and has it made ready again, by the `Settler`, like a new one.

When a version was last invoked is remembered in memory and written down from time to time, so that an invocation writes
nothing: a server that is killed forgets less than the last hour.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Protocol

from lambdad.model.function import FunctionVersion
from lambdad.model.version import LATEST
from lambdad.services.lambda_.function_table import FunctionTable
from lambdad.services.lambda_.records import LambdaRecords, LastUse
from lambdad.services.lambda_.stored_function import FunctionKey, StoredFunction
from lambdad.store.base import Conflict

log = logging.getLogger(__name__)

SWEEP_SECONDS = 3600.0
RESTORE_PAUSE_SECONDS = 30.0  #: between two tries to make a version ready that could not be: anybody may invoke it


class Settling(Protocol):
    def after(self, key: FunctionKey) -> AbstractAsyncContextManager[None]:
        """Makes the function ready after the block."""
        ...

    async def retire(self, key: FunctionKey, version: str | None = None) -> None:
        """Ends the environments of a version, busy ones after their invocation, and gives up its snapshot."""
        ...


class Reclaimer:
    """`run` in a task of its owner until `stop`."""

    def __init__(
        self,
        records: LambdaRecords,
        functions: FunctionTable,
        settler: Settling,
        idle_seconds: float | None,
        *,
        sweep_seconds: float = SWEEP_SECONDS,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`idle_seconds` without an invocation make a version Inactive; None never does, and what is Inactive still wakes."""
        self._records = records
        self._functions = functions
        self._settler = settler
        self._idle_seconds = idle_seconds
        self._sweep_seconds = sweep_seconds
        self._clock = clock
        self._uses: dict[tuple[FunctionKey, str], float] = {}  #: since the last sweep
        self._woken_at: dict[tuple[FunctionKey, str], float] = {}  #: in the pause, or since the last sweep
        self._stop = asyncio.Event()

    def note_use(self, key: FunctionKey, version: str) -> None:
        """On the way of every invocation of a version that holds something."""
        self._uses[key, version] = self._clock()

    async def wake(self, key: FunctionKey, version: str) -> None:
        """Has an Inactive version made ready again; Pending on return. Others that ask for it meanwhile change nothing.

        It stays Inactive where that has just failed, until the pause is over.
        """
        self.note_use(key, version)
        async with self._settler.after(key), self._functions.change(key) as change:
            if change.stored is None or (woken := _woken(change.stored, version)) is None:
                return
            if _has_failed(change.stored, version) and self._has_just_woken(key, version):
                return
            self._woken_at[key, version] = self._clock()
            await change.save(woken)

    def _has_just_woken(self, key: FunctionKey, version: str) -> bool:
        return 0 <= self._clock() - self._woken_at.get((key, version), float("-inf")) < RESTORE_PAUSE_SECONDS

    async def run(self) -> None:
        while not self._stop.is_set():
            try:
                await self.sweep()
            except Exception:
                log.exception("Idle functions could not be looked for; the next attempt follows.")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._sweep_seconds)

    async def stop(self) -> None:
        """Writes down what is known, and ends `run`."""
        self._stop.set()
        try:
            await self._write_uses()
        except Exception:
            log.exception("When functions were last invoked could not be written down; they may be Inactive early.")

    async def sweep(self) -> None:
        """Takes back from those that are idle now."""
        self._woken_at = {woken: at for woken, at in self._woken_at.items() if self._has_just_woken(*woken)}
        for use in await self._write_uses():
            if self._stop.is_set():
                return
            try:
                await self._reclaim(use.key, use.version)
            except Exception:
                log.exception("What %s:%s holds could not be taken back; the next attempt follows.", use.key[2], use.version)

    async def _write_uses(self) -> list[LastUse]:
        """Those that have been idle for long enough. What nothing is known of, or is said to be later than now, begins now."""
        uses, self._uses = self._uses, {}
        now, idle = self._clock(), []
        try:
            async for use in self._records.last_uses():
                at = uses.get((use.key, use.version))
                if at is None and (use.at is None or use.at > now):
                    at = now
                if at is None:
                    if self._idle_seconds is not None and use.at is not None and now - use.at >= self._idle_seconds:
                        idle.append(use)
                    continue
                with contextlib.suppress(Conflict):
                    await self._records.note_last_use(use, at)
        except BaseException:
            self._uses = {**uses, **self._uses}
            raise
        return idle

    async def _reclaim(self, key: FunctionKey, version: str) -> None:
        assert self._idle_seconds is not None
        async with self._functions.change(key) as change:
            if change.stored is None or (key, version) in self._uses:
                return
            reclaimed = _reclaimed(change.stored, version, self._clock() - self._idle_seconds)
            if reclaimed is None:
                return
            await change.save(reclaimed)
        log.info("%s:%s is Inactive: it was not invoked for %.0f days.", key[2], version, self._idle_seconds / 86400)
        await self._settler.retire(key, version)
        if (key, version) in self._uses:  # by an invocation that came between, and runs
            await self.wake(key, version)


def _reclaimed(stored: StoredFunction, version: str, changed_before: float) -> StoredFunction | None:
    """None where nothing is to be taken back now."""
    reading = _reading(stored, version)
    if reading is None or not reading.is_reclaimable or reading.last_modified > changed_before:
        return None
    if version in stored.provisioned_versions():
        return None
    with contextlib.suppress(KeyError):  # it is being made ready, or updated
        if version == LATEST:
            return replace(stored, function=stored.function.reclaimed())
        return replace(stored, versions={**stored.versions, version: reading.reclaimed()})
    return None


def _woken(stored: StoredFunction, version: str) -> StoredFunction | None:
    reading = _reading(stored, version)
    with contextlib.suppress(KeyError):  # it is not Inactive, or an update makes it anew
        if version == LATEST:
            return replace(stored, function=stored.function.woken())
        if reading is not None:
            return replace(stored, versions={**stored.versions, version: reading.woken()})
    return None


def _has_failed(stored: StoredFunction, version: str) -> bool:
    """Whether it is Inactive because it could not be made ready again, and not because it was idle."""
    reading = _reading(stored, version)
    return reading is not None and reading.state_reason_code != "Idle"


def woken_for_provisioned(stored: StoredFunction) -> StoredFunction:
    """With all that is to have provisioned concurrency on its way to be ready. To be settled then."""
    for version in sorted(stored.provisioned_versions()):
        stored = _woken(stored, version) or stored
    return stored


def _reading(stored: StoredFunction, version: str) -> FunctionVersion | None:
    return stored.function.latest if version == LATEST else stored.versions.get(version)
