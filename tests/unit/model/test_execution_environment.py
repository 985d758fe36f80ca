"""The states of an execution environment."""

from __future__ import annotations

import pytest

from lambdad.model.execution_environment import (
    TRANSITIONS,
    EnvironmentEvent,
    EnvironmentState,
    InvalidEnvironmentTransition,
    after,
)


@pytest.mark.parametrize("state", EnvironmentState)
@pytest.mark.parametrize("event", EnvironmentEvent)
def test_what_is_not_in_the_table_is_an_error(state, event):
    """Each pair of state and event either leads to a state or is refused."""
    if event in TRANSITIONS[state]:
        assert after(state, event) is TRANSITIONS[state][event]
    else:
        with pytest.raises(InvalidEnvironmentTransition, match=f"{event.value} is not possible .* {state.value}"):
            after(state, event)


def test_every_state_leads_to_the_end():
    """From each state the environment can be taken down, and from DEAD nothing follows."""
    for state in EnvironmentState:
        if state not in {EnvironmentState.STOPPING, EnvironmentState.DEAD}:
            assert after(after(state, EnvironmentEvent.STOP), EnvironmentEvent.GONE) is EnvironmentState.DEAD
    assert not TRANSITIONS[EnvironmentState.DEAD]
