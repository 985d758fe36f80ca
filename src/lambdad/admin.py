"""The admin socket: what only the user who runs the server may ask, whatever `--auth` says.

`answer` is all that can be asked, as a function of a request; `application` serves it, on the socket in the data folder.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from lambdad.errors import ServiceError
from lambdad.identity import AccessKey, Identities

SOCKET_NAME = "admin.sock"  #: in the data folder
CREDENTIALS_PATH = "/_lambdad/credentials"


class _Wanted(msgspec.Struct):
    account_id: str
    name: str = ""


Answer = tuple[int, Any]  #: HTTP status and what its body says as JSON


async def answer(identities: Identities, method: str, path: str, body: bytes) -> Answer:
    """POST makes an access key, GET lists them without secrets, DELETE .../ID ends one."""
    try:
        if path == CREDENTIALS_PATH and method == "POST":
            return await _create(identities, body)
        if path == CREDENTIALS_PATH and method == "GET":
            return 200, describe_access_keys(identities)
        if path.startswith(CREDENTIALS_PATH + "/") and method == "DELETE":
            return await _delete(identities, unquote(path.removeprefix(CREDENTIALS_PATH + "/")))
    except ServiceError as error:
        return error.status or 400, {"message": error.message}
    return 404, {"message": f"There is no {method} {path}."}


def application(identities: Identities) -> Callable[..., Awaitable[None]]:
    """An ASGI application that serves `answer`."""

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        body = b""
        while (message := await receive()).get("more_body"):
            body += message.get("body", b"")
        status, document = await answer(identities, scope["method"], scope["path"], body + message.get("body", b""))
        content = msgspec.json.encode(document)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(content)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": content})

    return serve


@contextmanager
def listening_socket(data_dir: Path) -> Iterator[socket.socket]:
    """The socket in the data folder, mode 0600, gone at the end. One that a killed server left is replaced."""
    path = data_dir / SOCKET_NAME
    path.unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    previous = os.umask(0o177)
    try:
        # By its folder's descriptor where there is one: a data folder's path may be longer than a socket address.
        sock.bind(f"/proc/self/fd/{folder}/{SOCKET_NAME}" if sys.platform == "linux" else str(path))
    finally:
        os.umask(previous)
        os.close(folder)
    try:
        yield sock
    finally:
        sock.close()
        path.unlink(missing_ok=True)


def describe_new_access_key(key: AccessKey) -> dict[str, Any]:
    """The one time that the secret is shown."""
    return {**_describe(key), "SecretAccessKey": key.secret}


def describe_access_keys(identities: Identities) -> list[dict[str, Any]]:
    return [_describe(key) for key in identities.access_keys()]


def _describe(key: AccessKey) -> dict[str, Any]:
    return {
        "AccessKeyId": key.access_key_id,
        "AccountId": key.account_id,
        "Name": key.name or key.user_name,
        "CreatedAt": key.created_at,
    }


async def _create(identities: Identities, body: bytes) -> Answer:
    try:
        wanted = msgspec.json.decode(body, type=_Wanted)
    except (msgspec.DecodeError, RecursionError) as error:
        return 400, {"message": f"The body must be a JSON object with account_id and, if wanted, name: {error}."}
    key = await identities.create(wanted.account_id, wanted.name)
    return 200, describe_new_access_key(key)


async def _delete(identities: Identities, access_key_id: str) -> Answer:
    if await identities.delete(access_key_id):
        return 200, {}
    return 404, {"message": f"There is no access key {access_key_id!r}."}
