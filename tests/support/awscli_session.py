"""The AWS command line client, started once for many commands: most of a command's time is its start."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from support.server import Server

LOOP = Path(__file__).with_name("awscli_loop.py")


class AwsCli:
    """`aws(...)` as a user types it, without "aws": what the command prints, read as JSON."""

    def __init__(self, server: Server, folder: Path) -> None:
        if importlib.util.find_spec("awscli") is None:
            pytest.skip("needs the AWS command line client as a Python package")
        self._process = subprocess.Popen(
            [sys.executable, "-P", LOOP],
            env=server.environment(),
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> AwsCli:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(timeout=60)

    def __call__(self, *arguments: str) -> Any:
        code, output, errors = self.run(*arguments)
        assert code == 0, (arguments, errors)
        return json.loads(output) if output.strip() else None

    def refused(self, *arguments: str) -> str:
        """What a command says that must fail."""
        code, output, errors = self.run(*arguments)
        assert code != 0, (arguments, output)
        return errors

    def run(self, *arguments: str) -> tuple[int, str, str]:
        self._process.stdin.write(json.dumps(arguments) + "\n")
        self._process.stdin.flush()
        code, output, errors = json.loads(self._process.stdout.readline())
        return code, output, errors
