"""A response that the function streams, as its invoker reads it: the bytes, and then how they ended."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable

from lambdad.invocation.run import Run
from lambdad.model.invocation import StreamEnd
from lambdad.runtime_api.response_stream import MAX_STREAM_BYTES, RESET, TIMED_OUT, TOO_LARGE, ResponseStream, StreamFailure

_TEXTS = {
    TOO_LARGE: f"Response payload size exceeded maximum allowed payload size ({MAX_STREAM_BYTES} bytes).",
    RESET: "The execution environment was stopped",
    TIMED_OUT: "The function took too long",
}
_CUT = "The response ended before it was whole"


class StreamedAnswer:
    """`model.invocation.StreamedResponse`. `settled` is waited for where the log's tail is wanted, since REPORT is in it."""

    def __init__(self, stream: ResponseStream, run: Run, settled: Callable[[], Awaitable[None]]) -> None:
        self.content_type = stream.content_type
        self._stream = stream
        self._run = run
        self._settled = settled

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._stream

    def close(self) -> None:
        self._stream.close()

    async def end(self) -> StreamEnd:
        """To be asked when the iteration has ended."""
        run = self._run
        if run.invocation.wants_log_tail:
            await self._settled()
        failed = self._stream.failure
        if failed is None:
            return StreamEnd(log_tail=run.log_tail)
        return StreamEnd(failed.error_type or "Runtime.Unknown", failed.body or self._told(failed), run.log_tail)

    def _told(self, failed: StreamFailure) -> bytes:
        """An error without words of the function's own: what an invoker who waits for the whole would be told."""
        run = self._run
        if run.failure is not None:
            return run.failure.payload(run.invocation.request_id)
        text = _TEXTS.get(failed.error_type, _CUT)
        error = {"errorType": failed.error_type, "errorMessage": f"RequestId: {run.invocation.request_id} Error: {text}"}
        return json.dumps(error, separators=(",", ":")).encode()
