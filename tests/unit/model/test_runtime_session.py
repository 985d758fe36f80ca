"""The runtime's states."""

from __future__ import annotations

import pytest

from lambdad.model.runtime_session import TRANSITIONS, InvalidStateTransition, RuntimeEvent, RuntimeState, after


@pytest.mark.parametrize("state", RuntimeState)
@pytest.mark.parametrize("event", RuntimeEvent)
def test_what_is_not_in_the_table_is_an_error(state, event):
    """Each pair of state and event either leads to a state or is refused in AWS's words."""
    if event in TRANSITIONS[state]:
        assert after(state, event) is TRANSITIONS[state][event]
        return
    with pytest.raises(InvalidStateTransition) as refused:
        after(state, event)
    assert str(refused.value) == (
        f"State transition from {state.value} to {event.value} failed for runtime. Error: State transition is not allowed"
    )


def test_one_life():
    """Start, ask, work, answer, ask again."""
    state = RuntimeState.STARTED
    for event in (RuntimeEvent.NEXT, RuntimeEvent.DISPATCH, RuntimeEvent.RESPONSE, RuntimeEvent.NEXT):
        state = after(state, event)
    assert state is RuntimeState.READY
