"""Idle environments of all functions: frozen soon, ended when nobody wants them for long, given up when memory is short."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable

from lambdad.invocation.execution_environment import ExecutionEnvironment
from lambdad.invocation.keep_alive import KeepAlive
from lambdad.model.execution_environment import EnvironmentState

IDLE_SECONDS = 600.0
#: An environment is frozen when it has been idle for so long. A function that is called again and again should pay neither
#: freezing nor thawing (20 µs and 30 µs, and the processor's caches), and one that is not gains nothing from more haste.
FREEZE_SECONDS = 0.1


class IdleEnvironments:
    """`freeze` is called with each that has been idle for a moment, `expire` with each that has been for `idle_seconds`, and
    has to remove it."""

    def __init__(
        self,
        idle_seconds: float,
        freeze: Callable[[ExecutionEnvironment], None],
        expire: Callable[[ExecutionEnvironment], None],
    ) -> None:
        self._idle_seconds = idle_seconds
        self._freeze = freeze
        self._expire = expire
        self._loop = asyncio.get_running_loop()
        self._environments: OrderedDict[ExecutionEnvironment, None] = OrderedDict()  #: least recently used first
        self._keep_alive = KeepAlive()
        self._expiry: asyncio.TimerHandle | None = None
        self._freezing: asyncio.TimerHandle | None = None
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._environments)

    def add(self, environment: ExecutionEnvironment) -> None:
        environment.idle_since = self._loop.time()
        self._keep_alive.note_use(environment)
        self._environments[environment] = None
        if self._expiry is None and not self._is_closed:
            self._expiry = self._loop.call_later(self._idle_seconds, self._expire_old)
        if self._freezing is None and not self._is_closed:
            self._freezing = self._loop.call_later(FREEZE_SECONDS, self._freeze_new)

    def remove(self, environment: ExecutionEnvironment) -> None:
        del self._environments[environment]

    @property
    def memory_mb(self) -> int:
        return sum(environment.memory_mb for environment in self._environments)

    def victims(self, missing_mb: int) -> list[ExecutionEnvironment] | None:
        """Those to be given up for so much memory, as `KeepAlive` chooses; None where all together have less."""
        return self._keep_alive.victims(self._environments, missing_mb)

    def close(self) -> None:
        """Time has no effect on them any more."""
        self._is_closed = True
        for timer in (self._expiry, self._freezing):
            if timer is not None:
                timer.cancel()

    def _freeze_new(self) -> None:
        """Those older than the newest frozen one are all frozen, so only what came back since is looked at."""
        self._freezing = None
        now, soonest = self._loop.time(), None
        for environment in reversed(self._environments):
            if environment.state is EnvironmentState.FROZEN:
                break
            left = environment.idle_since + FREEZE_SECONDS - now
            if left > 0:
                soonest = left
            else:
                self._freeze(environment)
        if soonest is not None:
            self._freezing = self._loop.call_later(soonest, self._freeze_new)

    def _expire_old(self) -> None:
        self._expiry = None
        now = self._loop.time()
        while self._environments:
            environment = next(iter(self._environments))
            left = environment.idle_since + self._idle_seconds - now
            if left > 0:
                self._expiry = self._loop.call_later(left, self._expire_old)
                return
            self._expire(environment)
