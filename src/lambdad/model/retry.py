"""When an event is tried again, and when it is given up. Pure rules: the history of an event in, a verdict out."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from lambdad.model.event import MAXIMUM_AGE_SECONDS, QueuedEvent, backoff_seconds
from lambdad.model.event_state import EventState, EventStep, after
from lambdad.model.trace_header import MOST_INVOCATIONS, times_invoked

MAXIMUM_RETRIES = 2
_FIRST_RETRY_SECONDS = 60.0  #: after the first failure of the function, and twice as long after the second
_BAD_REQUEST, _NOT_FOUND = 400, 404
RECURSIVE = (
    "Lambda has detected your function being invoked in a recursive loop with other Amazon Web Services resources "
    "and stopped your function's invocation."
)
_MESSAGE_BYTES = 1024  #: of an error's message that are remembered


class History(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is remembered of an event from one attempt to the next."""

    failures: int = 0  #: attempts in which the function ran and failed
    put_backs: int = 0  #: in a row, since the function last ran
    error_status: int = 0  #: HTTP status of the last error: 200 when the function failed, 0 before any error
    error_message: str = ""


@dataclass(frozen=True, slots=True)
class EventPolicy:
    """What is configured for the events of a function, version or alias."""

    maximum_retries: int = MAXIMUM_RETRIES
    maximum_age_seconds: float = MAXIMUM_AGE_SECONDS
    on_success: str | None = None  #: ARN of the destination
    on_failure: str | None = None
    dead_letter: str | None = None  #: ARN of the queue or topic
    role: str = ""  #: ARN of the execution role, in whose name destinations are told
    stops_loops: bool = True


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of an event that was taken."""

    step: EventStep
    history: History
    next_attempt_at: float = 0.0  #: of one that waits again

    @property
    def state(self) -> EventState:
        return after(EventState.RUNNING, self.step)


def before_attempt(event: QueuedEvent, history: History, policy: EventPolicy, now: float) -> Verdict | None:
    """None when the event may be tried."""
    if now - event.accepted_at > policy.maximum_age_seconds:
        return Verdict(EventStep.EXPIRE, history)
    if policy.stops_loops and times_invoked(event.trace_header, event.function_key) > MOST_INVOCATIONS:
        return Verdict(EventStep.BREAK_LOOP, _refused(history, _BAD_REQUEST, RECURSIVE))
    return None


def after_success(history: History) -> Verdict:
    return Verdict(EventStep.SUCCEED, history)


def after_failure(event: QueuedEvent, history: History, policy: EventPolicy, message: str, now: float) -> Verdict:
    """The function ran and failed: 60 seconds, then 120, as long as the event stays young enough."""
    history = History(history.failures + 1, 0, 200, _shortened(message))
    if history.failures > policy.maximum_retries:
        return Verdict(EventStep.EXHAUST, history)
    wait_seconds = _FIRST_RETRY_SECONDS * 2.0 ** (history.failures - 1)
    return _again(EventStep.RETRY, event, history, policy, now + wait_seconds)


def after_put_back(event: QueuedEvent, history: History, policy: EventPolicy, status: int, message: str, now: float) -> Verdict:
    """The function did not run: 1 second, then twice as long each time up to 5 minutes, however often until it is too old."""
    history = History(history.failures, history.put_backs + 1, status, _shortened(message))
    return _again(EventStep.PUT_BACK, event, history, policy, now + backoff_seconds(history.put_backs))


def stopped(history: History, status: int, message: str) -> Verdict:
    """The function is stopped by a reserve of 0: its events are given up at once."""
    return Verdict(EventStep.STOP, _refused(history, status, message))


def function_gone(history: History, message: str) -> Verdict:
    """The function, or the version or alias that was invoked, was deleted after the event was accepted."""
    return Verdict(EventStep.LOSE_FUNCTION, _refused(history, _NOT_FOUND, message))


def encode_history(history: History) -> bytes:
    return msgspec.json.encode(history)


def decode_history(note: bytes) -> History:
    """ValueError when the bytes are no encoded history. No bytes are a new event's."""
    return msgspec.json.decode(note, type=History) if note else History()


def _again(step: EventStep, event: QueuedEvent, history: History, policy: EventPolicy, at: float) -> Verdict:
    if at - event.accepted_at > policy.maximum_age_seconds:
        return Verdict(EventStep.EXPIRE, history)
    return Verdict(step, history, at)


def _refused(history: History, status: int, message: str) -> History:
    return History(history.failures, history.put_backs, status, _shortened(message))


def _shortened(message: str) -> str:
    return message.encode(errors="replace")[:_MESSAGE_BYTES].decode(errors="ignore")
