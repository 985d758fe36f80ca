"""Fetches the layers of a function's image from a registry elsewhere, while the function is Pending or its update InProgress.

What the registry says of the image was asked when the function was given it. Its layers may take minutes, and no client waits
so long for an answer.
"""

from __future__ import annotations

from typing import Protocol

from lambdad.images.document import MalformedImage
from lambdad.images.proven_parts import AccountParts, ProvenParts
from lambdad.images.pull import pulled_layers
from lambdad.images.reference import MalformedReference, Reference, read_reference
from lambdad.images.registry_turns import RegistryTurns
from lambdad.images.source import ImageSource, MissingImage
from lambdad.model.function import Failure
from lambdad.model.image import ImageUse
from lambdad.store.base import Blobs, InsufficientStorage

AT_ONCE = 4  #: images from one registry, each over one connection; no other registry's wait for a slow one
AT_ONCE_OF_ACCOUNT = 2  #: of these, so that no account's wait for another's large ones alone


class RemoteSources(Protocol):
    def open_remote(self, reference: Reference) -> ImageSource:
        """The registry elsewhere in which an image is. MissingImage where the settings do not name it any more."""
        ...


class ImageFetch:
    def __init__(self, sources: RemoteSources, blobs: Blobs, proven: ProvenParts) -> None:
        self._sources = sources
        self._blobs = blobs
        self._proven = proven
        self._turns = RegistryTurns(AT_ONCE, AT_ONCE_OF_ACCOUNT)

    async def fetch(self, account_id: str, use: ImageUse) -> Failure | None:
        """Into the store, where the function's references keep them. At once where nothing is awaited."""
        if not use.awaits_layers:
            return None
        registry = use.uri.partition("/")[0].lower()
        async with self._turns.turn(registry, account_id):
            try:
                await self._fetch(use, self._proven.of(account_id))
            except (MissingImage, MalformedReference) as error:
                return Failure("ImageAccessDenied", f"The image cannot be fetched: {error}.")
            except MalformedImage as error:
                return Failure("InvalidImage", f"The image cannot be fetched: {error}.")
            except InsufficientStorage:
                return Failure("InsufficientCapacity", "The image cannot be fetched: the disk is full.")
        return None

    async def _fetch(self, use: ImageUse, proven: AccountParts) -> None:
        source = self._sources.open_remote(read_reference(use.uri))
        try:
            async with pulled_layers(source, use.image, self._blobs, proven):
                pass  # the function refers to them
        finally:
            await source.close()
