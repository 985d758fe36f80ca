"""What a runtime says to the Runtime API 2018-06-01, to the byte, and what AWS answers.

Written out: nothing here is computed from the code under test.
"""

from __future__ import annotations

import asyncio

from support.raw_runtime import Api, Client

ROOT = b"/2018-06-01"
INVOCATION = ROOT + b"/runtime/invocation/"
LIMIT = 6_291_556  #: bytes of an answer
RESPONSE = INVOCATION + b"id-1/response"
ACCEPTED = (202, b'{"status":"OK"}\n')


def said(method: bytes, path: bytes, body: bytes = b"", *headers: bytes) -> bytes:
    lines = [b"%b %b HTTP/1.1" % (method, path), b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def answered(request_id: bytes, body: bytes = b"1", *headers: bytes) -> bytes:
    return said(b"POST", INVOCATION + request_id + b"/response", body, *headers)


NEXT = said(b"GET", INVOCATION + b"next")
PING = said(b"GET", ROOT + b"/ping")
INIT_ERROR = said(b"POST", ROOT + b"/runtime/init/error", b'{"errorMessage":"m","errorType":"T"}')
STREAM_HEAD = (
    b"POST %bid-1/response HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
    b"Lambda-Runtime-Function-Response-Mode: streaming\r\n\r\n" % INVOCATION
)


def refused(status: int, error_type: str, message: str) -> tuple[int, bytes]:
    return status, b'{"errorMessage":"%b","errorType":"%b"}\n' % (message.encode(), error_type.encode())


def forbidden(current: str, wanted: str) -> tuple[int, bytes]:
    text = f"State transition from {current} to {wanted} failed for runtime. Error: State transition is not allowed"
    return refused(403, "InvalidStateTransition", text)


BAD_ID = refused(400, "InvalidRequestID", "Invalid request ID")
BAD_MODE = refused(400, "InvalidFunctionResponseMode", "Invalid function response mode")
TRUNCATED = refused(400, "TruncatedHTTPRequest", "HTTP request detected as truncated")
TOO_LARGE = refused(413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size (6291556 bytes).")
OUR_FAULT = refused(500, "InternalServerError", "Internal Server Error")


async def running(api: Api, request_id: str = "id-1", **wants: bool) -> tuple[Client, asyncio.Future]:
    """A runtime that has this invocation, and the future of its answer."""
    client = await api.connect()
    client.send(NEXT)
    answer = api.invoke(request_id, **wants)
    assert (await client.answer())[1]["lambda-runtime-aws-request-id"] == request_id
    return client, answer
