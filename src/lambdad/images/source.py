"""Where images come from: the contract, and what is common to all sources."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from lambdad.images.document import Descriptor


class MissingImage(Exception):
    """There is no such image, or it cannot be had; the text says why."""


class ImageSource(Protocol):
    """One repository, folder or file with images in it."""

    async def document(self, name: str | None) -> tuple[bytes, str]:
        """An index or a manifest and the media type that came with it (may be empty): that of a tag, of a digest ("sha256:...")
        or, with None, the only one. MissingImage where there is none."""
        ...

    def blob(self, descriptor: Descriptor) -> AsyncGenerator[bytes, None]:
        """The bytes of a part, unchecked; to be closed where they are not read to the end. MissingImage where it is not
        there."""
        ...

    async def close(self) -> None: ...
