"""How repositories are kept; no other module knows.

    ecr-repository  <account>/<region>/<repository>              the repository
    ecr-manifest    <account>/<region>/<repository>:<digest>     a manifest in it
    ecr-tag         <account>/<region>/<repository>:<tag>        the digest of the manifest that has the tag
    ecr-part        <account>/<region>/<repository>:<digest>     a part that was uploaded to it: when it was last asked for

What is in a repository is kept by references of the repository's own, one for each blob.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import msgspec

from lambdad.images.account_share import AccountShares, Arriving
from lambdad.services.ecr.counts import Counts
from lambdad.services.ecr.model import Repository, RepositoryName, StoredManifest
from lambdad.store.base import Blobs, Change, Delete, Put, Record, Records, refer, unrefer
from lambdad.store.keyed_locks import KeyedLocks
from lambdad.store.to_the_end import to_the_end

_REPOSITORIES, _MANIFESTS, _TAGS, _PARTS = "ecr-repository", "ecr-manifest", "ecr-tag", "ecr-part"
_PAGE = 500
NOTED_SECONDS = 3600.0  #: no part's time is written down anew before
_MOST_CHANGES = 500  #: in one commit, but for those of its last manifest
T = TypeVar("T")


class EcrRecords:
    """Whoever looks at a repository and then changes it, or what is in it, holds `changing` all the while."""

    def __init__(self, records: Records, blobs: Blobs, shares: AccountShares | None = None) -> None:
        self._records = records
        self._blobs = blobs
        self._locks = KeyedLocks()
        #: By repository, the parts that pushes have sent, or were told of, and whose manifest has not come; and when that was.
        self._awaiting: dict[str, dict[str, float]] = {}
        self.counts = Counts()
        self.shares = shares or AccountShares()

    async def open(self) -> None:
        """To be called first: what there is is counted."""
        async for record in self._all(_REPOSITORIES, ""):
            self.counts.add_repository(_decode(record, Repository).named)
        held: list[tuple[str, str]] = []
        for collection in (_MANIFESTS, _PARTS):
            async for record in self._all(collection, ""):
                name_key, _, digest = record.key.rpartition(":")
                held.append((name_key.partition("/")[0], digest))
                if collection == _MANIFESTS:
                    self.counts.add_image(name_key)
        async for record in self._all(_TAGS, ""):
            self.counts.add_tag(record.key.rpartition(":")[0], record.value.decode())
        sizes = await asyncio.to_thread(self._sizes, {digest for _, digest in held})
        for account_id, digest in held:
            self.shares.take(account_id, digest, sizes[digest])

    def changing(self, name: RepositoryName) -> AbstractAsyncContextManager[None]:
        """Holds the repository against other changes; those of others go on."""
        return self._locks.hold(name)

    def creating(self, name: RepositoryName) -> AbstractAsyncContextManager[None]:
        """Holds its account and Region against other new repositories."""
        return self._locks.hold((name.account_id, name.region))

    # Repositories

    async def repository(self, name: RepositoryName) -> Repository | None:
        record = await self._records.get(_REPOSITORIES, name.key)
        return None if record is None else _decode(record, Repository)

    async def repositories(self, account_id: str, region: str, after: str, limit: int) -> list[Repository]:
        """In the order of their names, from the first one after the name `after`."""
        prefix = f"{account_id}/{region}/"
        found = await self._records.list(_REPOSITORIES, prefix=prefix, after=prefix + after, limit=limit)
        return [_decode(record, Repository) for record in found]

    async def all_repositories(self) -> list[Repository]:
        """Of every account and Region."""
        return [_decode(record, Repository) async for record in self._all(_REPOSITORIES, "")]

    async def save_repository(self, repository: Repository) -> None:
        name = repository.named
        is_new = await self.repository(name) is None

        async def step() -> None:
            await self._records.commit([Put(_REPOSITORIES, name.key, msgspec.json.encode(repository))])
            if is_new:
                self.counts.add_repository(name)

        await to_the_end(step())

    async def delete_repository(self, name: RepositoryName) -> None:
        """With everything in it."""
        manifests, parts = await self.manifests(name), await self.parts(name)
        tags = await self.tags(name)
        held = [*(manifest.digest for manifest in manifests), *parts]
        changes: list[Change] = [
            Delete(_REPOSITORIES, name.key),
            *(Delete(_MANIFESTS, f"{name.key}:{manifest.digest}") for manifest in manifests),
            *(Delete(_TAGS, f"{name.key}:{tag}") for tag in tags),
            *(Delete(_PARTS, f"{name.key}:{part}") for part in parts),
            *(unrefer(digest, _owner(name)) for digest in set(held)),
        ]

        async def step() -> None:
            await self._commit_and_release(name, changes, held, tags.values(), len(manifests))
            self._awaiting.pop(name.key, None)
            self.counts.add_repository(name, -1)

        await to_the_end(step())

    # Manifests

    async def manifest(self, name: RepositoryName, digest: str) -> StoredManifest | None:
        record = await self._records.get(_MANIFESTS, f"{name.key}:{digest}")
        return None if record is None else _decode(record, StoredManifest)

    async def manifests(self, name: RepositoryName) -> list[StoredManifest]:
        return [_decode(record, StoredManifest) async for record in self._all(_MANIFESTS, f"{name.key}:")]

    async def tagged(self, name: RepositoryName, tag: str) -> str | None:
        """The digest of the manifest that has the tag."""
        record = await self._records.get(_TAGS, f"{name.key}:{tag}")
        return None if record is None else record.value.decode()

    async def tags(self, name: RepositoryName) -> dict[str, str]:
        """Tag -> digest, in the order of the tags."""
        prefix = f"{name.key}:"
        return {record.key[len(prefix) :]: record.value.decode() async for record in self._all(_TAGS, prefix)}

    async def save_manifest(self, name: RepositoryName, manifest: StoredManifest, tag: str | None) -> None:
        """The blob must be pinned."""
        is_new = await self.manifest(name, manifest.digest) is None
        tagged = await self.tagged(name, tag) if tag is not None else None
        changes: list[Change] = [
            Put(_MANIFESTS, f"{name.key}:{manifest.digest}", msgspec.json.encode(manifest)),
            refer(manifest.digest, _owner(name)),
        ]
        if tag is not None:
            changes.append(Put(_TAGS, f"{name.key}:{tag}", manifest.digest.encode()))

        async def step() -> None:
            await self._records.commit(changes)
            self._await_no_more(name, manifest.parts)
            if is_new:
                self.counts.add_image(name.key)
                self.shares.take(name.account_id, manifest.digest, self._size(manifest.digest))
            if tagged is not None:
                self.counts.add_tag(name.key, tagged, -1)
            if tag is not None:
                self.counts.add_tag(name.key, manifest.digest)

        await to_the_end(step())

    async def untag(self, name: RepositoryName, tags: Iterable[str]) -> None:
        held = {tag: digest for tag in tags if (digest := await self.tagged(name, tag)) is not None}
        await to_the_end(
            self._commit_and_release(name, [Delete(_TAGS, f"{name.key}:{tag}") for tag in held], [], held.values())
        )

    async def delete_manifests(self, name: RepositoryName, digests: Iterable[str]) -> None:
        """With their tags, and with those of their parts that no other manifest of the repository needs, and no push that is
        under way. Many go in several commits, each of whole manifests."""
        manifests = {manifest.digest: manifest for manifest in await self.manifests(name)}
        users = Counter(part for manifest in manifests.values() for part in set(manifest.parts))
        kept, parts = set(manifests), set(await self.parts(name))
        awaiting = self._awaiting.get(name.key, {})
        tags: dict[str, list[str]] = {}
        for tag, digest in (await self.tags(name)).items():
            tags.setdefault(digest, []).append(tag)
        changes: list[Change] = []
        held: list[str] = []
        untagged: list[str] = []
        count = 0
        for manifest in [manifests[digest] for digest in dict.fromkeys(digests) if digest in manifests]:
            kept.remove(manifest.digest)
            users.subtract(set(manifest.parts))
            unused = {part for part in manifest.parts if not users[part] and part not in awaiting} & parts
            parts -= unused
            # Nothing keeps a manifest from having been sent as a part as well, and one reference stands for both.
            gone = {digest for digest in (*unused, manifest.digest) if digest not in kept and digest not in parts}
            changes.append(Delete(_MANIFESTS, f"{name.key}:{manifest.digest}"))
            changes += [Delete(_TAGS, f"{name.key}:{tag}") for tag in tags.get(manifest.digest, ())]
            changes += [Delete(_PARTS, f"{name.key}:{part}") for part in unused]
            changes += [unrefer(digest, _owner(name)) for digest in gone]
            held += [*unused, manifest.digest]
            untagged += [manifest.digest] * len(tags.get(manifest.digest, ()))
            count += 1
            if len(changes) >= _MOST_CHANGES:
                await to_the_end(self._commit_and_release(name, changes, held, untagged, count))
                changes, held, untagged, count = [], [], [], 0
        await to_the_end(self._commit_and_release(name, changes, held, untagged, count))

    # Parts

    async def has_part(self, name: RepositoryName, digest: str) -> bool:
        """One that was lost is not there: whoever pushes brings it again."""
        record = await self._records.get(_PARTS, f"{name.key}:{digest}")
        return record is not None and self._is_kept(digest)

    async def add_part(self, name: RepositoryName, digest: str, now: float, arriving: Arriving | None = None) -> None:
        """The blob must be pinned. What has been arriving counts as kept from then on, and never as both."""
        is_new = await self._records.get(_PARTS, f"{name.key}:{digest}") is None

        async def step() -> None:
            put = Put(_PARTS, f"{name.key}:{digest}", msgspec.json.encode(now))
            await self._records.commit([put, refer(digest, _owner(name))])
            self._await_manifest(name, digest, now)
            if arriving is not None:
                arriving.end()
            if is_new:
                self.shares.take(name.account_id, digest, self._size(digest))

        await to_the_end(step())

    async def has_part_for_push(self, name: RepositoryName, digest: str, now: float) -> bool:
        """As `has_part`; where it is there it stays for the manifest that is about to come."""
        async with self.changing(name):
            record = await self._records.get(_PARTS, f"{name.key}:{digest}")
            if record is not None and abs(now - _asked_at(record)) > NOTED_SECONDS:
                await self._records.commit([Put(_PARTS, record.key, msgspec.json.encode(now))])
            if record is None or not self._is_kept(digest):
                return False
            self._await_manifest(name, digest, now)
            return True

    async def parts(self, name: RepositoryName) -> dict[str, float]:
        """Digest -> when it came, or a push was told that it is there; within `NOTED_SECONDS`."""
        prefix = f"{name.key}:"
        return {record.key[len(prefix) :]: _asked_at(record) async for record in self._all(_PARTS, prefix)}

    async def has_unnamed_parts(self, name: RepositoryName, asked_before: float) -> bool:
        """Whether `delete_unnamed_parts` has something to do, for who does not hold the repository yet. Pushes that have been
        silent for so long are given up."""
        awaiting = self._awaiting.get(name.key, {})
        self._await_no_more(name, [part for part, since in awaiting.items() if since < asked_before])
        return bool((await self._unnamed_parts(name, asked_before))[0])

    async def delete_unnamed_parts(self, name: RepositoryName, asked_before: float) -> int:
        """Those that no manifest names, and that nobody has asked for since; how many they were."""
        unnamed, gone = await self._unnamed_parts(name, asked_before)
        changes: list[Change] = [Delete(_PARTS, f"{name.key}:{part}") for part in unnamed]
        changes += [unrefer(part, _owner(name)) for part in gone]
        await to_the_end(self._commit_and_release(name, changes, list(unnamed)))
        return len(unnamed)

    def _await_manifest(self, name: RepositoryName, part: str, now: float) -> None:
        self._awaiting.setdefault(name.key, {})[part] = now

    def _await_no_more(self, name: RepositoryName, parts: Iterable[str]) -> None:
        awaiting = self._awaiting.get(name.key, {})
        for part in parts:
            awaiting.pop(part, None)
        if not awaiting:
            self._awaiting.pop(name.key, None)

    async def _unnamed_parts(self, name: RepositoryName, asked_before: float) -> tuple[set[str], set[str]]:
        """And those of them that are no manifests themselves."""
        old = {part for part, asked_at in (await self.parts(name)).items() if asked_at < asked_before}
        manifests = await self.manifests(name) if old else []
        unnamed = old.difference(*(manifest.parts for manifest in manifests))
        return unnamed, unnamed - {manifest.digest for manifest in manifests}

    async def _commit_and_release(
        self,
        name: RepositoryName,
        changes: Sequence[Change],
        held: Sequence[str],
        untagged: Iterable[str] = (),
        images: int = 0,
    ) -> None:
        """What it held so far, each manifest and each part, and what was tagged, each tag, is not any more."""
        await self._records.commit(changes)
        for digest in held:
            self.shares.give_back(name.account_id, digest)
        for digest in untagged:
            self.counts.add_tag(name.key, digest, -1)
        self.counts.add_image(name.key, -images)
        for digest in set(held):
            await self._blobs.release(digest)

    def _sizes(self, digests: Iterable[str]) -> dict[str, int]:
        return {digest: self._size(digest) for digest in digests}

    def _is_kept(self, digest: str) -> bool:
        try:
            self._blobs.path(digest)
        except KeyError:
            return False
        return True

    def _size(self, digest: str) -> int:
        try:
            return self._blobs.path(digest).stat().st_size
        except (KeyError, FileNotFoundError):  # it was lost, and takes nothing
            return 0

    async def _all(self, collection: str, prefix: str) -> AsyncIterator[Record]:
        after = ""
        while True:
            page = await self._records.list(collection, prefix=prefix, after=after, limit=_PAGE)
            for record in page:
                yield record
            if len(page) < _PAGE:
                return
            after = page[-1].key


def _owner(name: RepositoryName) -> str:
    return f"ecr/{name.key}"


def _asked_at(record: Record) -> float:
    """Long ago, for one that came when that was not written down."""
    return float(msgspec.json.decode(record.value, type=float)) if record.value else 0.0


def _decode(record: Record, kind: type[T]) -> T:
    return msgspec.json.decode(record.value, type=kind)
