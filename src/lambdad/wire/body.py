"""The body of a request, read from ASGI as it is asked for: decoded, measured and checked on the way, never held."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from lambdad.errors import ServiceError
from lambdad.wire.auth_error import AuthFailure
from lambdad.wire.aws_chunked import AwsChunkedDecoder, incomplete_body, malformed_trailer
from lambdad.wire.http import HttpRequest
from lambdad.wire.sigv4 import ChunkSigner

Receive = Callable[[], Awaitable[Mapping[str, Any]]]

DEFAULT_LIMIT_BYTES = 70_167_211

_HEX_DIGEST = re.compile(r"[0-9a-f]{64}")
#: What x-amz-content-sha256 may say besides a digest; "" is its absence.
_PAYLOAD_KINDS = frozenset(
    {
        "",
        "UNSIGNED-PAYLOAD",
        "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
        "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
    }
)


@dataclass(frozen=True, slots=True)
class BodyLimit:
    """How large a body that is not streamed may be, and what AWS calls the operation when it says so."""

    size: int
    operation: str | None = None  #: "InvokeFunction" for Invoke; else the operation's own name
    named_size: int | None = None  #: what the refusal says, where the operation itself refuses what is a little too large


@dataclass(frozen=True, slots=True)
class BodyLimits:
    default: int = DEFAULT_LIMIT_BYTES
    operations: Mapping[tuple[str, str], BodyLimit] = field(default_factory=dict)  #: by (service, operation)

    def limit_of(self, service: str, operation: str) -> BodyLimit:
        return self.operations.get((service, operation)) or BodyLimit(self.default)


class BodyTooLarge(Exception):
    """The body is longer than the limit; the front says so in the service's words."""


class RequestBody:
    """The model's BodyStream over an ASGI connection. May be iterated once; back-pressure is the connection's own."""

    def __init__(
        self,
        receive: Receive,
        *,
        content_length: int | None = None,
        decoder: AwsChunkedDecoder | None = None,
        sha256: str | None = None,
        announced_trailers: tuple[str, ...] = (),
        explain: Callable[[AuthFailure], ServiceError] | None = None,
    ) -> None:
        """`content_length` is the decoded length; `sha256` the announced digest of the decoded body."""
        self.content_length = content_length
        self.trailers: Mapping[str, str] = {}
        self._receive = receive
        self._decoder = decoder
        self._sha256 = sha256
        self._announced_trailers = announced_trailers
        self._explain = explain
        self._is_taken = False

    def __aiter__(self) -> AsyncIterator[bytes]:
        self._take()
        return self._pieces()

    def _take(self) -> None:
        if self._is_taken:
            raise RuntimeError("a request's body can be read only once")
        self._is_taken = True

    async def read(self, limit: int) -> bytes:
        try:
            return await self.read_all(limit)
        except BodyTooLarge as error:
            message = f"The request body must be smaller than {limit} bytes."
            raise ServiceError("RequestEntityTooLarge", message, status=413) from error

    async def read_all(self, limit: int) -> bytes:
        """The whole body; BodyTooLarge before more than `limit` bytes are held."""
        if self.content_length is not None and self.content_length > limit:
            raise BodyTooLarge
        if self._decoder is None and self._sha256 is None:
            return await self._read_plain(limit)
        pieces = []
        size = 0
        async for piece in self:
            size += len(piece)
            if size > limit:
                raise BodyTooLarge
            pieces.append(piece)
        return b"".join(pieces)

    async def _read_plain(self, limit: int) -> bytes:
        """The short way of most requests, whose body comes in one message; the server has counted its bytes."""
        self._take()
        pieces: list[bytes] = []
        size = 0
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise incomplete_body()
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > limit:
                raise BodyTooLarge
            if not message.get("more_body"):
                return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def _pieces(self) -> AsyncIterator[bytes]:
        size = 0
        digest = hashlib.sha256() if self._sha256 else None
        async for piece in self._decoded():
            size += len(piece)
            if self.content_length is not None and size > self.content_length:
                raise incomplete_body()
            if digest:
                digest.update(piece)
            yield piece
        if self.content_length is not None and size != self.content_length:
            raise incomplete_body()
        if digest and digest.hexdigest() != self._sha256:
            raise _digest_mismatch(str(self._sha256), digest.hexdigest())

    async def _decoded(self) -> AsyncIterator[bytes]:
        if self._decoder is None:
            async for data in self._received():
                yield data
            return
        try:
            async for data in self._received():
                for piece in self._decoder.feed(data):
                    yield piece
            self._decoder.finish()
        except AuthFailure as failure:
            if self._explain is None:
                raise
            raise self._explain(failure) from failure
        if any(name not in self._decoder.trailers for name in self._announced_trailers):
            raise malformed_trailer()
        self.trailers = self._decoder.trailers

    async def _received(self) -> AsyncIterator[bytes]:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise incomplete_body()
            if data := message.get("body"):
                yield data
            if not message.get("more_body"):
                return


