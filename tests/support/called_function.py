"""A function on a running server that a test calls, and what each call answers and logs."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest

from support.server import ROLE, Server


class CalledFunction:
    def __init__(self, server: Server, name: str, runtimes: Sequence[str], code: bytes, handler: str, **settings: Any) -> None:
        """In the first of the runtimes that is ready; skips where none is. Active when this returns."""
        ready = server.health()["runtimes"]["available"]
        runtime = next((name for name in runtimes if name in ready), None)
        if runtime is None:
            pytest.skip(f"none of {', '.join(runtimes)} is ready here")
        self._server = server
        self.client = server.client("lambda")
        self.named = {"FunctionName": name}
        values = {"Code": {"ZipFile": code}, "Handler": handler, "Timeout": 30, **settings}
        self.client.create_function(**self.named, Runtime=runtime, Role=ROLE, **values)
        server.wait_active(name)

    def invoke(self, event: Any, **settings: Any) -> tuple[Any, str, str]:
        """What came back, "Unhandled" or nothing, and the end of the log; in the environment of the call before."""
        self._server.wait_for_rest()
        answer = self.client.invoke(**self.named, Payload=json.dumps(event).encode(), LogType="Tail", **settings)
        log = base64.b64decode(answer["LogResult"]).decode()
        return json.loads(answer["Payload"].read()), answer.get("FunctionError", ""), log

    def do(self, what: str, **more: Any) -> tuple[Any, str, str]:
        return self.invoke({"do": what, **more})
