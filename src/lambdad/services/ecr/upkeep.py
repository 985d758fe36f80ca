"""What is done to repositories from time to time: images, parts and uploads go that have had their time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from lambdad.services.ecr.lifecycle import Lifecycles
from lambdad.services.ecr.state import EcrState

log = logging.getLogger(__name__)

SWEEP_SECONDS = 3600.0
#: How long a part waits for a manifest that names it, since it came or a push was told that it is there.
PART_SECONDS = 86_400.0


class Upkeep:
    """`run` in a task of its owner until `stop`."""

    def __init__(
        self,
        state: EcrState,
        end_idle_uploads: Callable[[], Awaitable[None]],
        *,
        sweep_seconds: float = SWEEP_SECONDS,
    ) -> None:
        self._state = state
        self._sweep_seconds = sweep_seconds
        self._stop = asyncio.Event()
        self._chores = (Lifecycles(state, self._stop).sweep, self.sweep_parts, end_idle_uploads)

    async def run(self) -> None:
        while not self._stop.is_set():
            for chore in self._chores:
                try:
                    await chore()
                except Exception:
                    log.exception("The repositories could not be swept; the next attempt follows.")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), self._sweep_seconds)

    async def stop(self) -> None:
        self._stop.set()

    async def sweep_parts(self) -> None:
        """Removes the parts that no image of their repository has, and none is about to have."""
        records, before = self._state.records, self._state.clock() - PART_SECONDS
        for repository in await records.all_repositories():
            if self._stop.is_set():
                return
            name = repository.named
            if not await records.has_unnamed_parts(name, before):
                continue
            async with records.changing(name):
                count = await records.delete_unnamed_parts(name, before)
            log.info("%d layers that no image of the repository %s has are gone.", count, name.arn)
