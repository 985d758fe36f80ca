"""A Runtime API for tests of runtime clients: answers over any stream socket and writes down what it was told."""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

REQUEST_ID = "0f1d6f7e-5f0c-4c62-9d6c-1d8a6b4c2e10"
ARN = "arn:aws:lambda:us-east-1:000000000000:function:hello"
LIMIT = 6_291_556


@dataclass(frozen=True)
class Told:
    """One request of the runtime client."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        return self.path.removeprefix("/2018-06-01/runtime/").split("/")[-1] if "init" not in self.path else "init/error"


@dataclass
class RuntimeApi:
    """Hands out `give`n events in order; `told` gets each answer. `refuse` is the status for the next POST."""

    told: queue.Queue[Told] = field(default_factory=queue.Queue)
    asked: queue.Queue[None] = field(default_factory=queue.Queue)  #: one entry for each GET .../next
    refuse: list[tuple[int, bytes, bool]] = field(default_factory=list)  #: (status, body, close the connection after it)
    arn: str = ARN  #: what the function is invoked by
    _events: queue.Queue[tuple[Mapping[str, str], bytes] | None] = field(default_factory=queue.Queue)
    _threads: list[threading.Thread] = field(default_factory=list)
    _connections: list[socket.socket] = field(default_factory=list)

    def __enter__(self) -> RuntimeApi:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self._start(self._accept)
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self._connections:
            self._events.put(None)
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join(10)

    def give(self, event: bytes, **headers: str | None) -> None:
        """An event with its headers, written as keyword arguments ("trace_id") of "Lambda-Runtime-..." names."""
        defaults: dict[str, str | None] = {
            "aws_request_id": REQUEST_ID,
            "deadline_ms": str(int(time.time() * 1000) + 30_000),
            "invoked_function_arn": self.arn,
            "trace_id": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1",
            "content_type": "application/json",
        }
        values = {**defaults, **headers}
        content_type = values.pop("content_type")
        lines = {"Lambda-Runtime-" + name.replace("_", "-").title(): text for name, text in values.items() if text is not None}
        if content_type is not None:
            lines["Content-Type"] = content_type
        self._events.put((lines, event))

    def serve(self, connection: socket.socket) -> None:
        self._connections.append(connection)
        self._start(self._serve, connection)

    def _start(self, target: object, *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.serve(connection)

    def _serve(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                while line := stream.readline():
                    if not self._answer(connection, stream, line):
                        return
            except OSError:
                return

    def _answer(self, connection: socket.socket, stream: object, line: bytes) -> bool:
        method, path, _ = line.decode().split(" ", 2)
        headers = {}
        while header := stream.readline().strip():  # type: ignore[attr-defined]
            name, _, value = header.decode().partition(":")
            headers[name.lower()] = value.strip()
        if method == "GET":
            self.asked.put(None)
            event = self._events.get()
            if event is None:
                return False
            connection.sendall(_message(200, *event))
            return True
        if headers.get("transfer-encoding") == "chunked":
            body, trailers = _pieces(stream)
            return self._take(connection, Told(method, path, {**headers, **trailers}, body))
        length = int(headers["content-length"])
        if length > LIMIT:
            self.told.put(Told(method, path, headers, b""))
            connection.sendall(_message(413, {"Connection": "close"}, b"{}"))
            connection.shutdown(socket.SHUT_WR)
            while stream.read(65536):  # type: ignore[attr-defined]
                continue
            return False
        return self._take(connection, Told(method, path, headers, stream.read(length)))  # type: ignore[attr-defined]

    def _take(self, connection: socket.socket, told: Told) -> bool:
        self.told.put(told)
        status, text, closes = self.refuse.pop(0) if self.refuse else (202, b'{"status":"OK"}\n', False)
        connection.sendall(_message(status, {"Content-Type": "application/json"}, text))
        return not closes


def _pieces(stream: object) -> tuple[bytes, dict[str, str]]:
    """The body of a chunked request, and its trailers."""
    pieces = []
    while size := int(stream.readline(), 16):  # type: ignore[attr-defined]
        pieces.append(stream.read(size))  # type: ignore[attr-defined]
        stream.readline()  # type: ignore[attr-defined]
    trailers = {}
    while line := stream.readline().strip():  # type: ignore[attr-defined]
        name, _, value = line.decode().partition(":")
        trailers[name.lower()] = value.strip()
    return b"".join(pieces), trailers


def _message(status: int, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [f"HTTP/1.1 {status} -", f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@dataclass
class RuntimeProcess:
    """A runtime client running one function against `api`."""

    command: Sequence[str]
    task_root: Path
    runtime_dir: Path
    api: RuntimeApi
    handler: str = "app.handler"
    environment: Mapping[str, str] = field(default_factory=dict)

    def __enter__(self) -> RuntimeProcess:
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TZ": ":UTC",
            "LAMBDA_TASK_ROOT": str(self.task_root),
            "LAMBDA_RUNTIME_DIR": str(self.runtime_dir),
            "_LAMBDAD_OPT_ROOT": str(self.task_root.parent / "opt"),
            "AWS_LAMBDA_RUNTIME_API": self.api.address,
            "AWS_LAMBDA_FUNCTION_NAME": "hello",
            "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
            "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/hello",
            "AWS_LAMBDA_LOG_STREAM_NAME": "2026/11/23/[$LATEST]0123456789abcdef0123456789abcdef",
            "PYTHONDONTWRITEBYTECODE": "1",
            "_HANDLER": self.handler,
            **self.environment,
        }
        reader, writer = os.pipe()
        self._process = subprocess.Popen(
            self.command,
            cwd=self.task_root,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=writer,
            stderr=writer,
            start_new_session=True,
        )
        os.close(writer)
        self._log: list[bytes] = []
        self._log_grew = threading.Condition()
        self._reader = threading.Thread(target=self._read, args=(reader,), daemon=True)
        self._reader.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, tb: TracebackType | None) -> None:
        self._kill()

    def invoke(self, event: bytes = b"{}", **headers: str | None) -> Told:
        self.api.give(event, **headers)
        try:
            return self.api.told.get(timeout=100)
        except queue.Empty:
            raise AssertionError(f"no answer; the process wrote: {self.ended_log()}") from None

    def wait(self) -> int:
        return self._process.wait(timeout=100)

    def wait_for_log(self, text: str) -> None:
        """Until the process has written it."""
        with self._log_grew:
            has_come = self._log_grew.wait_for(lambda: text.encode() in b"".join(self._log), timeout=100)
        assert has_come, f"{text!r} is not in: {self.ended_log()}"

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def ended_log(self) -> str:
        """Everything the process wrote, once it has been killed and its output ended."""
        self._kill()
        return b"".join(self._log).decode("utf-8", "surrogateescape")

    def _kill(self) -> None:
        """The process and what it forked."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._reader.join(10)

    def _read(self, fd: int) -> None:
        while data := os.read(fd, 65536):
            with self._log_grew:
                self._log.append(data)
                self._log_grew.notify()
        os.close(fd)
