"""States of a function."""

from __future__ import annotations

import pytest

from lambdad.model.function import Configuration, Failure, Function, FunctionVersion, is_latest
from lambdad.model.version import CodeArchive

CONFIGURATION = Configuration("python3.12", "app.handler", "role", CodeArchive("0" * 64, 1, 2))
PENDING = FunctionVersion("1" * 12, "us-east-1", "f", "$LATEST", CONFIGURATION, "r1", 0.0)
FAILURE = Failure("InvalidRuntime", "why")


def test_creation_settles() -> None:
    """Pending becomes Active, or Failed with the reason."""
    active = PENDING.settled("r2")
    assert (active.state, active.update_status, active.state_reason, active.revision_id) == ("Active", "Successful", None, "r2")
    failed = PENDING.settled("r2", FAILURE)
    assert (failed.state, failed.update_status, failed.state_reason, failed.state_reason_code) == (
        "Failed",
        None,
        "why",
        "InvalidRuntime",
    )


@pytest.mark.parametrize("settled", [PENDING.settled("r2"), PENDING.settled("r2", FAILURE)])
def test_settled_states_do_not_settle(settled: FunctionVersion) -> None:
    """What is settled has no further transition."""
    assert not settled.is_unsettled
    with pytest.raises(KeyError):
        settled.settled("r3")


def test_update_keeps_serving_the_old_reading_until_it_succeeds() -> None:
    """Invocations stay on the last good reading through updates and failed updates."""
    function = Function(PENDING).settled("r2")
    first = function.running
    updating = function.updated(CONFIGURATION, "r3", 1.0)
    assert updating.running is first
    failed = updating.settled("r4", FAILURE)
    assert (failed.running, failed.latest.state, failed.latest.update_status) == (first, "Active", "Failed")
    again = failed.updated(CONFIGURATION, "r5", 2.0)
    assert again.running is first
    done = again.settled("r6")
    assert done.running is done.latest
    assert done.latest.update_reason is None


def test_an_idle_function_is_restored_at_its_revision() -> None:
    """Active, Inactive, Pending, Active; or Inactive with the reason."""
    active = Function(PENDING).settled("r2")
    idle = active.reclaimed()
    assert (idle.latest.state, idle.latest.state_reason_code, idle.latest.is_reclaimed) == ("Inactive", "Idle", True)
    assert not idle.latest.is_unsettled
    pending = idle.woken()
    assert (pending.latest.state, pending.latest.state_reason_code) == ("Pending", "Restoring")
    assert pending.latest.is_unsettled
    assert pending.settled("r3") == active
    failed = pending.settled("r3", FAILURE).latest
    assert (failed.state, failed.state_reason, failed.state_reason_code) == ("Inactive", "why", "InvalidRuntime")
    assert (failed.revision_id, failed.update_status) == ("r2", "Successful")


def test_an_update_of_an_idle_function() -> None:
    """It is as good as a restoration; one that fails leaves the reading before it to be restored, and its own failure."""
    idle = Function(PENDING).settled("r2").reclaimed()
    updating = idle.updated(CONFIGURATION, "r3", 1.0)
    assert (updating.latest.state, updating.latest.is_reclaimed, updating.running) == ("Inactive", False, idle.latest)
    done = updating.settled("r4")
    assert (done.latest.state, done.latest.state_reason, done.serving) == ("Active", None, None)
    failed = updating.settled("r4", FAILURE)
    assert (failed.latest.state, failed.latest.state_reason_code, failed.latest.update_reason) == ("Inactive", "Idle", "why")
    pending = failed.woken()
    assert pending.settling is pending.running is pending.serving
    restored = pending.settled("r5")
    assert (restored.running.state, restored.running.revision_id) == ("Active", "r2")
    assert (restored.latest.state, restored.latest.update_status, restored.latest.update_reason) == ("Active", "Failed", "why")


@pytest.mark.parametrize("function", [Function(PENDING), Function(PENDING).settled("r2").updated(CONFIGURATION, "r3", 1.0)])
def test_nothing_is_taken_from_what_is_being_made_ready(function: Function) -> None:
    """And only what is Inactive can wake."""
    with pytest.raises(KeyError):
        function.reclaimed()
    with pytest.raises(KeyError):
        function.woken()


def test_publishing() -> None:
    """A version of a ready function is ready; of one being updated it settles with it."""
    function, version = Function(PENDING).settled("r2").published("v1", 1.0, "text")
    assert (version.version, version.state, version.configuration.description) == ("1", "Active", "text")
    assert function.published_from == "r2"
    function, version = function.updated(CONFIGURATION, "r3", 2.0).published("v2", 2.0, None)
    assert (version.version, version.state) == ("2", "Pending")
    assert function.settled("r4").published_from == "r4"


def test_what_an_update_could_not_make_ready_is_made_ready_for_its_version() -> None:
    """Or it fails there as well; it is not Active by being published."""
    failed = Function(PENDING).settled("r2").updated(CONFIGURATION, "r3", 1.0).settled("r4", FAILURE)
    _, version = failed.published("r5", 2.0, None)
    assert (version.state, version.is_unsettled) == ("Pending", True)
    assert version.settled("r5", FAILURE).state == "Failed"


def test_runnable_version() -> None:
    """The data plane's view has the default log group and an empty environment."""
    version = PENDING.runnable()
    assert (version.log_group, version.environment, version.environment_key[4]) == ("/aws/lambda/f", {}, "r1")
    assert is_latest(None)
    assert is_latest("$LATEST")
    assert not is_latest("1")


@pytest.mark.parametrize(
    "state", [PENDING, PENDING.settled("r2", FAILURE), PENDING.settled("r2").updated(CONFIGURATION, "r3", 1.0)]
)
def test_what_is_not_settled_or_not_there_takes_no_update(state: FunctionVersion) -> None:
    """Only what is active and at rest can be updated."""
    with pytest.raises(KeyError):
        state.updated(CONFIGURATION, "r4", 2.0)
