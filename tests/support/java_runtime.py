"""Java functions for tests: compiled once, run by real virtual machines."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lambdad.runtimes.java.family import options
from lambdad.runtimes.java.jar import JAR
from support.runtime_api import RuntimeApi, RuntimeProcess, Told

SOURCES = Path(__file__).parent / "java"


def javac() -> str | None:
    return shutil.which("javac")


@functools.cache
def compiled() -> Path:
    """A folder with the classes of `SOURCES`, which goes with the test process."""
    holder = tempfile.TemporaryDirectory(prefix="lambdad-java-")
    _HOLDERS.append(holder)
    compile_java(sorted(SOURCES.rglob("*.java")), Path(holder.name))
    return Path(holder.name)


def compile_java(sources: Sequence[Path], target: Path, release: str = "8") -> None:
    """Against the interfaces of the runtime client."""
    compiler = javac()
    assert compiler is not None
    options = ["-proc:none", "-Xlint:-options", "-encoding", "UTF-8", "-cp", str(JAR), "-d", str(target)]
    subprocess.run([compiler, "--release", release, *options, *map(str, sources)], check=True)


_HOLDERS: list[tempfile.TemporaryDirectory[str]] = []


@dataclass
class Java:
    """One virtual machine, the package of a function for it, and a Runtime API."""

    executable: Path
    feature: int
    task_root: Path
    api: RuntimeApi
    options: list[str] = field(default_factory=list)

    def command(self) -> list[str]:
        """As the runtime's own, without what is made when a runtime is installed."""
        ours = [option for option in options(self.feature) if "{" not in option and "/var/runtime" not in option]
        layers = str(self.task_root.parent / "opt")
        return [str(self.executable), *ours, *self.options, "-cp", str(JAR), "lambdad.runtime.Main", layers]

    def start(self, handler: str, **environment: str) -> RuntimeProcess:
        return RuntimeProcess(self.command(), self.task_root, JAR.parent, self.api, handler, environment)

    def run(self, **environment: str) -> RuntimeProcess:
        return self.start("example.Process", **environment)


def do(process: RuntimeProcess, what: str, **more: Any) -> Told:
    """Lets example.Process do something."""
    return process.invoke(json.dumps({"do": what, **more}).encode())


def table(executable: Path, rows: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """What each handler makes of its event: `{"result": text}` or `{"error": payload}`. All in one process."""
    lines = "".join(json.dumps({"handler": handler, "event": event}) + "\n" for handler, event in rows)
    classes = compiled()
    command = [str(executable), "-Xss2m", "-cp", f"{JAR}{os.pathsep}{classes}", "lambdad.runtime.Table", str(classes)]
    done = subprocess.run(command, input=lines.encode(), stdout=subprocess.PIPE, check=True, timeout=60)
    return [json.loads(line) for line in done.stdout.splitlines()]
