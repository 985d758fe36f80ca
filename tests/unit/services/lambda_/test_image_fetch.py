"""Layers fetched from registries elsewhere: who waits for whom."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path

from lambdad.images.document import Descriptor
from lambdad.images.proven_parts import ProvenParts
from lambdad.images.reference import Reference, RemoteImage
from lambdad.images.source import ImageSource, MissingImage
from lambdad.model.image import Image, ImageCommand, ImageLayer, ImageUse
from lambdad.services.lambda_.image_fetch import AT_ONCE_OF_ACCOUNT, ImageFetch
from lambdad.store.files import FileBlobs
from lambdad.store.memory import MemoryStore

LAYER = "0" * 64


class HeldRegistries:
    """They have no layer, and do not say so before they may."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.has_begun = asyncio.Condition()
        self.may_answer = asyncio.Event()

    def open_remote(self, reference: Reference) -> ImageSource:
        assert isinstance(reference, RemoteImage)
        return _Held(self, reference.repository)

    async def first(self, count: int) -> list[str]:
        """The repositories of the images that are first in turn."""
        async with self.has_begun:
            await self.has_begun.wait_for(lambda: len(self.begun) >= count)
        return sorted(self.begun)


class _Held:
    is_remote = True
    is_checked = False

    def __init__(self, registries: HeldRegistries, repository: str) -> None:
        self._registries = registries
        self._repository = repository

    async def document(self, name: str | None) -> tuple[bytes, str]:
        raise AssertionError("it was read before")

    async def blob(self, descriptor: Descriptor) -> AsyncGenerator[bytes, None]:
        registries = self._registries
        async with registries.has_begun:
            registries.begun.append(self._repository)
            registries.has_begun.notify_all()
        await registries.may_answer.wait()
        raise MissingImage("gone")
        yield b""

    async def close(self) -> None:
        pass


def use(repository: str) -> ImageUse:
    uri = f"registry.example.com/{repository}:v"
    image = Image(LAYER, LAYER, (ImageLayer(LAYER, LAYER, 1),), ImageCommand(), "x86_64")
    return ImageUse(uri, uri, image, awaits_layers=True)


async def test_an_account_does_not_wait_for_all_of_anothers_images(tmp_path: Path) -> None:
    """From the same registry: one account has so many turns and no more, however many of its images wait."""
    blobs = FileBlobs(tmp_path / "blobs", MemoryStore())
    await blobs.open()
    registries = HeldRegistries()
    fetch = ImageFetch(registries, blobs, ProvenParts())
    work = [asyncio.create_task(fetch.fetch("1" * 12, use("one"))) for _ in range(10)]
    work.append(asyncio.create_task(fetch.fetch("2" * 12, use("two"))))
    assert await registries.first(AT_ONCE_OF_ACCOUNT + 1) == ["one"] * AT_ONCE_OF_ACCOUNT + ["two"]
    registries.may_answer.set()
    failures = await asyncio.gather(*work)
    assert {failure and failure.code for failure in failures} == {"ImageAccessDenied"}
    assert len(registries.begun) == len(work)
    await blobs.close()
