"""Passwords for the registry: made by GetAuthorizationToken, for the user AWS, good for twelve hours or until a restart."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import math
import time
from collections.abc import Callable

USER = "AWS"
LIFETIME_SECONDS = 12 * 3600


class Tokens:
    """A token names the access key that asked for it and the end of its time, under a signature."""

    def __init__(self, secret: bytes, *, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock

    def make(self, access_key_id: str) -> tuple[str, float]:
        """The password and when it ends."""
        ends = math.ceil(self._clock()) + LIFETIME_SECONDS
        named = f"{ends}.{base64.urlsafe_b64encode(access_key_id.encode()).decode()}"
        return f"{named}.{self._signature(named)}", float(ends)

    def access_key_of(self, password: str) -> str | None:
        """The access key that asked for it; None for a password that is not of here, or whose time is over."""
        named, _, signature = password.rpartition(".")
        if not hmac.compare_digest(self._signature(named).encode(), signature.encode()):
            return None
        ends, _, key = named.partition(".")
        return base64.urlsafe_b64decode(key).decode() if int(ends) > self._clock() else None

    def _signature(self, named: str) -> str:
        return hmac.new(self._secret, named.encode(), hashlib.sha256).hexdigest()


def basic_header(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def read_basic(header: str) -> tuple[str, str] | None:
    """User and password of an Authorization header; None when it has none."""
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None
