"""The conversation with a runtime that takes several invocations at once, each in a session of its own. No I/O.

Each question for the next invocation takes a slot, which is a `RuntimeSession` of its own until its invocation is answered;
answers find their slot by the invocation's id, on whichever connection they come.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from lambdad.model.runtime_session import InvalidStateTransition, RuntimeEvent, RuntimeState
from lambdad.runtime_api.response_stream import RESET, ResponseStream, StreamFailure, StreamSource
from lambdad.runtime_api.session import (
    InvalidRequestID,
    InvocationRequest,
    NextWaiter,
    RuntimeAnswer,
    RuntimeSession,
    SessionEnded,
)

if TYPE_CHECKING:
    from lambdad.runtime_api.extension_session import ExtensionSession

_FREE = frozenset({RuntimeState.STARTED, RuntimeState.RESPONSE_SENT})


class _Slot(RuntimeSession):
    """Of one invocation at a time. `taker` is the connection that asked for it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, taker: NextWaiter) -> None:
        super().__init__(loop)
        self.taker = taker
        self.request_id = ""  #: of the last invocation that it was given


class ConcurrentSession(RuntimeSession):
    """In the place of a `RuntimeSession`, for at most `most` invocations at once."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        extensions: ExtensionSession | None,
        most: int,
        on_free: Callable[[], None] = lambda: None,
        *,
        dies_with_connection: bool,
    ) -> None:
        """`on_free` is called whenever it waits for one more. With `dies_with_connection` a worker of the runtime keeps one
        connection: what it had fails when that is closed."""
        super().__init__(loop, extensions)
        self._most = most
        self._on_free = on_free
        self._dies_with_connection = dies_with_connection
        self._slots: dict[_Slot, None] = {}
        self._own: dict[NextWaiter, _Slot] = {}  #: by the connection of its worker, if each keeps one
        self._waiting: dict[_Slot, None] = {}  #: those that wait for an invocation
        self._running: dict[str, _Slot] = {}  #: by the id of the last invocation that each was given
        self._has_been_ready = False

    @property
    def is_ready(self) -> bool:
        return bool(self._waiting)

    @property
    def free(self) -> int:
        """How many invocations it waits for at this moment."""
        return len(self._waiting)

    def idles(self, request_id: str) -> bool:
        """Whether the runtime has nothing more to do for this invocation."""
        slot = self._running.get(request_id)
        return slot is None or slot in self._waiting

    def settled(self, request_id: str) -> asyncio.Future[bool]:
        """True when what has this invocation waits for the next one; False when it never will."""
        slot = self._running.get(request_id)
        if slot is not None:
            return slot.ready()
        settled: asyncio.Future[bool] = self._loop.create_future()
        settled.set_result(True)
        return settled

    # What the execution environment does.

    def invoke(self, request: InvocationRequest) -> asyncio.Future[RuntimeAnswer]:
        """To be called while some slot is free, and with an id that no other invocation under way has."""
        slot, _ = self._waiting.popitem()
        self._forget_id(slot)
        slot.request_id = request.request_id
        self._running[request.request_id] = slot
        return slot.invoke(request)

    def ready(self) -> asyncio.Future[bool]:
        """True when the runtime has asked for its first invocation, for which one of its workers is enough."""
        if self._ready is None or self._ready.done():
            self._ready = self._loop.create_future()
            if self._ended or self.init_error is not None:
                self._ready.set_result(False)
            elif self._has_been_ready:
                self._ready.set_result(True)
        return self._ready

    def end(self, stream_error: str = RESET) -> None:
        self._waiting.clear()
        for slot in self._slots:
            slot.end(stream_error)
        super().end(stream_error)

    # What the runtime does.

    def next(self, waiter: NextWaiter) -> None:
        if self._ended:
            raise SessionEnded
        slot = self._slot_for(waiter)
        slot.next(waiter)
        self._waiting[slot] = None
        if not self._has_been_ready and self.init_error is None:
            self._has_been_ready = True
            self._tell_ready(True)
        self._on_free()

    def next_lost(self, waiter: NextWaiter) -> None:
        slot = next((slot for slot in self._waiting if slot.taker is waiter), None)
        if slot is None:
            super().next_lost(waiter)
            return
        slot.next_lost(waiter)
        self._forget(slot)

    def connection_lost(self, waiter: NextWaiter) -> None:
        """Of any connection: a worker that has died leaves its invocation without an answer."""
        slot = self._own.get(waiter)
        if slot is not None:
            slot.end()
            self._forget(slot)

    def check(self, request_id: str, event: RuntimeEvent) -> None:
        self._of(request_id).check(request_id, event)

    def answer(self, request_id: str, event: RuntimeEvent, answer: RuntimeAnswer) -> None:
        self._of(request_id).answer(request_id, event, answer)

    def open_stream(self, request_id: str, content_type: str, source: StreamSource) -> ResponseStream | None:
        slot = self._running.get(request_id)
        return None if slot is None else slot.open_stream(request_id, content_type, source)

    def close_stream(self, stream: ResponseStream, failure: StreamFailure | None) -> bool:
        for slot in self._slots:
            if slot.has_stream(stream):
                return slot.close_stream(stream, failure)
        stream.finish(failure)
        return False

    def fail_init(self, answer: RuntimeAnswer, event: RuntimeEvent = RuntimeEvent.INIT_ERROR) -> None:
        """Of the worker that is first, whichever that is; when another one is at work already, nothing fails."""
        if self._ended or self.init_error is not None or self._has_been_ready:
            raise InvalidStateTransition(RuntimeState.READY if self._has_been_ready else RuntimeState.INIT_ERROR, event)
        self.init_error = answer
        self._tell_ready(False)

    # Slots

    def _slot_for(self, waiter: NextWaiter) -> _Slot:
        """A worker's own is that of its connection. Where connections mean nothing, any will do that has no invocation."""
        if self._dies_with_connection:
            slot = self._own.get(waiter)
        else:
            slot = next((slot for slot in self._slots if slot.state in _FREE), None)
        if slot is None:
            slot = self._new_slot(waiter)
        slot.taker = waiter
        return slot

    def _new_slot(self, waiter: NextWaiter) -> _Slot:
        if len(self._slots) >= self._most:
            raise InvalidStateTransition(RuntimeState.RUNNING, RuntimeEvent.NEXT)
        slot = _Slot(self._loop, waiter)
        self._slots[slot] = None
        if self._dies_with_connection:
            self._own[waiter] = slot
        return slot

    def _of(self, request_id: str) -> _Slot:
        slot = self._running.get(request_id)
        if slot is None:
            raise InvalidRequestID
        return slot

    def _forget(self, slot: _Slot) -> None:
        del self._slots[slot]
        self._own.pop(slot.taker, None)
        self._waiting.pop(slot, None)
        self._forget_id(slot)

    def _forget_id(self, slot: _Slot) -> None:
        if self._running.get(slot.request_id) is slot:
            del self._running[slot.request_id]
