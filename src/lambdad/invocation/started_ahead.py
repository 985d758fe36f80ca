"""Environments that are started ahead of invocations: in what room, and when one fails what is told of it, and when it is tried
again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from lambdad.errors import SandboxError, ServiceError
from lambdad.invocation.initialization import InitFailed

#: When what failed is tried again: at first, and at most. A machine may have room in a moment; a function's Init that failed
#: will mostly fail again.
MACHINE_RETRY_SECONDS = 1.0
INIT_RETRY_SECONDS = 60.0
LONGEST_RETRY_SECONDS = 600.0

NO_ROOM = "The memory that this server gives to execution environments has no room for more."

Reason = TypeVar("Reason")


class Room(Protocol):
    """The memory of all environments."""

    async def claim(self, memory_mb: int) -> None:
        """ServiceError where there is no room."""
        ...

    def release(self, memory_mb: int) -> None: ...


class Starting(Protocol):
    @property
    def is_available(self) -> bool: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


Environment = TypeVar("Environment", bound=Starting)


async def start_in_room(
    room: Room, memory_mb: int, make: Callable[[], Environment | None], beginning: set[Environment]
) -> Environment | None:
    """An environment with its memory, which is given back where none comes of it. None if it was stopped meanwhile, or `make`
    makes none once there is room. It is in `beginning` while it starts."""
    await room.claim(memory_mb)
    is_kept = False
    try:
        environment = make()
        if environment is None:
            return None
        beginning.add(environment)
        try:
            await environment.start()
        finally:
            beginning.discard(environment)
        if environment.is_available:
            is_kept = True
            return environment
        await environment.stop()
        return None
    finally:
        if not is_kept:
            room.release(memory_mb)


class StartFailures(Generic[Reason]):
    """Of one pool. After one there is a pause, in which nothing is to be started; each in a row doubles it."""

    def __init__(self, try_again: Callable[[], None]) -> None:
        self.last: Reason | None = None  #: why the last one could not be had
        self._try_again = try_again
        self._pause: asyncio.TimerHandle | None = None
        self._seconds = 0.0

    @property
    def is_pausing(self) -> bool:
        return self._pause is not None

    def note(self, reason: Reason, retry_seconds: float) -> None:
        self.last = reason
        if self._pause is None:
            self._seconds = min(max(retry_seconds, 2 * self._seconds), LONGEST_RETRY_SECONDS)
            self._pause = asyncio.get_running_loop().call_later(self._seconds, self._pause_ends)

    def succeeded(self) -> None:
        """One could be had."""
        if self._pause is None:  # else another one has just failed, and is still to be tried again
            self.forget()

    def forget(self) -> None:
        """What is wanted is another thing now, or nothing."""
        self.last, self._seconds = None, 0.0
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _pause_ends(self) -> None:
        self._pause = None
        self._try_again()


def is_full(error: Exception) -> bool:
    """Whether the server's memory had no room."""
    return isinstance(error, ServiceError) and error.code == "TooManyRequestsException"


def is_foreseen(error: Exception) -> bool:
    """Else it is a mistake of lambdad's own."""
    return isinstance(error, InitFailed | ServiceError | SandboxError)


def machine_reason(error: Exception) -> str:
    """What is told of a failure that was not the function's."""
    if isinstance(error, ServiceError):
        return NO_ROOM if is_full(error) else error.message
    if isinstance(error, SandboxError):
        return f"An execution environment could not be made: {error}"
    return f"Internal error: {type(error).__name__}"
