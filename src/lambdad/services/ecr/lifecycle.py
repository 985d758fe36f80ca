"""Operations on lifecycle policies, and the removal of images by them: within the hour, where AWS takes a day."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from lambdad.errors import ServiceError
from lambdad.model.request import RequestContext
from lambdad.services.ecr.lifecycle_policy import AgedImage, MalformedLifecycle, expired, read_lifecycle
from lambdad.services.ecr.model import Repository, RepositoryName, StoredManifest, invalid
from lambdad.services.ecr.repository import existing, named
from lambdad.services.ecr.state import EcrState

log = logging.getLogger(__name__)

Request = Mapping[str, Any]
Output = dict[str, Any]

AT_ONCE = 200  #: images that are removed before others have their turn at changes
_TRIES = 3  #: in one sweep, at a repository that is changed before any of its images has gone


class _Standing(NamedTuple):
    """A repository as it is at one moment."""

    repository: Repository
    manifests: Mapping[str, StoredManifest]  #: by their digests
    tags: Mapping[str, str]  #: tag -> digest

    def without(self, digests: Collection[str]) -> _Standing:
        gone = frozenset(digests)
        manifests = {digest: manifest for digest, manifest in self.manifests.items() if digest not in gone}
        return self._replace(
            manifests=manifests, tags={tag: digest for tag, digest in self.tags.items() if digest not in gone}
        )  # fmt: skip


async def put_lifecycle_policy(state: EcrState, context: RequestContext, request: Request) -> Output:
    name, text = named(context, request), request["lifecyclePolicyText"]
    try:
        read_lifecycle(text)
    except MalformedLifecycle as error:
        message = "Invalid parameter at 'LifecyclePolicyText' failed to satisfy constraint"
        raise invalid(f"{message}: 'Lifecycle policy validation failure: {error}'") from error
    async with state.records.changing(name):
        repository = await existing(state, name)
        await state.records.save_repository(msgspec.structs.replace(repository, lifecycle=text, lifecycle_evaluated_at=0.0))
    return _shape(name, text)


async def get_lifecycle_policy(state: EcrState, context: RequestContext, request: Request) -> Output:
    return _existing_shape(await existing(state, named(context, request)))


async def delete_lifecycle_policy(state: EcrState, context: RequestContext, request: Request) -> Output:
    name = named(context, request)
    async with state.records.changing(name):
        repository = await existing(state, name)
        output = _existing_shape(repository)
        await state.records.save_repository(msgspec.structs.replace(repository, lifecycle="", lifecycle_evaluated_at=0.0))
    return output


class Lifecycles:
    """`stopping` ends a sweep early."""

    def __init__(self, state: EcrState, stopping: asyncio.Event | None = None) -> None:
        self._state = state
        self._stop = stopping or asyncio.Event()

    async def sweep(self) -> None:
        """Removes what has had its time, in every repository that has a policy."""
        for repository in await self._state.records.all_repositories():
            if not repository.lifecycle or self._stop.is_set():
                continue
            try:
                await self._evaluate(repository.named)
            except Exception:
                log.exception("The lifecycle policy of %s could not be carried out; others are.", repository.named.arn)

    async def _evaluate(self, name: RepositoryName) -> None:
        """The rules are gone through beside the event loop and beside all changes, and hold for what stands as it stood."""
        now, tries = self._state.clock(), _TRIES
        while tries:
            standing = await self._standing(name)
            if standing is None:
                return
            gone = sorted(await asyncio.to_thread(_expired, standing, now))
            removed = await self._remove(standing, gone)
            if removed == len(gone):
                await self._keep_evaluated(standing.repository, now)
                return
            if self._stop.is_set():
                return
            tries = _TRIES if removed else tries - 1
        log.info("The repository %s was changed while its lifecycle policy was looked at; the next attempt follows.", name.arn)

    async def _remove(self, standing: _Standing, gone: Sequence[str]) -> int:
        """How many went. Other changes have their turn in between; after one that is about this repository none goes."""
        records, name, removed = self._state.records, standing.repository.named, 0
        while removed < len(gone) and not self._stop.is_set():
            digests = gone[removed : removed + AT_ONCE]
            async with records.changing(name):
                if await self._standing(name) != standing:
                    break
                await records.delete_manifests(name, digests)
            removed += len(digests)
            standing = standing.without(digests)
        if removed:
            log.info("%d images of the repository %s have had their time.", removed, name.arn)
        return removed

    async def _keep_evaluated(self, evaluated: Repository, now: float) -> None:
        records = self._state.records
        async with records.changing(evaluated.named):
            repository = await records.repository(evaluated.named)
            if repository is not None and repository.lifecycle == evaluated.lifecycle:
                await records.save_repository(msgspec.structs.replace(repository, lifecycle_evaluated_at=now))

    async def _standing(self, name: RepositoryName) -> _Standing | None:
        """None where there is nothing to carry out."""
        records = self._state.records
        repository = await records.repository(name)
        if repository is None or not repository.lifecycle:
            return None
        manifests = {manifest.digest: manifest for manifest in await records.manifests(name)}
        return _Standing(repository, manifests, await records.tags(name))


def _expired(standing: _Standing, now: float) -> set[str]:
    tags: dict[str, list[str]] = {}
    for tag, digest in standing.tags.items():
        tags.setdefault(digest, []).append(tag)
    aged = [AgedImage(digest, tags.get(digest, []), each.pushed_at) for digest, each in standing.manifests.items()]
    # What an index names stays with it, and has its turn when that has gone.
    kept = {digest for holder in standing.manifests.values() for digest in holder.manifests}
    return expired(read_lifecycle(standing.repository.lifecycle), aged, now) - kept


def _existing_shape(repository: Repository) -> Output:
    name = repository.named
    if not repository.lifecycle:
        raise ServiceError(
            "LifecyclePolicyNotFoundException",
            f"Lifecycle policy does not exist for the repository with name '{name.name}' in the registry with id"
            f" '{name.account_id}'",
        )
    shape = _shape(name, repository.lifecycle)
    if repository.lifecycle_evaluated_at:
        shape["lastEvaluatedAt"] = datetime.fromtimestamp(repository.lifecycle_evaluated_at, UTC)
    return shape


def _shape(name: RepositoryName, text: str) -> Output:
    return {"registryId": name.account_id, "repositoryName": name.name, "lifecyclePolicyText": text}
