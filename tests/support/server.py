"""A real lambdad in a process of its own, and clients for it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from botocore.config import Config

from support import clients

ROLE = "arn:aws:iam::000000000000:role/test"
RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
CACHE_DIR = Path(__file__).parents[2] / ".cache" / "lambdad"  #: runtimes prepared once for every test server
START_SECONDS = 120  #: the first start may have to prepare things on a busy machine
PATIENCE_SECONDS = 100  #: what a machine many times as slow as usual may need for anything; within a test's own timeout


class Server:
    """One lambdad on a free port. `start` after `kill` or `stop` opens the same data folder again."""

    cache_dir = CACHE_DIR

    def __init__(
        self,
        folder: Path,
        *options: str,
        isolation: str = "namespace",
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """`prefix` is put before the command instead of the interpreter: a program that runs the interpreter."""
        self.folder = folder
        self.data_dir = folder / "data"
        self.options = [*options, "--isolation", isolation]
        self.prefix = prefix
        self.variables = {**os.environ, **(environment or {})}
        self.port = 0
        self.clock_offset_seconds = 0.0  #: of the clock for events, from the next start on
        self.process: subprocess.Popen[bytes] | None = None
        self._clients: list[Any] = []

    def start(self) -> Server:
        self._close_clients()
        ready = self.folder / "ready.json"
        ready.unlink(missing_ok=True)
        program = ["-m", "lambdad"]
        if self.clock_offset_seconds:
            program = [str(Path(__file__).with_name("clocked_server.py")), str(self.clock_offset_seconds)]
        command = [
            *(self.prefix or [sys.executable]),
            *program,
            "up",
            "--port",
            str(self.port),
            "--data-dir",
            str(self.data_dir),
        ]
        command += ["--cache-dir", str(self.cache_dir), "--ready-file", str(ready), *self.options]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.variables)
        try:
            wait_until(lambda: ready.exists() or self.process.poll() is not None, START_SECONDS, "the server's start")
            assert ready.exists(), f"lambdad ended with {self.process.returncode}:\n{self.log()}"
        except BaseException:
            self.process.kill()
            raise
        self.port = json.loads(ready.read_text())["port"]
        return self

    def stop(self) -> int:
        """Ctrl-C as a user gives it; the exit code."""
        self._close_clients()
        self.process.send_signal(signal.SIGINT)
        try:
            return self.process.wait(timeout=PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()  # else it would be in the way of the tests that follow
            raise

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def log(self) -> str:
        return (self.folder / "server.log").read_text(errors="replace")

    def files(self) -> set[str]:
        """What is in its folders of blobs and of code at the moment, however that changes meanwhile."""
        folders = (self.data_dir / "blobs", self.data_dir / "code")
        return {os.path.join(folder, name) for top in folders for folder, _, names in os.walk(top) for name in names}

    def health(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.endpoint}/_lambdad/health", timeout=60) as answer:
            return json.load(answer)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str, **options: Any) -> Any:
        """Open until the server stops."""
        client = self._make_client(service, options)
        self._clients.append(client)
        return client

    def _make_client(self, service: str, options: dict[str, Any]) -> Any:
        settings = {
            "endpoint_url": self.endpoint,
            "region_name": "us-east-1",
            "aws_access_key_id": "test",
            "aws_secret_access_key": "test",
            "config": Config(retries={"max_attempts": 0}, read_timeout=120),
        }
        return clients.client(service, **{**settings, **options})

    def _passing_client(self, service: str) -> closing[Any]:
        """For a few requests: a server that many tests share is asked thousands of times."""
        return closing(self._make_client(service, {}))

    def _close_clients(self) -> None:
        """Their connections would otherwise be reported as leaks of the test during which they are collected."""
        for client in self._clients:
            client.close()
        self._clients.clear()

    def environment(self) -> dict[str, str]:
        """Variables with which an AWS client in another process finds this server."""
        return {
            **{name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_PAGER": "",
        }

    def create_function(self, name: str, source: str, *, runtime: str = RUNTIME, **settings: Any) -> str:
        """A function whose lambda_function.py is `source`, Active when this returns; its ARN."""
        wanted = {
            "FunctionName": name,
            "Runtime": runtime,
            "Handler": "lambda_function.handler",
            "Role": ROLE,
            "Code": {"ZipFile": zipped({"lambda_function.py": source})},
            **settings,
        }
        with self._passing_client("lambda") as lambda_:
            made = lambda_.create_function(**wanted)
        self.wait_active(name)
        return str(made["FunctionArn"])

    def wait_active(self, name: str) -> None:
        def settled() -> bool:
            configuration = lambda_.get_function_configuration(FunctionName=name)
            assert configuration["State"] != "Failed", configuration
            is_ready = configuration["State"] in ("Active", "ActiveNonInvocable")
            return is_ready and configuration.get("LastUpdateStatus") == "Successful"

        with self._passing_client("lambda") as lambda_:
            wait_until(settled, 120, f"function {name} to be active")

    def invoke(self, name: str, event: Any = None, **options: Any) -> Any:
        """The function's answer, which must not be an error."""
        with self._passing_client("lambda") as lambda_:
            answer = lambda_.invoke(FunctionName=name, Payload=json.dumps(event).encode(), **options)
            payload = json.loads(answer["Payload"].read())
        assert "FunctionError" not in answer, payload
        return payload

    def failure(self, name: str, event: Any = None, **options: Any) -> dict[str, Any]:
        """The error that the function must answer with."""
        with self._passing_client("lambda") as lambda_:
            answer = lambda_.invoke(FunctionName=name, Payload=json.dumps(event).encode(), **options)
            payload = json.loads(answer["Payload"].read())
        assert answer.get("FunctionError") == "Unhandled", payload
        return dict(payload)

    def wait_for_pre_booted(self, runtime: str, count: int = 1) -> float:
        """Until so many wait for a function; the time at which that was seen."""
        wait_until(lambda: self.health()["pre_booted"].get(runtime, 0) == count, 60, f"{count} {runtime} to wait")
        return time.time()

    def wait_for_rest(self) -> None:
        """Until no environment is busy or being reset, so that the next invocation of a function finds the one that it has: for
        what is nearly free it waits but a moment, which on a slow machine is over too soon."""
        wait_until(lambda: self.health()["environments"]["busy"] == 0, 60, "the environments to be free")

    def invoke_again(self, name: str, event: Any = None, **options: Any) -> Any:
        """As `invoke`, in the environment of the invocation before."""
        self.wait_for_rest()
        return self.invoke(name, event, **options)

    def fail_again(self, name: str, event: Any = None, **options: Any) -> dict[str, Any]:
        """As `failure`, in the environment of the invocation before."""
        self.wait_for_rest()
        return self.failure(name, event, **options)

    def messages(self, group: str) -> list[str]:
        """Every line of a log group; none while the group is not there."""
        with self._passing_client("logs") as logs:
            try:
                pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
                return [event["message"] for page in pages for event in page["events"]]
            except logs.exceptions.ResourceNotFoundException:
                return []


@contextmanager
def running(folder: Path, *options: str, **settings: Any) -> Iterator[Server]:
    """A started server; the settings are those of `Server`."""
    server = Server(folder, *options, **settings).start()
    try:
        yield server
    finally:
        if server.process.poll() is None:
            assert server.stop() == 0, server.log()


def zipped(files: Mapping[str, str | bytes], executable: Collection[str] = ("bootstrap",)) -> bytes:
    """A package whose files are readable by all, as Lambda wants them; Python's writestr alone would make them 0600."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = (0o755 if name in executable else 0o644) << 16
            bundle.writestr(entry, content)
    return buffer.getvalue()


def wait_until(condition: Callable[[], Any], seconds: float, what: str) -> Any:
    """The condition's first true value. Polls, because the other side is another process.

    `seconds` are those of a quiet machine: no wait is given up before `PATIENCE_SECONDS`.
    """
    seconds = max(seconds, PATIENCE_SECONDS)
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"Waited {seconds} seconds for {what}.")
        time.sleep(0.02)
    return value
