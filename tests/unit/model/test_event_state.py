"""The states of an event: what is in the table is possible, all else is a mistake."""

from __future__ import annotations

import itertools

import pytest

from lambdad.model.event_state import ENDED, TRANSITIONS, EventState, EventStep, InvalidEventTransition, after


@pytest.mark.parametrize(("state", "step"), [*itertools.product(EventState, EventStep)])
def test_the_table_says_what_follows(state: EventState, step: EventStep) -> None:
    """Each step leads where the table says, or is refused."""
    if step in TRANSITIONS[state]:
        assert after(state, step) is TRANSITIONS[state][step]
    else:
        with pytest.raises(InvalidEventTransition, match=f"{step.value} is not possible for an event that is {state.value}"):
            after(state, step)


def test_an_end_is_an_end() -> None:
    """Every state has a row, the ended ones an empty one, and every other can be left."""
    assert set(TRANSITIONS) == set(EventState)
    assert {state for state in EventState if not TRANSITIONS[state]} == ENDED


def test_a_running_event_can_always_be_taken_up_again_or_ended() -> None:
    """Whatever happens to a running event, it waits again or has ended."""
    assert set(TRANSITIONS[EventState.RUNNING].values()) == {EventState.WAITING} | ENDED
