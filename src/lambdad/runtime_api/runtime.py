"""The routes of the Runtime API 2018-06-01: a complete request in, the answer's bytes out."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from lambdad.model.runtime_session import InvalidStateTransition, RuntimeEvent
from lambdad.runtime_api import answers, credentials, extensions, subscriptions
from lambdad.runtime_api.response_stream import ResponseStream, StreamFailure, StreamSource
from lambdad.runtime_api.session import (
    AnswerKind,
    Beginning,
    InvalidRequestID,
    NextWaiter,
    RuntimeAnswer,
    RuntimeSession,
    SessionEnded,
)

NEXT = b"/2018-06-01/runtime/invocation/next"
INVOCATION = b"/2018-06-01/runtime/invocation/"
INIT_ERROR = b"/2018-06-01/runtime/init/error"
RESTORE_NEXT = b"/2018-06-01/runtime/restore/next"
RESTORE_ERROR = b"/2018-06-01/runtime/restore/error"
PING = b"/2018-06-01/ping"
ERROR_WITH_CAUSE = "application/vnd.aws.lambda.error.cause+json"

RESPONSE_MODE = b"lambda-runtime-function-response-mode"
STREAMING = b"streaming"
ERROR_TYPE = b"lambda-runtime-function-error-type"
ERROR_BODY = b"lambda-runtime-function-error-body"
CONTENT_TYPE = b"content-type"
#: The request's headers and trailers that mean something to these routes; the others are not kept.
HEADERS = frozenset({RESPONSE_MODE, ERROR_TYPE, ERROR_BODY, CONTENT_TYPE, credentials.HEADER}) | extensions.HEADERS

#: Those of them that may come as trailers, behind the body.
TRAILERS = frozenset({ERROR_TYPE, ERROR_BODY})

_NO_HEADERS: Mapping[bytes, bytes] = {}


@dataclass(slots=True)
class Request:
    """A request that has been read to its end. `body` is empty when it was longer than a response may be."""

    method: bytes
    path: bytes  #: without the query
    headers: Mapping[bytes, bytes] = field(default_factory=lambda: _NO_HEADERS)
    body: bytes = b""
    is_too_large: bool = False
    was_reported: bool = False  #: the invoker was told that it is too large before the body had ended
    keep_alive: bool = True
    transfer_seconds: float = 0.0  #: see `RuntimeAnswer`


def answer(session: RuntimeSession, request: Request, connection: NextWaiter) -> bytes | None:
    """The answer, or None for a `next` of whatever kind, whose answer is delivered to `connection` when it is there."""
    path = request.path
    if path == NEXT:
        return _next(session, request, connection)
    if path.startswith(INVOCATION):
        return _invocation(session, request)
    if path.startswith(extensions.PREFIX) and session.extensions is not None:
        return extensions.answer(session.extensions, request, connection)
    if path in (subscriptions.TELEMETRY_PATH, subscriptions.LOGS_PATH) and session.extensions is not None:
        return subscriptions.answer(session.extensions, request)
    if session.beginning is not Beginning.INIT and path in _SNAPSHOT_ROUTES:
        return _of_snapshots(session, request, connection)
    return _elsewhere(session, request)


def report_too_large(session: RuntimeSession, request: Request) -> None:
    """Tells the invoker as soon as the response has grown too large, without waiting for its end."""
    request_id, event = _target(request.path)
    if request.method != b"POST" or event is None:
        return
    try:
        session.answer(request_id, event, RuntimeAnswer(AnswerKind.TOO_LARGE))
    except (InvalidRequestID, InvalidStateTransition):
        return  # the refusal is sent when the request has ended, as for any other
    request.was_reported = True


def open_stream(
    session: RuntimeSession, method: bytes, path: bytes, headers: Mapping[bytes, bytes], source: StreamSource
) -> ResponseStream | None:
    """To be asked when the headers of a request with a response mode are there. None if it is not to be passed on piece by
    piece: it is then a request like any other."""
    if method != b"POST" or headers.get(RESPONSE_MODE) != STREAMING:
        return None
    request_id, event = _target(path)
    if event is not RuntimeEvent.RESPONSE:
        return None
    content_type = headers.get(CONTENT_TYPE, b"application/octet-stream").decode("latin-1")
    return session.open_stream(request_id, content_type, source)


def close_stream(session: RuntimeSession, stream: ResponseStream, headers: Mapping[bytes, bytes]) -> bytes:
    """The answer to a streamed response that has been read to its end; `headers` include its trailers."""
    failure = None
    if ERROR_TYPE in headers:
        failure = StreamFailure(headers[ERROR_TYPE].decode("latin-1"), _trailer_body(headers))
    is_of_now = session.close_stream(stream, failure)
    if stream.is_too_large:
        return answers.STREAM_TOO_LARGE
    return answers.ACCEPTED if is_of_now else answers.INVALID_REQUEST_ID


def _next(session: RuntimeSession, request: Request, connection: NextWaiter) -> bytes | None:
    if request.method != b"GET":
        return answers.method_not_allowed("GET")
    try:
        session.next(connection)
    except InvalidStateTransition as error:
        return answers.refusal(403, "InvalidStateTransition", str(error))
    except SessionEnded:
        return answers.INTERNAL_SERVER_ERROR
    return None


def _target(path: bytes) -> tuple[str, RuntimeEvent | None]:
    request_id, _, verb = path[len(INVOCATION) :].partition(b"/")
    event = _VERBS.get(verb) if path.startswith(INVOCATION) else None
    return request_id.decode("latin-1"), event


def _invocation(session: RuntimeSession, request: Request) -> bytes:
    request_id, event = _target(request.path)
    if event is None:
        return answers.NOT_FOUND
    if request.method != b"POST":
        return answers.method_not_allowed("POST")
    if request.was_reported:
        return answers.TOO_LARGE
    try:
        session.check(request_id, event)
        posted = _posted(request, event)
        if request.transfer_seconds:
            posted = msgspec.structs.replace(posted, transfer_seconds=request.transfer_seconds)
        session.answer(request_id, event, posted)
    except InvalidRequestID:
        return answers.INVALID_REQUEST_ID
    except InvalidStateTransition as error:
        return answers.refusal(403, "InvalidStateTransition", str(error))
    return _ANSWERS.get(posted.kind, answers.ACCEPTED)


def _posted(request: Request, event: RuntimeEvent) -> RuntimeAnswer:
    if request.is_too_large:
        return RuntimeAnswer(AnswerKind.TOO_LARGE)
    headers = request.headers
    if event is RuntimeEvent.ERROR:
        return _error(request, AnswerKind.ERROR)
    mode = headers.get(RESPONSE_MODE)
    if mode and mode != STREAMING:
        return RuntimeAnswer(AnswerKind.INVALID_RESPONSE_MODE, error_type="Runtime.InvalidResponseModeHeader")
    if mode and ERROR_TYPE in headers:
        return _mid_stream_error(headers)
    content_type = headers.get(CONTENT_TYPE)
    if content_type is None:
        return RuntimeAnswer(AnswerKind.RESPONSE, request.body)
    return RuntimeAnswer(AnswerKind.RESPONSE, request.body, content_type.decode("latin-1"))


def _error(request: Request, kind: AnswerKind) -> RuntimeAnswer:
    headers = request.headers
    body = request.body
    content_type = headers.get(CONTENT_TYPE, b"application/json").decode("latin-1")
    if content_type == ERROR_WITH_CAUSE:
        body, content_type = _without_cause(body)
    return RuntimeAnswer(kind, body, content_type, headers.get(ERROR_TYPE, b"").decode("latin-1"))


def _init_error_of(request: Request) -> RuntimeAnswer:
    """Of an init error the body decides whether it is JSON; a text that says what it is stays one."""
    posted = _error(request, AnswerKind.INIT_ERROR)
    if not posted.body:
        return posted
    try:
        msgspec.json.decode(posted.body)
        content_type = "application/json"
    except (msgspec.DecodeError, RecursionError):
        claimed = posted.content_type
        content_type = claimed if claimed.startswith("text/") else "application/octet-stream"
    return msgspec.structs.replace(posted, content_type=content_type)


def _without_cause(body: bytes) -> tuple[bytes, str]:
    """The error alone of a body that also has X-Ray's cause; what cannot be read becomes AWS's placeholder."""
    try:
        error = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return b"Invalid error body", "application/octet-stream"
    kept = {name: error[name] for name in ("errorMessage", "errorType", "stackTrace") if name in error}
    return msgspec.json.encode(kept), "application/json"


def _mid_stream_error(headers: Mapping[bytes, bytes]) -> RuntimeAnswer:
    """A stream that ended with an error in its trailers: for an invoker who waits for the whole, the error alone."""
    error_type = headers[ERROR_TYPE].decode("latin-1")
    return RuntimeAnswer(AnswerKind.ERROR, _trailer_body(headers), "application/json", error_type)


def _trailer_body(headers: Mapping[bytes, bytes]) -> bytes:
    try:
        return base64.b64decode(headers.get(ERROR_BODY, b""), validate=True)
    except binascii.Error:
        return b""  # the type has to speak for itself


def _elsewhere(session: RuntimeSession, request: Request) -> bytes:
    route = _ROUTES.get(request.path)
    if route is None:
        return answers.NOT_FOUND
    method, respond = route
    if request.method != method:
        return answers.method_not_allowed(method.decode())
    return respond(session, request)


def _of_snapshots(session: RuntimeSession, request: Request, connection: NextWaiter) -> bytes | None:
    """What only functions with SnapStart find here."""
    method = _SNAPSHOT_ROUTES[request.path]
    if request.method != method:
        return answers.method_not_allowed(method.decode())
    if request.path == credentials.PATH:
        if session.credentials is None:
            return answers.NOT_FOUND
        return session.credentials.answer(request.headers.get(credentials.HEADER, b""))
    if request.path == RESTORE_ERROR:
        return _init_error(session, request, RuntimeEvent.RESTORE_ERROR)
    try:
        return answers.RESTORED if session.restore_next(connection) else None
    except InvalidStateTransition as error:
        return answers.refusal(403, "InvalidStateTransition", str(error))


def _init_error(session: RuntimeSession, request: Request, event: RuntimeEvent = RuntimeEvent.INIT_ERROR) -> bytes:
    if request.is_too_large:
        return answers.TOO_LARGE
    try:
        session.fail_init(_init_error_of(request), event)
    except InvalidStateTransition as error:
        return answers.refusal(403, "InvalidStateTransition", str(error))
    return answers.ACCEPTED


_VERBS = {b"response": RuntimeEvent.RESPONSE, b"error": RuntimeEvent.ERROR}
_ANSWERS = {
    AnswerKind.TOO_LARGE: answers.TOO_LARGE,
    AnswerKind.INVALID_RESPONSE_MODE: answers.INVALID_RESPONSE_MODE,
}
_SNAPSHOT_ROUTES: Mapping[bytes, bytes] = {RESTORE_NEXT: b"GET", RESTORE_ERROR: b"POST", credentials.PATH: b"GET"}
_ROUTES: Mapping[bytes, tuple[bytes, Callable[[RuntimeSession, Request], bytes]]] = {
    INIT_ERROR: (b"POST", _init_error),
    PING: (b"GET", lambda session, request: answers.PONG),
}
