"""A small HTTP server that answers as a test tells it to, and keeps what it was asked."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from socketserver import ThreadingUnixStreamServer
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from lambdad.cli.main import app


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FakeServer:
    """`answers` are given in turn, the last one for ever: (status, headers, body)."""

    endpoint: str = ""
    asked: list[Asked] = field(default_factory=list)
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)

    def answer(self, body: Any, *, status: int = 200, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append((status, {name.replace("_", "-"): value for name, value in headers.items()}, content))

    def take(self, asked: Asked) -> tuple[int, dict[str, str], bytes]:
        self.asked.append(asked)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


@pytest.fixture
def fake_server() -> Iterator[FakeServer]:
    fake = FakeServer()

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            length = int(self.headers.get("content-length", 0))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, headers, body = fake.take(Asked(self.command, self.path, headers, self.rfile.read(length)))
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = handle_any

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the test's standard error."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    fake.endpoint = f"http://127.0.0.1:{server.server_address[1]}"
    yield fake
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """`run("invoke", "hello")` in an empty folder, without the caller's AWS and lambdad settings."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "LAMBDAD_")):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run_command(*arguments: str, **options: Any) -> Result:
        return CliRunner().invoke(app, arguments, **options)

    return run_command


Reply = Callable[[str, str, bytes], tuple[int, bytes]]


@pytest.fixture
def admin_server() -> Callable[[Path, Reply], AbstractContextManager[None]]:
    """`with admin_server(folder, reply):` an admin socket in the folder that answers `reply(method, path, body)`."""
    return _admin_server


@contextmanager
def _admin_server(folder: Path, reply: Reply) -> Iterator[None]:
    """A real unix socket in the folder, as a running server has it."""

    class Handler(BaseHTTPRequestHandler):
        def handle_any(self) -> None:
            status, body = reply(self.command, self.path, self.rfile.read(int(self.headers.get("content-length", 0))))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = handle_any

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the test's standard error."""

        def address_string(self) -> str:
            return "unix"

    server = ThreadingUnixStreamServer(str(folder / "admin.sock"), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
