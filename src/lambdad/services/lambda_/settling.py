"""Makes functions ready in the background: Pending becomes Active, InProgress becomes Successful, or either fails."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Protocol
from weakref import WeakValueDictionary

from lambdad.errors import SandboxError, ServiceError, StartupError
from lambdad.model.function import Configuration, Failure, FunctionVersion
from lambdad.model.image import ImageUse
from lambdad.model.managed import LATEST_PUBLISHED
from lambdad.model.version import LATEST, Version
from lambdad.services.lambda_.archive import Archives
from lambdad.services.lambda_.function_table import FunctionTable, runnable
from lambdad.services.lambda_.records import LambdaRecords
from lambdad.services.lambda_.stored_function import FunctionKey, StoredFunction, stacks_of

log = logging.getLogger(__name__)

AT_ONCE = 4  #: functions made ready at the same time
IMAGES_AT_ONCE = 8  #: of other functions, which no zip waits for: images take longer
IMAGES_OF_ACCOUNT = 2  #: of these; a hostile one takes half an hour
SNAPSHOTS_AT_ONCE = 4  #: each may take as long as the function's init
MANAGED_AT_ONCE = 64  #: they wait for environments, of which only so many are started at a time
LONGEST_PAUSE_SECONDS = 60.0


class RuntimePreparation(Protocol):
    async def prepare(self, runtime: str) -> object:
        """Whatever the runtime's first environment would wait for. StartupError or SandboxError when it cannot be run."""
        ...


class SnapshotPreparation(Protocol):
    async def prepare(self, version: Version) -> Failure | None:
        """Makes the snapshot of a published version. A failure is the function's; SandboxError, or ServiceError where there is
        no room for it now, are not."""
        ...


class ManagedPreparation(Protocol):
    async def prepare(self, version: Version) -> Failure | None:
        """Waits until a version that is planned has the environments that it must have, or cannot have them."""
        ...


class ImageFetching(Protocol):
    async def fetch(self, account_id: str, use: ImageUse) -> Failure | None:
        """The layers of an image that awaits them, for a function of this account, whose the failure is."""
        ...


class Retirement(Protocol):
    async def retire(
        self, account_id: str, region: str, function_name: str, version: str | None = None, revision: str | None = None
    ) -> None:
        """Ends the idle environments of a version or of the whole function, and busy ones after their invocation, but for those
        of `revision`."""
        ...


class _Abandoned(Exception):
    """The function for which an image was made ready is gone."""


