"""The states of an extension as the Extensions API sees it: one table, one function that applies it."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class ExtensionState(Enum):
    """The values are AWS's own names; they appear in the texts of refusals."""

    STARTED = "Started"  #: its process runs; an internal one begins with its registration
    REGISTERED = "Registered"
    READY = "Ready"  #: it waits in `event/next`
    RUNNING = "Running"  #: it has an event
    INIT_ERROR = "InitError"  #: it told us that it cannot start
    EXIT_ERROR = "ExitError"  #: it told us that it cannot go on
    EXITED = "Exited"  #: its process has ended


class ExtensionEvent(Enum):
    """What may happen; the value is the state that a refused request is said to have wanted."""

    REGISTER = "Registered"
    NEXT = "Ready"
    DISPATCH = "Running"
    INIT_ERROR = "InitError"
    EXIT_ERROR = "ExitError"
    EXIT = "Exited"


_MAY_FAIL = {
    ExtensionEvent.EXIT_ERROR: ExtensionState.EXIT_ERROR,
    ExtensionEvent.EXIT: ExtensionState.EXITED,
}

TRANSITIONS: Mapping[ExtensionState, Mapping[ExtensionEvent, ExtensionState]] = {
    ExtensionState.STARTED: {
        ExtensionEvent.REGISTER: ExtensionState.REGISTERED,
        ExtensionEvent.EXIT: ExtensionState.EXITED,
    },
    ExtensionState.REGISTERED: {
        ExtensionEvent.NEXT: ExtensionState.READY,
        ExtensionEvent.INIT_ERROR: ExtensionState.INIT_ERROR,
        **_MAY_FAIL,
    },
    ExtensionState.READY: {ExtensionEvent.DISPATCH: ExtensionState.RUNNING, **_MAY_FAIL},
    ExtensionState.RUNNING: {ExtensionEvent.NEXT: ExtensionState.READY, **_MAY_FAIL},
    ExtensionState.INIT_ERROR: {ExtensionEvent.EXIT: ExtensionState.EXITED},
    ExtensionState.EXIT_ERROR: {ExtensionEvent.EXIT: ExtensionState.EXITED},
    ExtensionState.EXITED: {},
}


class InvalidExtensionTransition(Exception):
    """The extension asked for what its state does not allow; the text is the one AWS answers with."""

    def __init__(self, name: str, state: ExtensionState, event: ExtensionEvent) -> None:
        super().__init__(
            f"State transition from {state.value} to {event.value} failed for extension {name}."
            " Error: State transition is not allowed"
        )


def after(name: str, state: ExtensionState, event: ExtensionEvent) -> ExtensionState:
    """The state that follows. Raises InvalidExtensionTransition for what is not in the table."""
    following = TRANSITIONS[state].get(event)
    if following is None:
        raise InvalidExtensionTransition(name, state, event)
    return following
