"""The event of an invocation: its size, and that it is JSON. The bytes are checked and passed on as they came."""

from __future__ import annotations

import base64
import binascii
import json
from typing import NoReturn

import msgspec

from lambdad.errors import ServiceError
from lambdad.model.quota import Quotas
from lambdad.services.lambda_.refusal import too_large

EMPTY = b"{}"  #: the event of an invocation without a body

#: Bytes of an HTTP body above the limit up to which AWS still says how large the payload was.
SLIGHTLY_OVER = 100

_SOURCE = "[Source: REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled)"


def check_size(size: int, invocation_type: str, quotas: Quotas, limit: int | None = None) -> None:
    """`limit` is an operation's own, in place of its invocation type's."""
    if limit is None:
        limit = quotas.async_payload_bytes if invocation_type == "Event" else quotas.sync_payload_bytes
    if size > quotas.sync_payload_bytes + SLIGHTLY_OVER:
        raise too_large(f"Request must be smaller than {quotas.sync_payload_bytes} bytes for the InvokeFunction operation")
    if size > limit:
        raise too_large(f"{size} byte payload is too large for the {invocation_type} invocation type (limit {limit} bytes)")


def check_json(payload: bytes) -> None:
    """InvalidRequestContentException, in the words of the parser that AWS uses, unless the payload is one JSON text."""
    try:
        msgspec.json.decode(payload, type=msgspec.Raw)
        if not payload.isascii():
            payload.decode()
    except (msgspec.DecodeError, UnicodeDecodeError):
        _check_slowly(payload)
    except RecursionError as error:
        raise _not_json(
            "Document nesting depth (1001) exceeds the maximum allowed "
            "(1000, from `StreamReadConstraints.getMaxNestingDepth()`)"
        ) from error


def read_client_context(header: str, quotas: Quotas) -> str:
    """The JSON text in the X-Amz-Client-Context header."""
    if len(header) > quotas.client_context_bytes:
        raise _bad_content(f"Client context must be at most {quotas.client_context_bytes} bytes; got {len(header)}.")
    try:
        text = base64.b64decode(header, validate=True).decode()
        if not isinstance(json.loads(text, parse_constant=_refuse_constant), dict):
            raise ValueError("not an object")
    except (binascii.Error, ValueError, RecursionError) as error:
        raise _bad_content("Client context must be a valid Base64-encoded JSON object.") from error
    return text


def _check_slowly(payload: bytes) -> None:
    """Says where the payload stops being JSON, and lets pass what Python reads and msgspec does not: lone surrogates."""
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise _not_json(_bad_utf8(payload, error)) from error
    try:
        json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise _not_json(f"{_reason(text, error.pos)}\n at {_SOURCE}; line: {error.lineno}, column: {error.colno}]") from error
    except ValueError as error:
        raise _not_json(f"{error}\n at {_SOURCE}; line: 1, column: 1]") from error


def _bad_utf8(payload: bytes, error: UnicodeDecodeError) -> str:
    line = payload.count(b"\n", 0, error.start) + 1
    column = error.start - payload.rfind(b"\n", 0, error.start)
    where = "middle" if error.reason == "invalid continuation byte" else "start"
    return f"Invalid UTF-8 {where} byte 0x{payload[error.start]:02x}\n at {_SOURCE}; line: {line}, column: {column}]"


def _reason(text: str, position: int) -> str:
    rest = text[position:]
    if not rest.strip():
        return "Unexpected end-of-input"
    word = ""
    for character in rest:
        if not (character.isalnum() or character in "_$"):
            break
        word += character
        if len(word) > 256:
            break
    if word and not word[0].isdigit():
        return _unrecognized(word)
    return f"Unexpected character ('{rest[0]}' (code {ord(rest[0])}))"


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(_unrecognized(name))


def _unrecognized(token: str) -> str:
    return (
        f"Unrecognized token '{token}': was expecting (JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
    )


def _not_json(reason: str) -> ServiceError:
    return _bad_content(f"Could not parse request body into json: Could not parse payload into json: {reason}")


def _bad_content(message: str) -> ServiceError:
    return ServiceError("InvalidRequestContentException", message)
