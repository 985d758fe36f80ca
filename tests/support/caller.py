"""Invocations by a client that costs little, so that many can be made and what is tested has the processor."""

from __future__ import annotations

import http.client
import json
from typing import Any

from support.server import Server

NO_SERVER = "no server"  #: the outcome where there was none to answer


class Caller:
    """A client that costs little: one connection, used again."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._connection: http.client.HTTPConnection | None = None

    def invoke(self, name: str, event: Any) -> tuple[str, Any]:
        """ "answered" and the answer, or the name of a function's error and the error, or that of another and None."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self._server.port, timeout=120)
        try:
            self._connection.request("POST", f"/2015-03-31/functions/{name}/invocations", json.dumps(event))
            answer = self._connection.getresponse()
            payload = json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            self.close()
            return NO_SERVER, None
        if answer.status != 200:
            return str(answer.headers["x-amzn-errortype"]), None
        if answer.headers["x-amz-function-error"]:
            return str(payload["errorType"]), payload
        return "answered", payload

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
