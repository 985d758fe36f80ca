"""Repositories, and what is kept for which of them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from lambdad.services.ecr.image import put_image
from lambdad.services.ecr.model import Repository, RepositoryName, StoredManifest
from lambdad.services.ecr.records import EcrRecords
from lambdad.services.ecr.repository import put_image_tag_mutability
from lambdad.services.ecr.state import EcrState
from lambdad.services.ecr.token import Tokens
from lambdad.store.base import Change
from lambdad.store.files import FileBlobs
from lambdad.store.memory import MemoryStore
from support.images import HandMade, image
from support.lambda_service import ACCOUNT, REGION, context

NAME, OTHER = RepositoryName(ACCOUNT, REGION, "slow"), RepositoryName(ACCOUNT, REGION, "other")


class SlowDisk(MemoryStore):
    """Commits to one of the repositories come to no end before they may."""

    def __init__(self) -> None:
        super().__init__()
        self.is_slow = False
        self.is_asked, self.may_end = asyncio.Event(), asyncio.Event()

    async def commit(self, changes: Sequence[Change]) -> None:
        if self.is_slow and any(NAME.key in getattr(change, "key", "") for change in changes):
            self.is_asked.set()
            await self.may_end.wait()
        await super().commit(changes)


@pytest.fixture
async def store() -> SlowDisk:
    return SlowDisk()


@pytest.fixture
async def state(store: SlowDisk, tmp_path: Path) -> AsyncIterator[EcrState]:
    blobs = FileBlobs(tmp_path / "blobs", store)
    await blobs.open()
    made = EcrState(EcrRecords(store, blobs), blobs, Tokens(b"x"), ACCOUNT, REGION, 4566)
    for name in (NAME, OTHER):
        await made.records.save_repository(Repository(*name, created_at=0.0))
    yield made
    await blobs.close()


async def keep_blob(state: EcrState, name: RepositoryName, data: bytes, *, as_part: bool = True) -> str:
    async with state.blobs.receive() as writer:
        await writer.write(data)
        digest = (await writer.finish()).digest
        if as_part:
            await state.records.add_part(name, digest)
        else:
            await state.records.save_manifest(name, StoredManifest(digest, "m", len(data), 0.0, ()), None)
    return digest


def is_kept(state: EcrState, digest: str) -> bool:
    try:
        return state.blobs.path(digest).is_file()
    except KeyError:
        return False


def put(made: HandMade, name: RepositoryName) -> dict[str, str]:
    return {"repositoryName": name.name, "imageManifest": made.manifest.decode(), "imageTag": "v1"}


async def test_a_slow_push_holds_up_no_other_repository(state: EcrState, store: SlowDisk) -> None:
    """Whatever is changed there, while the disk takes its time over the first."""
    made = image([])
    for name, data in itertools.product((NAME, OTHER), made.blobs.values()):
        await keep_blob(state, name, data)
    store.is_slow = True
    slow = asyncio.create_task(put_image(state, context("PutImage"), put(made, NAME)))
    await store.is_asked.wait()
    await put_image(state, context("PutImage"), put(made, OTHER))
    mutability = {"repositoryName": OTHER.name, "imageTagMutability": "IMMUTABLE"}
    await put_image_tag_mutability(state, context("PutImageTagMutability"), mutability)
    assert not slow.done()
    store.may_end.set()
    await slow
    assert await state.records.tagged(NAME, "v1") == await state.records.tagged(OTHER, "v1")


@pytest.mark.parametrize("first", ["named", "naming"])
async def test_a_manifest_that_is_a_part_as_well_stays_for_the_other(state: EcrState, first: str) -> None:
    """The manifest may go and leave the part, and the part go and leave the manifest; after both nothing is left."""
    named = await keep_blob(state, NAME, b"both", as_part=False)
    await keep_blob(state, NAME, b"both")
    naming = await keep_blob(state, NAME, b"{}", as_part=False)
    await state.records.save_manifest(NAME, StoredManifest(naming, "m", 2, 0.0, (named,)), None)
    digests = {"named": named, "naming": naming}
    await state.records.delete_manifests(NAME, [digests.pop(first)])
    assert is_kept(state, named)
    assert await state.records.has_part(NAME, named) == (first == "named")
    await state.records.delete_manifests(NAME, digests.values())
    assert not is_kept(state, named)
    assert not is_kept(state, naming)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_both_go_at_once(state: EcrState, order: tuple[int, int]) -> None:
    named = await keep_blob(state, NAME, b"both", as_part=False)
    await keep_blob(state, NAME, b"both")
    naming = await keep_blob(state, NAME, b"{}", as_part=False)
    await state.records.save_manifest(NAME, StoredManifest(naming, "m", 2, 0.0, (named,)), None)
    await state.records.delete_manifests(NAME, [(named, naming)[each] for each in order])
    assert not is_kept(state, named)
    assert not is_kept(state, naming)
