"""Takes an image into the store: every part checked against its digest, and kept only whole."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager

from lambdad.images.document import (
    MOST_BYTES,
    Descriptor,
    Index,
    MalformedImage,
    Manifest,
    check_image,
    read_config,
    read_document,
)
from lambdad.images.proven_parts import AccountParts
from lambdad.images.reference import DIGEST
from lambdad.images.source import ImageSource
from lambdad.model.image import Image, ImageLayer
from lambdad.store.base import Blobs


@asynccontextmanager
async def pulled(
    source: ImageSource, name: str | None, architecture: str, blobs: Blobs, proven: AccountParts, most_bytes: int
) -> AsyncIterator[Image]:
    """The image for this architecture, its parts pinned while the block runs: commit what refers to them inside it.

    `proven` are the parts of the account that it is for: those that the store has already are not fetched again. Neither are
    the layers of a remote source, which are left to `pulled_layers`. MissingImage and MalformedImage say what is wrong with it.
    """
    async with AsyncExitStack() as pins:
        data, manifest = await _manifest(source, name, architecture)
        check_image(manifest)
        config_data = await _small(source, manifest.config)
        config = read_config(config_data)
        if config.architecture != architecture:
            raise MalformedImage(f"the image is for {config.architecture}, and not for {architecture}")
        if len(config.diff_ids) != len(manifest.layers):
            raise MalformedImage("its configuration and its manifest have different numbers of layers")
        if sum(layer.size for layer in manifest.layers) > most_bytes:
            raise MalformedImage(f"its layers have more than {most_bytes} bytes")
        digest = hashlib.sha256(data).hexdigest()
        await _keep(blobs, pins, Descriptor(f"sha256:{digest}", len(data)), _one(data))
        await _keep(blobs, pins, manifest.config, _one(config_data))
        for part in () if source.is_remote else manifest.layers:
            await _keep_part(blobs, pins, part, source, proven)
        layers = tuple(
            ImageLayer(layer.hex_digest, diff_id, layer.size)
            for layer, diff_id in zip(manifest.layers, config.diff_ids, strict=True)
        )
        yield Image(digest, manifest.config.hex_digest, layers, config.command, config.architecture)


@asynccontextmanager
async def pulled_layers(source: ImageSource, image: Image, blobs: Blobs, proven: AccountParts) -> AsyncIterator[None]:
    """The layers that `pulled` has left out, in the store, and pinned while the block runs."""
    async with AsyncExitStack() as pins:
        for layer in image.layers:
            await _keep_part(blobs, pins, Descriptor(f"sha256:{layer.digest}", layer.size), source, proven)
        yield


async def _manifest(source: ImageSource, name: str | None, architecture: str) -> tuple[bytes, Manifest]:
    """Indexes may name indexes; nobody writes more than one such step."""
    data, media_type = await source.document(name)
    _check_digest(name, data)
    for _ in range(3):
        document = read_document(data, media_type)
        if isinstance(document, Manifest):
            return data, document
        assert isinstance(document, Index)
        chosen = document.chosen(architecture)
        data, media_type = await source.document(chosen.digest)
        _check_digest(chosen.digest, data)
        media_type = chosen.media_type or media_type
    raise MalformedImage("its indexes name nothing but indexes")


def _check_digest(name: str | None, data: bytes) -> None:
    if name is not None and DIGEST.fullmatch(name) and name != f"sha256:{hashlib.sha256(data).hexdigest()}":
        raise MalformedImage(f"what came for {name} is something else")


async def _small(source: ImageSource, descriptor: Descriptor) -> bytes:
    """A whole part, that is one of the documents."""
    if descriptor.size > MOST_BYTES:
        raise MalformedImage(f"its configuration has more than {MOST_BYTES} bytes")
    pieces: list[bytes] = []
    size = 0
    async with aclosing(source.blob(descriptor)) as content:
        async for piece in content:
            size += len(piece)
            if size > descriptor.size:
                raise MalformedImage(f"{descriptor.digest} is longer than was said of it")
            pieces.append(piece)
    data = b"".join(pieces)
    _check_digest(descriptor.digest, data)
    return data


async def _keep_part(
    blobs: Blobs, pins: AsyncExitStack, part: Descriptor, source: ImageSource, proven: AccountParts
) -> None:  # fmt: skip
    """A part that the store has is read all the same, unless the account has shown before that it has it: else whoever knows
    the digest of another's could have it, with a source that has something else under it."""
    digest = part.hex_digest
    async with aclosing(source.blob(part)) as content:
        if source.is_checked or proven.has(digest):
            try:
                await pins.enter_async_context(blobs.pin(digest))
            except KeyError:
                await _keep(blobs, pins, part, content)
            else:
                await _check_still_there(blobs, part, content)
        else:
            await _keep(blobs, pins, part, content)
    proven.note(digest)


async def _check_still_there(blobs: Blobs, part: Descriptor, content: AsyncGenerator[bytes, None]) -> None:
    """That the source has it: by its size and its beginning."""
    if blobs.path(part.hex_digest).stat().st_size != part.size:
        raise MalformedImage(f"{part.digest} is of another size than was said of it")
    beginning = await anext(content, b"")
    known = [piece async for piece in blobs.read(part.hex_digest, end=max(1, len(beginning)))]
    if b"".join(known) != beginning:
        raise MalformedImage(f"what came for {part.digest} is something else")


async def _keep(blobs: Blobs, pins: AsyncExitStack, part: Descriptor, content: AsyncGenerator[bytes, None]) -> None:
    """Whether the store has it or not, and nothing tells which: it is read to its end, and checked."""
    writer = await pins.enter_async_context(blobs.receive())
    size = 0
    async for piece in content:
        size += len(piece)
        if size > part.size:
            raise MalformedImage(f"{part.digest} is longer than was said of it")
        await writer.write(piece)
    blob = await writer.finish()
    if blob.digest != part.hex_digest:
        raise MalformedImage(f"what came for {part.digest} is something else")
    if blob.size != part.size:
        raise MalformedImage(f"{part.digest} is shorter than was said of it")


async def _one(data: bytes) -> AsyncGenerator[bytes, None]:
    yield data
