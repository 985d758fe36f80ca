"""The .NET runtime client as a real process, and what its functions say."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.dotnet_function import example
from support.language import Language
from support.runtime_api import RuntimeApi, RuntimeProcess, Told

OLD, NEW = "dotnetcore3.1", "dotnet6"  #: both on .NET Core 3.1: the identifier alone decides what AWS's runtimes do otherwise


@dataclass
class Dotnet:
    old: Language
    new: Language
    temporary: Path  #: for what functions leave there

    @contextlib.contextmanager
    def run(
        self, handler: str, package: Path | None = None, *, runtime: str = OLD, **environment: str
    ) -> Iterator[RuntimeProcess]:
        """Each process has a Runtime API of its own."""
        language = self.old if runtime == OLD else self.new
        variables = {"TMPDIR": str(self.temporary), **environment}
        with RuntimeApi() as api, language.start(package or example(), api, handler, variables) as process:
            yield process


def answer(process: RuntimeProcess, event: Any) -> Any:
    told = process.invoke(json.dumps(event).encode())
    assert told.kind == "response", told.body
    return json.loads(told.body)


def do(process: RuntimeProcess, what: str, **more: Any) -> Told:
    return process.invoke(json.dumps({"do": what, **more}).encode())


def error(told: Told) -> dict[str, Any]:
    assert told.kind in ("error", "init/error"), told
    payload: dict[str, Any] = json.loads(told.body)
    assert told.headers["lambda-runtime-function-error-type"] == payload["errorType"]
    return payload