class Settler:
    """Owns one task for each function that is being made ready. `start` takes up what an earlier server left unfinished."""

    def __init__(
        self,
        records: LambdaRecords,
        functions: FunctionTable,
        archives: Archives,
        images: ImageFetching,
        runtimes: RuntimePreparation,
        environments: Retirement,
        snapshots: SnapshotPreparation,
        managed: ManagedPreparation,
        *,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._records = records
        self._functions = functions
        self._archives = archives
        self._images = images
        self._runtimes = runtimes
        self._environments = environments
        self._snapshots = snapshots
        self._managed = managed
        self._new_id = new_id
        self._pause = pause
        self._tasks: dict[FunctionKey, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._image_turns = asyncio.Semaphore(IMAGES_AT_ONCE)
        self._account_turns: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()
        self._version_tasks: dict[tuple[FunctionKey, str], asyncio.Task[None]] = {}
        self._snapshot_turns = asyncio.Semaphore(SNAPSHOTS_AT_ONCE)
        self._managed_turns = asyncio.Semaphore(MANAGED_AT_ONCE)
        self._images_under_way: dict[FunctionKey, set[asyncio.Task[Failure | None]]] = {}
        functions.followers.append(self._abandon)

    async def start(self) -> None:
        for key in await self._records.unsettled():
            self.schedule(key)

    async def stop(self) -> None:
        """What is not ready yet stays unsettled in the records."""
        tasks = [*self._tasks.values(), *self._version_tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    @asynccontextmanager
    async def after(self, key: FunctionKey) -> AsyncIterator[None]:
        """Settles the function after the block, also when the caller goes away or fails behind the commit."""
        try:
            yield
        finally:
            self.schedule(key)

    def schedule(self, key: FunctionKey) -> None:
        """Settles the function soon; a second request while one is under way is served by it."""
        running = self._tasks.get(key)
        if running is None or running.done():
            task = asyncio.create_task(self._settle(key), name=f"settle {'/'.join(key)}")
            self._tasks[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))

    async def settled(self, key: FunctionKey) -> None:
        """Returns when the function is no longer being made ready."""
        while running := [task for task in self._tasks_of(key) if not task.done()]:
            await asyncio.wait(running)

    def _tasks_of(self, key: FunctionKey) -> list[asyncio.Task[None]]:
        settling = [self._tasks[key]] if key in self._tasks else []
        return settling + [task for (function, _), task in self._version_tasks.items() if function == key]

    async def retire(self, key: FunctionKey, version: str | None = None) -> None:
        """To be called when a function or one of its versions is gone."""
        await self._environments.retire(*key, version)

    def _forget(self, key: FunctionKey, done: asyncio.Task[None]) -> None:
        if self._tasks.get(key) is done:
            del self._tasks[key]

    async def _settle(self, key: FunctionKey) -> None:
        """Until the function, as it then stands, is settled. Our own faults are logged and tried again, later and later."""
        seconds = 1.0
        while True:
            try:
                if await self._settle_once(key):
                    return
                continue
            except Exception:
                log.exception("The function %s could not be made ready; next attempt in %.0f s.", key[2], seconds)
            await self._pause(seconds)
            seconds = min(seconds * 2, LONGEST_PAUSE_SECONDS)

    async def _settle_once(self, key: FunctionKey) -> bool:
        """True when there is nothing to settle here; versions that need more are tasks of their own.

        Nothing is awaited after that was seen, so that whoever changes the function then finds this task at its end.
        """
        stored = await self._functions.find(key)
        if stored is None:
            return True
        self._start_versions(key, stored)
        unsettled = _unsettled(stored)
        if not unsettled:
            return True
        try:
            failures = await self._make_each_ready(key, unsettled)
        except _Abandoned:
            return False
        async with self._functions.change(key) as change:
            if change.stored is None or not any(each.revision_id in failures for each in _unsettled(change.stored)):
                return False  # updated or deleted meanwhile; tags, aliases and policies may have changed as well
            settled = _settled(change.stored, self._new_id(), failures)
            await change.save(settled)
        await self._environments.retire(*key, LATEST, settled.function.running.revision_id)
        return False

    @asynccontextmanager
    async def _turn(self, account_id: str, *, has_image: bool) -> AsyncIterator[None]:
        if not has_image:
            async with self._turns:
                yield
            return
        of_account = self._account_turns.setdefault(account_id, asyncio.Semaphore(IMAGES_OF_ACCOUNT))
        async with of_account, self._image_turns:
            yield

    def _start_versions(self, key: FunctionKey, stored: StoredFunction) -> None:
        for number, version in stored.versions.items():
            name = (key, number)
            if version.settles_by_itself and version.is_unsettled and name not in self._version_tasks:
                turns = self._snapshot_turns if version.has_snapshot else self._managed_turns
                task = asyncio.create_task(self._settle_version(key, number, turns), name=f"settle {'/'.join(key)}/{number}")
                self._version_tasks[name] = task
                task.add_done_callback(lambda done, name=name: self._version_tasks.pop(name))  # type: ignore[misc]

    async def _settle_version(self, key: FunctionKey, number: str, turns: asyncio.Semaphore) -> None:
        seconds = 1.0
        while True:
            try:
                async with turns:
                    if await self._settle_version_once(key, number):
                        return
                continue
            except Exception:
                log.exception("The version %s:%s could not be made ready; next attempt in %.0f s.", key[2], number, seconds)
            await self._pause(seconds)
            seconds = min(seconds * 2, LONGEST_PAUSE_SECONDS)

    async def _settle_version_once(self, key: FunctionKey, number: str) -> bool:
        """True when there is nothing to settle: as `_settle_once`."""
        stored = await self._functions.find(key)
        version = None if stored is None else stored.versions.get(number)
        if stored is None or version is None or not version.is_unsettled:
            return True
        try:
            failure = await self._make_ready_in_turn(key, version.configuration)
        except _Abandoned:
            return False
        if failure is None:
            try:
                if version.has_snapshot:
                    failure = await self._snapshots.prepare(version.runnable())
                else:
                    failure = await self._managed.prepare(runnable(stored, version, number))
            except SandboxError as error:
                failure = Failure("InternalError", str(error))
        async with self._functions.change(key) as change:
            current = None if change.stored is None else change.stored.versions.get(number)
            is_as_before = current is not None and current.is_unsettled and current.revision_id == version.revision_id
            if change.stored is not None and current is not None and is_as_before:
                settled = current.settled(current.revision_id, failure)
                versions = {**change.stored.versions, number: settled}
                function = change.stored.function
                if number == LATEST_PUBLISHED and failure is None:
                    function = replace(function, republished_from=None)
                await change.save(replace(change.stored, function=function, versions=versions))
                return False
        await self._environments.retire(*key, number)  # deleted meanwhile, and so is its snapshot
        return False

    async def _make_each_ready(self, key: FunctionKey, readings: Iterable[FunctionVersion]) -> dict[str, Failure | None]:
        """By revision. What is wrong with one is no other's failure; what several need is made once."""
        made: dict[tuple[object, ...], Failure | None] = {}
        failures = {}
        for reading in readings:
            configuration = reading.configuration
            image = configuration.image
            source = image.uri if image is not None and image.awaits_layers else None
            needs = (*stacks_of(configuration), configuration.runtime, source)
            if needs not in made:
                made[needs] = await self._make_ready_in_turn(key, configuration)
            failures[reading.revision_id] = made[needs]
        return failures

    async def _make_ready_in_turn(self, key: FunctionKey, configuration: Configuration) -> Failure | None:
        if configuration.image is not None:
            return await self._make_image_ready(key, configuration, configuration.image)
        async with self._turn(key[0], has_image=False):
            return await self._make_ready(configuration)

    async def _make_image_ready(self, key: FunctionKey, configuration: Configuration, image: ImageUse) -> Failure | None:
        """_Abandoned where the function is deleted meanwhile: a registry may be slow and an image large, and what comes after
        must not wait."""

        async def make_ready() -> Failure | None:
            failure = await self._images.fetch(key[0], image)
            if failure is None:
                async with self._turn(key[0], has_image=True):
                    failure = await self._make_ready(configuration)
            return failure

        making = asyncio.create_task(make_ready())
        under_way = self._images_under_way.setdefault(key, set())
        under_way.add(making)
        try:
            await asyncio.wait((making,))
        except asyncio.CancelledError:
            making.cancel()
            await asyncio.wait((making,))
            raise
        finally:
            under_way.discard(making)
            if not under_way:
                self._images_under_way.pop(key, None)
        if making.cancelled():
            raise _Abandoned
        return making.result()

    def _abandon(self, key: FunctionKey, stored: StoredFunction | None) -> None:
        if stored is None:
            for making in self._images_under_way.get(key, ()):
                making.cancel()

    async def _make_ready(self, configuration: Configuration) -> Failure | None:
        try:
            if configuration.image is not None:
                return await self._archives.unpack_image(configuration.image)
            for stack in stacks_of(configuration):
                await self._archives.unpack(stack)
        except ServiceError as error:
            return Failure("InvalidZipFileException", error.message)
        except SandboxError as error:
            return Failure("InternalError", str(error))
        try:
            await self._runtimes.prepare(configuration.runtime)
        except (StartupError, SandboxError, ServiceError) as error:
            return Failure("InvalidRuntime", str(error))
        return None


def _unsettled(stored: StoredFunction) -> list[FunctionVersion]:
    """But for those that wait for more than the function's."""
    readings = [stored.function.settling, *stored.versions.values()]
    return [reading for reading in readings if reading.is_unsettled and not reading.settles_by_itself]


def _settled(stored: StoredFunction, revision_id: str, failures: Mapping[str, Failure | None]) -> StoredFunction:
    """Of those that were made ready, or could not be. `$LATEST` gets a new revision id; published versions keep theirs."""
    done = {reading.revision_id for reading in _unsettled(stored)} & set(failures)
    function = stored.function
    if function.settling.revision_id in done:
        function = function.settled(revision_id, failures[function.settling.revision_id])
    versions = {
        number: version.settled(version.revision_id, failures[version.revision_id]) if version.revision_id in done else version
        for number, version in stored.versions.items()
    }
    return replace(stored, function=function, versions=versions)
