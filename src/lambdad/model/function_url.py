"""A function's own HTTP address, and which web pages elsewhere may use it."""

from __future__ import annotations

import hashlib
import hmac
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass

METHODS = ("GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS")
NONE, AWS_IAM = "NONE", "AWS_IAM"
BUFFERED, RESPONSE_STREAM = "BUFFERED", "RESPONSE_STREAM"

_PREFLIGHT_METHOD, _PREFLIGHT_HEADERS = "access-control-request-method", "access-control-request-headers"


@dataclass(frozen=True, slots=True)
class Cors:
    """None stands for what the caller left out; it is not printed then, and grants nothing."""

    allow_credentials: bool | None = None
    allow_headers: tuple[str, ...] | None = None
    allow_methods: tuple[str, ...] | None = None
    allow_origins: tuple[str, ...] | None = None
    expose_headers: tuple[str, ...] | None = None
    max_age: int | None = None  #: seconds

    def answer_headers(self, origin: str | None) -> dict[str, str]:
        """What an answer to a page of this origin carries; nothing for an origin that is not allowed."""
        allowed = self._allowed_origin(origin)
        if allowed is None:
            return {"vary": "Origin"} if self.allow_origins else {}
        headers = {"access-control-allow-origin": allowed}
        if allowed != "*":
            headers["vary"] = "Origin"
        if self.allow_credentials:
            headers["access-control-allow-credentials"] = "true"
        if self.expose_headers:
            headers["access-control-expose-headers"] = ",".join(self.expose_headers)
        return headers

    def preflight_headers(self, request: Mapping[str, str]) -> dict[str, str]:
        """What a browser's question is answered with, before the request that it asks about."""
        headers = self.answer_headers(request.get("origin"))
        if "access-control-allow-origin" not in headers:
            return headers
        headers.pop("access-control-expose-headers", None)
        methods = _granted(self.allow_methods, (request.get(_PREFLIGHT_METHOD, ""),))
        asked = tuple(name.strip() for name in request.get(_PREFLIGHT_HEADERS, "").split(",") if name.strip())
        names = _granted(self.allow_headers, asked)
        if methods:
            headers["access-control-allow-methods"] = ",".join(methods)
        if names:
            headers["access-control-allow-headers"] = ",".join(names)
        if self.max_age is not None:
            headers["access-control-max-age"] = str(self.max_age)
        return headers

    def _allowed_origin(self, origin: str | None) -> str | None:
        """A page that may send credentials has to be told its own origin: browsers refuse the star then."""
        origins = self.allow_origins or ()
        if origin is None:
            return None
        if "*" in origins:
            return origin if self.allow_credentials else "*"
        return origin if origin.lower() in (each.lower() for each in origins) else None


@dataclass(frozen=True, slots=True)
class FunctionUrl:
    """Of a function (then its qualifier is `$LATEST`) or of an alias."""

    url_id: str
    auth_type: str
    created: float  #: seconds since the epoch
    modified: float
    invoke_mode: str = BUFFERED
    cors: Cors | None = None


def is_preflight(method: str, headers: Mapping[str, str]) -> bool:
    return method == "OPTIONS" and "origin" in headers and _PREFLIGHT_METHOD in headers


def url_id_of(secret: bytes, account_id: str, region: str, function_name: str, qualifier: str) -> str:
    """The same for a function that is made anew, and not to be guessed from its name."""
    text = "/".join((account_id, region, function_name, qualifier))
    return b32encode(hmac.digest(secret, text.encode(), hashlib.sha256)[:20]).decode().lower()


def _granted(allowed: tuple[str, ...] | None, asked: tuple[str, ...]) -> tuple[str, ...]:
    """A star stands for whatever was asked for, which browsers also take where credentials are sent."""
    if allowed and "*" in allowed:
        return tuple(name for name in asked if name)
    return allowed or ()
