"""The states of an execution environment: one table, one function that applies it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class EnvironmentState(Enum):
    __hash__ = object.__hash__  # Enum's own is written in Python; these tables are asked several times an invocation

    STARTING = "starting"  #: sandbox and Init
    IDLE = "idle"  #: the runtime waits for work
    FROZEN = "frozen"  #: as idle, and everything inside stands still
    BUSY = "busy"  #: it has an invocation
    RESETTING = "resetting"  #: Init or an invocation has failed, and every process is being killed
    RESET = "reset"  #: the sandbox is there with its /tmp and nothing else; the next invocation begins with Init
    STOPPING = "stopping"  #: being taken down
    DEAD = "dead"  #: nothing of it is left


#: Those in which an environment can be given an invocation.
AVAILABLE = frozenset({EnvironmentState.IDLE, EnvironmentState.FROZEN, EnvironmentState.RESET})


class EnvironmentEvent(Enum):
    __hash__ = object.__hash__

    INITIALIZED = "initialized"
    FROZE = "froze"
    INVOKE = "invoke"
    SETTLED = "settled"  #: the runtime asks for the next invocation
    FAILED = "failed"  #: Init or the invocation, by an error, a timeout or an exit
    WAS_RESET = "was reset"
    STOP = "stop"
    GONE = "gone"


TRANSITIONS: Mapping[EnvironmentState, Mapping[EnvironmentEvent, EnvironmentState]] = {
    EnvironmentState.STARTING: {
        EnvironmentEvent.INITIALIZED: EnvironmentState.IDLE,
        EnvironmentEvent.FAILED: EnvironmentState.RESETTING,
        EnvironmentEvent.STOP: EnvironmentState.STOPPING,
    },
    EnvironmentState.IDLE: {
        EnvironmentEvent.INVOKE: EnvironmentState.BUSY,
        EnvironmentEvent.FROZE: EnvironmentState.FROZEN,
        EnvironmentEvent.STOP: EnvironmentState.STOPPING,
    },
    EnvironmentState.FROZEN: {
        EnvironmentEvent.INVOKE: EnvironmentState.BUSY,
        EnvironmentEvent.STOP: EnvironmentState.STOPPING,
    },
    EnvironmentState.BUSY: {
        EnvironmentEvent.SETTLED: EnvironmentState.IDLE,
        EnvironmentEvent.FAILED: EnvironmentState.RESETTING,
        EnvironmentEvent.STOP: EnvironmentState.STOPPING,
    },
    EnvironmentState.RESETTING: {
        EnvironmentEvent.WAS_RESET: EnvironmentState.RESET,
        EnvironmentEvent.STOP: EnvironmentState.STOPPING,
    },
    EnvironmentState.RESET: {
        EnvironmentEvent.INVOKE: EnvironmentState.BUSY,
        EnvironmentEvent.STOP: EnvironmentState.STOPPING,
    },
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
