"""The runtime client as a real process of one of the Rubies on this machine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lambdad.runtimes.find import Interpreter
from lambdad.runtimes.ruby.family import FAMILY
from support.runtime_api import RuntimeApi, RuntimeProcess

assert FAMILY.client is not None
CLIENT = FAMILY.client


@dataclass
class Ruby:
    """One Ruby and the means to run a function in it."""

    interpreter: Interpreter
    folder: Path
    api: RuntimeApi

    def run(self, source: str, handler: str = "app.handler", **environment: str) -> RuntimeProcess:
        self.write("app.rb", source)
        return self.start(handler, **environment)

    def start(self, handler: str, **environment: str) -> RuntimeProcess:
        command = [str(self.interpreter.executable), str(CLIENT / "bootstrap.rb")]
        variables = {"AWS_EXECUTION_ENV": f"AWS_Lambda_{self.interpreter.runtime}", **environment}
        return RuntimeProcess(command, self.task, CLIENT, self.api, handler, variables)

    def write(self, name: str, source: str) -> None:
        path = self.task / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")

    @property
    def task(self) -> Path:
        return self.folder / "task"
