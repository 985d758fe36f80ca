"""Lifecycle policies: which images have had their time, and that these go, with what nothing else needs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from lambdad.services.ecr.lifecycle import AT_ONCE, Lifecycles
from lambdad.services.ecr.lifecycle_policy import DAY_SECONDS, AgedImage, MalformedLifecycle, expired, read_lifecycle
from lambdad.services.ecr.model import Repository, RepositoryName, StoredManifest
from lambdad.services.ecr.records import EcrRecords
from lambdad.services.ecr.state import EcrState
from lambdad.services.ecr.token import Tokens
from lambdad.store.base import REFERENCES, Record
from lambdad.store.files import FileBlobs
from lambdad.store.memory import MemoryStore

NOW = 100 * DAY_SECONDS
#: Of each image its tags and how many days ago it was pushed.
IMAGES: Mapping[str, tuple[list[str], float]] = {
    "old-prod": (["prod-1"], 30),
    "new-prod": (["prod-2", "latest"], 2),
    "old-dev": (["dev-1"], 20),
    "new-dev": (["dev-2"], 1),
    "old-bare": ([], 15),
    "new-bare": ([], 3),
}


def policy(*selections: Mapping[str, Any], **more: Any) -> str:
    """Of one rule for each, in this order."""
    rules = [
        {"rulePriority": number, "selection": selection, "action": {"type": "expire"}}
        for number, selection in enumerate(selections, start=1)
    ]
    return json.dumps({"rules": rules, **more})


def number(tags: str, most: int, **more: Any) -> dict[str, Any]:
    return {"tagStatus": tags, "countType": "imageCountMoreThan", "countNumber": most, **more}


def age(tags: str, days: int, **more: Any) -> dict[str, Any]:
    return {"tagStatus": tags, "countType": "sinceImagePushed", "countUnit": "days", "countNumber": days, **more}


@pytest.mark.parametrize(
    ("selections", "gone"),
    [
        ([number("any", 2)], {"old-prod", "old-dev", "old-bare", "new-bare"}),
        ([number("untagged", 1)], {"old-bare"}),
        ([age("untagged", 2)], {"old-bare", "new-bare"}),
        ([age("any", 10)], {"old-prod", "old-dev", "old-bare"}),
        ([age("any", 30)], set()),
        ([number("tagged", 1, tagPrefixList=["prod"])], {"old-prod"}),
        ([age("tagged", 1, tagPrefixList=["prod", "latest"])], {"new-prod"}),
        ([age("tagged", 0 + 1, tagPatternList=["*-2", "la*st"])], {"new-prod"}),
        ([age("tagged", 1, tagPatternList=["prod-1"])], {"old-prod"}),
        ([age("tagged", 1, tagPatternList=["prod"])], set()),
        ([age("tagged", 1, tagPatternList=["p*r*o*d*1"])], {"old-prod"}),
        ([age("tagged", 1, tagPatternList=["prod-1*prod-1", "prod-*-1", "*o*p*", "*-1-1", "dev-1*1"])], set()),
        ([age("tagged", 1, tagPatternList=["*"])], {"old-prod", "new-prod", "old-dev"}),
        ([number("tagged", 5, tagPrefixList=["prod"]), number("any", 1)], {"old-dev", "new-bare", "old-bare"}),
        ([number("tagged", 1, tagPrefixList=["prod"]), number("any", 2)], {"old-prod", "old-dev", "old-bare", "new-bare"}),
    ],
)
def test_an_image_goes_by_the_first_rule_that_is_about_it(selections: list[dict[str, Any]], gone: set[str]) -> None:
    """By number, the youngest stay; by age, those beyond; what one rule is about no later rule takes."""
    images = [AgedImage(name, tags, NOW - days * DAY_SECONDS) for name, (tags, days) in IMAGES.items()]
    assert expired(read_lifecycle(policy(*selections)), images, NOW) == gone


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        policy(),
        policy(number("any", 0)),
        policy(age("any", 1 << 31)),
        policy(age("any", 10**300)),
        policy(number("any", 1), number("untagged", 1)),
        policy(number("tagged", 1)),
        policy(number("untagged", 1, tagPrefixList=["a"])),
        policy(number("tagged", 1, tagPrefixList=["a"], tagPatternList=["b"])),
        policy(number("tagged", 1, tagPatternList=["*****"])),
        policy(number("any", 1, countUnit="days")),
        policy({"tagStatus": "any", "countType": "sinceImagePushed", "countNumber": 1}),
        policy({"tagStatus": "any", "countType": "sinceImagePulled", "countNumber": 1, "countUnit": "days"}),
        policy(*[number("untagged", 1)] * 51),
        policy(number("any", 1)).replace("expire", "transition"),
        policy(number("any", 1)).replace('"rulePriority": 1', '"rulePriority": 0'),
        policy(number("untagged", 1), number("any", 1)).replace('"rulePriority": 2', '"rulePriority": 1'),
        policy(number("any", 1), more=1),
    ],
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    """Also what would be one with AWS, but has no effect here."""
    with pytest.raises(MalformedLifecycle):
        read_lifecycle(text)


def test_no_pattern_makes_the_rules_go_on_for_long() -> None:
    """Each of its stars may stand for anything; as many rules as there may be, and an image with many tags."""
    rules = read_lifecycle(policy(*[number("tagged", 1, tagPatternList=["*a*a*a*ab"])] * 50))
    images = [AgedImage("many", ["a" * 120 + str(each) for each in range(1000)], 0.0)]
    assert expired(rules, images, NOW) == set()


async def test_what_cannot_be_carried_out_in_one_repository_keeps_no_other_from_its_turn(tmp_path: Path) -> None:
    """Be it of another account."""
    store = MemoryStore()
    blobs = FileBlobs(tmp_path / "blobs", store)
    await blobs.open()
    records = EcrRecords(store, blobs)
    state = EcrState(records, blobs, Tokens(b"x"), "0" * 12, "us-east-1", 4566, clock=lambda: NOW)
    for account_id, text in (("0" * 12, "{}"), ("1" * 12, policy(age("any", 10)))):
        name = RepositoryName(account_id, "us-east-1", "images")
        await records.save_repository(Repository(*name, created_at=0.0, lifecycle=text))
        await records.save_manifest(name, StoredManifest("a" * 64, "m", 1, 0.0, ()), "old")
    await Lifecycles(state).sweep()
    left = {each.account_id: len(await records.manifests(each.named)) for each in await records.all_repositories()}
    assert left == {"0" * 12: 1, "1" * 12: 0}
    await blobs.close()


async def test_an_image_that_is_tagged_anew_meanwhile_does_not_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was found to have had its time is looked at once more as it then stands."""
    store = MemoryStore()
    blobs = FileBlobs(tmp_path / "blobs", store)
    await blobs.open()
    records = EcrRecords(store, blobs)
    state = EcrState(records, blobs, Tokens(b"x"), "0" * 12, "us-east-1", 4566, clock=lambda: NOW)
    name, manifest = RepositoryName("0" * 12, "us-east-1", "images"), StoredManifest("a" * 64, "m", 1, 0.0, ())
    await records.save_repository(Repository(*name, created_at=0.0, lifecycle=policy(age("untagged", 10))))
    await records.save_manifest(name, manifest, None)
    looks = 0

    async def tagged_meanwhile(work: Callable[..., set[str]], *arguments: Any) -> set[str]:
        nonlocal looks
        looks += 1
        found = work(*arguments)
        await records.save_manifest(name, manifest, "kept")
        return found

    monkeypatch.setattr("lambdad.services.ecr.lifecycle.asyncio.to_thread", tagged_meanwhile)
    await Lifecycles(state).sweep()
    assert (looks, await records.tags(name)) == (2, {"kept": manifest.digest})
    found = await records.repository(name)
    assert found is not None
    assert found.lifecycle_evaluated_at == NOW
    await blobs.close()


