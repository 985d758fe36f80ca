"""The diagrams of states."""

from __future__ import annotations

import re

from lambdad.cli.states import diagrams
from lambdad.model import event_state, execution_environment, extension_session, runtime_session


def sections() -> dict[str, str]:
    parts = re.split(r"^## (.*)$", diagrams(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_step_of_a_table_is_an_arrow_and_no_other() -> None:
    """A diagram shows its table, its one beginning, and an end for each state that nothing follows."""
    for title, table in (
        ("Execution environment", execution_environment.TRANSITIONS),
        ("Runtime", runtime_session.TRANSITIONS),
        ("Extension", extension_session.TRANSITIONS),
        ("Event of an asynchronous invocation", event_state.TRANSITIONS),
    ):
        arrows = re.findall(r"^    (\S+) --> (\S+)(?: : (.*))?$", sections()[title], re.MULTILINE)
        first = next(iter(table)).name.lower()
        steps = {
            (state.name.lower(), after.name.lower(), event.name.lower().replace("_", " "))
            for state, following in table.items()
            for event, after in following.items()
        }
        ends = {(state.name.lower(), "[*]", "") for state, following in table.items() if not following}
        assert set(arrows) == steps | ends | {("[*]", first, "")}
        assert len(arrows) == len(set(arrows))


def test_states_are_explained_by_their_comments() -> None:
    """What stands behind a state in the code stands beside it on the page."""
    assert "| frozen | as idle, and everything inside stands still |" in sections()["Execution environment"]
    assert "| Ready | it waits in `next` |" in sections()["Runtime"]


def test_a_functions_states_are_pairs() -> None:
    """State and LastUpdateStatus, from creation over updates."""
    page = sections()["Function"]
    assert "    [*] --> pending\n" in page
    assert "    active_successful --> active_inprogress : update accepted\n" in page
    assert "    active_inprogress --> active_failed : cannot be made ready\n" in page
    assert "    failed --> [*]\n" in page
    assert "    active_failed --> inactive_failed : not invoked for long\n" in page
    assert "    inactive_successful --> pending_successful : invoked\n" in page
    assert "    pending_successful --> inactive_successful : cannot be made ready\n" in page
