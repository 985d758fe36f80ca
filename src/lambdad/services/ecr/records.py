"""How repositories are kept; no other module knows.

    ecr-repository  <account>/<region>/<repository>              the repository
    ecr-manifest    <account>/<region>/<repository>:<digest>     a manifest in it
    ecr-tag         <account>/<region>/<repository>:<tag>        the digest of the manifest that has the tag
    ecr-part        <account>/<region>/<repository>:<digest>     a part that was uploaded to it

What is in a repository is kept by references of the repository's own, one for each blob.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

import msgspec

from lambdad.services.ecr.model import Repository, RepositoryName, StoredManifest
from lambdad.store.base import Blobs, Change, Delete, Put, Record, Records, refer, unrefer
from lambdad.store.keyed_locks import KeyedLocks
from lambdad.store.to_the_end import to_the_end

_REPOSITORIES, _MANIFESTS, _TAGS, _PARTS = "ecr-repository", "ecr-manifest", "ecr-tag", "ecr-part"
_PAGE = 500
_MOST_CHANGES = 500  #: in one commit, but for those of its last manifest
T = TypeVar("T")


class EcrRecords:
    """Whoever looks at a repository and then changes it, or what is in it, holds `changing` all the while."""

    def __init__(self, records: Records, blobs: Blobs) -> None:
        self._records = records
        self._blobs = blobs
        self._locks = KeyedLocks()

    def changing(self, name: RepositoryName) -> AbstractAsyncContextManager[None]:
        """Holds the repository against other changes; those of others go on."""
        return self._locks.hold(name)

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
        await self._records.commit([Put(_REPOSITORIES, repository.named.key, msgspec.json.encode(repository))])

    async def delete_repository(self, name: RepositoryName) -> None:
        """With everything in it."""
        digests = {manifest.digest for manifest in await self.manifests(name)} | await self._parts(name)
        changes: list[Change] = [Delete(_REPOSITORIES, name.key)]
        for collection in (_MANIFESTS, _TAGS, _PARTS):
            changes += [Delete(collection, record.key) async for record in self._all(collection, f"{name.key}:")]
        await self._commit_and_release([*changes, *(unrefer(digest, _owner(name)) for digest in digests)], digests)

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
        changes: list[Change] = [
            Put(_MANIFESTS, f"{name.key}:{manifest.digest}", msgspec.json.encode(manifest)),
            refer(manifest.digest, _owner(name)),
        ]
        if tag is not None:
            changes.append(Put(_TAGS, f"{name.key}:{tag}", manifest.digest.encode()))
        await self._records.commit(changes)

    async def untag(self, name: RepositoryName, tags: Iterable[str]) -> None:
        await self._records.commit([Delete(_TAGS, f"{name.key}:{tag}") for tag in tags])

    async def delete_manifests(self, name: RepositoryName, digests: Iterable[str]) -> None:
        """With their tags, and with those of their parts that no other manifest of the repository needs. Many go in several
        commits, each of whole manifests."""
        manifests = {manifest.digest: manifest for manifest in await self.manifests(name)}
        users = Counter(part for manifest in manifests.values() for part in set(manifest.parts))
        kept, gone_parts = set(manifests), set[str]()
        tags: dict[str, list[str]] = {}
        for tag, digest in (await self.tags(name)).items():
            tags.setdefault(digest, []).append(tag)
        changes: list[Change] = []
        released: set[str] = set()
        for manifest in [manifests[digest] for digest in dict.fromkeys(digests) if digest in manifests]:
            kept.remove(manifest.digest)
            users.subtract(set(manifest.parts))
            unused = {part for part in manifest.parts if not users[part]}
            # Nothing keeps a manifest from having been sent as a part as well, and one reference stands for both.
            gone_parts |= unused
            gone = unused - kept
            if manifest.digest in gone_parts or not await self.has_part(name, manifest.digest):
                gone.add(manifest.digest)
            changes.append(Delete(_MANIFESTS, f"{name.key}:{manifest.digest}"))
            changes += [Delete(_TAGS, f"{name.key}:{tag}") for tag in tags.get(manifest.digest, ())]
            changes += [Delete(_PARTS, f"{name.key}:{part}") for part in unused]
            changes += [unrefer(digest, _owner(name)) for digest in gone]
            released |= gone
            if len(changes) >= _MOST_CHANGES:
                await self._commit_and_release(changes, released)
                changes, released = [], set()
        await self._commit_and_release(changes, released)

    # Parts

    async def has_part(self, name: RepositoryName, digest: str) -> bool:
        return await self._records.get(_PARTS, f"{name.key}:{digest}") is not None

    async def add_part(self, name: RepositoryName, digest: str) -> None:
        """The blob must be pinned."""
        await self._records.commit([Put(_PARTS, f"{name.key}:{digest}", b""), refer(digest, _owner(name))])

    async def _parts(self, name: RepositoryName) -> set[str]:
        prefix = f"{name.key}:"
        return {record.key[len(prefix) :] async for record in self._all(_PARTS, prefix)}

    async def _commit_and_release(self, changes: Sequence[Change], digests: Iterable[str]) -> None:
        async def step() -> None:
            await self._records.commit(changes)
            for digest in digests:
                await self._blobs.release(digest)

        await to_the_end(step())

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


def _decode(record: Record, kind: type[T]) -> T:
    return msgspec.json.decode(record.value, type=kind)
