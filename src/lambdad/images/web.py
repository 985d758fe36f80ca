"""GET over HTTP for whoever talks to registries: in a thread, with an end to every wait, and to be broken off from outside."""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPResponse
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

CONNECT_SECONDS = 10.0  #: for each address of a host
SILENCE_SECONDS = 30.0  #: without a byte
_PORTS = {"http": 80, "https": 443}


class WebTrouble(Exception):
    """There was no answer, or it broke off; the text says why."""


class _BrokenOff(OSError):
    """By `Web.break_off`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Its body is unread."""

    status: int
    headers: Mapping[str, str]  #: by names in small letters
    _response: HTTPResponse
    _connection: HTTPConnection

    def read(self, size: int) -> bytes:
        """As many bytes of the body unless there are fewer; b"" at its end. WebTrouble."""
        try:
            data = self._response.read(size)
        except (HTTPException, OSError, ValueError) as error:
            raise WebTrouble(f"the answer broke off: {_reason(error)}") from error
        if len(data) < size and self._response.length:
            raise WebTrouble("the answer broke off")
        return data

    def close(self) -> None:
        self._response.close()
        self._connection.close()


class Web:
    """One request at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._is_broken_off = False

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """WebTrouble where there is no answer."""
        try:
            parts = urlsplit(url)
            connection = self._connection(parts)
            try:
                connection.request("GET", _target(parts), headers={**headers, "Connection": "close"})
                response = connection.getresponse()
            except BaseException:
                connection.close()
                raise
        except (HTTPException, OSError, ValueError) as error:
            raise WebTrouble(_reason(error)) from error
        return Answer(
            response.status, {name.lower(): value for name, value in response.getheaders()}, response, connection
        )  # fmt: skip

    def break_off(self) -> None:
        """What is under way fails soon, and all that comes after it at once. From any thread."""
        with self._lock:
            self._is_broken_off = True
            if self._socket is not None:
                with contextlib.suppress(OSError):  # it is not connected any more
                    # Not TLS's own, which takes its session away from under whoever is reading.
                    socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def _connection(self, parts: SplitResult) -> HTTPConnection:
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        plain = socket.create_connection((host, port), CONNECT_SECONDS)
        try:
            plain.settimeout(SILENCE_SECONDS)
            self._keep(plain)
            if parts.scheme == "https":
                plain = _tls().wrap_socket(plain, server_hostname=host, do_handshake_on_connect=False)
                self._keep(plain)
                plain.do_handshake()
        except BaseException:
            plain.close()
            raise
        connection = HTTPConnection(host, port)
        connection.sock = plain
        return connection

    def _keep(self, made: socket.socket) -> None:
        with self._lock:
            if self._is_broken_off:
                raise _BrokenOff("it was broken off")
            self._socket = made


@functools.cache
def _tls() -> ssl.SSLContext:
    """Trusts whom the machine trusts, and the authorities that come with botocore, for machines that name none."""
    import botocore.httpsession

    context = ssl.create_default_context()
    bundled = Path(botocore.httpsession.where())
    if bundled.is_file():
        context.load_verify_locations(bundled)
    return context


def _target(parts: SplitResult) -> str:
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return f"it said nothing for {SILENCE_SECONDS:.0f} seconds"
    return str(error) or type(error).__name__
