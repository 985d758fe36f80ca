"""The environments that one version or alias has ready: started ahead, replaced when they end, ended when not wanted any more.

`_adjust` compares what is there with what is wanted. Whatever happens calls it, and it may be called at any time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

from lambdad.invocation.execution_environment import ExecutionEnvironment
from lambdad.invocation.idle_environments import FREEZE_SECONDS
from lambdad.invocation.initialization import InitFailed
from lambdad.invocation.placement import SETTLE_SECONDS
from lambdad.invocation.started_ahead import (
    INIT_RETRY_SECONDS,
    MACHINE_RETRY_SECONDS,
    Room,
    StartFailures,
    is_foreseen,
    machine_reason,
    start_in_room,
)
from lambdad.model.concurrency import REQUESTS_PER_ENVIRONMENT
from lambdad.model.execution_environment import EnvironmentState
from lambdad.model.provisioned_concurrency import ProvisionedPlan, ProvisionedStatus, status_of
from lambdad.model.token_bucket import TokenBucket
from lambdad.model.version import EnvironmentKey, Version

logger = logging.getLogger(__name__)

INIT_FAILURE = "FUNCTION_ERROR_INIT_FAILURE"  #: AWS's reason
SHORT_LIVED = "FUNCTION_ERROR_RUNTIME_EXIT"
_READY = frozenset({EnvironmentState.IDLE, EnvironmentState.FROZEN, EnvironmentState.BUSY})


@dataclass(slots=True)
class PoolParts:
    """What all pools share. `make` makes a provisioned environment that has not been started."""

    make: Callable[[Version], ExecutionEnvironment]
    room: Room
    turns: asyncio.Semaphore  #: environments started at the same time
    requests_per_environment: int = REQUESTS_PER_ENVIRONMENT
    settle_seconds: float = SETTLE_SECONDS
    monotonic: Callable[[], float] = time.monotonic
    machine_retry_seconds: float = MACHINE_RETRY_SECONDS
    init_retry_seconds: float = INIT_RETRY_SECONDS


@dataclass(slots=True)
class _Group:
    """The environments of one version."""

    version: Version
    idle: OrderedDict[ExecutionEnvironment, None] = field(default_factory=OrderedDict)  #: most recently used last
    members: set[ExecutionEnvironment] = field(default_factory=set)  #: their Init is over
    beginning: set[ExecutionEnvironment] = field(default_factory=set)  #: in their Init
    starting: int = 0  #: those, and those that wait for their turn
    waiters: deque[asyncio.Future[ExecutionEnvironment | None]] = field(default_factory=deque)
    rate: TokenBucket | None = None


class ProvisionedPool:
    """`plan` it, and again; `take` and `give_back` while it lasts; `close` in the end."""

    def __init__(self, parts: PoolParts) -> None:
        self._parts = parts
        self._loop = asyncio.get_running_loop()
        self._plan: ProvisionedPlan | None = None
        self._groups: dict[EnvironmentKey, _Group] = {}
        self._failures: StartFailures[str] = StartFailures(self._adjust)
        self._freezing: asyncio.TimerHandle | None = None
        self._stopping: set[ExecutionEnvironment] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    # What is wanted, and what is there

    def plan(self, plan: ProvisionedPlan | None) -> None:
        """What failed under another plan is tried again at once."""
        if plan != self._plan:
            self._plan = plan
            self._failures.forget()
            self._adjust()

    @property
    def is_over(self) -> bool:
        return self._plan is None and not self._groups and not self._stopping

    @property
    def requested(self) -> int:
        return 0 if self._plan is None else self._plan.requested

    @property
    def allocated(self) -> int:
        return sum(len(self._groups[key].members) for key in self._wanted() if key in self._groups)

    def status(self) -> ProvisionedStatus:
        ready = [
            environment
            for key in self._wanted()
            if key in self._groups
            for environment in self._groups[key].members
            if environment.state in _READY
        ]
        return status_of(self.requested, self.allocated, len(ready), self._problem())

    def _problem(self) -> str | None:
        return self._failures.last or (None if self._plan is None else self._plan.problem)

    def counts(self) -> tuple[int, int, int, int]:
        """Starting, idle, busy, stopping: also of those that are not wanted any more."""
        groups = self._groups.values()
        idle = sum(len(group.idle) for group in groups)
        busy = sum(len(group.members) for group in groups) - idle
        return sum(len(group.beginning) for group in groups), idle, busy, len(self._stopping)

    # Taking and giving back

    def take(self, version: Version) -> ExecutionEnvironment | None:
        """One that is free now, if there is any and the rate of so many is not used up."""
        group = self._groups.get(version.environment_key)
        if group is None or not group.idle or not self._has_rate(group):
            return None
        while group.idle:
            environment, _ = group.idle.popitem()
            if environment.is_available:
                return environment
        return None

    async def take_nearly_free(self, version: Version) -> ExecutionEnvironment | None:
        """One that has answered and is about to be free: a client that calls in turn is often faster than it is."""
        group = self._groups.get(version.environment_key)
        if group is None:
            return None
        soon = sum(1 for each in group.members if each.state is EnvironmentState.BUSY and each.is_nearly_free)
        if soon <= len(group.waiters) or not self._has_rate(group):
            return None
        waiter: asyncio.Future[ExecutionEnvironment | None] = self._loop.create_future()
        group.waiters.append(waiter)
        timer = self._loop.call_later(self._parts.settle_seconds, _give_up, waiter)
        try:
            environment = await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and (handed := waiter.result()) is not None:
                self.give_back(handed)  # in the moment in which the caller went away
            raise
        finally:
            timer.cancel()
            if waiter in group.waiters:
                group.waiters.remove(waiter)
        return environment if environment is not None and environment.is_available else None

    def give_back(self, environment: ExecutionEnvironment) -> None:
        """After its invocation, also one that goes on without its invoker: then it is back when that has ended."""
        if environment.state is EnvironmentState.BUSY:
            environment.until_settled().add_done_callback(lambda settled: self.give_back(environment))
            return
        group = self._groups.get(environment.version.environment_key)
        if group is None or environment not in group.members:
            return  # it has ended, and that was seen to
        if environment.state is EnvironmentState.IDLE and not environment.is_retired and not self._is_closed:
            self._offer(environment, group)
        else:
            self._discard(environment, group)  # one that failed is replaced: the next would have to wait for its Init

    def _has_rate(self, group: _Group) -> bool:
        size = len(group.members) * self._parts.requests_per_environment
        now = self._parts.monotonic()
        if group.rate is None:
            group.rate = TokenBucket(size, now)
        return group.rate.take(now, size, size)

    def _offer(self, environment: ExecutionEnvironment, group: _Group) -> None:
        """To the invocation that has waited longest, else to the idle ones."""
        while group.waiters:
            waiter = group.waiters.popleft()
            if not waiter.done():
                waiter.set_result(environment)
                return
        environment.idle_since = self._loop.time()
        group.idle[environment] = None
        if self._freezing is None:
            self._freezing = self._loop.call_later(FREEZE_SECONDS, self._freeze_idle)

    def _freeze_idle(self) -> None:
        self._freezing = None
        now, soonest = self._loop.time(), None
        for group in self._groups.values():
            for environment in reversed(group.idle):
                if environment.state is EnvironmentState.FROZEN:
                    break  # those used before it are frozen as well
                left = environment.idle_since + FREEZE_SECONDS - now
                if left <= 0:
                    self._spawn(environment.freeze())
                else:
                    soonest = left if soonest is None else min(soonest, left)
        if soonest is not None:
            self._freezing = self._loop.call_later(soonest, self._freeze_idle)

    # Making it so

    def _wanted(self) -> dict[EnvironmentKey, tuple[Version, int]]:
        if self._plan is None:
            return {}
        return {share.version.environment_key: (share.version, share.count) for share in self._plan.shares}

    def _adjust(self) -> None:
        """Starts what is missing. What is not wanted any more goes once nothing is missing, or where nothing can be had."""
        if self._is_closed:
            return
        wanted = self._wanted()
        is_complete = self._plan is None or bool(self._plan.shares)
        for key, (version, count) in wanted.items():
            group = self._groups.setdefault(key, _Group(version))
            self._end_surplus(group, count)
            missing = count - len(group.members)
            is_complete = is_complete and missing <= 0
            if not self._failures.is_pausing:
                for _ in range(missing - group.starting):
                    group.starting += 1
                    self._spawn(self._start(group))
        if is_complete or self._problem() is not None:
            for key, group in list(self._groups.items()):
                if key not in wanted:
                    self._end_surplus(group, 0)
        self._forget_empty(wanted)

    def _end_surplus(self, group: _Group, count: int) -> None:
        """Those in their Init first, then idle ones, then busy ones, which end after their invocation."""
        surplus = len(group.members) + len(group.beginning) - count
        for environment in list(group.beginning)[: max(0, surplus)]:
            surplus -= 1
            group.beginning.discard(environment)  # what made it sees that it was stopped
            self._spawn(environment.stop())
        for environment in list(group.idle)[: max(0, surplus)]:
            surplus -= 1
            self._discard(environment, group)
        surplus -= sum(1 for environment in group.members if environment.is_retired)
        for environment in [each for each in group.members if each not in group.idle and not each.is_retired][
            : max(0, surplus)
        ]:
            environment.is_retired = True

    def _is_needed(self, group: _Group) -> bool:
        """Whether one more is to be begun."""
        wanted = self._wanted().get(group.version.environment_key)
        has = len(group.members) + len(group.beginning)
        return not self._is_closed and not self._failures.is_pausing and wanted is not None and has < wanted[1]

    async def _start(self, group: _Group) -> None:
        environment: ExecutionEnvironment | None = None
        try:
            async with self._parts.turns:
                if self._is_needed(group):
                    environment = await self._begin(group)
        except Exception as error:
            if not is_foreseen(error):
                logger.exception("A provisioned environment of %s could not be made", group.version.function_arn)
            if isinstance(error, InitFailed):
                self._failed(group, INIT_FAILURE, self._parts.init_retry_seconds, error)
            else:
                self._failed(group, machine_reason(error), self._parts.machine_retry_seconds, error)
        finally:
            group.starting -= 1
        if environment is not None:
            self._admit(environment, group)
        self._adjust()

    async def _begin(self, group: _Group) -> ExecutionEnvironment | None:
        """None if it was stopped meanwhile, or is not needed any more."""

        def make() -> ExecutionEnvironment | None:
            return self._parts.make(group.version) if self._is_needed(group) else None

        return await start_in_room(self._parts.room, group.version.memory_mb, make, group.beginning)

    def _admit(self, environment: ExecutionEnvironment, group: _Group) -> None:
        group.members.add(environment)
        environment.ended.add_done_callback(lambda ended: self._has_ended(environment, group))
        if self._is_closed:
            self._discard(environment, group)
            return
        self._failures.succeeded()
        self._offer(environment, group)

    def _failed(self, group: _Group, reason: str, retry_seconds: float, error: Exception | None) -> None:
        if self._is_closed or group.version.environment_key not in self._wanted():
            return
        logger.warning("A provisioned environment of %s could not be had: %s", group.version.function_arn, error or reason)
        self._failures.note(reason, retry_seconds)

    # Ends

    def _has_ended(self, environment: ExecutionEnvironment, group: _Group) -> None:
        """It crashed, timed out too often or was stopped."""
        if environment not in group.members:
            return
        if environment in group.idle and not environment.uses:
            # A process that ends by itself right after Init would have the next one made at once, and again.
            self._failed(group, SHORT_LIVED, self._parts.machine_retry_seconds, None)
        self._discard(environment, group)

    def _discard(self, environment: ExecutionEnvironment, group: _Group) -> None:
        group.members.discard(environment)
        group.idle.pop(environment, None)
        self._stopping.add(environment)
        self._spawn(self._stop(environment))

    async def _stop(self, environment: ExecutionEnvironment) -> None:
        try:
            await environment.stop()
        except Exception:
            logger.exception("A provisioned environment of %s could not be stopped", environment.version.function_arn)
        finally:
            self._stopping.discard(environment)
            self._parts.room.release(environment.memory_mb)
            self._adjust()

    def _forget_empty(self, wanted: dict[EnvironmentKey, tuple[Version, int]]) -> None:
        for key, group in list(self._groups.items()):
            if key not in wanted and not group.members and not group.starting:
                del self._groups[key]

    async def close(self, grace_seconds: float) -> None:
        """Lets running invocations end for this long, then stops everything."""
        self._is_closed = True
        self._failures.forget()
        if self._freezing is not None:
            self._freezing.cancel()
        members = [environment for group in self._groups.values() for environment in group.members]
        busy = [each.until_settled() for each in members if each.state is EnvironmentState.BUSY]
        if busy and grace_seconds > 0:
            await asyncio.wait(busy, timeout=grace_seconds)
        for group in self._groups.values():
            for environment in list(group.beginning):
                self._spawn(environment.stop())
            for environment in list(group.members):
                self._discard(environment, group)
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _give_up(waiter: asyncio.Future[ExecutionEnvironment | None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
