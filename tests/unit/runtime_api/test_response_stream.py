"""Streamed responses: from the runtime's socket to whoever reads them, fast, slow, or not to the end."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from lambdad.runtime_api import answers, response_stream
from lambdad.runtime_api.response_stream import HIGH_WATER_BYTES, MAX_STREAM_BYTES, ResponseStream, StreamFailure
from lambdad.runtime_api.session import AnswerKind

PATH = b"/2018-06-01/runtime/invocation/"
NEXT = b"GET %bnext HTTP/1.1\r\nHost: x\r\n\r\n" % PATH
MODE = b"Lambda-Runtime-Function-Response-Mode: streaming\r\n"
TRAILER = b"Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n"
#: What the event loops read from a socket at a time, and the last of it that they had read already.
ONE_READ_BYTES = 512 * 1024
END = b"0\r\n\r\n"


def begin(request_id: bytes = b"id-1", headers: bytes = b"") -> bytes:
    head = b"POST %b%b/response HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n" % (PATH, request_id)
    return head + MODE + TRAILER + headers + b"\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


async def running(api, **wants):
    """A runtime that has the invocation id-1, and the future of its answer."""
    runtime = await api.connect()
    runtime.send(NEXT)
    answer = api.invoke(**{"wants_stream": True, **wants})
    await runtime.answer()
    return runtime, answer


async def streaming(api, headers: bytes = b""):
    """The same, with a streamed response begun."""
    runtime, answer = await running(api)
    runtime.send(begin(headers=headers))
    posted = await answer
    assert posted.kind is AnswerKind.STREAM
    return runtime, posted.stream


async def whole(stream: ResponseStream) -> bytes:
    return b"".join([piece async for piece in stream])


class Source:
    """Writes down whether its stream wants more."""

    def __init__(self) -> None:
        self.is_paused = False

    def pause_stream(self) -> None:
        self.is_paused = True

    def resume_stream(self) -> None:
        self.is_paused = False


# The stream alone


async def test_source_waits_for_a_slow_reader():
    """The source is paused when more is waiting than the mark, and goes on when it was read."""
    source = Source()
    stream = ResponseStream("text/plain", source, asyncio.get_running_loop())
    stream.write(b"x" * HIGH_WATER_BYTES)
    assert not source.is_paused
    stream.write(b"y")
    assert source.is_paused
    assert await anext(stream) == b"x" * HIGH_WATER_BYTES + b"y"
    assert not source.is_paused


@pytest.mark.parametrize("leave", [ResponseStream.close, ResponseStream.finish])
async def test_source_never_stays_paused(leave):
    """When the reader leaves, or the stream is ended from outside, the source may go on."""
    source = Source()
    stream = ResponseStream("text/plain", source, asyncio.get_running_loop())
    stream.write(b"x" * HIGH_WATER_BYTES * 2)
    leave(stream)
    assert not source.is_paused
    stream.write(b"x" * HIGH_WATER_BYTES * 2)
    assert not source.is_paused


async def test_limit_of_a_stream(monkeypatch):
    """What is within the limit arrives; the first byte beyond it ends the stream with AWS's error type."""
    monkeypatch.setattr(response_stream, "MAX_STREAM_BYTES", 10)
    stream = ResponseStream("text/plain", Source(), asyncio.get_running_loop())
    stream.write(b"0123456789")
    assert not stream.is_too_large
    stream.write(b"a")
    stream.write(b"b")
    assert await whole(stream) == b"0123456789"
    assert stream.is_too_large
    assert stream.failure == StreamFailure("Function.ResponseSizeTooLarge")


