"""Images in a tar that `docker save` or `podman save` has written.

Such a file has no manifest of the image. One is made of what is there, and so the image has a digest here that it has nowhere
else; the same file always gives the same.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import tarfile
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import IO

import msgspec

from lambdad.images.document import DOCKER_MANIFEST, MOST_BYTES, MOST_LAYERS, Descriptor, MalformedImage
from lambdad.images.source import MissingImage, open_file

_PIECE_BYTES = 1 << 20
_MOST_MEMBERS = 20_000
_CONFIG_TYPE = "application/vnd.docker.container.image.v1+json"
_TAR, _GZIP = "application/vnd.docker.image.rootfs.diff.tar", "application/vnd.docker.image.rootfs.diff.tar.gzip"


class _Saved(msgspec.Struct, frozen=True):
    Config: str
    Layers: Sequence[str]
    RepoTags: Sequence[str] | None = None


class DockerArchive:
    """`images.source.ImageSource` over a file."""

    is_remote = False
    is_checked = False

    def __init__(self, file: Path) -> None:
        self._file = file
        self._tar: tarfile.TarFile | None = None
        self._content_file: IO[bytes]  #: of it, as long as it is open
        self._members: dict[str, tarfile.TarInfo] = {}  #: by the digest of their bytes

    async def document(self, name: str | None) -> tuple[bytes, str]:
        return await asyncio.to_thread(self._manifest, name), DOCKER_MANIFEST

    async def blob(self, descriptor: Descriptor) -> AsyncGenerator[bytes, None]:
        member = self._members.get(descriptor.digest)
        if member is None:
            raise MissingImage(f"{self._file} has no part {descriptor.digest}")
        content = self._content(member)
        while piece := await asyncio.to_thread(content.read, _PIECE_BYTES):
            yield piece

    async def close(self) -> None:
        if self._tar is not None:
            self._tar.close()
            self._tar = None
            self._content_file.close()

    def _manifest(self, name: str | None) -> bytes:
        try:
            saved = self._saved(name)
            if len(saved.Layers) > MOST_LAYERS:
                raise MalformedImage(f"it has {len(saved.Layers)} layers; {MOST_LAYERS} are possible")
            config = self._describe(saved.Config, _CONFIG_TYPE)
            layers = [self._describe(layer, _TAR) for layer in saved.Layers]
        except (tarfile.TarError, EOFError, OSError) as error:
            raise MissingImage(f"{self._file} cannot be read: {error}") from error
        described = {"schemaVersion": 2, "mediaType": DOCKER_MANIFEST, "config": config, "layers": layers}
        return msgspec.json.encode(described)

    def _saved(self, name: str | None) -> _Saved:
        try:
            images = msgspec.json.decode(self._read("manifest.json"), type=list[_Saved])
        except msgspec.MsgspecError as error:
            raise MalformedImage(f"{self._file} has a manifest.json that cannot be read: {error}") from error
        if name is None and len(images) == 1:
            return images[0]
        names = [tag for image in images for tag in image.RepoTags or ()]
        if name is None:
            raise MissingImage(f"{self._file} has {len(images)} images; say which: {', '.join(names) or 'they have no names'}")
        for image in images:
            if any(name in (tag, tag.rpartition(":")[2]) for tag in image.RepoTags or ()):
                return image
        raise MissingImage(f"{self._file} has no image named {name}, but {', '.join(names) or 'none with a name'}")

    def _describe(self, path: str, media_type: str) -> dict[str, object]:
        member = self._member(path)
        digest, content = hashlib.sha256(), self._content(member)
        magic, size = b"", 0
        while piece := content.read(_PIECE_BYTES):
            magic = magic or piece[:2]
            digest.update(piece)
            size += len(piece)
        name = f"sha256:{digest.hexdigest()}"
        self._members[name] = member
        kind = _GZIP if media_type == _TAR and magic == b"\x1f\x8b" else media_type
        return {"mediaType": kind, "digest": name, "size": size}

    def _read(self, path: str) -> bytes:
        member = self._member(path)
        if member.size > MOST_BYTES:
            raise MalformedImage(f"{path} in {self._file} has more than {MOST_BYTES} bytes")
        return self._content(member).read()

    def _member(self, path: str) -> tarfile.TarInfo:
        if self._tar is None:
            self._tar = self._open()
        tar = self._tar
        for _ in range(_MOST_MEMBERS):
            member = tar.next()
            if member is None:
                break
            if member.issparse():  # it may say that it is as long as it likes
                raise MalformedImage(f"{member.name} in {self._file} is sparse, which docker save never writes")
        else:
            raise MalformedImage(f"{self._file} has more than {_MOST_MEMBERS} members")
        try:
            return tar.getmember(path)
        except KeyError as error:
            raise MissingImage(f"{self._file} has no {path}: it is not what docker save writes") from error

    def _open(self) -> tarfile.TarFile:
        self._content_file = os.fdopen(open_file(self._file), "rb")
        try:
            return tarfile.open(fileobj=self._content_file, mode="r:")
        except BaseException:
            self._content_file.close()
            raise

    def _content(self, member: tarfile.TarInfo) -> IO[bytes]:
        """Links lead to other members only, as old versions of Docker wrote layers that were the same."""
        assert self._tar is not None  # its member was found
        try:
            content = self._tar.extractfile(member)
        except KeyError as error:
            raise MalformedImage(f"{member.name} in {self._file} is a link to nowhere") from error
        if content is None:
            raise MalformedImage(f"{member.name} in {self._file} is not a file")
        return content
