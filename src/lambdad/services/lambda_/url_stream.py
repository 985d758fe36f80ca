"""From a response that a function streams to the HTTP answer of its URL: first the head, then bytes as they are written."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec

from lambdad.model.invocation import StreamedResponse
from lambdad.model.site import AnswerBroken, SiteResponse
from lambdad.services.lambda_.url_response import MalformedResponse, head_of

INTEGRATION = "application/vnd.awslambda.http-integration-response"
BYTES = "application/octet-stream"
MAX_PRELUDE_BYTES = 1024 * 1024  #: more than a head may have anywhere

_DELIMITER = bytes(8)


class StreamedBody:
    """What is left of a stream, for the one who sends it. `aclose` leaves the function to run on in vain."""

    def __init__(self, stream: StreamedResponse, pieces: AsyncIterator[bytes], first: bytes = b"") -> None:
        self._stream = stream
        self._pieces = pieces
        self._first = first

    def __aiter__(self) -> StreamedBody:
        return self

    async def __anext__(self) -> bytes:
        if self._first:
            first, self._first = self._first, b""
            return first
        try:
            return await anext(self._pieces)
        except StopAsyncIteration:
            end = await self._stream.end()
            if end.error_type is None:
                raise
            raise AnswerBroken(end.error_type) from None

    async def aclose(self) -> None:
        self._stream.close()


async def response_of_stream(stream: StreamedResponse) -> SiteResponse:
    """Waits for the head alone. MalformedResponse, and the stream is closed, when there is none that means an HTTP answer."""
    pieces = aiter(stream)
    try:
        if stream.content_type.partition(";")[0].strip().lower() != INTEGRATION:
            _, headers = head_of({"statusCode": 200, "headers": {"content-type": stream.content_type or BYTES}})
            return SiteResponse(200, headers, StreamedBody(stream, pieces))
        prelude, rest = await _prelude_of(stream, pieces)
        status, headers = head_of({"statusCode": 200, **_read(prelude)}, content_type=BYTES)
        return SiteResponse(status, headers, StreamedBody(stream, pieces, rest))
    except BaseException:
        stream.close()
        raise


async def _prelude_of(stream: StreamedResponse, pieces: AsyncIterator[bytes]) -> tuple[bytes, bytes]:
    """What stands before the eight zeros, and what has come behind them."""
    held = bytearray()
    async for piece in pieces:
        begin = max(0, len(held) - len(_DELIMITER) + 1)
        held += piece
        at = held.find(_DELIMITER, begin)
        if at > MAX_PRELUDE_BYTES or (at < 0 and len(held) > MAX_PRELUDE_BYTES):
            raise MalformedResponse(f"no head has come within {MAX_PRELUDE_BYTES} bytes")
        if at >= 0:
            return bytes(held[:at]), bytes(held[at + len(_DELIMITER) :])
    end = await stream.end()
    raise MalformedResponse(f"the stream ended before its head: {end.error_type or 'no error'}")


def _read(prelude: bytes) -> dict[str, object]:
    try:
        return msgspec.json.decode(prelude, type=dict[str, object])
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedResponse(f"the head is not a JSON object: {error}") from error
