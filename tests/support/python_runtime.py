"""The runtime client as a real process of one of the Pythons on this machine."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lambdad.runtimes.find import Interpreter
from lambdad.runtimes.python.family import CLIENT
from support.runtime_api import REQUEST_ID, RuntimeApi, RuntimeProcess


@dataclass
class Python:
    """One Python and the means to run a function in it."""

    interpreter: Interpreter
    folder: Path
    api: RuntimeApi

    @property
    def version(self) -> tuple[int, int]:
        return self.interpreter.version[:2]

    def run(self, source: str, handler: str = "app.handler", **environment: str) -> RuntimeProcess:
        self.write("app.py", source)
        return self.start(handler, **environment)

    def start(self, handler: str, **environment: str) -> RuntimeProcess:
        command = [str(self.interpreter.executable), str(CLIENT / "bootstrap.py")]
        return RuntimeProcess(command, self.folder / "task", CLIENT, self.api, handler, environment)

    def write(self, name: str, source: str) -> None:
        path = self.folder / "task" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("# coding: utf-8\n" + source, encoding="utf-8")

    def error(self, error_type: str, message: str, stack: list[str], request_id: str = REQUEST_ID) -> bytes:
        """The error's JSON as AWS writes it for this version."""
        members: dict[str, Any] = {"errorMessage": message, "errorType": error_type}
        if self.version >= (3, 9):
            members["requestId"] = request_id
        if stack or self.version >= (3, 9):
            members["stackTrace"] = stack
        return json.dumps(members, ensure_ascii=self.version < (3, 12)).encode()
