"""The environments of one version of managed instances: started ahead, between a minimum and a maximum, by how busy they are.

As on AWS nobody waits for one to be started because of an invocation: it goes to one that has a place free, else it is refused
and may come again. Only where there is none at all, as after a restart of the server, the first one is waited for.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass

from lambdad.invocation.concurrency import throttled
from lambdad.invocation.initialization import InitFailed
from lambdad.invocation.managed_environment import ManagedEnvironment
from lambdad.invocation.managed_failure import SHORT_LIVED, managed_failure, no_vcpus
from lambdad.invocation.placement import SETTLE_SECONDS
from lambdad.invocation.started_ahead import (
    INIT_RETRY_SECONDS,
    MACHINE_RETRY_SECONDS,
    Room,
    StartFailures,
    is_foreseen,
    start_in_room,
)
from lambdad.model.concurrency import ThrottleReason
from lambdad.model.function import Failure
from lambdad.model.managed import ProviderKey, ScalingConfig
from lambdad.model.version import Version

logger = logging.getLogger(__name__)

#: So much of its places an environment should have in use: twice the load finds room while more are started.
TARGET_USE = 0.5
#: For so long fewer have to be enough before some are stopped.
SCALE_DOWN_SECONDS = 60.0


@dataclass(slots=True)
class Budget:
    """The vCPUs of one capacity provider."""

    limit: float
    used: float = 0.0


@dataclass(slots=True)
class ManagedParts:
    """What all pools share. `make` makes an environment that has not been started."""

    make: Callable[[Version], ManagedEnvironment]
    room: Room
    turns: asyncio.Semaphore  #: environments started at the same time
    budget: Callable[[ProviderKey], Budget]
    settle_seconds: float = SETTLE_SECONDS
    scale_down_seconds: float = SCALE_DOWN_SECONDS
    machine_retry_seconds: float = MACHINE_RETRY_SECONDS
    init_retry_seconds: float = INIT_RETRY_SECONDS


@dataclass(slots=True, eq=False)
class _Waiter:
    request_id: str
    environment: asyncio.Future[ManagedEnvironment]


class ManagedPool:
    """`scale` it, and again; `take` while it lasts; `retire` it, or `close` it, in the end."""

    def __init__(self, version: Version, scaling: ScalingConfig, parts: ManagedParts) -> None:
        assert version.managed is not None
        self.version = version
        self._managed = version.managed
        self._scaling = scaling
        self._parts = parts
        self._loop = asyncio.get_running_loop()
        self._members: set[ManagedEnvironment] = set()  #: their Init is over
        self._beginning: set[ManagedEnvironment] = set()
        self._starting = 0  #: those, and those that wait for their turn
        self._stopping: set[ManagedEnvironment] = set()
        self._waiters: deque[_Waiter] = deque()
        self._peak = 0  #: most invocations at once since it was last asked whether fewer are enough
        self._decline: asyncio.TimerHandle | None = None
        self._failures: StartFailures[Failure] = StartFailures(self._adjust)
        self._settling: list[asyncio.Future[Failure | None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_over = False
        self._adjust()

    # What is wanted, and what is there

    def scale(self, scaling: ScalingConfig) -> None:
        """What has failed is tried again at once."""
        if scaling != self._scaling:
            self._scaling = scaling
            self._failures.forget()
            self._peak = self._in_flight
            self._adjust()

    def enough(self) -> asyncio.Future[Failure | None]:
        """None when as many are ready as there must be at least, or why that could not be."""
        future: asyncio.Future[Failure | None] = self._loop.create_future()
        self._settling.append(future)
        self._tell_settling()
        return future

    @property
    def size(self) -> int:
        """Environments that are ready."""
        return len(self._members)

    def counts(self) -> tuple[int, int, int, int]:
        """Starting, idle, busy, stopping."""
        busy = sum(1 for environment in self._members if environment.in_flight)
        return len(self._beginning), len(self._members) - busy, busy, len(self._stopping)

    @property
    def _there(self) -> int:
        """Those that are ready and stay."""
        return sum(1 for each in self._members if not each.is_retired)

    @property
    def _in_flight(self) -> int:
        return sum(environment.in_flight for environment in self._members) + len(self._waiters)

    # Taking and giving back

    async def take(self, request_id: str) -> ManagedEnvironment:
        """One with a place for this invocation, which is reserved. Raises ServiceError when there is none."""
        while True:
            environment = self._choose(request_id) or await self._wait(request_id)
            self._note_load()
            if environment is None:
                raise throttled(ThrottleReason.ACCOUNT)
            if environment.has_place:
                return environment
            environment.unreserve()
            self._offer(environment)

    def give_back(self, environment: ManagedEnvironment) -> None:
        """After the invocation."""
        self._adjust()

    def _choose(self, request_id: str) -> ManagedEnvironment | None:
        """The least busy one."""
        able = [each for each in self._members if not each.is_retired and each.can_take(request_id)]
        if not able:
            return None
        environment = max(able, key=lambda each: each.free)
        environment.reserve()
        return environment

    async def _wait(self, request_id: str) -> ManagedEnvironment | None:
        """For a place that is nearly free, since clients that call in turn are often faster than that. Where there is no
        environment yet, for the first."""
        most = max(1, self._scaling.maximum) * self._managed.concurrency
        if self._is_over or len(self._waiters) >= most:
            return None
        waiter = _Waiter(request_id, self._loop.create_future())
        self._waiters.append(waiter)
        self._note_load()
        patience = None if not self._members and self._starting else self._parts.settle_seconds
        try:
            async with asyncio.timeout(patience):
                return await asyncio.shield(waiter.environment)
        except TimeoutError:
            if waiter.environment.done():
                return waiter.environment.result()
            return None
        except BaseException:
            if waiter.environment.done() and not waiter.environment.exception():
                handed = waiter.environment.result()
                handed.unreserve()  # in the moment in which the caller went away
                self._offer(handed)
            raise
        finally:
            waiter.environment.cancel()
            if waiter in self._waiters:
                self._waiters.remove(waiter)

    def _offer(self, environment: ManagedEnvironment) -> None:
        """It has a place free, perhaps: for who has waited longest."""
        if environment.is_retired and not environment.in_flight:
            self._discard(environment)
            return
        while self._waiters and not environment.is_retired and environment in self._members:
            waiter = next((each for each in self._waiters if environment.can_take(each.request_id)), None)
            if waiter is None:
                return
            self._waiters.remove(waiter)
            if not waiter.environment.done():
                environment.reserve()
                waiter.environment.set_result(environment)

    def _note_load(self) -> None:
        self._peak = max(self._peak, self._in_flight)
        self._adjust()

    # Making it so

    def _wanted(self, in_flight: int) -> int:
        if self._is_over:
            return 0
        by_load = math.ceil(in_flight / (self._managed.concurrency * TARGET_USE))
        return max(self._scaling.minimum, min(by_load, self._scaling.maximum))

    def _adjust(self) -> None:
        """Starts what is missing now, and stops what is too much when it has been so for a while."""
        there = self._there
        wanted = self._wanted(self._in_flight)
        missing = wanted - there - self._starting
        if missing > 0 and not self._is_over and not self._failures.is_pausing:
            for _ in range(missing):
                self._starting += 1
                self._spawn(self._start())
        too_many = there - (0 if self._is_over else self._scaling.maximum)
        if too_many > 0:
            self._retire_some(too_many)
        elif there > wanted and self._decline is None:
            self._decline = self._loop.call_later(self._parts.scale_down_seconds, self._decline_now)
        self._tell_settling()

    def _decline_now(self) -> None:
        self._decline = None
        self._retire_some(self._there - self._wanted(self._peak))
        self._peak = self._in_flight
        self._adjust()

    def _retire_some(self, count: int) -> None:
        """The least busy ones, which end when they have no invocation any more."""
        staying = sorted((each for each in self._members if not each.is_retired), key=lambda each: each.in_flight)
        for environment in staying[: max(0, count)]:
            environment.is_retired = True
            if not environment.in_flight:
                self._discard(environment)

    async def _start(self) -> None:
        environment: ManagedEnvironment | None = None
        try:
            async with self._parts.turns:
                if self._is_needed():
                    environment = await self._begin()
        except Exception as error:
            if not is_foreseen(error):
                logger.exception("A managed environment of %s could not be made", self.version.function_arn)
            is_init = isinstance(error, InitFailed)
            pause = self._parts.init_retry_seconds if is_init else self._parts.machine_retry_seconds
            self._failed(managed_failure(error), pause)
        finally:
            self._starting -= 1
        if environment is not None:
            self._admit(environment)
        self._adjust()

    def _is_needed(self) -> bool:
        there = self._there + len(self._beginning)
        return not self._failures.is_pausing and not self._is_over and there < self._wanted(self._in_flight)

    async def _begin(self) -> ManagedEnvironment | None:
        """None if it was stopped meanwhile, or its provider has no room for it."""
        memory_mb, vcpus = self.version.memory_mb, self._managed.vcpus
        budget = self._parts.budget(self._managed.provider)
        if budget.used + vcpus > budget.limit:
            self._failed(no_vcpus(budget.limit, vcpus), self._parts.machine_retry_seconds)
            return None
        budget.used += vcpus
        environment: ManagedEnvironment | None = None
        try:
            environment = await start_in_room(
                self._parts.room, memory_mb, lambda: self._parts.make(self.version), self._beginning
            )
            return environment
        finally:
            if environment is None:
                budget.used -= vcpus

    def _admit(self, environment: ManagedEnvironment) -> None:
        """Unless there are as many as there may be by now: the maximum has become less since it was begun."""
        is_one_too_many = self._there >= self._scaling.maximum
        self._members.add(environment)
        environment.on_change = self._offer
        environment.ended.add_done_callback(lambda ended: self._has_ended(environment))
        if self._is_over or is_one_too_many or not environment.is_available:
            self._discard(environment)
            return
        self._failures.succeeded()
        self._offer(environment)

    def _failed(self, failure: Failure, retry_seconds: float) -> None:
        if self._is_over:
            return
        logger.warning("A managed environment of %s could not be had: %s", self.version.function_arn, failure.reason)
        self._failures.note(failure, retry_seconds)
        if not self._members:
            self._refuse_waiters()

    def _refuse_waiters(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.environment.done():
                waiter.environment.set_exception(throttled(ThrottleReason.ACCOUNT))

    def _tell_settling(self) -> None:
        if not self._settling:
            return
        is_enough = self._is_over or self.size >= self._scaling.minimum
        if not is_enough and self._failures.last is None:
            return
        settling, self._settling = self._settling, []
        for future in settling:
            if not future.done():
                future.set_result(None if is_enough else self._failures.last)

    # The ends

    def _has_ended(self, environment: ManagedEnvironment) -> None:
        if environment in self._members:
            self._discard(environment)
            if not environment.uses:
                # A process that ends by itself right after Init would have the next one made at once, and again.
                self._failed(SHORT_LIVED, self._parts.machine_retry_seconds)
            self._adjust()

    def _discard(self, environment: ManagedEnvironment) -> None:
        if environment not in self._members:
            return
        self._members.remove(environment)
        self._stopping.add(environment)
        self._spawn(self._stop(environment))

    async def _stop(self, environment: ManagedEnvironment) -> None:
        try:
            await environment.stop()
        except Exception:
            logger.exception("A managed environment of %s could not be stopped", self.version.function_arn)
        finally:
            self._stopping.discard(environment)
            self._parts.budget(self._managed.provider).used -= self._managed.vcpus
            self._parts.room.release(self.version.memory_mb)

    async def retire(self) -> None:
        """Ends the idle ones now and busy ones after their invocations; returns when all are gone."""
        self._is_over = True
        self._refuse_waiters()
        self._failures.forget()
        if self._decline is not None:
            self._decline.cancel()
        self._adjust()
        for environment in list(self._beginning):
            self._spawn(environment.stop())
        while self._members:
            await asyncio.wait([environment.ended for environment in self._members])
            await asyncio.sleep(0)  # for those who are told of the end
        while self._tasks:
            await asyncio.wait(list(self._tasks))

    async def close(self, grace_seconds: float) -> None:
        """Lets invocations under way end for this long, then stops everything."""
        retiring = self._loop.create_task(self.retire())
        busy = [environment.drained() for environment in self._members if environment.in_flight]
        if busy:
            await asyncio.wait(busy, timeout=grace_seconds)
        for environment in list(self._members):
            self._discard(environment)
        await retiring

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