class Timers:
    """As much of an event loop as a stream's pace needs: time passes when the test says so."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, object]] = []

    def call_later(self, delay, callback):
        entry = (delay, callback)
        self.waiting.append(entry)
        return type("Handle", (), {"cancel": lambda handle: self.waiting.remove(entry)})()

    def pass_by(self) -> float:
        delay, callback = self.waiting.pop(0)
        callback()
        return delay


async def test_pace_of_a_stream():
    """The first 6 MB come as fast as they can; then the source waits as long as 2 MB a second take, whatever comes at once."""
    source, timers = Source(), Timers()
    stream = ResponseStream("text/plain", source, timers)
    for _ in range(96):
        stream.write(b"x" * 65536)
        await anext(stream)
    assert not source.is_paused and not timers.waiting
    stream.write(b"x" * 32768)
    stream.write(b"x" * 65536)  # had been read already
    assert source.is_paused
    await anext(stream)
    assert timers.pass_by() == 1 / 64
    assert source.is_paused
    assert timers.pass_by() == 1 / 32
    assert not source.is_paused and not timers.waiting


def test_pace_begins_within_a_piece():
    """Only what is beyond the first 6 MB is waited for."""
    source, timers = Source(), Timers()
    stream = ResponseStream("text/plain", source, timers)
    stream.write(b"x" * (6 * 1024 * 1024 + 1024 * 1024))
    assert timers.pass_by() == 0.5
    assert source.is_paused, "its reader has read nothing"


@pytest.mark.parametrize("leave", [ResponseStream.close, ResponseStream.finish])
def test_no_pace_for_nobody(leave):
    """When the reader has left, or the stream is over, the runtime may finish at once."""
    source, timers = Source(), Timers()
    stream = ResponseStream("text/plain", source, timers)
    stream.write(b"x" * (8 * 1024 * 1024))
    leave(stream)
    assert not source.is_paused and not timers.waiting
    stream.write(b"x" * (8 * 1024 * 1024))
    assert not source.is_paused and not timers.waiting


async def test_first_end_counts():
    """A stream that failed is not made whole by what comes later."""
    stream = ResponseStream("text/plain", Source(), asyncio.get_running_loop())
    stream.finish(StreamFailure("Sandbox.Timeout"))
    stream.finish()
    assert await whole(stream) == b""
    assert stream.failure == StreamFailure("Sandbox.Timeout")


async def test_reader_that_is_cancelled_can_read_on():
    """A read that is cancelled, as by a timeout, loses nothing."""
    stream = ResponseStream("text/plain", Source(), asyncio.get_running_loop())
    reading = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    stream.write(b"later")
    stream.finish()
    assert await whole(stream) == b"later"


async def test_close_wakes_the_reader():
    """A reader that waits while another part closes the stream is told that it is over."""
    stream = ResponseStream("text/plain", Source(), asyncio.get_running_loop())
    reading = asyncio.ensure_future(whole(stream))
    await asyncio.sleep(0)
    stream.close()
    assert await reading == b""


# Over a socket


async def test_pieces_arrive_as_they_are_sent(api):
    """The answer is there with the headers, each piece before the next one is sent, and the runtime gets its 202 at the end."""
    runtime, stream = await streaming(api, b"Content-Type: text/html\r\n")
    assert stream.content_type == "text/html"
    for piece in (b"one", b"two", b"three"):
        runtime.send(chunk(piece))
        assert await anext(stream) == piece
    runtime.send(END)
    assert await whole(stream) == b""
    assert stream.failure is None
    assert await runtime.answer() == (202, {"content-type": "application/json", "content-length": "16"}, b'{"status":"OK"}\n')
    runtime.send(NEXT)
    api.invoke("id-2")
    assert (await runtime.answer())[1]["lambda-runtime-aws-request-id"] == "id-2"


async def test_stream_without_a_content_type(api):
    """Without a content type a stream is bytes."""
    _, stream = await streaming(api)
    assert stream.content_type == "application/octet-stream"


async def test_slow_reader_slows_the_runtime(api, monkeypatch):
    """While nobody reads, the runtime cannot get rid of more than sockets hold, and little of it is in the server's memory."""
    monkeypatch.setattr(response_stream, "UNPACED_BYTES", MAX_STREAM_BYTES)
    runtime, stream = await streaming(api)
    total = 64 * 1024 * 1024

    async def send_all() -> None:
        for _ in range(total // 65536):
            runtime.send(chunk(b"x" * 65536))
            await runtime.writer.drain()
        runtime.send(END)

    sending = asyncio.ensure_future(send_all())
    received = 0
    while received < total:
        while not (stream._is_paused or stream._received == total):
            await asyncio.sleep(0)
        assert len(stream._buffer) <= HIGH_WATER_BYTES + ONE_READ_BYTES
        assert not sending.done() or stream._received > total // 2
        received += len(await anext(stream))
    assert await whole(stream) == b""
    await sending
    assert (await runtime.answer())[0] == 202
    assert api.server._buffered == 0


async def test_reader_that_leaves_early(api):
    """The runtime is not told and not held up: it sends the rest in vain, gets its 202, and is asked again."""
    runtime, stream = await streaming(api)
    runtime.send(chunk(b"first"))
    assert await anext(stream) == b"first"
    stream.close()
    for _ in range(100):
        runtime.send(chunk(b"x" * 65536))
        await runtime.writer.drain()
    runtime.send(END)
    assert (await runtime.answer())[0] == 202
    assert await whole(stream) == b""
    runtime.send(NEXT)
    assert await api.session.wait_ready()


async def test_invoker_that_left_before_the_stream(api):
    """A stream for nobody is taken and dropped."""
    runtime, answer = await running(api)
    answer.cancel()
    runtime.send(begin() + chunk(b"x" * HIGH_WATER_BYTES * 4) + END)
    assert (await runtime.answer())[0] == 202


async def test_error_in_mid_stream(api):
    """Trailers come at the end of the iteration: what was sent before them has arrived, and the runtime is accepted."""
    runtime, stream = await streaming(api)
    error = {"errorMessage": "broke", "errorType": "Error"}
    runtime.send(
        chunk(b"half")
        + b"0\r\nLambda-Runtime-Function-Error-Type: Function.Broke\r\nLambda-Runtime-Function-Error-Body: "
        + base64.b64encode(json.dumps(error).encode())
        + b"\r\n\r\n"
    )
    assert await whole(stream) == b"half"
    assert stream.failure.error_type == "Function.Broke"
    assert json.loads(stream.failure.body) == error
    assert (await runtime.answer())[0] == 202


async def test_error_trailer_that_cannot_be_read(api):
    """A trailer's body that is no base64 is left out; the type stands."""
    runtime, stream = await streaming(api)
    runtime.send(
        b"0\r\nLambda-Runtime-Function-Error-Type: Runtime.X\r\nLambda-Runtime-Function-Error-Body: {not base64}\r\n\r\n"
    )
    assert await whole(stream) == b""
    assert stream.failure == StreamFailure("Runtime.X")


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
async def test_runtime_that_dies_in_mid_stream(api, how):
    """What was sent arrives, then the stream has failed as truncated."""
    runtime, stream = await streaming(api)
    runtime.send(chunk(b"half") + b"5\r\nab")
    assert await anext(stream) in (b"half", b"halfab")
    if how == "reset":
        runtime.writer.transport.abort()
    elif how == "close":
        runtime.writer.close()
    else:
        runtime.writer.write_eof()
    assert await whole(stream) in (b"", b"ab")
    assert stream.failure == StreamFailure("Runtime.TruncatedResponse")
    if how == "half-close":
        assert (await runtime.answer())[2] == answers.TRUNCATED.partition(b"\r\n\r\n")[2]


async def test_runtime_that_lost_its_stream_may_ask_again(api):
    """As on AWS, a truncated stream ends the invocation, not the runtime."""
    runtime, stream = await streaming(api)
    runtime.writer.close()
    assert await whole(stream) == b""
    other = await api.connect()
    other.send(NEXT)
    api.invoke("id-2")
    assert (await other.answer())[1]["lambda-runtime-aws-request-id"] == "id-2"


async def test_malformed_chunk_in_mid_stream(api):
    """A chunk that cannot be read ends the connection with 400, and the stream as truncated."""
    runtime, stream = await streaming(api)
    runtime.send(chunk(b"good") + b"zz\r\n")
    assert await whole(stream) == b"good"
    assert stream.failure == StreamFailure("Runtime.TruncatedResponse")
    assert (await runtime.answer())[0] == 400
    assert await runtime.is_closed()


@pytest.mark.parametrize("error_type", ["Sandbox.Timeout", "Sandbox.Failure"])
async def test_environment_that_ends_in_mid_stream(api, error_type):
    """The reader gets what had come and the reason of the reset; the rest does not count."""
    runtime, stream = await streaming(api)
    runtime.send(chunk(b"half"))
    assert await anext(stream) == b"half"
    api.session.end(error_type)
    runtime.send(chunk(b"late") + END)
    assert await whole(stream) == b""
    assert stream.failure == StreamFailure(error_type)
    status, _, body = await runtime.answer()
    assert (status, json.loads(body)["errorType"]) == (400, "InvalidRequestID")


async def test_stream_beyond_the_limit(api, monkeypatch):
    """The invoker learns it at once, the runtime when it has sent all, and both go on."""
    monkeypatch.setattr(response_stream, "MAX_STREAM_BYTES", 100_000)
    runtime, stream = await streaming(api)
    runtime.send(chunk(b"x" * 150_000))
    assert len(await whole(stream)) == 100_000
    assert stream.failure == StreamFailure("Function.ResponseSizeTooLarge")
    runtime.send(END)
    status, _, body = await runtime.answer()
    assert status == 413
    assert json.loads(body) == {
        "errorMessage": "Exceeded maximum allowed payload size (209715200 bytes).",
        "errorType": "RequestEntityTooLarge",
    }
    runtime.send(NEXT)
    assert await api.session.wait_ready()


async def test_stream_wanted_and_not_given(api):
    """A runtime that does not stream answers as ever, and within the limit of a buffered response."""
    runtime, answer = await running(api)
    body = b"Content-Length: 5\r\n\r\nwhole"
    assert (await runtime.ask(b"POST %bid-1/response HTTP/1.1\r\n" % PATH + body))[0] == 202
    posted = await answer
    assert (posted.kind, posted.body, posted.stream) == (AnswerKind.RESPONSE, b"whole", None)


async def test_error_instead_of_a_stream(api):
    """Before a stream has begun, an error is an error."""
    runtime, answer = await running(api)
    assert (await runtime.ask(b"POST %bid-1/error HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}" % PATH))[0] == 202
    assert (await answer).kind is AnswerKind.ERROR


async def test_response_mode_in_a_trailer(api):
    """What comes behind the body cannot change how it was to be read."""
    runtime, answer = await running(api, wants_stream=False)
    runtime.send(b"POST %bid-1/response HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" % PATH + chunk(b"body"))
    runtime.send(b"0\r\nLambda-Runtime-Function-Response-Mode: nonsense\r\nContent-Type: text/html\r\n\r\n")
    assert (await runtime.answer())[0] == 202
    posted = await answer
    assert (posted.kind, posted.body, posted.content_type) == (AnswerKind.RESPONSE, b"body", "application/json")


async def test_stream_under_a_wrong_id(api):
    """It is read to its end and refused, and the invocation still waits."""
    runtime, answer = await running(api)
    status, _, body = await runtime.ask(begin(b"id-2") + chunk(b"x") + END)
    assert (status, json.loads(body)["errorType"]) == (400, "InvalidRequestID")
    assert not answer.done()


async def test_second_stream_beside_the_first(api):
    """While a response streams, another one for the same invocation is refused and the first goes on."""
    runtime, stream = await streaming(api)
    other = await api.connect()
    status, _, body = await other.ask(begin() + chunk(b"forged") + END)
    assert status == 403
    assert json.loads(body)["errorMessage"] == (
        "State transition from InvocationResponse to InvocationResponse failed for runtime. "
        "Error: State transition is not allowed"
    )
    runtime.send(chunk(b"true") + END)
    assert await whole(stream) == b"true"


async def test_next_before_the_end_of_a_stream(api):
    """A runtime that still streams gets no other invocation."""
    runtime, stream = await streaming(api)
    other = await api.connect()
    status, _, body = await other.ask(NEXT)
    assert (status, json.loads(body)["errorMessage"].split(" failed")[0]) == (
        403,
        "State transition from InvocationResponse to Ready",
    )
    runtime.send(END)
    assert await whole(stream) == b""
    assert stream.failure is None


async def test_stream_that_asks_before_it_sends(api):
    """A client that waits for 100 Continue gets it before the body."""
    runtime, stream = await streaming(api, b"Expect: 100-continue\r\n")
    assert await runtime.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    runtime.send(chunk(b"body") + END)
    assert await whole(stream) == b"body"
    assert (await runtime.answer())[0] == 202