async def test_images_go_when_they_have_had_their_time(tmp_path: Path) -> None:
    """With their parts and tags; what an index names goes after it, and repositories without a policy keep all."""
    store = MemoryStore()
    blobs = FileBlobs(tmp_path / "blobs", store)
    await blobs.open()
    records = EcrRecords(store, blobs)
    state = EcrState(records, blobs, Tokens(b"x"), "0" * 12, "us-east-1", 4566, clock=lambda: NOW)
    ruled, free = RepositoryName("0" * 12, "us-east-1", "ruled"), RepositoryName("1" * 12, "eu-west-1", "free")

    async def kept(content: bytes) -> str:
        async with blobs.receive() as writer:
            await writer.write(content)
            digest = (await writer.finish()).digest
            await records.add_part(ruled, digest, 0.0)
        return digest

    shared, own = await kept(b"shared"), await kept(b"own")
    inner, outer, young = "a" * 64, "b" * 64, "c" * 64
    text = policy(age("any", 10))
    for name, lifecycle in ((ruled, text), (free, "")):
        await records.save_repository(Repository(*name, created_at=0.0, lifecycle=lifecycle))
        await records.save_manifest(name, StoredManifest(inner, "m", 1, 0.0, (shared, own)), "inner")
        await records.save_manifest(name, StoredManifest(outer, "i", 1, 0.0, (), (inner,)), "outer")
        await records.save_manifest(name, StoredManifest(young, "m", 1, NOW, (shared,)), "young")
    lifecycles = Lifecycles(state)
    await lifecycles.sweep()
    assert {each.digest for each in await records.manifests(ruled)} == {inner, young}
    await lifecycles.sweep()
    assert await records.tags(ruled) == {"young": young}
    assert (await records.has_part(ruled, shared), await records.has_part(ruled, own)) == (True, False)
    assert blobs.path(shared).is_file()
    with pytest.raises(KeyError):
        blobs.path(own)
    found = await records.repository(ruled)
    assert found is not None
    assert (found.lifecycle_evaluated_at, found.lifecycle) == (NOW, text)
    assert len(await records.manifests(free)) == 3
    await blobs.close()


