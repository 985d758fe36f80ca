"""Asks a running server over the admin socket in its data folder."""

from __future__ import annotations

import http.client
import json
import os
import socket
from pathlib import Path
from typing import Any

from lambdad.cli.failure import CommandError

SOCKET_NAME = "admin.sock"
TIMEOUT_SECONDS = 10
_LONGEST_ADDRESS = 100  #: the kernel's limit is 107 bytes on Linux, 103 on macOS


class NoServer(Exception):
    """Nobody listens on the admin socket, so the data folder is free to be opened."""


def ask_admin(data_dir: Path, method: str, path: str, request: object = None) -> Any:
    """The answer's JSON. NoServer when none runs on this folder; CommandError with the server's words when it refuses."""
    connection = _AdminConnection(data_dir)
    body = None if request is None else json.dumps(request)
    try:
        connection.request(method, path, body=body, headers={"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (FileNotFoundError, NotADirectoryError, ConnectionRefusedError) as error:
        raise NoServer(str(data_dir)) from error
    except PermissionError as error:
        raise CommandError(f"Only the user who runs the server on {data_dir} may do this.") from error
    except (OSError, http.client.HTTPException, ValueError, RecursionError) as error:
        raise CommandError(f"The server on {data_dir} gave no proper answer ({error}).") from error
    finally:
        connection.close()
    if response.status >= 400:
        message = answer.get("message") if isinstance(answer, dict) else None
        raise CommandError(message or f"HTTP {response.status}")
    return answer


class _AdminConnection(http.client.HTTPConnection):
    def __init__(self, data_dir: Path) -> None:
        super().__init__("localhost", timeout=TIMEOUT_SECONDS)
        self._data_dir = data_dir

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        address = self._data_dir / SOCKET_NAME
        if len(os.fsencode(address)) <= _LONGEST_ADDRESS:
            self.sock.connect(str(address))
        else:
            self._connect_through_folder()

    def _connect_through_folder(self) -> None:
        """A longer path than a socket address holds is reached by the descriptor of its folder."""
        folder = os.open(self._data_dir, os.O_RDONLY | os.O_DIRECTORY)
        try:
            self.sock.connect(f"/proc/self/fd/{folder}/{SOCKET_NAME}")
        finally:
            os.close(folder)