def streamed_body(
    request: HttpRequest,
    receive: Receive,
    chunk_signer: ChunkSigner | None,
    explain: Callable[[AuthFailure], ServiceError],
) -> RequestBody:
    """The body of an S3 request. Takes `aws-chunked` off the headers too, so that operations see what was meant."""
    announced = request.headers.get("x-amz-content-sha256", "")
    if announced not in _PAYLOAD_KINDS and not _HEX_DIGEST.fullmatch(announced):
        wanted = f"x-amz-content-sha256 must be one of {', '.join(sorted(_PAYLOAD_KINDS - {''}))}, or a valid sha256 value."
        members = {"ArgumentName": "x-amz-content-sha256", "ArgumentValue": announced[:256]}
        raise ServiceError("InvalidArgument", wanted, status=400, members=members)
    if _HEX_DIGEST.fullmatch(announced):  # the digest is of what was sent, so nothing is decoded, whatever the coding says
        length = _length(request, "content-length")
        _unwrap_headers(request, length)
        return RequestBody(receive, content_length=length, sha256=announced)
    if not announced.startswith("STREAMING-") and not _has_chunked_coding(request):
        return RequestBody(receive, content_length=_length(request, "content-length"))
    length = _length(request, "x-amz-decoded-content-length")
    if length is None and announced.startswith("STREAMING-"):
        raise ServiceError("MissingContentLength", "You must provide the Content-Length HTTP header.", status=411)
    _unwrap_headers(request, length)
    is_signed = announced.startswith("STREAMING-AWS4-HMAC-SHA256-PAYLOAD")
    trailers = tuple(name.strip().lower() for name in request.headers.get("x-amz-trailer", "").split(",") if name.strip())
    decoder = AwsChunkedDecoder(chunk_signer if is_signed else None)
    return RequestBody(
        receive, content_length=length, decoder=decoder, announced_trailers=trailers, explain=explain
    )  # fmt: skip


def plain_body(request: HttpRequest, receive: Receive) -> RequestBody:
    return RequestBody(receive, content_length=_length(request, "content-length"))


def _has_chunked_coding(request: HttpRequest) -> bool:
    return "aws-chunked" in request.headers.get("content-encoding", "")


def _unwrap_headers(request: HttpRequest, length: int | None) -> None:
    codings = [coding.strip() for coding in request.headers.pop("content-encoding", "").split(",")]
    remaining = ",".join(coding for coding in codings if coding and coding != "aws-chunked")
    if remaining:
        request.headers["content-encoding"] = remaining
    request.headers.pop("content-length", None)
    if length is not None:
        request.headers["content-length"] = str(length)


def _length(request: HttpRequest, name: str) -> int | None:
    text = request.headers.get(name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 15:
        raise ServiceError("InvalidArgument", f"The header {name} is not a length in bytes.", status=400)
    return int(text)


def _digest_mismatch(announced: str, computed: str) -> ServiceError:
    return ServiceError(
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
        status=400,
        members={"ClientComputedContentSHA256": announced, "S3ComputedContentSHA256": computed},
    )
