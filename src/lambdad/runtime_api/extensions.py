"""The routes of the Extensions API 2020-01-01: a complete request in, the answer's bytes out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lambdad.model.extension_session import ExtensionEvent, InvalidExtensionTransition
from lambdad.runtime_api import answers
from lambdad.runtime_api.extension_session import Extension, ExtensionRefusal, ExtensionSession
from lambdad.runtime_api.session import NextWaiter

if TYPE_CHECKING:
    from lambdad.runtime_api.runtime import Request

PREFIX = b"/2020-01-01/extension/"
NAME = b"lambda-extension-name"
IDENTIFIER = b"lambda-extension-identifier"
ACCEPT_FEATURE = b"lambda-extension-accept-feature"
ERROR_TYPE = b"lambda-extension-function-error-type"
#: The request's headers that mean something to these routes.
HEADERS = frozenset({NAME, IDENTIFIER, ACCEPT_FEATURE, ERROR_TYPE})

_METHODS = {b"register": b"POST", b"event/next": b"GET", b"init/error": b"POST", b"exit/error": b"POST"}
_ERRORS = {b"init/error": ExtensionEvent.INIT_ERROR, b"exit/error": ExtensionEvent.EXIT_ERROR}


class _Registration(msgspec.Struct, forbid_unknown_fields=True):
    events: list[str] = []


def answer(session: ExtensionSession, request: Request, connection: NextWaiter) -> bytes | None:
    """The answer, or None for an `event/next`, whose answer is delivered to `connection` when there is an event."""
    verb = request.path.removeprefix(PREFIX)
    method = _METHODS.get(verb)
    if method is None:
        return answers.NOT_FOUND
    if request.method != method:
        return answers.method_not_allowed(method.decode())
    try:
        if verb == b"register":
            return _register(session, request)
        extension = session.find(_header(request, IDENTIFIER))
        if verb == b"event/next":
            session.next(extension, connection)
            return None
        return _error(session, extension, request, _ERRORS[verb])
    except ExtensionRefusal as refusal:
        return answers.refusal(403, refusal.error_type, str(refusal))
    except InvalidExtensionTransition as error:
        return answers.refusal(403, "Extension.InvalidExtensionState", str(error))


def _register(session: ExtensionSession, request: Request) -> bytes:
    name = _header(request, NAME)
    if not name:
        raise ExtensionRefusal("Extension.InvalidExtensionName", "Empty extension name")
    try:
        wanted = msgspec.json.decode(request.body, type=_Registration) if request.body.strip() else _Registration()
    except (msgspec.DecodeError, RecursionError) as error:
        raise ExtensionRefusal("InvalidRequestFormat", str(error)) from error
    extension = session.register(name, wanted.events)
    identity = session.identity
    told = {"functionName": identity.name, "functionVersion": identity.version, "handler": identity.handler}
    if "accountId" in [feature.strip() for feature in _header(request, ACCEPT_FEATURE).split(",")]:
        told["accountId"] = identity.account_id
    return answers.ok(msgspec.json.encode(told), "application/json", f"Lambda-Extension-Identifier: {extension.identifier}")


def _error(session: ExtensionSession, extension: Extension, request: Request, event: ExtensionEvent) -> bytes:
    error_type = _header(request, ERROR_TYPE)
    if not error_type:
        raise ExtensionRefusal("Extension.MissingHeader", "Lambda-Extension-Function-Error-Type not found")
    session.fail(extension, event, error_type)
    return answers.ACCEPTED


def _header(request: Request, name: bytes) -> str:
    return request.headers.get(name, b"").decode("utf-8", "replace").strip()
