"""The states of an execution environment: one table, one function that applies it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class EnvironmentState(Enum):
    __hash__ = object.__hash__  # Enum's own is written in Python; these tables are asked several times an invocation

    STARTING = "starting"  #: sandbox and Init
    IDLE = "idle"  #: the runtime waits for work
    BUSY = "busy"  #: it has an invocation
    FAILED = "failed"  #: Init failed; it still owes one invocation that failure
    STOPPING = "stopping"  #: being taken down
    DEAD = "dead"  #: nothing of it is left


class EnvironmentEvent(Enum):
    __hash__ = object.__hash__

    INITIALIZED = "initialized"
    INIT_FAILED = "init failed"
    INVOKE = "invoke"
    SETTLED = "settled"  #: the runtime asks for the next invocation
    STOP = "stop"
    GONE = "gone"


TRANSITIONS: Mapping[EnvironmentState, Mapping[EnvironmentEvent, EnvironmentState]] = {
    EnvironmentState.STARTING: {
        EnvironmentEvent.INITIALIZED: EnvironmentState.IDLE,
        EnvironmentEvent.INIT_FAILED: EnvironmentState.FAILED,
        EnvironmentEvent.STOP: EnvironmentState.STOPPING,
    },
    EnvironmentState.IDLE: {
        EnvironmentEvent.INVOKE: EnvironmentState.BUSY,
        EnvironmentEvent.STOP: EnvironmentState.STOPPING,
    },
    EnvironmentState.BUSY: {
        EnvironmentEvent.SETTLED: EnvironmentState.IDLE,
        EnvironmentEvent.STOP: EnvironmentState.STOPPING,
    },
    EnvironmentState.FAILED: {EnvironmentEvent.STOP: EnvironmentState.STOPPING},
    EnvironmentState.STOPPING: {EnvironmentEvent.GONE: EnvironmentState.DEAD},
    EnvironmentState.DEAD: {},
}


class InvalidEnvironmentTransition(Exception):
    """A step that the table does not have: a mistake in this program."""


def after(state: EnvironmentState, event: EnvironmentEvent) -> EnvironmentState:
    """The state that follows. Raises InvalidEnvironmentTransition for what is not in the table."""
    following = TRANSITIONS[state].get(event)
    if following is None:
        raise InvalidEnvironmentTransition(f"{event.value} is not possible for an environment that is {state.value}")
    return following
