"""A lambdad of the bench's own: started on a free port with a folder of its own, stopped at the end."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tempfile
import time
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

ROLE = "arn:aws:iam::000000000000:role/bench"
RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"


class Server:
    """A running server; a context manager. `data_dir` lets two servers follow one another on the same data."""

    def __init__(self, data_dir: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="lambdad-bench-")
        self.data_dir = data_dir or Path(self._folder.name) / "data"
        self.port = 0
        self.seconds_to_ready = 0.0

    def __enter__(self) -> Server:
        ready = Path(self._folder.name) / "ready.json"
        command = [sys.executable, "-m", "lambdad", "up", "--port", "0", "--data-dir", str(self.data_dir)]
        command += ["--ready-file", str(ready), "--log-level", "warning"]
        command += ["--memory-budget-mb", "1000000"]  # what is measured is real memory, not the sum of limits
        began = time.monotonic()
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        while not ready.exists():
            if self._process.poll() is not None:
                raise SystemExit(f"lambdad ended with exit code {self._process.returncode} instead of serving.")
            time.sleep(0.005)
        self.seconds_to_ready = time.monotonic() - began
        self.port = json.loads(ready.read_text())["port"]
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)
        self._folder.cleanup()

    @property
    def pid(self) -> int:
        return self._process.pid

    def health(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/_lambdad/health", timeout=30) as answer:
            return json.load(answer)  # type: ignore[no-any-return]

    def events_succeeded(self) -> int:
        return int(self.health()["events"]["succeeded"])

    def wait_for_pre_booted(self, runtime: str) -> None:
        """Until a runtime waits for a function."""
        deadline = time.monotonic() + 60
        while not self.health()["pre_booted"].get(runtime):
            if time.monotonic() > deadline:
                raise SystemExit(f"No {runtime} was booted ahead of need.")
            time.sleep(0.01)

    def newest_python(self) -> str:
        """The identifier of the newest Python runtime that is ready here."""
        ready = [name for name in self.health()["runtimes"]["available"] if name.startswith("python")]
        return max(ready, key=lambda name: [int(part) for part in name.removeprefix("python").split(".")])

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"max_attempts": 0}, read_timeout=120),
        )

    def create_function(self, name: str, source: str, *, wait: bool = True, **settings: Any) -> None:
        """A function whose lambda_function.py is `source`, Active when this returns."""
        lambda_ = self.client("lambda")
        lambda_.create_function(
            **{
                "FunctionName": name,
                "Runtime": RUNTIME,
                "Handler": "lambda_function.handler",
                "Role": ROLE,
                "Code": {"ZipFile": zipped(source)},
                **settings,
            }
        )
        if wait:
            lambda_.get_waiter("function_active_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})


def zipped(source: str | bytes, name: str = "lambda_function.py") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = 0o755 << 16  # Lambda wants files that all can read
        bundle.writestr(entry, source)
    return buffer.getvalue()
