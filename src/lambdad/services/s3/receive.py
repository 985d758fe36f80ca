"""Takes an object's bytes in: into a blob, while they are digested; memory stays flat however many there are."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from lambdad.model.request import BodyStream, RequestContext
from lambdad.services.s3.checksum import Digests
from lambdad.services.s3.errors import not_implemented, s3_error
from lambdad.services.s3.model import Piece, check_put_size
from lambdad.services.s3.state import S3State

_BATCH_BYTES = 256 * 1024  #: digested in a thread; smaller bodies are not worth the way there


@dataclass(frozen=True, slots=True)
class Received:
    piece: Piece
    digests: Digests


@asynccontextmanager
async def received(
    state: S3State, body: AsyncIterable[bytes], algorithms: Iterable[str], owner: str
) -> AsyncIterator[Received]:
    """The whole body, durable. Commit the piece's reference within the block; without one nothing remains."""
    digests = Digests(algorithms)
    async with state.blobs.receive() as writer:
        async for batch in _batches(body):
            check_put_size(digests.size + sum(map(len, batch)))
            await _digest(digests, batch)
            for data in batch:
                await writer.write(data)
        blob = await writer.finish()
        yield Received(Piece(blob.digest, blob.size, owner), digests)


def upload_body(context: RequestContext, body: BodyStream | bytes | None) -> AsyncIterable[bytes]:
    """The body of an upload, which must say its length beforehand."""
    if isinstance(body, bytes) or body is None:
        return _once(body or b"")
    if body.content_length is None:
        if "transfer-encoding" in context.headers:
            raise not_implemented("Transfer-Encoding")
        raise s3_error("MissingContentLength", "You must provide the Content-Length HTTP header.", 411)
    check_put_size(body.content_length)
    return body


def trailers_of(body: BodyStream | bytes | None) -> dict[str, str]:
    """Once the body has been read to its end."""
    return {} if isinstance(body, bytes) or body is None else dict(body.trailers)


async def digested(pieces: AsyncIterable[bytes], algorithms: Iterable[str]) -> Digests:
    """For bytes that are in a blob already."""
    digests = Digests(algorithms)
    async for batch in _batches(pieces):
        await _digest(digests, batch)
    return digests


async def _digest(digests: Digests, batch: list[bytes]) -> None:
    if sum(map(len, batch)) < _BATCH_BYTES:
        digests.update(batch)
    else:
        await asyncio.to_thread(digests.update, batch)


async def _batches(body: AsyncIterable[bytes]) -> AsyncIterator[list[bytes]]:
    batch: list[bytes] = []
    size = 0
    async for data in body:
        batch.append(data)
        size += len(data)
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
