"""One invocation in its environment: what the runtime is told of it, and what its invoker gets."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from lambdad.invocation import failure
from lambdad.invocation.concurrency import Lease
from lambdad.invocation.failure import Failure
from lambdad.invocation.platform_events import Span
from lambdad.model.invocation import Invocation, InvocationResult
from lambdad.runtime_api.response_stream import ResponseStream
from lambdad.runtime_api.session import AnswerKind, InvocationRequest, RuntimeAnswer


@dataclass(slots=True)
class Timing:
    """When what happened, monotonic, in seconds."""

    answered: float
    transfer_seconds: float
    size: int
    done: float | None = None  #: the runtime has asked for the next invocation


@dataclass(slots=True)
class Run:
    """The invocation that an environment has."""

    invocation: Invocation
    started: float  #: monotonic, in seconds
    deadline_ms: int  #: since the epoch
    timer: asyncio.TimerHandle
    is_begun: bool = False  #: START is in the log: a runtime is there to take it
    is_answered: bool = False
    stream: ResponseStream | None = None  #: the answer, if it is one
    is_abandoned: bool = False  #: the invoker has gone without an answer
    timing: Timing | None = None  #: only where somebody is told of it
    extension_overhead: Span | None = None
    lease: Lease | None = None  #: to be given back at the end, when the invoker has gone before it
    failure: Failure | None = None
    log_tail: bytes | None = None
    end: asyncio.Future[None] | None = field(default=None)  #: made by whoever waits for the end of it

    def request(self) -> InvocationRequest:
        invocation = self.invocation
        return InvocationRequest(
            invocation.request_id,
            invocation.payload,
            self.deadline_ms,
            invocation.invoked_function_arn,
            invocation.trace_header,
            invocation.client_context,
            invocation.cognito_identity,
            invocation.version.tenant_id,
            invocation.wants_stream,
        )

    @property
    def is_nearly_over(self) -> bool:
        """The runtime has nothing left to do but to ask for the next invocation."""
        return self.is_answered and (self.stream is None or self.stream.ended_at is not None)

    def stream_begins(self, stream: ResponseStream) -> None:
        self.stream = stream
        if self.is_abandoned:
            stream.close()

    def abandon(self) -> None:
        self.is_abandoned = True
        if self.stream is not None:
            self.stream.close()

    def measure_stream(self) -> None:
        """To be called once, when nothing more comes of it: an answer that was streamed took as long as its bytes did."""
        stream, timing = self.stream, self.timing
        if stream is not None and timing is not None and stream.ended_at is not None:
            timing.size = stream.size
            timing.transfer_seconds = max(0.0, stream.ended_at - timing.answered)
            timing.answered += timing.transfer_seconds

    def result(self, answer: RuntimeAnswer) -> InvocationResult:
        version, tail = self.invocation.version.version, self.log_tail
        match answer.kind:
            case AnswerKind.RESPONSE:
                return InvocationResult(answer.body, version, None, tail, answer.content_type)
            case AnswerKind.ENDED:
                reason = self.failure or failure.stopped()
                payload = reason.payload(self.invocation.request_id)
                return InvocationResult(payload, version, "Unhandled", tail, reason.content_type)
            case AnswerKind.TOO_LARGE:
                return InvocationResult(failure.RESPONSE_TOO_LARGE, version, "Unhandled", tail)
            case AnswerKind.INVALID_RESPONSE_MODE:
                return InvocationResult(b"", version, "Unhandled", tail)
            case _:
                reason = failure.posted(answer.error_type, answer.body, answer.content_type)
                body = reason.payload(self.invocation.request_id)
                return InvocationResult(body, version, "Unhandled", tail, answer.content_type)
