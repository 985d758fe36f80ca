"""The images of a repository, for functions that are to run them."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from lambdad.images.document import Descriptor
from lambdad.images.source import MissingImage
from lambdad.services.ecr.image import document_of, find
from lambdad.services.ecr.model import RepositoryName
from lambdad.services.ecr.state import EcrState


class OwnImages:
    """`images.source.ImageSource` over a repository of this server. Its parts are in the store already."""

    is_remote = False
    is_checked = True

    def __init__(self, state: EcrState, name: RepositoryName) -> None:
        self._state = state
        self._name = name

    async def document(self, name: str | None) -> tuple[bytes, str]:
        manifest = await find(self._state, self._name, name or "latest")
        if manifest is None:
            raise MissingImage(f"the repository {self._name.name} has no image {name}")
        try:
            return await document_of(self._state, manifest), manifest.media_type
        except KeyError as error:
            raise MissingImage(f"the image {name} of the repository {self._name.name} has just been deleted") from error

    async def blob(self, descriptor: Descriptor) -> AsyncGenerator[bytes, None]:
        if not await self._state.records.has_part(self._name, descriptor.hex_digest):
            raise MissingImage(f"{descriptor.digest} is not in the repository {self._name.name}")
        try:
            async for piece in self._state.blobs.read(descriptor.hex_digest):
                yield piece
        except KeyError as error:
            raise MissingImage(f"{descriptor.digest} is not in the store any more") from error

    async def close(self) -> None:
        """Nothing stays open between calls."""
