"""The states of an accepted event: one table, one function that applies it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class EventState(Enum):
    __hash__ = object.__hash__

    WAITING = "waiting"  #: in its queue, until its next attempt is due
    RUNNING = "running"  #: taken from the queue: its function runs, or is about to
    SUCCEEDED = "succeeded"  #: its function answered, and the on-success destination is told
    FAILED = "failed"  #: given up, and the on-failure destination and the dead-letter queue are told


#: Those in which an event has left its queue.
ENDED = frozenset({EventState.SUCCEEDED, EventState.FAILED})


class EventStep(Enum):
    __hash__ = object.__hash__

    TAKE = "take"
    SUCCEED = "succeed"
    RETRY = "retry"  #: the function failed, and has attempts left
    EXHAUST = "exhaust retries"  #: the function failed for the last time
    PUT_BACK = "put back"  #: it did not run: a throttle, or a failure of ours
    EXPIRE = "expire"  #: too old now, or at its next attempt
    STOP = "stop"  #: the function is stopped by a reserve of 0
    LOSE_FUNCTION = "lose function"  #: the function, or the version or alias that was invoked, is gone
    BREAK_LOOP = "break loop"  #: the chain of requests has invoked the function too often
    INTERRUPT = "interrupt"  #: the server stopped or died meanwhile


TRANSITIONS: Mapping[EventState, Mapping[EventStep, EventState]] = {
    EventState.WAITING: {EventStep.TAKE: EventState.RUNNING},
    EventState.RUNNING: {
        EventStep.SUCCEED: EventState.SUCCEEDED,
        EventStep.RETRY: EventState.WAITING,
        EventStep.EXHAUST: EventState.FAILED,
        EventStep.PUT_BACK: EventState.WAITING,
        EventStep.EXPIRE: EventState.FAILED,
        EventStep.STOP: EventState.FAILED,
        EventStep.LOSE_FUNCTION: EventState.FAILED,
        EventStep.BREAK_LOOP: EventState.FAILED,
        EventStep.INTERRUPT: EventState.WAITING,
    },
    EventState.SUCCEEDED: {},
    EventState.FAILED: {},
}


class InvalidEventTransition(Exception):
    """A step that the table does not have: a mistake in this program."""


def after(state: EventState, step: EventStep) -> EventState:
    """The state that follows. Raises InvalidEventTransition for what is not in the table."""
    following = TRANSITIONS[state].get(step)
    if following is None:
        raise InvalidEventTransition(f"{step.value} is not possible for an event that is {state.value}")
    return following
