"""How functions and layers are kept; beside it only `record_keys.py` and `function_changes.py` know collections and keys."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import msgspec

from lambdad.model.alias import Alias
from lambdad.model.arn import FunctionName
from lambdad.model.code_signing import CodeSigningConfig
from lambdad.model.event_invoke_config import EventInvokeConfig
from lambdad.model.function import Function, FunctionVersion
from lambdad.model.function_url import FunctionUrl
from lambdad.model.layer import LayerVersion
from lambdad.model.managed import CapacityProvider, ProviderKey, ScalingConfig
from lambdad.model.policy import Policy
from lambdad.model.provisioned_concurrency import ProvisionedConfig
from lambdad.model.version import LATEST
from lambdad.services.lambda_.function_changes import dropped_stacks, function_changes
from lambdad.services.lambda_.record_keys import (
    ALIASES,
    EVENT_CONFIGS,
    FUNCTIONS,
    LAST_USES,
    LAYER_POLICIES,
    LAYER_VERSIONS,
    LAYERS,
    POLICIES,
    PROVIDER_USES,
    PROVIDERS,
    PROVISIONED,
    RESERVES,
    SCALING,
    SECRETS,
    SIGNING_CONFIGS,
    SIGNING_USES,
    STACKS,
    UNSETTLED,
    URL_OWNERS,
    URLS,
    VERSIONS,
    decode,
    encode,
    function_of,
    key_text,
    layer_key,
    number_text,
    provider_use,
    signing_key,
    stack_key,
    version_of,
)
from lambdad.services.lambda_.stored_function import FunctionKey, Stack, StoredFunction
from lambdad.store.base import REFERENCES, Change, Conflict, Delete, Put, Record, Records, refer, unrefer

PAGE = 500

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LastUse:
    """What is known of the last invocation of a version that holds something."""

    key: FunctionKey
    version: str
    at: float | None  #: seconds since the epoch; None for one that nothing is known of yet
    revision: int


class LambdaRecords:
    """Reads and writes the service's nouns."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self._code_sizes: dict[tuple[str, str], int] = {}  #: by account and region, once asked for
        self._claims: dict[FunctionKey, int] = {}  #: of all accounts
        self._claimed: Counter[tuple[str, str]] = Counter()  #: their sums, by account and region
        self._writes = 0
        self._writing = 0  #: commits that may have landed and are not counted yet

    async def open(self) -> None:
        """To be called first: what the way of an invocation asks for is kept in memory."""
        claims: Counter[FunctionKey] = Counter()
        async for record in self._all(PROVISIONED, ""):
            claims[function_of(record)] += decode(record, ProvisionedConfig).requested
        async for record in self._all(RESERVES, ""):
            claims[function_of(record)] = msgspec.json.decode(record.value, type=int)
        for key, claim in claims.items():
            self._note_claim(key, claim)

    # Functions

    async def function(self, key: FunctionKey) -> StoredFunction | None:
        record = await self._records.get(FUNCTIONS, key_text(key))
        if record is None:
            return None
        prefix = key_text(key) + "/"
        versions = [decode(each, FunctionVersion) async for each in self._all(VERSIONS, prefix)]
        aliases = [decode(each, Alias) async for each in self._all(ALIASES, prefix)]
        policies = {each.key[len(prefix) :]: decode(each, Policy) async for each in self._all(POLICIES, prefix)}
        event_configs = {
            each.key[len(prefix) :]: decode(each, EventInvokeConfig) async for each in self._all(EVENT_CONFIGS, prefix)
        }
        urls = {each.key[len(prefix) :]: decode(each, FunctionUrl) async for each in self._all(URLS, prefix)}
        provisioned = {
            each.key[len(prefix) :]: decode(each, ProvisionedConfig) async for each in self._all(PROVISIONED, prefix)
        }
        return StoredFunction(
            function=decode(record, Function),
            versions={version.version: version for version in versions},
            aliases={alias.name: alias for alias in aliases},
            policies=policies,
            event_configs=event_configs,
            urls=urls,
            provisioned=provisioned,
            scaling={version: config async for version, config in self._scaling(prefix)},
            revision=record.revision,
        )

    async def _scaling(self, prefix: str) -> AsyncIterator[tuple[str, ScalingConfig]]:
        async for each in self._all(SCALING, prefix):
            yield each.key[len(prefix) :], decode(each, ScalingConfig)

    async def save_function(self, old: StoredFunction | None, new: StoredFunction) -> tuple[StoredFunction, set[Stack]]:
        """Writes what differs in one commit. Conflict if another was faster.

        Returns the function as it now stands, and the archives that it no longer needs.
        """
        await self._commit(function_changes(old, new), new.key, new.code_size() - (old.code_size() if old else 0))
        self._note_claim(new.key, new.claimed_concurrency)
        written = await self._records.get(FUNCTIONS, key_text(new.key))
        return replace(new, revision=written.revision if written else 0), dropped_stacks(old, new)

    async def delete_function(self, stored: StoredFunction) -> set[Stack]:
        """Removes the function with its versions, aliases and policies. Returns the archives it needed."""
        await self._commit(function_changes(stored, None), stored.key, -stored.code_size())
        self._note_claim(stored.key, 0)
        return dropped_stacks(stored, None)

    async def functions(self, account_id: str, region: str, *, after: str = "", limit: int = PAGE) -> list[Function]:
        """Functions in the order of their names, from the first one after the name `after`."""
        prefix = f"{account_id}/{region}/"
        found = await self._records.list(FUNCTIONS, prefix=prefix, after=prefix + after, limit=limit)
        return [decode(record, Function) for record in found]

    async def versions(self, key: FunctionKey) -> list[FunctionVersion]:
        """Published versions by rising number."""
        return [decode(record, FunctionVersion) async for record in self._all(VERSIONS, key_text(key) + "/")]

    async def unsettled(self) -> list[FunctionKey]:
        """Functions that waited to become ready when the server ended."""
        return [function_of(record) async for record in self._all(UNSETTLED, "")]

    async def provisioned(self) -> list[FunctionKey]:
        """Functions that have provisioned concurrency."""
        return list(dict.fromkeys([function_of(record) async for record in self._all(PROVISIONED, "")]))

    async def last_uses(self) -> AsyncIterator[LastUse]:
        """Of all versions that hold what is taken back when nobody invokes them for long."""
        async for record in self._all(LAST_USES, ""):
            at = msgspec.json.decode(record.value, type=float) if record.value else None
            yield LastUse(function_of(record), version_of(record), at, record.revision)

    async def note_last_use(self, use: LastUse, at: float) -> None:
        """Conflict when the version is gone, or has been taken back from, meanwhile."""
        name = f"{key_text(use.key)}/{number_text(use.version)}"
        await self._records.commit([Put(LAST_USES, name, encode(at), if_revision=use.revision)])

    def claimed_concurrency(self, account_id: str, region: str) -> int:
        """What of the account's concurrency is some function's alone: reserves, and what is provisioned without one."""
        return self._claimed[account_id, region]

    def _note_claim(self, key: FunctionKey, claim: int) -> None:
        self._claimed[key[:2]] += claim - self._claims.pop(key, 0)
        if claim:
            self._claims[key] = claim

    async def code_size(self, account_id: str, region: str) -> int:
        """Bytes of all zips of functions, versions and layers: added up once, then counted along."""
        while (account_id, region) not in self._code_sizes:
            writes = self._writes
            total = await self._add_up_code(f"{account_id}/{region}/")
            if writes == self._writes and self._writing:
                return total  # right now, and not to be counted along: those commits are counted when they return
            if writes == self._writes:
                self._code_sizes[account_id, region] = total
        return self._code_sizes[account_id, region]

    async def _add_up_code(self, prefix: str) -> int:
        total = 0
        async for record in self._all(FUNCTIONS, prefix):
            total += decode(record, Function).latest.configuration.code.size
        async for record in self._all(VERSIONS, prefix):
            total += decode(record, FunctionVersion).configuration.code.size
        async for record in self._all(LAYER_VERSIONS, prefix):
            total += decode(record, LayerVersion).code.size
        return total

    async def _commit(self, changes: Sequence[Change], key: FunctionKey, added_bytes: int) -> None:
        """Commits changes that bring or take code, and counts it."""
        self._writing += 1
        try:
            await self._records.commit(changes)
            self._writes += 1
            if key[:2] in self._code_sizes:
                self._code_sizes[key[:2]] += added_bytes
        finally:
            self._writing -= 1

    async def count_functions(self, account_id: str, region: str) -> int:
        return len([None async for _ in self._all(FUNCTIONS, f"{account_id}/{region}/")])

    # Function URLs

    async def url_owner(self, url_id: str) -> FunctionName | None:
        """The function or alias that has the URL."""
        record = await self._records.get(URL_OWNERS, url_id)
        if record is None:
            return None
        account_id, region, name, qualifier = record.value.decode().split("/")
        return FunctionName(account_id, region, name, None if qualifier == LATEST else qualifier)

    async def url_secret(self) -> bytes:
        """What the ids of URLs are made from, the same for ever."""
        record = await self._records.get(SECRETS, "url-ids")
        if record is None:
            made = secrets.token_bytes(32)
            try:
                await self._records.commit([Put(SECRETS, "url-ids", made, if_absent=True)])
            except Conflict:  # another request was faster
                return await self.url_secret()
            return made
        return record.value

    # Layers

    async def last_layer_version(self, key: FunctionKey) -> int:
        record = await self._records.get(LAYERS, key_text(key))
        return 0 if record is None else msgspec.json.decode(record.value, type=int)

    async def add_layer_version(self, layer: LayerVersion) -> None:
        """Takes the next number; Conflict if another publication took it first."""
        key = layer_key(layer)
        owner = (layer.account_id, layer.region, layer.name)
        changes = [
            Put(LAYERS, key_text(owner), msgspec.json.encode(layer.version)),
            Put(LAYER_VERSIONS, key, encode(layer), if_absent=True),
            refer(layer.code.digest, f"lambda/layer/{key}"),
        ]
        await self._commit(changes, owner, layer.code.size)

    async def layer_version(self, key: FunctionKey, version: int) -> LayerVersion | None:
        record = await self._records.get(LAYER_VERSIONS, f"{key_text(key)}/{number_text(version)}")
        return None if record is None else decode(record, LayerVersion)

    async def layer_versions(self, account_id: str, region: str, name: str | None = None) -> list[LayerVersion]:
        """All versions of one layer or of all layers, by name and rising number."""
        prefix = f"{account_id}/{region}/" + (f"{name}/" if name is not None else "")
        return [decode(record, LayerVersion) async for record in self._all(LAYER_VERSIONS, prefix)]

    async def delete_layer_version(self, layer: LayerVersion) -> None:
        key = layer_key(layer)
        owner = f"lambda/layer/{key}"
        gone = [Delete(LAYER_VERSIONS, key), Delete(LAYER_POLICIES, key), unrefer(layer.code.digest, owner)]
        await self._commit(gone, (layer.account_id, layer.region, layer.name), -layer.code.size)

    async def layer_policy(self, layer: LayerVersion) -> Policy | None:
        record = await self._records.get(LAYER_POLICIES, layer_key(layer))
        return None if record is None else decode(record, Policy)

    async def save_layer_policy(self, layer: LayerVersion, policy: Policy) -> None:
        """Writes the policy, or removes one that has no statements left."""
        key = layer_key(layer)
        change = Put(LAYER_POLICIES, key, encode(policy)) if policy.statements else Delete(LAYER_POLICIES, key)
        await self._records.commit([change])

    # Code signing configurations

    async def code_signing_config(self, account_id: str, region: str, config_id: str) -> CodeSigningConfig | None:
        record = await self._records.get(SIGNING_CONFIGS, f"{account_id}/{region}/{config_id}")
        return None if record is None else decode(record, CodeSigningConfig)

    async def code_signing_configs(self, account_id: str, region: str) -> list[CodeSigningConfig]:
        """In the order of their ids."""
        return [decode(record, CodeSigningConfig) async for record in self._all(SIGNING_CONFIGS, f"{account_id}/{region}/")]

    async def code_signing_users(self, config: CodeSigningConfig, limit: int | None = None) -> list[str]:
        """Names of the functions that have it."""
        prefix = f"{signing_key(config)}/"
        if limit is not None:
            found = await self._records.list(SIGNING_USES, prefix=prefix, limit=limit)
            return [record.key[len(prefix) :] for record in found]
        return [record.key[len(prefix) :] async for record in self._all(SIGNING_USES, prefix)]

    async def save_code_signing_config(self, config: CodeSigningConfig) -> None:
        await self._records.commit([Put(SIGNING_CONFIGS, signing_key(config), encode(config))])

    async def delete_code_signing_config(self, config: CodeSigningConfig) -> None:
        await self._records.commit([Delete(SIGNING_CONFIGS, signing_key(config))])

    # Capacity providers

    async def capacity_provider(self, key: ProviderKey) -> CapacityProvider | None:
        record = await self._records.get(PROVIDERS, key_text(key))
        return None if record is None else decode(record, CapacityProvider)

    async def save_capacity_provider(self, provider: CapacityProvider) -> None:
        await self._records.commit([Put(PROVIDERS, key_text(provider.key), encode(provider))])

    async def delete_capacity_provider(self, key: ProviderKey) -> None:
        await self._records.commit([Delete(PROVIDERS, key_text(key))])

    async def capacity_providers(self, account_id: str = "", region: str = "") -> list[CapacityProvider]:
        """In the order of their names; without arguments those of everybody."""
        prefix = f"{account_id}/{region}/" if account_id else ""
        return [decode(record, CapacityProvider) async for record in self._all(PROVIDERS, prefix)]

    async def provider_uses(self, key: ProviderKey) -> list[tuple[FunctionKey, str]]:
        """The functions' versions that use a capacity provider, `$LATEST` among them."""
        return [provider_use(record) async for record in self._all(PROVIDER_USES, key_text(key) + "/")]

    async def managed(self) -> list[FunctionKey]:
        """Functions on managed instances."""
        return list(dict.fromkeys([provider_use(record)[0] async for record in self._all(PROVIDER_USES, "")]))

    # Archives

    async def is_referenced(self, stack: Stack) -> bool:
        collection, name = (REFERENCES, stack[0]) if len(stack) == 1 else (STACKS, stack_key(stack))
        return bool(await self._records.list(collection, prefix=f"{name}/", limit=1))

    async def is_wanted(self, name: str) -> bool:
        """Whether anything refers to archives by whose name something is unpacked: the digest of one, or the key of a stack."""
        for collection in (REFERENCES, STACKS):
            if await self._records.list(collection, prefix=f"{name}/", limit=1):
                return True
        return False

    async def _all(self, collection: str, prefix: str) -> AsyncIterator[Record]:
        after = ""
        while True:
            page: Sequence[Record] = await self._records.list(collection, prefix=prefix, after=after, limit=PAGE)
            for record in page:
                yield record
            if len(page) < PAGE:
                return
            after = page[-1].key
