"""Where images come from: the contract, and what is common to all sources."""

from __future__ import annotations

import os
import stat
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Protocol

from lambdad.images.document import Descriptor


class MissingImage(Exception):
    """There is no such image, or it cannot be had; the text says why."""


class BusyRegistry(Exception):
    """A registry elsewhere is being asked by so many that there was no turn; the text says by how many."""


class ImageSource(Protocol):
    """One repository, folder or file with images in it."""

    is_remote: bool  #: layers from there may take longer than a client waits
    is_checked: bool  #: its parts are in the store, where they were checked when they came

    async def document(self, name: str | None) -> tuple[bytes, str]:
        """An index or a manifest and the media type that came with it (may be empty): that of a tag, of a digest ("sha256:...")
        or, with None, the only one. MissingImage where there is none."""
        ...

    def blob(self, descriptor: Descriptor) -> AsyncGenerator[bytes, None]:
        """The bytes of a part, unchecked; to be closed where they are not read to the end. MissingImage where it is not
        there."""
        ...

    async def close(self) -> None: ...


def open_file(path: Path) -> int:
    """A descriptor of a regular file; waits for nobody to write into a pipe. MissingImage where it is none."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as error:
        raise MissingImage(f"{path} cannot be read: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(file).st_mode):
        os.close(file)
        raise MissingImage(f"{path} is not a file")
    return file