class Counted(MemoryStore):
    """Knows how many manifests it has given out in lists."""

    listed = 0

    async def list(self, collection: str, **wanted: Any) -> Sequence[Record]:  # type: ignore[override]
        found = await super().list(collection, **wanted)
        self.listed += len(found) if collection == "ecr-manifest" else 0
        return found


class Wanted(asyncio.Lock):
    """Tells that somebody waits for it."""

    def __init__(self) -> None:
        super().__init__()
        self.is_wanted = asyncio.Event()

    async def acquire(self) -> Literal[True]:
        if self.locked():
            self.is_wanted.set()
        return await super().acquire()


@pytest.mark.parametrize("is_pushed", [True, False])
async def test_many_images_go_with_others_having_their_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_pushed: bool
) -> None:
    """They are not read anew for each. What is pushed in between stays, and the rest goes all the same."""
    store = Counted()
    blobs = FileBlobs(tmp_path / "blobs", store)
    await blobs.open()
    records = EcrRecords(store, blobs)
    held = Wanted()
    monkeypatch.setattr(records, "changing", lambda name: held)
    state = EcrState(records, blobs, Tokens(b"x"), "0" * 12, "us-east-1", 4566, clock=lambda: NOW)
    name, count = RepositoryName("0" * 12, "us-east-1", "many"), 2 * AT_ONCE + 1
    await records.save_repository(Repository(*name, created_at=0.0, lifecycle=policy(age("any", 10))))
    for each in range(count):
        await records.save_manifest(name, StoredManifest(f"{each:064x}", "m", 1, 0.0, ("f" * 64,)), f"v{each}")
    turns: list[asyncio.Task[int]] = []

    async def change() -> int:
        async with held:
            if is_pushed:
                await records.save_manifest(name, StoredManifest("e" * 64, "m", 1, NOW, ("f" * 64,)), "young")
            return sum(int(digest, 16) < count for digest in (await records.tags(name)).values())

    delete = records.delete_manifests

    async def delete_with_somebody_waiting(name: RepositoryName, digests: Sequence[str]) -> None:
        if not turns:
            turns.append(asyncio.create_task(change()))
            await held.is_wanted.wait()
        await delete(name, digests)

    monkeypatch.setattr(records, "delete_manifests", delete_with_somebody_waiting)
    await Lifecycles(state).sweep()
    assert 0 < await turns[0] < count
    assert await records.tags(name) == ({"young": "e" * 64} if is_pushed else {})
    found = await records.repository(name)
    assert found is not None
    assert found.lifecycle_evaluated_at == NOW
    assert store.listed < 10 * count
    await blobs.close()


async def test_a_part_goes_with_the_last_of_many_images_that_needs_it(tmp_path: Path) -> None:
    """Also where they go in more than one commit; a digest that is no image's is passed over."""
    store = Counted()
    blobs = FileBlobs(tmp_path / "blobs", store)
    await blobs.open()
    records, name = EcrRecords(store, blobs), RepositoryName("0" * 12, "us-east-1", "many")
    for part in ("a", "b"):
        await records.add_part(name, part * 64, 0.0)
    images = [f"{each:064x}" for each in range(300)]
    for digest in images:
        await records.save_manifest(name, StoredManifest(digest, "m", 1, 0.0, ("a" * 64, "a" * 64)), digest[-3:])
    await records.save_manifest(name, StoredManifest("c" * 64, "m", 1, 0.0, ("b" * 64,)), "kept")
    await records.delete_manifests(name, ["d" * 64, *images[1:], images[1]])
    assert store.listed == 301
    assert await records.tags(name) == {images[0][-3:]: images[0], "kept": "c" * 64}
    assert set(await records.parts(name)) == {"a" * 64, "b" * 64}
    await records.delete_manifests(name, images)
    assert set(await records.parts(name)) == {"b" * 64}
    assert [record.key for record in await store.list(REFERENCES, prefix="a" * 64)] == []
    await blobs.close()
