"""A runtime of any family as a real process: its interpreter, its client built as for a sandbox, and its start command."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lambdad import sandbox
from lambdad.runtimes.families import FAMILIES, FAMILY_OF
from lambdad.runtimes.find import Interpreter, Places
from lambdad.runtimes.programs import copy_client, finder_for, program_of
from support.runtime_api import RuntimeApi, RuntimeProcess
from support.server import CACHE_DIR

_STARTER = Path(sandbox.__file__).parent / "zygote" / "zygote_program.py"


def find_interpreters() -> dict[str, Interpreter]:
    """Those of this machine, and what `make test-runtimes` has installed."""
    places = Places.usual(os.environ, Path.home())
    return asyncio.run(finder_for(FAMILIES, places, CACHE_DIR).find())


@dataclass
class Language:
    """`runtime_dir` has the client, ready to be run."""

    interpreter: Interpreter
    runtime_dir: Path

    @classmethod
    def make(cls, interpreter: Interpreter, folder: Path) -> Language:
        folder.mkdir(parents=True, exist_ok=True)
        copy_client(folder, interpreter)
        asyncio.run(FAMILY_OF[interpreter.runtime].finish(interpreter, folder))
        return cls(interpreter, folder)

    def start(self, task: Path, api: RuntimeApi, handler: str, environment: Mapping[str, str]) -> RuntimeProcess:
        variables = {**FAMILY_OF[self.interpreter.runtime].variables(self.interpreter.runtime), **environment}
        variables = {name: self._real(value, task) for name, value in variables.items()}
        return RuntimeProcess(self._command(task), task, self.runtime_dir, api, handler, variables)

    def _command(self, task: Path) -> list[str]:
        program = program_of(self.interpreter, self.runtime_dir)
        if program.start is None:
            return [str(program.interpreter), str(self.runtime_dir / "bootstrap.py")]
        start = msgspec.to_builtins(program.start)
        for part in ("programs", "arguments"):
            start[part] = [self._real(text, task) for text in start[part]]
        return [sys.executable, "-B", "-E", "-s", "-S", str(_STARTER), json.dumps(start)]

    def _real(self, text: str, task: Path) -> str:
        places = {"/var/task": task, "/var/runtime": self.runtime_dir, "/var/lang": self.interpreter.language_root}
        for inside, outside in {**places, "/opt/": f"{task.parent / 'opt'}/"}.items():
            text = text.replace(inside, str(outside))
        return text
