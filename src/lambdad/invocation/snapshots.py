"""SnapStart: one snapshot for each version that has it, made when it is published, and again when it is needed and gone.

A snapshot is the memory of an environment whose Init is over. It counts towards the memory of all environments, and is given up
when others need the room, or when it was of no use for long; the next environment of its version then has it made again.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import time
from collections.abc import Callable, Coroutine
from typing import Protocol

from lambdad.errors import CannotSnapshot, ServiceError
from lambdad.invocation import failure
from lambdad.invocation.execution_environment import ExecutionEnvironment
from lambdad.invocation.initialization import InitFailed
from lambdad.invocation.version_snapshot import GivenUp, VersionSnapshot
from lambdad.model.function import Failure
from lambdad.model.version import EnvironmentKey, Version
from lambdad.sandbox.base import Snapshot

logger = logging.getLogger(__name__)

IDLE_SECONDS = 3600.0
#: For the fork itself, before which hooks of the function's may run.
SNAPSHOT_SECONDS = 10.0

Make = Callable[[Version, str], ExecutionEnvironment]  #: the environment of a template, with its token; not started


class Room(Protocol):
    """The memory of all environments."""

    async def claim(self, memory_mb: int) -> None:
        """ServiceError where there is no room."""
        ...

    def release(self, memory_mb: int) -> None: ...

    def has_environments(self, key: EnvironmentKey) -> bool: ...


class Snapshots:
    """`room` has to be set before the first snapshot is made."""

    room: Room

    def __init__(
        self, make: Make, *, idle_seconds: float = IDLE_SECONDS, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._make_template = make
        self._idle_seconds = idle_seconds
        self._monotonic = monotonic
        self._kept: dict[EnvironmentKey, VersionSnapshot] = {}
        self._making: dict[EnvironmentKey, asyncio.Task[VersionSnapshot]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._expiry: asyncio.TimerHandle | None = None
        self._is_closed = False

    async def prepare(self, version: Version) -> Failure | None:
        """Makes the snapshot of a version that is published. A failure is the function's; ServiceError, where there is no room
        now, and SandboxError are not."""
        try:
            await self._have(version)
        except (InitFailed, CannotSnapshot) as error:
            return failure_of(error)
        return None

    async def take(self, version: Version) -> VersionSnapshot:
        try:
            snapshot = await self._have(version)
        except (InitFailed, CannotSnapshot) as error:
            raise ServiceError("SnapStartException", failure_of(error).reason) from error
        snapshot.used_at = self._monotonic()
        return snapshot

    async def retire(self, account_id: str, region: str, function_name: str, version: str | None = None) -> None:
        """Gives up those of a function, or of one of its versions, also while they are made."""
        for key in [*self._kept, *self._making]:
            if key[:3] == (account_id, region, function_name) and version in {None, key[3]}:
                if key in self._making:
                    self._making[key].cancel()
                if key in self._kept:
                    self._drop(key)

    def give_up(self, memory_mb: int) -> GivenUp:
        """Gives up as many as are needed for so much memory, the longest unused first. None where all together are not
        enough."""
        if sum(kept.memory_mb for kept in self._kept.values()) < memory_mb:
            return GivenUp(0, ())
        given, closing = 0, []
        for key in sorted(self._kept, key=lambda each: self._kept[each].used_at):
            if given >= memory_mb:
                break
            given += self._kept[key].memory_mb
            closing.append(self._drop(key))
        return GivenUp(given, closing)

    async def close(self) -> None:
        self._is_closed = True
        if self._expiry is not None:
            self._expiry.cancel()
        makings = list(self._making.values())
        for making in makings:
            making.cancel()
        await asyncio.gather(*makings, return_exceptions=True)
        for key in list(self._kept):
            self._drop(key)
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _have(self, version: Version) -> VersionSnapshot:
        """All who want the same one wait for the same making, which goes on without them."""
        key = version.environment_key
        kept = self._kept.get(key)
        if kept is not None and not kept.snapshot.is_lost:
            return kept
        making = self._making.get(key)
        if making is None:
            if self._is_closed:
                raise ServiceError("ServiceException", "The server is shutting down.", status=503)
            making = self._making[key] = asyncio.create_task(self._make(version))
            making.add_done_callback(lambda done: self._note_made(key, done))
        try:
            return await asyncio.shield(making)
        except asyncio.CancelledError:
            if making.cancelled():  # not this caller, but the making: the version is gone
                raise CannotSnapshot("the version was deleted") from None
            raise

    def _note_made(self, key: EnvironmentKey, made: asyncio.Task[VersionSnapshot]) -> None:
        del self._making[key]
        if not made.cancelled():
            made.exception()  # whoever waited was told

    async def _make(self, version: Version) -> VersionSnapshot:
        await self.room.claim(version.memory_mb)
        claimed = version.memory_mb
        token = secrets.token_urlsafe(32)
        environment = self._make_template(version, token)
        snapshot: Snapshot | None = None
        try:
            try:
                await environment.start()
                async with asyncio.timeout(SNAPSHOT_SECONDS):
                    snapshot = await environment.take_snapshot()
            except TimeoutError:
                raise CannotSnapshot(
                    "the function did not let itself be cloned in time; does it have hooks for forks?"
                ) from None
            finally:
                await environment.stop()
            memory_mb = min(_megabytes(snapshot.memory_bytes) or claimed, claimed)
            kept = VersionSnapshot(snapshot, token, memory_mb, self._monotonic())
        except BaseException:
            if snapshot is not None:
                await snapshot.close()
            self.room.release(claimed)
            raise
        self.room.release(claimed - memory_mb)
        self._keep(version.environment_key, kept)
        return kept

    def _keep(self, key: EnvironmentKey, kept: VersionSnapshot) -> None:
        self._kept[key] = kept
        self._spawn(self._watch(key, kept))
        self._expire_later()

    async def _watch(self, key: EnvironmentKey, kept: VersionSnapshot) -> None:
        """Also to its end on purpose."""
        await kept.snapshot.lost()
        if self._kept.get(key) is kept:
            logger.warning("The snapshot of %s:%s is lost; it is made again when it is needed.", key[2], key[3])
            self._drop(key)

    def _drop(self, key: EnvironmentKey) -> asyncio.Task[None]:
        return self._spawn(self._close(self._kept.pop(key)))

    async def _close(self, kept: VersionSnapshot) -> None:
        try:
            await kept.snapshot.close()
        finally:
            self.room.release(kept.memory_mb)

    def _expire_later(self) -> None:
        if self._expiry is None and self._kept and not self._is_closed:
            first = min(kept.used_at for kept in self._kept.values())
            delay = max(1.0, first + self._idle_seconds - self._monotonic())
            self._expiry = asyncio.get_running_loop().call_later(delay, self._expire)

    def _expire(self) -> None:
        """A version that has environments may need more of them."""
        self._expiry = None
        now = self._monotonic()
        for key, kept in list(self._kept.items()):
            if self.room.has_environments(key):
                kept.used_at = now
            elif now - kept.used_at >= self._idle_seconds:
                self._drop(key)
        self._expire_later()

    def _spawn(self, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def failure_of(error: InitFailed | CannotSnapshot) -> Failure:
    """AWS's reason code, and a sentence for the function's owner."""
    if isinstance(error, CannotSnapshot):
        return Failure("FunctionError", f"SnapStart cannot be applied: {str(error).rstrip('.')}.")
    reason = error.failure
    return Failure(_reason_code(reason), f"The function's init failed: {reason.told}")


def _reason_code(reason: failure.Failure) -> str:
    if reason.status == "timeout":
        return "FunctionError.InitTimeout"
    if reason.reported_type == "Runtime.OutOfMemory":
        return "FunctionError.InitResourceExhausted"
    if reason.error_type.startswith("Extension."):
        is_too_many = reason.error_type == "Extension.TooManyExtensions"
        return "FunctionError.TooManyExtensions" if is_too_many else "FunctionError.ExtensionInitError"
    return "FunctionError.RuntimeInitError"


def _megabytes(size: int | None) -> int | None:
    return None if size is None else math.ceil(size / 1048576)
