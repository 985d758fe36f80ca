"""When an event is tried again, and when it is given up."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from lambdad.model.event import QueuedEvent
from lambdad.model.event_state import EventState, EventStep
from lambdad.model.retry import (
    EventPolicy,
    History,
    after_failure,
    after_put_back,
    before_attempt,
    decode_history,
    encode_history,
    stopped,
)

NOW = 1_000_000.0
EVENT = QueuedEvent(
    request_id="r",
    account_id="000000000000",
    region="us-east-1",
    function_name="f",
    qualifier=None,
    invoked_function_arn="arn:aws:lambda:us-east-1:000000000000:function:f",
    payload=b"{}",
    trace_header="",
    accepted_at=NOW,
)


@pytest.mark.parametrize("retries", [0, 1, 2])
def test_a_failed_function_is_tried_again(retries: int) -> None:
    """After one minute, then after two, as often as the configuration says; then the event has failed."""
    policy, history, waits = EventPolicy(maximum_retries=retries), History(), []
    while (verdict := after_failure(EVENT, history, policy, "no", NOW)).step is EventStep.RETRY:
        assert verdict.state is EventState.WAITING
        waits.append(verdict.next_attempt_at - NOW)
        history = verdict.history
    assert waits == [60.0, 120.0][:retries]
    assert verdict.step is EventStep.EXHAUST
    assert verdict.state is EventState.FAILED
    assert verdict.history == History(failures=retries + 1, error_status=200, error_message="no")


def test_a_retry_that_would_come_too_late_is_not_waited_for() -> None:
    """With an age of 60 seconds at most, a function that failed at once is retried; one that took a moment is not."""
    policy = EventPolicy(maximum_age_seconds=60)
    assert after_failure(EVENT, History(), policy, "", NOW).step is EventStep.RETRY
    verdict = after_failure(EVENT, History(), policy, "", NOW + 0.1)
    assert verdict.step is EventStep.EXPIRE
    assert verdict.history.failures == 1


def test_put_backs_use_up_no_retries() -> None:
    """A throttled event waits 1, 2, 4 ... 300 seconds, until it is too old; its failures stay what they were."""
    history, now, waits = History(failures=1), NOW, []
    while (verdict := after_put_back(EVENT, history, EventPolicy(), 429, "Rate Exceeded.", now)).step is EventStep.PUT_BACK:
        waits.append(verdict.next_attempt_at - now)
        now, history = verdict.next_attempt_at, verdict.history
    assert waits[:10] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 300]
    assert set(waits[10:]) == {300}
    assert now + 300 > NOW + 21_600 >= now
    assert verdict.step is EventStep.EXPIRE
    assert (verdict.history.failures, verdict.history.error_status) == (1, 429)


def test_the_back_off_begins_anew_when_the_function_has_run() -> None:
    """A throttle after a failure waits one second again."""
    history = after_put_back(EVENT, History(), EventPolicy(), 429, "", NOW).history
    history = after_failure(EVENT, history, EventPolicy(), "", NOW).history
    assert after_put_back(EVENT, history, EventPolicy(), 429, "", NOW).next_attempt_at == NOW + 1


def test_age() -> None:
    """An event as old as it may be is tried; an older one is not; a clock that was set back makes none older."""
    policy = EventPolicy(maximum_age_seconds=60)
    assert before_attempt(EVENT, History(), policy, NOW + 60) is None
    assert before_attempt(EVENT, History(), policy, NOW - 3600) is None
    verdict = before_attempt(EVENT, History(), policy, NOW + 60.1)
    assert verdict is not None
    assert verdict.state is EventState.FAILED


def test_a_stopped_function() -> None:
    """Events of a function with a reserve of 0 are given up without a try."""
    assert stopped(History(), 429, "Rate Exceeded.").state is EventState.FAILED


@pytest.mark.parametrize("message", ["", "x" * 5000, "é" * 600, "\ud800", "a\0b"])
def test_the_message_of_an_error_is_kept_short(message: str) -> None:
    """At most 1 KB of it, whole characters, whatever they are; the history is read as it was written."""
    history = after_failure(EVENT, History(), EventPolicy(), message, NOW).history
    assert len(history.error_message.encode()) <= 1024
    assert message.encode(errors="replace").decode().startswith(history.error_message)
    assert decode_history(encode_history(history)) == history


def test_histories_on_disk() -> None:
    """No note is a new event's; nonsense is refused."""
    assert decode_history(b"") == History()
    assert decode_history(encode_history(replace(History(), put_backs=3))).put_backs == 3
    with pytest.raises(ValueError):
        decode_history(b"nonsense")
