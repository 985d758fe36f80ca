"""The sandboxes that a launcher makes, by their names, from the question for one to its end: what its backends share."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Generic, Protocol, TypeVar

from lambdad.errors import SandboxError
from lambdad.sandbox.base import SandboxSpec
from lambdad.sandbox.launcher_link import LauncherLink
from lambdad.sandbox.records import Started, Stop
from lambdad.sandbox.start_record import start_record


class Launched(Protocol):
    """The server's side of a sandbox."""

    async def stop(self) -> None: ...

    def abandon(self) -> None:
        """Closes all that it has. Nobody has seen it."""
        ...

    def note_end(self) -> None:
        """The launcher is gone, and the sandbox with it."""
        ...


Made = TypeVar("Made", bound=Launched)


class LaunchedSandboxes(Generic[Made]):
    """`make` makes the server's side of one that the launcher has started, of its descriptors."""

    def __init__(self, link: LauncherLink, make: Callable[[Started, list[int]], Made]) -> None:
        self._link = link
        self._make = make
        self._starting: set[str] = set()
        self._sandboxes: dict[str, Made] = {}

    @asynccontextmanager
    async def started(self, spec: SandboxSpec) -> AsyncIterator[Made]:
        """A new sandbox, for a block that completes it. If that fails, the launcher forgets it, or kills what it has made."""
        name = spec.sandbox_id
        if name in self._starting or name in self._sandboxes:
            raise SandboxError(f"there is a sandbox {name} already")
        self._starting.add(name)
        try:
            yield await self._link.ask(("start", name), start_record(spec), self._note_start)
        except BaseException:
            self._abandon(name)
            raise
        finally:
            self._starting.discard(name)

    async def release(self, sandbox_id: str) -> None:
        """Has the launcher kill the sandbox and waits until nothing of it is left."""
        if self._link.is_open and sandbox_id in self._sandboxes:
            with contextlib.suppress(SandboxError):  # the launcher ended meanwhile, and with it the sandbox
                await self._link.ask(("stop", sandbox_id), Stop(sandbox_id), lambda record, _: None)
        self._sandboxes.pop(sandbox_id, None)

    def note_loss(self) -> None:
        """The launcher is gone."""
        for sandbox in self._sandboxes.values():
            sandbox.note_end()

    async def stop_all(self) -> None:
        await asyncio.gather(*(sandbox.stop() for sandbox in list(self._sandboxes.values())))

    def _note_start(self, record: Started, descriptors: list[int]) -> Made:
        sandbox = self._sandboxes[record.sandbox_id] = self._make(record, descriptors)
        return sandbox

    def _abandon(self, sandbox_id: str) -> None:
        sandbox = self._sandboxes.pop(sandbox_id, None)
        if sandbox is not None:
            sandbox.abandon()
        if self._link.is_open:
            self._link.send(Stop(sandbox_id))
