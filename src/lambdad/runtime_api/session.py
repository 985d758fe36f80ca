"""One runtime's conversation with the Runtime API: what it may ask for now, and the one future of its answer. No I/O."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import TYPE_CHECKING, Protocol

import msgspec

from lambdad.model.runtime_session import InvalidStateTransition, RuntimeEvent, RuntimeState, after
from lambdad.runtime_api.response_stream import RESET, TRUNCATED, ResponseStream, StreamFailure, StreamSource

if TYPE_CHECKING:
    from lambdad.runtime_api.credentials import ContainerCredentials
    from lambdad.runtime_api.extension_session import ExtensionSession

# C0 controls and DEL would end or garble a header; the client context is JSON text and may hold line breaks.
_HEADER_SAFE = dict.fromkeys([*range(32), 127], " ")


class InvocationRequest(msgspec.Struct, frozen=True):
    """An invocation as the runtime is told of it."""

    request_id: str
    payload: bytes
    deadline_ms: int  #: when the function times out, milliseconds since the epoch
    invoked_function_arn: str
    trace_header: str
    client_context: str | None = None
    cognito_identity: str | None = None
    tenant_id: str = ""
    wants_stream: bool = False  #: if the runtime streams its response, the answer is STREAM instead of the whole

    def as_http(self) -> bytes:
        """The whole answer to `next`."""
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            f"Lambda-Runtime-Aws-Request-Id: {self.request_id}\r\n"
            f"Lambda-Runtime-Deadline-Ms: {self.deadline_ms}\r\n"
            f"Lambda-Runtime-Invoked-Function-Arn: {self.invoked_function_arn}\r\n"
        )
        if self.trace_header:
            head += f"Lambda-Runtime-Trace-Id: {self.trace_header.translate(_HEADER_SAFE)}\r\n"
        if self.client_context:
            head += f"Lambda-Runtime-Client-Context: {self.client_context.translate(_HEADER_SAFE)}\r\n"
        if self.cognito_identity:
            head += f"Lambda-Runtime-Cognito-Identity: {self.cognito_identity.translate(_HEADER_SAFE)}\r\n"
        if self.tenant_id:
            head += f"Lambda-Runtime-Aws-Tenant-Id: {self.tenant_id}\r\n"
        return f"{head}Content-Length: {len(self.payload)}\r\n\r\n".encode() + self.payload


class AnswerKind(Enum):
    RESPONSE = "response"
    STREAM = "stream"  #: only for invocations that want it; the body is in `stream`
    ERROR = "error"
    INIT_ERROR = "init error"
    TOO_LARGE = "too large"
    INVALID_RESPONSE_MODE = "invalid response mode"
    ENDED = "ended"  #: there will be no answer: the environment was taken down or its process ended


class RuntimeAnswer(msgspec.Struct, frozen=True):
    """What the runtime posted, untouched."""

    kind: AnswerKind
    body: bytes = b""
    content_type: str = "application/json"
    error_type: str = ""
    transfer_seconds: float = 0.0  #: from its first byte to its last, if it did not come at once
    stream: ResponseStream | None = None


_ENDED = RuntimeAnswer(AnswerKind.ENDED)


class Beginning(Enum):
    """Where the runtime of a session comes from, and what becomes of it."""

    INIT = "init"
    TEMPLATE = "template"  #: Init, and then a snapshot of it
    CLONE = "clone"  #: such a snapshot


class InvalidRequestID(Exception):
    """The id in the path is not that of the running invocation."""


class SessionEnded(Exception):
    """There will be no invocation any more; the runtime should exit."""


class NextWaiter(Protocol):
    """The connection that asked for the next invocation."""

    def deliver(self, answer: bytes) -> None: ...


class RuntimeSession:
    """Owned by one execution environment. The Runtime API server calls the verbs of the runtime, the environment `invoke`."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        extensions: ExtensionSession | None = None,
        beginning: Beginning = Beginning.INIT,
        credentials: ContainerCredentials | None = None,
    ) -> None:
        self.state = RuntimeState.RESTORING if beginning is Beginning.CLONE else RuntimeState.STARTED
        self.beginning = beginning
        self.credentials = credentials  #: of a function that gets them by HTTP
        self.extensions = extensions
        self.init_error: RuntimeAnswer | None = None  #: what the runtime posted to `init/error` or `restore/error`
        self._loop = loop
        self._waiter: NextWaiter | None = None
        self._current: InvocationRequest | None = None  #: invocation without an answer, delivered or not
        self._answered_id = ""
        self._answer: asyncio.Future[RuntimeAnswer] | None = None
        self._ready: asyncio.Future[bool] | None = None
        self._stream: ResponseStream | None = None  #: while the runtime streams its answer
        self._ended = False

    @property
    def is_ready(self) -> bool:
        """Whether the runtime waits for an invocation at this moment."""
        return self.state is RuntimeState.READY

    # What the execution environment does.

    def invoke(self, request: InvocationRequest) -> asyncio.Future[RuntimeAnswer]:
        """Hands the invocation over, at once or when the runtime asks. Cancelling the future does not stop the runtime."""
        assert self._current is None, "one invocation at a time"
        self._current = request
        answer = self._answer = self._loop.create_future()
        if self._ended:
            self._resolve(_ENDED)
        elif self.state is RuntimeState.READY:
            self._dispatch(request)  # the answer may be there already, sent ahead
        return answer

    def ready(self) -> asyncio.Future[bool]:
        """True when the runtime waits in `next`, or for its snapshot; False when it never will, because of an error or its
        end."""
        if self._ready is None or self._ready.done():
            self._ready = self._loop.create_future()
            if self._ended or self.state in {RuntimeState.INIT_ERROR, RuntimeState.RESTORE_ERROR}:
                self._ready.set_result(False)
            elif self.state in {RuntimeState.READY, RuntimeState.RESTORE_READY}:
                self._ready.set_result(True)
        return self._ready

    async def wait_ready(self) -> bool:
        return await asyncio.shield(self.ready())

    def end(self, stream_error: str = RESET) -> None:
        """No more will come from this runtime; whoever waits is told so, in a stream by this error type. May be repeated."""
        self._ended = True
        self._waiter = None
        if self._stream is not None:
            self._stream.finish(StreamFailure(stream_error))
            self._stream = None
        self._resolve(_ENDED)
        self._tell_ready(False)

    # What the runtime does.

    def next(self, waiter: NextWaiter) -> None:
        """`GET /runtime/invocation/next`. The answer comes by `waiter.deliver`. Raises InvalidStateTransition or
        SessionEnded."""
        if self._ended:
            raise SessionEnded
        self.state = after(self.state, RuntimeEvent.NEXT)
        self._waiter = waiter
        if self._current is not None:
            self._dispatch(self._current)
        else:
            self._tell_ready(True)

    def restore_next(self, waiter: NextWaiter) -> bool:
        """`GET /runtime/restore/next`. True if the runtime may go on at once; else it hears from `waiter.deliver` when it is to
        fork. Raises InvalidStateTransition."""
        self.state = after(self.state, RuntimeEvent.RESTORE_NEXT)
        if self.state is RuntimeState.RESTORING:
            return True
        self._waiter = waiter
        self._tell_ready(True)
        return False

    def fork(self, answer: bytes) -> None:
        """Has a runtime that waits for its snapshot go on to it."""
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.deliver(answer)

    def next_lost(self, waiter: NextWaiter) -> None:
        """The connection of `waiter` was closed. Its runtime may ask again, on another one."""
        if self._waiter is waiter:
            self._waiter = None
            self.state = after(self.state, RuntimeEvent.NEXT_LOST)
        elif self.extensions is not None:
            self.extensions.next_lost(waiter)

    def connection_lost(self, waiter: NextWaiter) -> None:
        """Any connection was closed. The runtime may go on, on another one."""

    def has_stream(self, stream: ResponseStream) -> bool:
        """Whether the stream is the answer that is being sent."""
        return stream is self._stream

    def check(self, request_id: str, event: RuntimeEvent) -> None:
        """Raises InvalidRequestID or InvalidStateTransition unless `request_id` may be answered now."""
        if self.state is RuntimeState.RUNNING:
            if self._current is None or request_id != self._current.request_id:
                raise InvalidRequestID
        elif self.state is RuntimeState.RESPONDING and self._stream is not None:
            if request_id != self._answered_id:
                raise InvalidRequestID
            raise InvalidStateTransition(self.state, event)
        elif not request_id or request_id == self._answered_id:
            raise InvalidRequestID
        else:
            raise InvalidStateTransition(self.state, event)

    def answer(self, request_id: str, event: RuntimeEvent, answer: RuntimeAnswer) -> None:
        """`POST .../response` or `.../error`. Raises as `check`."""
        self.check(request_id, event)
        self.state = after(self.state, event)
        self._answered_id = request_id
        self._resolve(answer)

    def open_stream(self, request_id: str, content_type: str, source: StreamSource) -> ResponseStream | None:
        """A streamed response begins. None if nobody wants it as a stream, or it may not be sent now: it is then to be read
        to its end and answered as any other."""
        current = self._current
        if self.state is not RuntimeState.RUNNING or current is None or not current.wants_stream:
            return None
        if request_id != current.request_id:
            return None
        self.state = after(self.state, RuntimeEvent.STREAM_BEGUN)
        self._answered_id = request_id
        stream = self._stream = ResponseStream(content_type, source, self._loop)
        if self._answer is None or self._answer.done():  # the invoker has gone
            stream.close()
        self._resolve(RuntimeAnswer(AnswerKind.STREAM, content_type=content_type, stream=stream))
        return stream

    def close_stream(self, stream: ResponseStream, failure: StreamFailure | None) -> bool:
        """The runtime has sent the last of it. False when that does not count any more."""
        stream.finish(failure)
        if stream is not self._stream:
            return False
        self._stream = None
        self.state = after(self.state, RuntimeEvent.STREAM_ENDED)
        return True

    def cut_stream(self, stream: ResponseStream) -> None:
        """The connection of a stream was closed, or cannot be read on. Its runtime, if it lives, may ask for the next."""
        self.close_stream(stream, StreamFailure(TRUNCATED))

    def fail_init(self, answer: RuntimeAnswer, event: RuntimeEvent = RuntimeEvent.INIT_ERROR) -> None:
        """`POST /runtime/init/error` or `restore/error`. Raises InvalidStateTransition."""
        self.state = after(self.state, event)
        self.init_error = answer
        self._tell_ready(False)

    def _dispatch(self, request: InvocationRequest) -> None:
        waiter = self._waiter
        assert waiter is not None
        self._waiter = None
        self.state = after(self.state, RuntimeEvent.DISPATCH)
        waiter.deliver(request.as_http())

    def _resolve(self, answer: RuntimeAnswer) -> None:
        future = self._answer
        self._answer = self._current = None
        if future is not None and not future.done():
            future.set_result(answer)

    def _tell_ready(self, is_ready: bool) -> None:
        if self._ready is not None and not self._ready.done():
            self._ready.set_result(is_ready)
