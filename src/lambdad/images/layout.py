"""Images in a folder: an OCI image layout, as buildah, umoci, skopeo and `docker buildx --output type=oci` write it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from pathlib import Path

import msgspec

from lambdad.images.document import MOST_BYTES, Descriptor, Index, MalformedImage, read_document
from lambdad.images.reference import DIGEST
from lambdad.images.source import MissingImage, open_file

_NAME = "org.opencontainers.image.ref.name"
_PIECE_BYTES = 1 << 20


class Layout:
    """`images.source.ImageSource` over a folder."""

    is_remote = False
    is_checked = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def document(self, name: str | None) -> tuple[bytes, str]:
        if name is not None and DIGEST.fullmatch(name):
            return await asyncio.to_thread(self._read_blob, name), ""
        index = await asyncio.to_thread(self._index)
        descriptor = self._named(index, name)
        return await asyncio.to_thread(self._read_blob, descriptor.digest), descriptor.media_type

    async def blob(self, descriptor: Descriptor) -> AsyncGenerator[bytes, None]:
        file = await asyncio.to_thread(open_file, self._path(descriptor.digest))
        with os.fdopen(file, "rb") as content:
            while piece := await asyncio.to_thread(content.read, _PIECE_BYTES):
                yield piece

    async def close(self) -> None:
        """Nothing stays open between calls."""

    def _index(self) -> Index:
        marker = _read(self._folder / "oci-layout")
        try:
            version = msgspec.json.decode(marker, type=dict[str, str]).get("imageLayoutVersion", "")
        except msgspec.MsgspecError as error:
            raise MalformedImage(f"{self._folder} has an oci-layout file that cannot be read") from error
        if not version.startswith("1."):
            raise MalformedImage(f"{self._folder} is an image layout of version {version!r}; 1 is read")
        index = read_document(_read(self._folder / "index.json"))
        if not isinstance(index, Index):
            raise MalformedImage(f"{self._folder}/index.json is no index")
        return index

    def _named(self, index: Index, name: str | None) -> Descriptor:
        if name is None:
            if len(index.manifests) != 1:
                names = ", ".join(sorted(each.annotations.get(_NAME, each.digest) for each in index.manifests)) or "none"
                raise MissingImage(f"{self._folder} has {len(index.manifests)} images; say which: {names}")
            return index.manifests[0]
        for descriptor in index.manifests:
            known = descriptor.annotations.get(_NAME, "")
            if known == name or known.rpartition(":")[2] == name:
                return descriptor
        raise MissingImage(f"{self._folder} has no image named {name}")

    def _read_blob(self, digest: str) -> bytes:
        return _read(self._path(digest))

    def _path(self, digest: str) -> Path:
        matched = DIGEST.fullmatch(digest)
        if not matched:
            raise MalformedImage(f"{digest[:80]!r} is not a digest")
        return self._folder / "blobs" / "sha256" / matched[1]


def _read(path: Path) -> bytes:
    with os.fdopen(open_file(path), "rb") as content:
        data = content.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise MalformedImage(f"{path} has more than {MOST_BYTES} bytes")
    return data
