"""One HTTP/1.1 connection from inside an environment: reads requests within bounds, answers them in their order.

Whatever comes in is untrusted. What cannot be read closes this connection and harms nothing else.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from time import monotonic
from typing import Protocol, cast

import httptools

from lambdad.runtime_api import answers, runtime
from lambdad.runtime_api.answers import MAX_RESPONSE_BYTES
from lambdad.runtime_api.response_stream import ResponseStream
from lambdad.runtime_api.runtime import Request
from lambdad.runtime_api.session import RuntimeSession

_log = logging.getLogger(__name__)

#: Request line and headers, or trailers, of one request. AWS's limit; X-Ray causes travel in a header.
MAX_HEAD_BYTES = 1024 * 1024
#: Requests that may be sent behind a `next` that waits. No runtime needs more than one.
MAX_DEFERRED = 4


class ConnectionOwner(Protocol):
    session: RuntimeSession

    def opened(self, connection: RuntimeApiConnection) -> bool:
        """False when there are too many connections already."""
        ...

    def closed(self, connection: RuntimeApiConnection) -> None: ...

    def may_buffer(self, size: int) -> bool:
        """Counts `size` more bytes held for this environment (fewer when negative); False when that is too much."""
        ...


class RuntimeApiConnection(asyncio.Protocol):
    def __init__(self, owner: ConnectionOwner) -> None:
        self._owner = owner
        self.session = owner.session
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._is_waiting = False  #: a `next` has been asked for and not been answered
        self._closes_after_next = False
        self._held: list[bytes] = []  #: answers not yet written
        self._deferred: deque[Request] = deque()  #: requests sent behind a waiting `next`
        self._overhead = 0  #: bytes of the present request that are not body
        self._buffered = 0  #: body bytes that this connection holds
        self._in_message = False
        self._is_closing = False
        self._is_unread = False  #: the other side does not read our answers
        self._is_ahead = False  #: the reader of a streamed response does not keep up with it
        self._begin()

    def _begin(self) -> None:
        self._url = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._body_size = 0
        self._too_large: Request | None = None
        self._expects_continue = False
        self._are_headers_over = False
        self._stream: ResponseStream | None = None  #: where the present body goes piece by piece
        self._begun_at = 0.0  #: when the first of a body came that did not come at once

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not derive from it
        if not self._owner.opened(self) or self._is_closing:
            self.abort()

    def data_received(self, data: bytes) -> None:
        if self._is_closing:
            return
        self._overhead += len(data)
        try:
            self._feed(data)
        except httptools.HttpParserCallbackError as error:  # not what was sent is wrong, but we are
            _log.error("A request to the Runtime API failed", exc_info=error.__context__)
            self._refuse(answers.INTERNAL_SERVER_ERROR)
            return
        except httptools.HttpParserError:
            self._refuse(answers.BAD_REQUEST)
            return
        if self._body and not self._begun_at:
            self._begun_at = monotonic()
        if self._overhead > MAX_HEAD_BYTES:
            self._refuse(answers.HEADERS_TOO_LARGE)
        elif self._held and not (self._is_waiting and self._held[-1] is answers.ACCEPTED):
            self._write()
        # Else a response was sent together with the `next` after it: that it was accepted is said when there is an
        # invocation. A runtime that asked ahead cannot do anything useful in between, and is woken once, not twice.

    def _feed(self, data: bytes) -> None:
        while data:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                # Some clients offer HTTP/2 with every request; it is read on as HTTP/1.1.
                self._parser = httptools.HttpRequestParser(self)
                data = data[upgrade.args[0] :]
            else:
                return

    def eof_received(self) -> bool:
        if self._in_message and not self._is_waiting:
            self._held.append(answers.TRUNCATED)
        self._cut_stream()
        self._write()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._is_closing = True
        self._cut_stream()
        if self._is_waiting:
            self._is_waiting = False
            self.session.next_lost(self)
        self._release(self._buffered)
        self._deferred.clear()
        self._held.clear()
        self._owner.closed(self)

    def pause_writing(self) -> None:
        self._is_unread = True
        self._read_or_pause()

    def resume_writing(self) -> None:
        self._is_unread = False
        self._read_or_pause()

    # StreamSource

    def pause_stream(self) -> None:
        self._is_ahead = True
        self._read_or_pause()

    def resume_stream(self) -> None:
        self._is_ahead = False
        self._read_or_pause()

    def _read_or_pause(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._is_unread or self._is_ahead:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    # httptools

    def on_message_begin(self) -> None:
        self._in_message = True

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in runtime.HEADERS:
            if self._are_headers_over:
                if name in runtime.TRAILERS:
                    self._headers[name] = value
            else:
                self._headers.setdefault(name, value)
        elif name == b"expect":
            self._expects_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        self._overhead = 0
        self._are_headers_over = True
        if runtime.RESPONSE_MODE in self._headers and not self._is_waiting and not self._is_closing:
            method, path = self._parser.get_method(), self._path()
            self._stream = runtime.open_stream(self.session, method, path, self._headers, self)
        if self._expects_continue and not self._is_waiting:
            self._held.append(answers.CONTINUE)

    def on_chunk_complete(self) -> None:
        self._overhead = 0

    def on_body(self, body: bytes) -> None:
        self._overhead -= len(body)
        if self._too_large is not None or self._is_closing:
            return
        if self._stream is not None:
            self._stream.write(body)
            return
        self._body_size += len(body)
        if self._body_size > MAX_RESPONSE_BYTES:
            self._release(self._body_size - len(body))
            self._body.clear()
            self._too_large = Request(self._parser.get_method(), self._path(), is_too_large=True)
            if not self._is_waiting:
                runtime.report_too_large(self.session, self._too_large)
            return
        self._buffered += len(body)
        if self._owner.may_buffer(len(body)):
            self._body.append(body)
        else:
            self.abort()

    def on_message_complete(self) -> None:
        self._in_message = False
        self._overhead = 0
        if self._is_closing:
            return
        if self._stream is not None:
            self._end_stream(self._stream)
            return
        request = self._too_large
        if request is None:
            body = self._body
            whole = body[0] if len(body) == 1 else b"".join(body)
            request = Request(self._parser.get_method(), self._path(), self._headers, whole)
        request.keep_alive = self._parser.should_keep_alive()
        if self._begun_at:
            request.transfer_seconds = monotonic() - self._begun_at
        self._begin()
        if not self._is_waiting:
            self._process(request)
        elif len(self._deferred) < MAX_DEFERRED:
            self._deferred.append(request)
        else:
            self.abort()

    def _path(self) -> bytes:
        return self._url.partition(b"?")[0] if b"?" in self._url else self._url

    # Answers

    def _process(self, request: Request) -> None:
        if request.body:
            self._release(len(request.body))
        self._is_waiting = True
        answer = runtime.answer(self.session, request, self)
        if answer is None:
            if self._is_waiting:
                self._closes_after_next = not request.keep_alive
            elif not request.keep_alive:
                self._close()
            return
        self._is_waiting = False
        self._held.append(answer)
        if not request.keep_alive:
            self._close()

    def deliver(self, answer: bytes) -> None:
        """The answer to the `next` that waits here."""
        self._is_waiting = False
        self._held.append(answer)
        self._write()
        if self._closes_after_next:
            self._close()
        while self._deferred and not self._is_waiting and not self._is_closing:
            self._process(self._deferred.popleft())
        if not self._is_waiting:
            self._write()

    def _end_stream(self, stream: ResponseStream) -> None:
        self._held.append(runtime.close_stream(self.session, stream, self._headers))
        self._begin()
        if not self._parser.should_keep_alive():
            self._close()

    def _cut_stream(self) -> None:
        if self._stream is not None:
            stream, self._stream = self._stream, None
            self.session.cut_stream(stream)

    def _write(self) -> None:
        held = self._held
        if not held or self._transport is None:
            return
        if len(held) == 1:
            self._transport.write(held[0])
        else:
            self._transport.writelines(held)
        self._held = []

    def _refuse(self, answer: bytes) -> None:
        """For what cannot be read on: nothing that follows on this connection has a meaning."""
        self._held.append(answer)
        self._cut_stream()
        self._close()

    def _close(self) -> None:
        self._is_closing = True
        self._write()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        self._is_closing = True
        if self._transport is not None:
            self._transport.abort()

    def _release(self, size: int) -> None:
        self._buffered -= size
        self._owner.may_buffer(-size)
