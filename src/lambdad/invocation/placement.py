"""Chooses an execution environment: the most recently used idle one, else the first to become ready, freed or new.

Cost per invocation does not grow with the number of functions or idle environments. Nothing here ends with its caller:
environments are started, kept and stopped by tasks of the placement.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field

from lambdad.errors import FileSystemTrouble, SandboxError, ServiceError
from lambdad.invocation.concurrency import throttled
from lambdad.invocation.execution_environment import ExecutionEnvironment
from lambdad.invocation.file_system_error import file_system_error
from lambdad.invocation.idle_environments import IDLE_SECONDS, IdleEnvironments
from lambdad.invocation.scaling import ScalingRate
from lambdad.invocation.tenants import TenantEnvironments
from lambdad.invocation.version_snapshot import GivenUp
from lambdad.model.concurrency import ConcurrencyLimits, ThrottleReason
from lambdad.model.execution_environment import EnvironmentState
from lambdad.model.version import EnvironmentKey, Version

logger = logging.getLogger(__name__)

#: How long an environment that has answered is waited for before another one is started in its place.
SETTLE_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class EnvironmentCounts:
    starting: int
    idle: int
    busy: int
    stopping: int
    memory_mb: int


@dataclass(slots=True)
class _Pool:
    """The environments of one version, or of one tenant of it, and the invocations that wait for one."""

    version: Version
    idle: OrderedDict[ExecutionEnvironment, None] = field(default_factory=OrderedDict)  #: most recently used last
    waiters: deque[asyncio.Future[ExecutionEnvironment]] = field(default_factory=deque)
    members: set[ExecutionEnvironment] = field(default_factory=set)
    starting: int = 0
    check: asyncio.TimerHandle | None = None


@dataclass(frozen=True, slots=True)
class _Evicted:
    """Whose memory somebody else has been promised."""

    environments: Sequence[ExecutionEnvironment]
    snapshots: GivenUp

    async def gone(self) -> None:
        """From then on it is there."""
        for environment in self.environments:
            await environment.stop()
        if self.snapshots.closing:
            await asyncio.wait(self.snapshots.closing)


class Placement:
    """`make` makes an environment that has not been started."""

    def __init__(
        self,
        make: Callable[[Version], ExecutionEnvironment],
        *,
        memory_budget_mb: int,
        idle_seconds: float = IDLE_SECONDS,
        settle_seconds: float = SETTLE_SECONDS,
        give_up_snapshots: Callable[[int], GivenUp] = lambda memory_mb: GivenUp(0, ()),
        scaling: ScalingRate | None = None,
        limits: Callable[[Version], ConcurrencyLimits] = lambda version: ConcurrencyLimits(),
    ) -> None:
        """`give_up_snapshots` is asked for memory when there are not enough idle environments to evict."""
        self._make = make
        self._scaling = scaling or ScalingRate()
        self._tenants = TenantEnvironments(limits)
        self._give_up_snapshots = give_up_snapshots
        self._memory_budget_mb = memory_budget_mb
        self._settle_seconds = settle_seconds
        self._loop = asyncio.get_running_loop()
        self._pools: dict[EnvironmentKey, _Pool] = {}
        self._idle = IdleEnvironments(idle_seconds, lambda idle: self._spawn(idle.freeze()), self._expire)
        self._memory_mb = 0  #: of all that were started and are not yet gone, less those being evicted
        self._stopping: set[ExecutionEnvironment] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def retire(
        self, account_id: str, region: str, function_name: str, version: str | None = None, revision: str | None = None
    ) -> None:
        """Ends the environments of a function, or of one of its versions: idle ones now, others after their invocation.

        To be called after the change was committed. A call that resolved the newer revision never gets an older one's; those
        that were made of `revision` in the meantime stay.
        """
        for key, pool in list(self._pools.items()):
            if key[:3] == (account_id, region, function_name) and version in {None, key[3]} and key[4] != revision:
                for environment in list(pool.members):
                    environment.is_retired = True
                    if environment in pool.idle:
                        self._discard(environment, pool)

    async def claim(self, memory_mb: int) -> None:
        """Takes memory for something that is no environment. ServiceError where there is no room."""
        evicted = self._make_room(memory_mb)
        self._memory_mb += memory_mb
        try:
            await evicted.gone()
        except BaseException:
            self._memory_mb -= memory_mb
            raise

    def release(self, memory_mb: int) -> None:
        """Gives back what was claimed."""
        self._memory_mb -= memory_mb

    def has_environments(self, key: EnvironmentKey) -> bool:
        return key in self._pools

    def counts(self) -> EnvironmentCounts:
        members = [environment for pool in self._pools.values() for environment in pool.members]
        idle = len(self._idle)
        starting = sum(pool.starting for pool in self._pools.values())
        return EnvironmentCounts(starting, idle, len(members) - idle - starting, len(self._stopping), self._memory_mb)

    async def close(self, grace_seconds: float) -> None:
        """Lets running invocations end for this long, then stops everything."""
        self._is_closed = True
        self._idle.close()
        for pool in self._pools.values():
            _fail_waiters(pool, _closing())
        await self._wait_for_busy(grace_seconds)
        members = [environment for pool in self._pools.values() for environment in pool.members]
        await asyncio.gather(*(environment.stop() for environment in members), return_exceptions=True)
        if self._tasks:
            await asyncio.wait(self._tasks)

    # Taking and giving back

    async def take(self, version: Version) -> ExecutionEnvironment:
        """To be given back. Raises ServiceError when no environment can be had."""
        while not self._is_closed:
            pool = self._pool(version)
            environment = self._take_idle(pool) or await self._wait(pool)
            if environment.is_available:
                return environment
            # It ended in the moment between being chosen and being taken.
        raise _closing()

    def _take_idle(self, pool: _Pool) -> ExecutionEnvironment | None:
        if not pool.idle:
            return None
        environment, _ = pool.idle.popitem()
        self._idle.remove(environment)
        return environment

    def give_back(self, environment: ExecutionEnvironment) -> None:
        """After its invocation, also one that goes on without its invoker: then it is back when that has ended."""
        if environment.state in {EnvironmentState.BUSY, EnvironmentState.RESETTING}:
            environment.until_settled().add_done_callback(lambda settled: self.give_back(environment))
            return
        pool = self._pools.get(environment.version.environment_key)
        if pool is None or environment not in pool.members:
            return  # it has ended, and that was seen to
        if environment.is_available and not environment.is_retired and not self._is_closed:
            self._offer(environment, pool)
        else:
            self._discard(environment, pool)

    async def _wait(self, pool: _Pool) -> ExecutionEnvironment:
        waiter: asyncio.Future[ExecutionEnvironment] = self._loop.create_future()
        pool.waiters.append(waiter)
        try:
            self._start_needed(pool)
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.give_back(waiter.result())  # handed over in the moment in which the caller went away
            elif waiter in pool.waiters:
                pool.waiters.remove(waiter)
            self._forget_if_empty(pool)
            raise

    def _offer(self, environment: ExecutionEnvironment, pool: _Pool) -> None:
        """To the invocation that has waited longest, else to the idle ones."""
        while pool.waiters:
            waiter = pool.waiters.popleft()
            if not waiter.done():
                waiter.set_result(environment)
                return
        pool.idle[environment] = None
        self._idle.add(environment)

    # Starting

    def _start_needed(self, pool: _Pool, *, patience: bool = True) -> None:
        """Starts as many as there are waiters without one on its way. Raises ServiceError where there is no room.

        With patience, environments that are nearly free are waited for a moment: a client that
        calls in turn is often faster than they are.
        """
        missing = len(pool.waiters) - pool.starting
        if missing <= 0:
            return
        if patience and sum(1 for environment in pool.members if environment.is_nearly_free) >= missing:
            self._check_later(pool)
            return
        try:
            for _ in range(missing):
                self._start_one(pool)
        except ServiceError:
            if not patience or not (self._stopping or self._is_any_nearly_free()):
                raise
            self._check_later(pool)

    def _is_any_nearly_free(self) -> bool:
        return any(environment.is_nearly_free for pool in self._pools.values() for environment in pool.members)

    def _check_later(self, pool: _Pool) -> None:
        if pool.check is None:
            pool.check = self._loop.call_later(self._settle_seconds, self._check, pool)

    def _check(self, pool: _Pool) -> None:
        pool.check = None
        try:
            self._start_needed(pool, patience=False)
        except ServiceError as error:
            _fail_waiters(pool, error, keep=pool.starting)

    def _start_one(self, pool: _Pool) -> None:
        version = pool.version
        self._scaling.check(version.function_key)
        self._tenants.check(version)
        evicted = self._make_room(version.memory_mb)
        self._scaling.note_start(version.function_key)
        self._tenants.note_start(version)
        environment = self._make(version)
        pool.members.add(environment)
        pool.starting += 1
        self._memory_mb += version.memory_mb
        self._spawn(self._start(environment, pool, evicted))

    async def _start(self, environment: ExecutionEnvironment, pool: _Pool, evicted: _Evicted) -> None:
        try:
            await evicted.gone()
            await environment.start()
        except Exception as error:  # noqa: BLE001 - given to the invocation that waits, or logged
            pool.starting -= 1
            self._start_failed(environment, pool, error)
            return
        pool.starting -= 1
        environment.ended.add_done_callback(lambda ended: self._has_ended(environment, pool))
        if environment.is_available:
            self._started(environment, pool)

    def _started(self, environment: ExecutionEnvironment, pool: _Pool) -> None:
        if self._is_closed or (environment.is_retired and not pool.waiters):
            self._discard(environment, pool)
        else:
            self._offer(environment, pool)

    def _start_failed(self, environment: ExecutionEnvironment, pool: _Pool, error: Exception) -> None:
        logger.error("An execution environment of %s could not be made: %s", pool.version.function_arn, error)
        self._remove(environment, pool, evicted=False)
        if len(pool.waiters) > pool.starting:
            waiter = pool.waiters.popleft()
            if not waiter.done():
                waiter.set_exception(error if isinstance(error, ServiceError) else _system_error(error, pool.version))
        self._forget_if_empty(pool)

    def _make_room(self, memory_mb: int) -> _Evicted:
        """Evicts idle environments of whatever function, and snapshots if these are too few. Raises when that is not enough."""
        missing = self._memory_mb + memory_mb - self._memory_budget_mb
        evicted = self._idle.victims(missing)
        given_up = GivenUp(0, ())
        if evicted is None:
            given_up = self._give_up_snapshots(missing - self._idle.memory_mb)
            evicted = self._idle.victims(missing - given_up.memory_mb)
        if evicted is None:
            raise throttled(ThrottleReason.ACCOUNT)
        for environment in evicted:
            self._discard(environment, self._pool(environment.version), evicted=True)
        return _Evicted(evicted, given_up)

    # Stopping

    def _expire(self, environment: ExecutionEnvironment) -> None:
        self._discard(environment, self._pool(environment.version))

    def _has_ended(self, environment: ExecutionEnvironment, pool: _Pool) -> None:
        """It crashed, timed out or was stopped."""
        if environment in pool.members:
            self._discard(environment, pool)

    def _discard(self, environment: ExecutionEnvironment, pool: _Pool, *, evicted: bool = False) -> None:
        self._remove(environment, pool, evicted=evicted, is_gone=False)
        self._stopping.add(environment)
        self._spawn(self._stop(environment, evicted))
        self._forget_if_empty(pool)

    async def _stop(self, environment: ExecutionEnvironment, evicted: bool) -> None:
        try:
            await environment.stop()
        except Exception:
            logger.exception("An execution environment of %s could not be stopped", environment.version.function_arn)
        finally:
            self._stopping.discard(environment)
            if not evicted:
                self._memory_mb -= environment.version.memory_mb

    def _remove(self, environment: ExecutionEnvironment, pool: _Pool, *, evicted: bool, is_gone: bool = True) -> None:
        if environment in pool.members:
            pool.members.remove(environment)
            self._tenants.note_end(environment.version)
        if environment in pool.idle:
            del pool.idle[environment]
            self._idle.remove(environment)
        if evicted or is_gone:
            self._memory_mb -= environment.version.memory_mb

    # Housekeeping

    def _pool(self, version: Version) -> _Pool:
        key = version.environment_key
        pool = self._pools.get(key)
        if pool is None:
            pool = self._pools[key] = _Pool(version)
        return pool

    def _forget_if_empty(self, pool: _Pool) -> None:
        if not pool.members and not pool.waiters:
            if pool.check is not None:
                pool.check.cancel()
            key = pool.version.environment_key
            if self._pools.get(key) is pool:
                del self._pools[key]

    async def _wait_for_busy(self, grace_seconds: float) -> None:
        busy = [
            environment.until_settled()
            for pool in self._pools.values()
            for environment in pool.members
            if environment.state is EnvironmentState.BUSY
        ]
        if busy:
            await asyncio.wait(busy, timeout=grace_seconds)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _fail_waiters(pool: _Pool, error: ServiceError, *, keep: int = 0) -> None:
    """The first `keep` go on waiting: environments for them are on their way."""
    while len(pool.waiters) > keep:
        waiter = pool.waiters.pop()
        if not waiter.done():
            waiter.set_exception(error)


def _system_error(error: Exception, version: Version) -> ServiceError:
    if isinstance(error, FileSystemTrouble):
        return file_system_error(error, version)
    if isinstance(error, SandboxError):
        return ServiceError("ServiceException", f"The execution environment could not be made: {error}", status=500)
    return ServiceError("ServiceException", "The execution environment could not be made.", status=500)


def _closing() -> ServiceError:
    return ServiceError("ServiceException", "The server is shutting down.", status=503)
