"""The Runtime API's HTTP answers as bytes, made ahead of need where they never change."""

from __future__ import annotations

import json
from http import HTTPStatus

from lambdad.runtime_api.response_stream import MAX_STREAM_BYTES

#: 6 MiB and 100 bytes: the largest response that a function may give to a buffered invocation.
MAX_RESPONSE_BYTES = 6 * 1024 * 1024 + 100


def _answer(status: int, body: bytes, content_type: str, *further_headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, *further_headers, "", ""]).encode() + body


def refusal(status: int, error_type: str, message: str) -> bytes:
    body = json.dumps({"errorMessage": message, "errorType": error_type}, separators=(",", ":")) + "\n"
    return _answer(status, body.encode(), "application/json")


def method_not_allowed(allowed: str) -> bytes:
    return _answer(405, b"", "text/plain; charset=utf-8", f"Allow: {allowed}")


def ok(body: bytes, content_type: str, *further_headers: str) -> bytes:
    return _answer(200, body, content_type, *further_headers)


def text(status: int, message: str) -> bytes:
    return _answer(status, f"{message}\n".encode(), "text/plain; charset=utf-8")


CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
RESTORED = _answer(200, b"", "application/json")
#: To our own runtime client, where AWS's would just be frozen: the snapshot is taken when it forks.
FORK = _answer(102, b"", "application/json")
ACCEPTED = _answer(202, b'{"status":"OK"}\n', "application/json")
PONG = _answer(200, b"pong", "text/plain; charset=utf-8")
NOT_FOUND = _answer(404, b"404 page not found\n", "text/plain; charset=utf-8")
BAD_REQUEST = _answer(400, b"400 Bad Request", "text/plain; charset=utf-8", "Connection: close")
HEADERS_TOO_LARGE = _answer(431, b"", "text/plain; charset=utf-8", "Connection: close")
INVALID_REQUEST_ID = refusal(400, "InvalidRequestID", "Invalid request ID")
INVALID_RESPONSE_MODE = refusal(400, "InvalidFunctionResponseMode", "Invalid function response mode")
STREAM_TOO_LARGE = refusal(413, "RequestEntityTooLarge", f"Exceeded maximum allowed payload size ({MAX_STREAM_BYTES} bytes).")
INTERNAL_SERVER_ERROR = refusal(500, "InternalServerError", "Internal Server Error")
TRUNCATED = refusal(400, "TruncatedHTTPRequest", "HTTP request detected as truncated")
TOO_LARGE = refusal(413, "RequestEntityTooLarge", f"Exceeded maximum allowed payload size ({MAX_RESPONSE_BYTES} bytes).")
