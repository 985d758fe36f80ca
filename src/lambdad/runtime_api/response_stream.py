"""A response on its way from the runtime to whoever invoked, piece by piece. No I/O."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

#: What may have come from the runtime without having been read before the runtime is made to wait.
HIGH_WATER_BYTES = 64 * 1024
#: AWS's limit of a streamed response, 200 MB.
MAX_STREAM_BYTES = 200 * 1024 * 1024
#: AWS's pace of a streamed response: the first 6 MB as fast as they come, then 2 MB a second.
UNPACED_BYTES = 6 * 1024 * 1024
BYTES_PER_SECOND = 2 * 1024 * 1024

TRUNCATED = "Runtime.TruncatedResponse"
TOO_LARGE = "Function.ResponseSizeTooLarge"
#: Of a stream whose environment was taken down, and of one whose function took too long.
RESET = "Sandbox.Failure"
TIMED_OUT = "Sandbox.Timeout"


@dataclass(frozen=True, slots=True)
class StreamFailure:
    """Why a stream ended before it was whole."""

    error_type: str
    body: bytes = b""  #: the error as JSON, as the runtime gave it in the trailer; empty without one


class StreamSource(Protocol):
    """The connection that a stream comes from."""

    def pause_stream(self) -> None:
        """No more is to be read until `resume_stream`."""
        ...

    def resume_stream(self) -> None: ...


class ResponseStream:
    """Iterated once, by one reader, who gets bytes as they come and at the end looks at `failure`.

    A reader that is slow makes the runtime wait: here are at most `HIGH_WATER_BYTES` and what one read of a socket brings.
    AWS's pace makes it wait too, however fast the reader is.
    A reader that leaves before the end has to `close`; the runtime can then finish in vain. Whoever gets a stream has to do
    one of the two, else its runtime waits until the function times out.
    """

    def __init__(self, content_type: str, source: StreamSource, loop: asyncio.AbstractEventLoop) -> None:
        self.content_type = content_type
        self.failure: StreamFailure | None = None  #: final when the iteration has ended
        self.ended_at: float | None = None  #: when the runtime had sent the last of it, monotonic
        self._source = source
        self._loop = loop
        self._buffer = bytearray()
        self._received = 0
        self._is_over = False  #: the runtime has sent all that counts
        self._is_closed = False  #: the reader has left
        self._is_paused = False
        self._is_behind = False  #: the reader has not taken what there is
        self._debt = 0  #: bytes that came faster than the pace allows
        self._payment: asyncio.TimerHandle | None = None  #: until they would have come
        self._reader: asyncio.Future[None] | None = None

    @property
    def size(self) -> int:
        """What has been passed on so far, and what waits to be."""
        return min(self._received, MAX_STREAM_BYTES)

    @property
    def is_too_large(self) -> bool:
        return self._received > MAX_STREAM_BYTES

    # The reader

    def __aiter__(self) -> ResponseStream:
        return self

    async def __anext__(self) -> bytes:
        while not self._buffer:
            if self._is_over or self._is_closed:
                raise StopAsyncIteration
            assert self._reader is None, "one reader"
            self._reader = self._loop.create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        piece = bytes(self._buffer)
        self._buffer.clear()
        self._is_behind = False
        self._pause_or_resume()
        return piece

    def close(self) -> None:
        """What is still to come goes nowhere. May be repeated, and after the end."""
        self._is_closed = True
        self._buffer.clear()
        self._let_go()
        self._wake()

    # The runtime

    def write(self, piece: bytes) -> None:
        """What is beyond the limit is dropped and ends the stream with a failure."""
        if self._is_over:
            return
        room = MAX_STREAM_BYTES - self._received
        self._received += len(piece)
        if not self._is_closed:
            self._buffer += piece[:room]
        if self.is_too_large:
            self.finish(StreamFailure(TOO_LARGE))
            return
        self._wake()
        if self._is_closed:
            return
        self._is_behind = len(self._buffer) > HIGH_WATER_BYTES
        if self._received > UNPACED_BYTES:
            self._debt += min(len(piece), self._received - UNPACED_BYTES)
            if self._payment is None:
                self._pay()
        self._pause_or_resume()

    def finish(self, failure: StreamFailure | None = None) -> None:
        """Nothing more comes. The first call counts."""
        if self._is_over:
            return
        self._is_over = True
        self.ended_at = monotonic()
        self.failure = failure
        self._let_go()
        self._wake()

    def _pay(self) -> None:
        debt, self._debt = self._debt, 0
        self._payment = self._loop.call_later(debt / BYTES_PER_SECOND, self._paid)

    def _paid(self) -> None:
        self._payment = None
        if self._debt:
            self._pay()
        self._pause_or_resume()

    def _let_go(self) -> None:
        """Nothing is waited for any more."""
        if self._payment is not None:
            self._payment.cancel()
            self._payment = None
        self._is_behind = False
        self._pause_or_resume()

    def _pause_or_resume(self) -> None:
        must_wait = self._is_behind or self._payment is not None
        if must_wait and not self._is_paused:
            self._is_paused = True
            self._source.pause_stream()
        elif self._is_paused and not must_wait:
            self._is_paused = False
            self._source.resume_stream()

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)
