"""Code.Location: a link of ten minutes that downloads the very bytes of a zip."""

from __future__ import annotations

import hashlib
import hmac
import math
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from lambdad.store.base import Blobs

PATH = "/_lambdad/code/"
LIFETIME_SECONDS = 600

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class CodeLocations:
    """Signs links and, as an ASGI application for everything under PATH, serves them."""

    def __init__(self, secret: bytes, blobs: Blobs, *, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._blobs = blobs
        self._clock = clock

    def sign(self, endpoint: str, digest: str) -> str:
        expires = math.ceil(self._clock()) + LIFETIME_SECONDS
        return f"{endpoint}{PATH}{digest}.zip?expires={expires}&signature={self._signature(digest, expires)}"

    def verify(self, digest: str, expires: str, signature: str) -> str | None:
        """None when the link is good, else what is wrong with it."""
        if not expires.isdecimal() or len(expires) > 12:
            return "The link is not one that lambdad made."
        if not hmac.compare_digest(self._signature(digest, int(expires)).encode(), signature.encode()):
            return "The link's signature does not match."
        if int(expires) < self._clock():
            return "Request has expired"
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] not in ("GET", "HEAD"):
            await _answer_error(send, 405, "MethodNotAllowed", "The link is for GET and HEAD.")
            return
        digest = scope["path"].removeprefix(PATH).removesuffix(".zip")
        query = {name: values[-1] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}
        wrong = self.verify(digest, query.get("expires", ""), query.get("signature", ""))
        if wrong is not None:
            await _answer_error(send, 403, "AccessDenied", wrong)
            return
        await self._answer_blob(scope, send, digest)

    async def _answer_blob(self, scope: Scope, send: Send, digest: str) -> None:
        async with AsyncExitStack() as stack:
            try:
                await stack.enter_async_context(self._blobs.pin(digest))
            except KeyError:
                await _answer_error(send, 404, "NoSuchKey", "The code has been deleted since the link was made.")
                return
            await self._answer_pinned(scope, send, digest)

    async def _answer_pinned(self, scope: Scope, send: Send, digest: str) -> None:
        size = self._blobs.path(digest).stat().st_size
        headers = [
            (b"content-type", b"application/zip"),
            (b"content-length", str(size).encode()),
            (b"content-disposition", b"attachment"),
            (b"cache-control", b"no-store"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if scope["method"] == "GET":
            async for piece in self._blobs.read(digest):
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    def _signature(self, digest: str, expires: int) -> str:
        return hmac.new(self._secret, f"{digest}\n{expires}".encode(), hashlib.sha256).hexdigest()


async def _answer_error(send: Send, status: int, code: str, message: str) -> None:
    error = f"<Error><Code>{code}</Code><Message>{escape(message)}</Message></Error>"
    body = f'<?xml version="1.0" encoding="UTF-8"?>\n{error}'.encode()
    headers = [(b"content-type", b"application/xml"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
