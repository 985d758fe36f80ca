"""A client that sends any bytes as a request, over one connection, and costs little. No SDK would send most of it."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from support.server import Server


@dataclass(frozen=True)
class WireRequest:
    """`target` is the undecoded path and query."""

    method: str
    target: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class WireAnswer:
    status: int
    headers: Mapping[str, str]  #: lower-case names
    body: bytes

    @property
    def error(self) -> str:
        """The error's code; empty where the answer names none."""
        return self.headers.get("x-amzn-errortype", "")

    @property
    def message(self) -> str:
        said = json.loads(self.body)
        return str(said["message"] if "message" in said else said["Message"])

    def json(self) -> Any:
        return json.loads(self.body or b"null")


class WireClient:
    """Requests of one account to one service, one after the other."""

    def __init__(self, server: Server, account_id: str, service: str = "lambda") -> None:
        self._port = server.port
        scope = f"{account_id}/20261126/us-east-1/{service}/aws4_request"
        self._head = f"host: 127.0.0.1:{server.port}\r\nauthorization: AWS4-HMAC-SHA256 Credential={scope}, "
        self._head += "SignedHeaders=host, Signature=0\r\n"
        self._socket: socket.socket | None = None

    def __enter__(self) -> WireClient:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def send(self, request: WireRequest) -> WireAnswer:
        """A connection on which nothing was answered is made anew once: the server may have closed it while it was idle."""
        head = f"{request.method} {request.target} HTTP/1.1\r\n{self._head}"
        head += "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        if request.body or request.method in ("POST", "PUT"):
            head += f"content-length: {len(request.body)}\r\n"
        data = head.encode("utf-8", "surrogatepass") + b"\r\n" + request.body
        is_new = self._socket is None
        try:
            return self._exchange(data)
        except ConnectionError:
            self.close()
            if is_new:
                raise
            return self._exchange(data)

    def _exchange(self, data: bytes) -> WireAnswer:
        if self._socket is None:
            self._socket = socket.create_connection(("127.0.0.1", self._port), timeout=120)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(data)
        received = self._socket.recv(65536)
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, rest = received.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        status = int(lines[0].split(" ")[1])
        body = (
            self._chunks(rest) if "transfer-encoding" in headers else self._counted(rest, int(headers.get("content-length", 0)))
        )
        if headers.get("connection") == "close":
            self.close()
        return WireAnswer(status, headers, body)

    def _more(self) -> bytes:
        assert self._socket is not None
        piece = self._socket.recv(65536)
        if not piece:
            raise ConnectionResetError("The server closed the connection without a whole answer.")
        return piece

    def _counted(self, received: bytes, length: int) -> bytes:
        while len(received) < length:
            received += self._more()
        return received

    def _chunks(self, received: bytes) -> bytes:
        body = b""
        while True:
            while b"\r\n" not in received:
                received += self._more()
            line, _, received = received.partition(b"\r\n")
            received = self._counted(received, int(line, 16) + 2)
            body, received = body + received[: int(line, 16)], received[int(line, 16) + 2 :]
            if int(line, 16) == 0:
                return body
