"""One attempt at an event: from its message to what is recorded of its outcome.

Whatever the outcome, it is recorded in one commit: the event waits again with its history, or it has left its queue and those
who are to be told of it will be.
"""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from lambdad.errors import ServiceError
from lambdad.event_queue.counters import EventCounters
from lambdad.event_queue.notices import notices_of
from lambdad.event_queue.outbox import Outbox
from lambdad.model.destination import error_message
from lambdad.model.event import QueuedEvent, decode_event
from lambdad.model.event_state import EventState, EventStep
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.model.retry import (
    EventPolicy,
    History,
    Verdict,
    after_failure,
    after_put_back,
    after_success,
    before_attempt,
    decode_history,
    encode_history,
    function_gone,
    stopped,
)
from lambdad.model.version import Version
from lambdad.store.base import Conflict, Finish, Message

logger = logging.getLogger(__name__)

_SYSTEM_ERROR = 500
#: No later attempt can find what this one has not.
_GONE = frozenset({"ResourceNotFoundException", "InvalidParameterValueException"})
_STATUS: Mapping[str, int] = {
    "TooManyRequestsException": 429,
    "ResourceConflictException": 409,
    "SnapStartNotReadyException": 409,
    "CodeArtifactUserPendingException": 409,
}


class Functions(Protocol):
    """What is asked of the service that keeps functions."""

    async def resolve(self, event: QueuedEvent, /) -> Version:
        """The version that one invocation runs. ServiceError ResourceNotFoundException when it is gone, and
        InvalidParameterValueException when another function has its name, which does not take such events."""
        ...

    async def event_policy(self, event: QueuedEvent, executed_version: str | None, /) -> EventPolicy:
        """What is configured for the qualifier that was invoked; the dead-letter queue is that of the version."""
        ...


Invoke = Callable[[Invocation], Awaitable[InvocationResult]]


@dataclass(frozen=True, slots=True)
class Attempted:
    """What the pace of the function's other events depends on."""

    ran_seconds: float | None = None  #: None when the function did not run
    was_refused: bool = False  #: by a throttle or by a failure of ours


@dataclass(frozen=True, slots=True)
class _Outcome:
    verdict: Verdict
    result: InvocationResult | None = None
    attempted: Attempted = Attempted()


@dataclass(slots=True)
class Attempts:
    functions: Functions
    invoke: Invoke
    outbox: Outbox
    counters: EventCounters = field(default_factory=EventCounters)
    record_limits: Mapping[str, int] = field(default_factory=dict)  #: bytes that a service takes at most
    clock: Callable[[], float] = time.time
    new_id: Callable[[], str] = field(default=lambda: str(uuid.uuid4()))

    async def make(self, message: Message) -> Attempted:
        """Tries the event once and records what came of it. When that cannot be recorded, it is tried again after the lease."""
        try:
            event, history = decode_event(message.body), decode_history(message.note)
        except ValueError as error:
            logger.warning("event %s of %s dropped: it cannot be read: %s", message.message_id, message.queue, error)
            await self.outbox.store.delete(message.queue, (message.receipt,))
            return Attempted()
        outcome = await self._try(event, history)
        try:
            await self._record(message, event, outcome)
        except Conflict:
            logger.warning("event %s of %s was taken from us while it ran, and will run again", event.request_id, message.queue)
        return outcome.attempted

    async def _try(self, event: QueuedEvent, history: History) -> _Outcome:
        policy = await self.functions.event_policy(event, None)
        verdict = before_attempt(event, history, policy, self.clock())
        if verdict is not None:
            return _Outcome(verdict)
        try:
            version = await self.functions.resolve(event)
            if version.reserved_concurrency == 0:
                return _Outcome(stopped(history, _STATUS["TooManyRequestsException"], "Rate Exceeded."))
            began = time.monotonic()
            result = await self.invoke(
                Invocation(
                    request_id=event.request_id,
                    version=version,
                    invoked_function_arn=event.invoked_function_arn,
                    payload=event.payload,
                    trace_header=event.trace_header,
                    is_event=True,
                )
            )
        except ServiceError as error:
            if error.code in _GONE:
                return _Outcome(function_gone(history, error.message))
            logger.info("event %s of %s put back: %s", event.request_id, event.invoked_function_arn, error)
            return self._refused(event, history, policy, _STATUS.get(error.code, _SYSTEM_ERROR), error.message)
        except Exception:
            logger.exception("event %s of %s put back", event.request_id, event.invoked_function_arn)
            return self._refused(event, history, policy, _SYSTEM_ERROR, "The service encountered an internal error.")
        attempted = Attempted(ran_seconds=time.monotonic() - began)
        if result.function_error is None:
            return _Outcome(after_success(history), result, attempted)
        verdict = after_failure(event, history, policy, error_message(result.payload), self.clock())
        return _Outcome(verdict, result, attempted)

    def _refused(self, event: QueuedEvent, history: History, policy: EventPolicy, status: int, message: str) -> _Outcome:
        verdict = after_put_back(event, history, policy, status, message, self.clock())
        return _Outcome(verdict, attempted=Attempted(was_refused=True))

    async def _record(self, message: Message, event: QueuedEvent, outcome: _Outcome) -> None:
        verdict, store = outcome.verdict, self.outbox.store
        if verdict.state is EventState.WAITING:
            note = encode_history(verdict.history)
            await store.release(message.queue, message.receipt, visible_at=verdict.next_attempt_at, note=note)
        elif not await self._tell(message, event, outcome):
            await store.delete(message.queue, (message.receipt,))
        self._count(verdict)

    async def _tell(self, message: Message, event: QueuedEvent, outcome: _Outcome) -> bool:
        """Ends the event together with the notices of its end; False when there is nobody to tell."""
        version = outcome.result.executed_version if outcome.result else None
        policy = await self.functions.event_policy(event, version)
        notices = notices_of(
            event,
            outcome.verdict,
            outcome.result,
            policy,
            now=self.clock(),
            new_id=self.new_id,
            record_limits=self.record_limits,
        )
        if notices:
            await self.outbox.commit([Finish(message.queue, message.receipt)], notices)
        elif outcome.verdict.state is EventState.FAILED:
            self.counters.dropped += 1
            logger.warning(
                "event %s of %s dropped: %s; last error: %s",
                event.request_id,
                event.invoked_function_arn,
                outcome.verdict.step.value,
                outcome.verdict.history.error_message or "none",
            )
        return bool(notices)

    def _count(self, verdict: Verdict) -> None:
        counters = self.counters
        match verdict.step:
            case EventStep.SUCCEED:
                counters.succeeded += 1
            case EventStep.RETRY:
                counters.retried += 1
            case EventStep.PUT_BACK:
                counters.put_back += 1
            case EventStep.BREAK_LOOP:
                counters.failed += 1
                counters.recursive_invocations_dropped += 1
            case _:
                counters.failed += 1
