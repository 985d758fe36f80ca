"""Requests to a site and streams of a function as a test makes them up, under the contracts of `model`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field

from lambdad.errors import ServiceError
from lambdad.model.invocation import StreamEnd
from lambdad.model.permission import Permission
from lambdad.model.site import SiteCaller

URL_ID = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass
class GivenRequest:
    method: str = "GET"
    raw_path: str = "/"
    raw_query: str = ""
    sent: Sequence[tuple[str, str]] = ()
    content: bytes = b""
    signer: SiteCaller | None = None  #: None: the request is not signed
    request_id: str = "id"
    scheme: str = "http"
    protocol: str = "HTTP/1.1"
    source_ip: str = "127.0.0.1"
    url_id: str = URL_ID
    is_read: bool = field(default=False, init=False)

    @property
    def raw_headers(self) -> list[tuple[bytes, bytes]]:
        return [(name.lower().encode(), value.encode()) for name, value in self.sent]

    @property
    def headers(self) -> Mapping[str, str]:
        joined: dict[str, str] = {}
        for name, value in self.sent:
            joined[name.lower()] = f"{joined[name.lower()]},{value}" if name.lower() in joined else value
        return joined

    @property
    def host(self) -> str:
        return self.headers.get("host", f"{self.url_id}.lambda-url.us-east-1.localhost")

    def check_claim(self, signing_name: str) -> None:
        if self.signer is None:
            raise ServiceError("MissingAuthenticationTokenException", "Missing Authentication Token", status=403)

    async def body(self, limit: int) -> bytes:
        self.is_read = True
        if len(self.content) > limit:
            raise ServiceError("RequestEntityTooLargeException", "too large", status=413)
        return self.content

    async def permit(self, caller: SiteCaller, permissions: tuple[Permission, ...]) -> bool:
        """As with `--auth off`."""
        return False

    def caller(self, signing_name: str, body: bytes) -> SiteCaller:
        assert self.signer is not None
        return self.signer


class GivenStream:
    """`model.invocation.StreamedResponse` of the pieces that a test gives."""

    def __init__(
        self,
        pieces: Sequence[bytes],
        *,
        content_type: str = "application/vnd.awslambda.http-integration-response",
        error_type: str | None = None,
    ) -> None:
        self.content_type = content_type
        self.is_closed = False
        self.taken = 0
        self._pieces = pieces
        self._end = StreamEnd(error_type)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.taken += 1
            yield piece

    def close(self) -> None:
        self.is_closed = True

    async def end(self) -> StreamEnd:
        return self._end
