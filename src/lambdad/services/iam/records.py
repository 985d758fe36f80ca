"""How IAM is kept; no other module knows. Each collection has one record an entity, and all are in memory as well.

iam-user, iam-group, iam-role, iam-policy     <account>:<name in lower case>
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from lambdad.errors import ServiceError
from lambdad.services.iam.aws_managed import AWS_MANAGED
from lambdad.services.iam.model import KINDS, Group, ManagedPolicy, Role, User, no_policy, no_such
from lambdad.store.base import Change, Delete, Put, Records

_PAGE = 1000
_COLLECTIONS: dict[type[Any], str] = {User: "iam-user", Group: "iam-group", Role: "iam-role", ManagedPolicy: "iam-policy"}
E = TypeVar("E", User, Group, Role, ManagedPolicy)


class IamRecords:
    """Reads are looks into memory, since every request with `--auth on` makes some. Changes are made one at a time, inside
    `async with records.changing`, and are durable when `save` or `remove` returns."""

    def __init__(self, store: Records) -> None:
        self._store = store
        self._entities: dict[type[Any], dict[str, Any]] = {kind: {} for kind in _COLLECTIONS}
        self.changing = asyncio.Lock()
        self.generation = 0  #: rises with each change: what was concluded before no longer counts

    async def open(self) -> None:
        for kind, collection in _COLLECTIONS.items():
            after = ""
            while page := await self._store.list(collection, after=after, limit=_PAGE):
                for record in page:
                    self._entities[kind][record.key] = msgspec.json.decode(record.value, type=kind)
                after = page[-1].key

    def find(self, kind: type[E], account_id: str, name: str) -> E | None:
        found: E | None = self._entities[kind].get(_key(account_id, name))
        return found

    def get(self, kind: type[E], account_id: str, name: str) -> E:
        found = self.find(kind, account_id, name)
        if found is None:
            raise no_such(KINDS[kind].word, name)
        return found

    def policy(self, account_id: str, arn: str) -> ManagedPolicy:
        found = self.find_policy(account_id, arn)
        if found is None:
            raise no_policy(arn)
        return found

    def find_policy(self, account_id: str, arn: str) -> ManagedPolicy | None:
        """AWS's own, or one of the account's: policies of other accounts cannot be attached."""
        if arn in AWS_MANAGED:
            return AWS_MANAGED[arn]
        found = self.find(ManagedPolicy, account_id, arn.rpartition("/")[2])
        return found if found is not None and found.arn == arn else None

    def all(self, kind: type[E], account_id: str) -> Iterator[E]:
        """In order of name."""
        prefix = f"{account_id}:"
        entities = self._entities[kind]
        for key in sorted(key for key in entities if key.startswith(prefix)):
            yield entities[key]

    def check_free(self, kind: type[E], account_id: str, name: str, message: str) -> None:
        if self.find(kind, account_id, name) is not None:
            raise ServiceError("EntityAlreadyExistsException", message)

    async def save(self, *entities: User | Group | Role | ManagedPolicy) -> None:
        """All of them or none."""
        changes: list[Change] = [
            Put(_COLLECTIONS[type(entity)], _key(entity.account_id, entity.name), msgspec.json.encode(entity))
            for entity in entities
        ]
        await self._store.commit(changes)
        for entity in entities:
            self._entities[type(entity)][_key(entity.account_id, entity.name)] = entity
        self.generation += 1

    async def remove(self, entity: User | Group | Role | ManagedPolicy) -> None:
        key = _key(entity.account_id, entity.name)
        await self._store.commit([Delete(_COLLECTIONS[type(entity)], key)])
        self._entities[type(entity)].pop(key, None)
        self.generation += 1


def _key(account_id: str, name: str) -> str:
    return f"{account_id}:{name.lower()}"
