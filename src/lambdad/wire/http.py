"""An HTTP request as it came in, and the answer that goes out, before and after any AWS meaning."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

Query = dict[str, list[str]]

_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}(:\d{1,5})?|\[[0-9A-Fa-f:.]{2,45}\](:\d{1,5})?")
_FORBIDDEN_IN_HEADER = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
MAX_QUERY_PARAMETERS = 1000


class MalformedUri(Exception):
    """The path or the query is not percent-encoded UTF-8, or has too many parameters."""


@dataclass(slots=True)
class HttpRequest:
    """`path` is what routing sees; a bucket named in the host is put in front of it, signatures use `raw_path`."""

    method: str
    raw_path: str  #: undecoded, as sent
    raw_query: str
    headers: dict[str, str]  #: lower-case names; repeated headers joined with a comma
    raw_headers: list[tuple[bytes, bytes]]
    host: str  #: with the port, or "" when the header was missing or unusable
    scheme: str
    source_ip: str
    path: str
    query: Query = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        return f"{self.scheme}://{self.host}"


@dataclass(slots=True)
class Reply:
    """An HTTP answer. `body` is complete bytes, or an iterator of bytes that is closed whatever happens."""

    status: int
    headers: dict[str, str]
    body: bytes | AsyncIterator[bytes] = b""


def request_from_scope(scope: Mapping[str, Any]) -> HttpRequest:
    headers: dict[str, str] = {}
    for raw_name, raw_value in scope["headers"]:
        name, value = raw_name.decode("latin-1"), _text(raw_value)
        headers[name] = f"{headers[name]},{value}" if name in headers else value
    raw_path = scope["raw_path"].decode("latin-1") or "/"
    client = scope.get("client")
    host = headers.get("host", "")
    if not _HOST.fullmatch(host):
        address = scope.get("server") or ("localhost", None)
        host = f"{address[0]}:{address[1]}" if address[1] else str(address[0])
    return HttpRequest(
        method=scope["method"],
        raw_path=raw_path,
        raw_query=scope["query_string"].decode("latin-1"),
        headers=headers,
        raw_headers=scope["headers"],
        host=host,
        scheme=scope.get("scheme", "http"),
        source_ip=client[0] if client else "",
        path=raw_path,
    )


def parse_query(raw: str) -> Query:
    """Names to their values in order; a name without "=" has the value ""."""
    if not raw:
        return {}
    parts = raw.split("&", MAX_QUERY_PARAMETERS)
    if len(parts) > MAX_QUERY_PARAMETERS:
        raise MalformedUri(f"The query has more than {MAX_QUERY_PARAMETERS} parameters.")
    query: Query = {}
    for part in parts:
        if part:
            name, _, value = part.partition("=")
            query.setdefault(decode_query_text(name), []).append(decode_query_text(value))
    return query


def decode_query_text(text: str) -> str:
    """A plus means a space in a query, unlike in a path."""
    return decode_uri_text(text.replace("+", " "))


def decode_uri_text(text: str) -> str:
    """Percent-decoded UTF-8. Unlike urllib's, it refuses what it cannot read instead of guessing."""
    if "%" not in text and text.isascii():
        return text
    if _BAD_ESCAPE.search(text):
        raise MalformedUri("A percent sign is not followed by two hexadecimal digits.")
    try:
        return unquote_to_bytes(text.encode("latin-1")).decode()
    except UnicodeError as error:
        raise MalformedUri("The URI is not UTF-8 after percent-decoding.") from error


def header_bytes(value: str) -> bytes:
    """A header value for the wire; text beyond ASCII goes out as RFC 2047 words, as S3 does.

    Line breaks and other control characters would let a stored value forge headers; they are an error.
    """
    if _FORBIDDEN_IN_HEADER.search(value):
        raise ValueError(f"control character in header value {value[:80]!r}")
    if value.isascii():
        return value.encode("ascii")
    return b"=?UTF-8?B?" + b64encode(value.encode()) + b"?="


def has_control_characters(value: str) -> bool:
    return _FORBIDDEN_IN_HEADER.search(value) is not None


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")
