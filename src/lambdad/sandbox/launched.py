"""A backend whose sandboxes a launcher makes: all that does not depend on how they are made.

The sandboxes are known by their names, from the question for one to its end.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from lambdad.errors import SandboxError, StartupError
from lambdad.sandbox.base import NetworkStatus, SandboxSpec, UnpackLimits, UnpackReport
from lambdad.sandbox.launcher_link import LOSS, LauncherLink
from lambdad.sandbox.records import Started, Stop
from lambdad.sandbox.start_record import start_record

DEFAULT_UIDS = range(20_000, 30_000)
TMP_IS_MEMORY = "What a function writes to /tmp counts towards its memory size, so a large file there can get it killed."


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
    """`make` makes the server's side of a sandbox that the launcher has started, of its descriptors. `settings` are the
    launcher's, `weaknesses` those that are known before it is opened."""

    image_problem: str | None = None

    def __init__(
        self,
        link: LauncherLink,
        settings: msgspec.Struct,
        make: Callable[[Started, list[int]], Made],
        weaknesses: Sequence[str],
    ) -> None:
        self.weaknesses: Sequence[str] = [TMP_IS_MEMORY, *weaknesses]
        self.network = NetworkStatus("none")
        self.shares_processors = True
        self._link = link
        self._settings = settings
        self._make = make
        self._starting: set[str] = set()
        self._sandboxes: dict[str, Made] = {}

    async def open(self) -> None:
        opened = await self._link.open(self._settings, self._note_loss, self._hear_event)
        self.weaknesses = [TMP_IS_MEMORY, *opened.weaknesses]
        self.network = opened.network
        self.shares_processors = opened.shares_processors

    async def unpack(self, archive: Path, destination: Path, limits: UnpackLimits) -> UnpackReport:
        return await self._link.unpack(archive, destination, limits)

    async def merge(self, trees: Sequence[Path], destination: Path, limits: UnpackLimits) -> UnpackReport:
        return await self._link.merge(trees, destination, limits)

    async def unpack_layer(self, layer: Path, below: Path | None, destination: Path, limits: UnpackLimits) -> UnpackReport:
        return await self._link.unpack_layer(layer, below, destination, limits)

    async def remove(self, tree: Path) -> None:
        await self._link.remove(tree)

    async def lost(self) -> str:
        await self._link.lost.wait()
        return LOSS

    async def close(self) -> None:
        await asyncio.gather(*(sandbox.stop() for sandbox in list(self._sandboxes.values())))
        await self._link.close()

    @asynccontextmanager
    async def _started(self, spec: SandboxSpec) -> AsyncIterator[Made]:
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

    def _hear_event(self, record: Any) -> None:
        """What the launcher says unasked."""

    def _note_loss(self) -> None:
        """The launcher is gone."""
        for sandbox in self._sandboxes.values():
            sandbox.note_end()

    def _note_start(self, record: Started, descriptors: list[int]) -> Made:
        sandbox = self._sandboxes[record.sandbox_id] = self._make(record, descriptors)
        return sandbox

    def _abandon(self, sandbox_id: str) -> None:
        sandbox = self._sandboxes.pop(sandbox_id, None)
        if sandbox is not None:
            sandbox.abandon()
        if self._link.is_open:
            self._link.send(Stop(sandbox_id))


def check_uids(uids: range) -> None:
    """StartupError where sandboxes cannot have them in turn."""
    if len(uids) < 2 or uids.step != 1 or uids.start < 1:
        raise StartupError(f"sandboxes need at least two user ids other than root's, not {uids}")


def cgroup_name(state_dir: Path) -> str:
    """Of the cgroup of a backend with this folder: no other's, and the same after a restart."""
    return "lambdad-" + hashlib.sha256(os.fsencode(state_dir.absolute())).hexdigest()[:8]
