"""From what a function answered to the HTTP answer of its URL."""

from __future__ import annotations

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from lambdad.model.site import SiteResponse

JSON = "application/json"

Headers = list[tuple[str, str]]

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FORBIDDEN_IN_VALUE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
#: Of the connection, or said by lambdad itself: a function's own go out under another name, as AWS does it.
_REMAPPED = frozenset(
    {
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-amzn-requestid",
        "x-amzn-trace-id",
    }
)


class MalformedResponse(Exception):
    """The function answered with a structure that means no HTTP answer; the text says why, for the log."""


def response_of(payload: bytes) -> SiteResponse:
    """An object with a `statusCode` says all by itself; anything else is the body of a 200."""
    try:
        answer = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError):
        answer = None  # of a custom runtime, or nested beyond reading: passed on as it is
    if isinstance(answer, dict) and "statusCode" in answer:
        status, headers = head_of(answer)
        return SiteResponse(status, headers, _body(answer))
    body = answer.encode("utf-8", "replace") if isinstance(answer, str) else payload
    return SiteResponse(200, [("content-type", JSON)], body)


def head_of(answer: Mapping[str, Any], *, content_type: str = JSON) -> tuple[int, Headers]:
    """Status and headers of a structured answer, cookies among them."""
    headers = _headers(answer.get("headers"))
    headers += [("set-cookie", value) for value in _cookies(answer.get("cookies"))]
    if all(name != "content-type" for name, _ in headers):
        headers.insert(0, ("content-type", content_type))
    return _status(answer.get("statusCode")), headers


def _status(given: Any) -> int:
    """Informational answers would be no answers: the client would wait for another."""
    if isinstance(given, str) and given.isascii() and given.isdigit() and len(given) == 3:
        given = int(given)
    if isinstance(given, float) and given.is_integer():
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int) or not 200 <= given <= 599:
        raise MalformedResponse(f"statusCode is {given!r:.100}")
    return given


def _headers(given: Any) -> Headers:
    if given is None:
        return []
    if not isinstance(given, dict):
        raise MalformedResponse("headers is not an object")
    headers = []
    for name, value in given.items():
        lower = name.lower()
        if not _TOKEN.fullmatch(name):
            raise MalformedResponse(f"{name!r:.100} is not a header's name")
        if value is not None:
            headers.append((f"x-amzn-remapped-{lower}" if lower in _REMAPPED else lower, _value(value, name)))
    return headers


def _cookies(given: Any) -> Sequence[str]:
    if given is None:
        return ()
    if not isinstance(given, list):
        raise MalformedResponse("cookies is not a list")
    return [_value(cookie, "a cookie") for cookie in given]


def _value(given: Any, what: str) -> str:
    if isinstance(given, bool):
        given = "true" if given else "false"
    elif isinstance(given, (int, float)):
        given = str(given)
    if not isinstance(given, str) or _FORBIDDEN_IN_VALUE.search(given):
        raise MalformedResponse(f"the value of {what:.100} is not text on one line")
    return given.strip()


def _body(answer: Mapping[str, Any]) -> bytes:
    body = answer.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        return msgspec.json.encode(body)
    if answer.get("isBase64Encoded") is not True:
        return body.encode("utf-8", "replace")
    try:
        return b64decode(body, validate=True)
    except (NotBase64, ValueError) as error:
        raise MalformedResponse("body is not Base64, as isBase64Encoded says it is") from error
