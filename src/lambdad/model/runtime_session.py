"""The states of the runtime as the Runtime API sees it: one table, one function that applies it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class RuntimeState(Enum):
    """The values are AWS's own names; they appear in the texts of refusals."""

    __hash__ = object.__hash__  # Enum's own is written in Python; these tables are asked several times an invocation

    STARTED = "Started"  #: the process runs and has not asked for work
    INIT_ERROR = "InitError"  #: it told us that it cannot start
    READY = "Ready"  #: it waits in `next`
    RUNNING = "Running"  #: it has an invocation
    RESPONDING = "InvocationResponse"  #: it streams its answer
    RESPONSE_SENT = "RuntimeResponseSentState"  #: it answered and has not asked again
    RESTORE_READY = "RestoreReady"  #: it waits in `restore/next` for its snapshot
    RESTORING = "Restoring"  #: it comes from a snapshot and has not asked for work
    RESTORE_ERROR = "RestoreError"  #: it told us that it cannot go on from there


class RuntimeEvent(Enum):
    """What may happen; the value of what a runtime can ask for is the state that it is said to have wanted when refused."""

    __hash__ = object.__hash__

    NEXT = "Ready"
    NEXT_LOST = "RuntimeResponseSentState"  #: the connection that waited in `next` was closed
    DISPATCH = "Running"
    RESPONSE = "InvocationResponse"
    ERROR = "InvocationErrorResponse"
    INIT_ERROR = "InitError"
    RESTORE_NEXT = "RestoreReady"
    RESTORE_ERROR = "RestoreError"
    STREAM_BEGUN = "stream begun"
    STREAM_ENDED = "stream ended"  #: whole or not


TRANSITIONS: Mapping[RuntimeState, Mapping[RuntimeEvent, RuntimeState]] = {
    RuntimeState.STARTED: {
        RuntimeEvent.NEXT: RuntimeState.READY,
        RuntimeEvent.INIT_ERROR: RuntimeState.INIT_ERROR,
        RuntimeEvent.RESTORE_NEXT: RuntimeState.RESTORE_READY,
    },
    RuntimeState.RESTORE_READY: {RuntimeEvent.NEXT_LOST: RuntimeState.STARTED},
    RuntimeState.RESTORING: {
        RuntimeEvent.RESTORE_NEXT: RuntimeState.RESTORING,
        RuntimeEvent.NEXT: RuntimeState.READY,
        RuntimeEvent.RESTORE_ERROR: RuntimeState.RESTORE_ERROR,
        RuntimeEvent.INIT_ERROR: RuntimeState.RESTORE_ERROR,
    },
    RuntimeState.RESTORE_ERROR: {},
    RuntimeState.INIT_ERROR: {},
    RuntimeState.READY: {RuntimeEvent.DISPATCH: RuntimeState.RUNNING, RuntimeEvent.NEXT_LOST: RuntimeState.RESPONSE_SENT},
    RuntimeState.RUNNING: {
        RuntimeEvent.RESPONSE: RuntimeState.RESPONSE_SENT,
        RuntimeEvent.ERROR: RuntimeState.RESPONSE_SENT,
        RuntimeEvent.STREAM_BEGUN: RuntimeState.RESPONDING,
    },
    RuntimeState.RESPONDING: {RuntimeEvent.STREAM_ENDED: RuntimeState.RESPONSE_SENT},
    RuntimeState.RESPONSE_SENT: {RuntimeEvent.NEXT: RuntimeState.READY},
}


class InvalidStateTransition(Exception):
    """The runtime asked for what its state does not allow; the text is the one AWS answers with."""

    def __init__(self, state: RuntimeState, event: RuntimeEvent) -> None:
        super().__init__(
            f"State transition from {state.value} to {event.value} failed for runtime. Error: State transition is not allowed"
        )


def after(state: RuntimeState, event: RuntimeEvent) -> RuntimeState:
    """The state that follows. Raises InvalidStateTransition for what is not in the table."""
    following = TRANSITIONS[state].get(event)
    if following is None:
        raise InvalidStateTransition(state, event)
    return following
