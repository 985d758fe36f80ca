"""Repositories, and what is kept for which of them."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from lambdad.images.account_share import AccountShares
from lambdad.model.quota import Quotas
from lambdad.services.ecr.counts import Counts
from lambdad.services.ecr.image import batch_check_layer_availability, put_image
from lambdad.services.ecr.model import Repository, RepositoryName, StoredManifest
from lambdad.services.ecr.records import EcrRecords
from lambdad.services.ecr.repository import create_repository, delete_repository, put_image_tag_mutability
from lambdad.services.ecr.state import EcrState
from lambdad.services.ecr.token import Tokens
from lambdad.services.ecr.upkeep import PART_SECONDS, Upkeep
from lambdad.store.base import Change
from lambdad.store.files import FileBlobs
from lambdad.store.memory import MemoryStore
from support.image_layers import Entry
from support.images import HandMade, image
from support.lambda_service import ACCOUNT, REGION, context, refused

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
            await state.records.add_part(name, digest, 0.0)
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


async def push(state: EcrState, name: RepositoryName, made: HandMade, tag: str = "v1") -> None:
    for data in made.blobs.values():
        await keep_blob(state, name, data)
    await put_image(state, context("PutImage"), put(made, name) | {"imageTag": tag})


def counted(state: EcrState) -> tuple[int, ...]:
    counts = state.records.counts
    shown = [counts.repositories(ACCOUNT, REGION), counts.images(NAME), counts.images(OTHER)]
    return (state.records.shares.used(ACCOUNT), *shown)


async def test_what_is_counted_is_what_there_is(state: EcrState) -> None:
    """What an account has in several repositories takes the disk once; after a restart it is counted again."""
    one, two = image([Entry("one")]), image([Entry("two")])
    await push(state, NAME, one)
    await push(state, NAME, one, "v2")
    await push(state, OTHER, one)
    await push(state, OTHER, two)
    sizes = {made.digest: len(made.manifest) + sum(map(len, made.blobs.values())) for made in (one, two)}
    assert counted(state) == (sum(sizes.values()), 2, 1, 2)
    assert state.records.counts.tags(NAME, one.digest[7:]) == 2
    again = EcrState(EcrRecords(state.records._records, state.blobs), state.blobs, state.tokens, ACCOUNT, REGION, 4566)
    await again.records.open()
    assert counted(again) == counted(state)
    assert again.records.counts.tags(NAME, one.digest[7:]) == 2
    await state.records.untag(NAME, ["v2", "never"])
    assert state.records.counts.tags(NAME, one.digest[7:]) == 1
    await state.records.delete_manifests(OTHER, [two.digest[7:]])
    assert counted(state) == (sizes[one.digest], 2, 1, 1)
    for left, name in ((1, NAME), (0, OTHER)):
        await state.records.delete_repository(name)
        assert counted(state)[:2] == (left and sizes[one.digest], left)
    assert vars(state.records.counts) == vars(Counts())


async def test_an_image_beyond_the_share_of_its_account_is_refused(store: SlowDisk, state: EcrState) -> None:
    """And leaves nothing; what other accounts have does not matter."""
    made = image([])
    await push(state, NAME, made)
    shares = AccountShares(state.records.shares.used(ACCOUNT) + 10)
    small = EcrState(EcrRecords(store, state.blobs, shares), state.blobs, state.tokens, ACCOUNT, REGION, 4566)
    await small.records.open()
    again = {"repositoryName": NAME.name, "imageManifest": made.manifest.decode() + " "}
    error = await refused(put_image(small, context("PutImage"), again))
    assert (error.code, "delete some" in error.message) == ("LimitExceededException", True)
    assert len(await state.records.manifests(NAME)) == 1
    shares.take("9" * 12, "0" * 64, 1 << 20)
    await put_image(small, context("PutImage"), put(made, NAME) | {"imageTag": "second"})


async def test_quotas_of_repositories_images_and_tags_hold(state: EcrState) -> None:
    """What is there may still be changed."""
    one, two = image([Entry("one")]), image([Entry("two")])
    state.quotas = Quotas(repositories=3, images_per_repository=1, tags_per_image=2)
    await create_repository(state, context("CreateRepository"), {"repositoryName": "third"})
    error = await refused(create_repository(state, context("CreateRepository"), {"repositoryName": "fourth"}))
    assert error.code == "LimitExceededException"
    await push(state, NAME, one, "a")
    await push(state, NAME, one, "b")
    assert (await refused(push(state, NAME, one, "c"))).code == "LimitExceededException"
    assert (await refused(push(state, NAME, two, "c"))).code == "LimitExceededException"
    await state.records.untag(NAME, ["a"])
    await push(state, NAME, one, "c")
    await state.records.delete_manifests(NAME, [one.digest[7:]])
    await push(state, NAME, two, "a")
    await delete_repository(state, context("DeleteRepository"), {"repositoryName": "third"})
    await create_repository(state, context("CreateRepository"), {"repositoryName": "fourth"})


async def test_parts_that_no_image_has_go_after_a_day(state: EcrState) -> None:
    """Not those that a push was told of since: its manifest may be about to come. Those of images stay, and so do images that
    were sent as parts as well."""
    now = [1e9]
    state.clock = lambda: now[0]
    upkeep = Upkeep(state, ended)
    made, both = image([Entry("one")]), await keep_blob(state, NAME, b"both", as_part=False)
    await push(state, NAME, made)
    await keep_blob(state, NAME, b"both")
    lost, asked_for, elsewhere = [await keep_blob(state, NAME, data) for data in (b"lost", b"asked for", b"elsewhere")]
    await keep_blob(state, OTHER, b"elsewhere")
    for name, part in ((NAME, lost), (NAME, asked_for), (NAME, elsewhere), (OTHER, elsewhere)):
        assert await state.records.has_part_for_push(name, part, now[0])
    await upkeep.sweep_parts()
    assert is_kept(state, lost)
    now[0] += PART_SECONDS + 1
    available = {"repositoryName": NAME.name, "layerDigests": [f"sha256:{asked_for}"]}
    await batch_check_layer_availability(state, context("BatchCheckLayerAvailability"), available)
    assert await state.records.has_part_for_push(OTHER, elsewhere, now[0])
    await upkeep.sweep_parts()
    assert {each: await state.records.has_part(NAME, each) for each in (lost, asked_for, elsewhere, both)} == {
        lost: False,
        asked_for: True,
        elsewhere: False,
        both: False,
    }
    assert (is_kept(state, lost), is_kept(state, elsewhere), is_kept(state, both)) == (False, True, True)
    assert all([await state.records.has_part(NAME, digest[7:]) for digest in made.blobs])
    now[0] += PART_SECONDS + 1
    await upkeep.sweep_parts()
    assert not is_kept(state, elsewhere)
    assert not await state.records.has_part_for_push(NAME, lost, now[0])


async def ended() -> None:
    """No uploads are under way."""


async def test_a_push_that_was_told_of_a_layer_finds_it(state: EcrState) -> None:
    """Also where the image that had it is deleted before the manifest comes; without such a push the layer goes at once."""
    old, new = image([Entry("f", b"x")]), image([Entry("f", b"x")], Cmd=["/f"])
    layer = next(iter(set(old.blobs) & set(new.blobs)))
    await push(state, NAME, old)
    asked = {"repositoryName": NAME.name, "layerDigests": [layer]}
    answer = await batch_check_layer_availability(state, context("BatchCheckLayerAvailability"), asked)
    assert [each["layerAvailability"] for each in answer["layers"]] == ["AVAILABLE"]
    await state.records.delete_manifests(NAME, [old.digest[7:]])
    assert set(await state.records.parts(NAME)) == {layer[7:]}
    await keep_blob(state, NAME, new.config)
    await put_image(state, context("PutImage"), put(new, NAME))
    await state.records.delete_manifests(NAME, [new.digest[7:]])
    assert await state.records.parts(NAME) == {}
    assert not is_kept(state, layer[7:])


async def test_a_part_that_was_lost_is_pushed_again(state: EcrState) -> None:
    """A disk may lose a file. Whoever pushes is told that it is not there, and an image that needs it is not let in before."""
    made = image([])
    for data in made.blobs.values():
        lost = await keep_blob(state, NAME, data)
    state.blobs.path(lost).unlink()
    asked = {"repositoryName": NAME.name, "layerDigests": [f"sha256:{lost}"]}
    answer = await batch_check_layer_availability(state, context("BatchCheckLayerAvailability"), asked)
    assert [layer["layerAvailability"] for layer in answer["layers"]] == ["UNAVAILABLE"]
    assert not await state.records.has_part(NAME, lost)
    assert (await refused(put_image(state, context("PutImage"), put(made, NAME)))).code == "LayersNotFoundException"
    assert await keep_blob(state, NAME, data) == lost
    answer = await batch_check_layer_availability(state, context("BatchCheckLayerAvailability"), asked)
    assert [layer["layerSize"] for layer in answer["layers"]] == [len(data)]
    await put_image(state, context("PutImage"), put(made, NAME))


async def test_what_has_arrived_counts_once(store: SlowDisk, state: EcrState) -> None:
    """At no moment twice, so that it takes no room from another layer of the same push."""
    shares = AccountShares(100)
    records = EcrRecords(store, state.blobs, shares)
    arriving, other = shares.arriving(ACCOUNT), shares.arriving(ACCOUNT)
    arriving.add(60)
    async with state.blobs.receive() as writer:
        await writer.write(b"x" * 60)
        digest = (await writer.finish()).digest
        await records.add_part(NAME, digest, 0.0, arriving)
        other.add(40)
        assert shares.used(ACCOUNT) == 100
