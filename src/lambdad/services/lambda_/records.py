"""How functions and layers are kept: the only file that knows collections, keys and encodings."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import msgspec

from lambdad.model.alias import Alias
from lambdad.model.arn import FunctionName
from lambdad.model.code_signing import CodeSigningConfig
from lambdad.model.event_invoke_config import EventInvokeConfig
from lambdad.model.function import Configuration, Function, FunctionVersion
from lambdad.model.function_url import FunctionUrl
from lambdad.model.layer import LayerVersion
from lambdad.model.managed import CapacityProvider, ProviderKey, ScalingConfig
from lambdad.model.policy import Policy
from lambdad.model.provisioned_concurrency import ProvisionedConfig
from lambdad.model.version import LATEST
from lambdad.store.base import REFERENCES, Change, Conflict, Delete, Put, Record, Records, refer, unrefer

FUNCTIONS = "lambda-function"  #: account/region/name
VERSIONS = "lambda-version"  #: account/region/name/0000000001
ALIASES = "lambda-alias"  #: account/region/name/alias
POLICIES = "lambda-policy"  #: account/region/name/qualifier, the qualifier empty for the function itself
EVENT_CONFIGS = "lambda-event-invoke-config"  #: account/region/name/qualifier, "$LATEST" for the function itself
URLS = "lambda-url"  #: account/region/name/qualifier, "$LATEST" for the function itself
URL_OWNERS = "lambda-url-owner"  #: a URL's id: whose it is, as the key in URLS
SECRETS = "lambda-secret"  #: what this installation makes things from that nobody should guess
PROVISIONED = "lambda-provisioned-concurrency"  #: account/region/name/qualifier
RESERVES = "lambda-reserved-concurrency"  #: account/region/name of functions that have a reserve: how much
UNSETTLED = "lambda-unsettled"  #: account/region/name of functions that wait to become ready
LAYERS = "lambda-layer"  #: account/region/name: highest version number given, kept for ever
LAYER_VERSIONS = "lambda-layer-version"  #: account/region/name/0000000001
LAYER_POLICIES = "lambda-layer-policy"  #: as layer versions
SCALING = "lambda-function-scaling"  #: account/region/name/version of managed instances
LAST_USES = "lambda-last-use"  #: account/region/name/version that holds what can be taken back: the time, if it is known
PROVIDERS = "lambda-capacity-provider"  #: account/region/name
PROVIDER_USES = "lambda-capacity-provider-use"  #: account/region/provider/function/version
STACKS = "lambda-layer-stack"  #: SHA-256 of the digests/owner: who needs several layers unpacked one over the other

SIGNING_CONFIGS = "lambda-code-signing-config"  #: account/region/id
SIGNING_USES = "lambda-code-signing-use"  #: account/region/id of a code signing configuration/name of a function that has it

PAGE = 500

Stack = tuple[str, ...]  #: digests of archives that are unpacked one over the other; alone, one archive
FunctionKey = tuple[str, str, str]  #: account, region, name
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredFunction:
    """A function with everything that lives and dies with it. Changes make a new one; `save_function` writes the difference."""

    function: Function
    versions: Mapping[str, FunctionVersion] = field(default_factory=dict)  #: published ones, in the order of their numbers
    aliases: Mapping[str, Alias] = field(default_factory=dict)
    policies: Mapping[str, Policy] = field(default_factory=dict)  #: by qualifier, "" for the function itself
    event_configs: Mapping[str, EventInvokeConfig] = field(default_factory=dict)  #: by qualifier, "$LATEST" for the function
    urls: Mapping[str, FunctionUrl] = field(default_factory=dict)  #: by qualifier, "$LATEST" for the function
    provisioned: Mapping[str, ProvisionedConfig] = field(default_factory=dict)  #: by version or alias
    scaling: Mapping[str, ScalingConfig] = field(default_factory=dict)  #: by version
    revision: int = 0  #: of the function's record, which every change rewrites

    @property
    def key(self) -> FunctionKey:
        latest = self.function.latest
        return (latest.account_id, latest.region, latest.function_name)

    @property
    def provisioned_concurrency(self) -> int:
        return sum(config.requested for config in self.provisioned.values())

    def provisioned_versions(self) -> set[str]:
        """Those that have provisioned concurrency, by themselves or by an alias."""
        aliases = [self.aliases[qualifier].versions() for qualifier in self.provisioned if qualifier in self.aliases]
        return {qualifier for qualifier in self.provisioned if qualifier in self.versions}.union(*aliases)

    @property
    def claimed_concurrency(self) -> int:
        """What of the account's concurrency is the function's alone. A reserve has room for what is provisioned."""
        reserve = self.function.reserved_concurrency
        return self.provisioned_concurrency if reserve is None else reserve

    def provisioned_for(self, qualifier: str, number: str) -> str | None:
        """Whose provisioned environments serve an invocation of the qualifier, which means this version."""
        if qualifier in self.provisioned:
            return qualifier
        return number if number in self.provisioned else None

    def code_size(self) -> int:
        """Bytes of zips, each version counted by itself as AWS does."""
        readings = [self.function.latest, *self.versions.values()]
        return sum(reading.configuration.code.size for reading in readings)

    @property
    def is_unsettled(self) -> bool:
        return self.function.latest.is_unsettled or any(version.is_unsettled for version in self.versions.values())

    def provider_uses(self) -> set[str]:
        """Which versions use which capacity providers, as keys in PROVIDER_USES."""
        readings = [self.function.latest, *self.versions.values()]
        return {
            "/".join((*capacity.provider, reading.function_name, _number(reading.version)))
            for reading in readings
            if (capacity := reading.configuration.capacity) is not None
        }

    def references(self) -> set[tuple[Stack, str]]:
        """Which archives it needs, alone and unpacked together, each with the owner's name."""
        owner = "lambda/function/" + "/".join(self.key)
        readings = {"$LATEST": self.function.readings()}
        readings |= {number: [version] for number, version in self.versions.items()}
        return {
            (stack, f"{owner}/{number}")
            for number, of_number in readings.items()
            for reading in of_number
            for stack in (*_unpacked(reading), *((digest,) for digest in reading.configuration.digests()))
        }

    def reclaimable(self) -> set[str]:
        """Versions that hold what is taken back when nobody invokes them for long, as keys in LAST_USES."""
        readings = [self.function.latest, *self.versions.values()]
        return {
            "/".join((*self.key, _number(reading.version)))
            for reading in readings
            if reading.is_reclaimable and not reading.is_reclaimed
        }


def stacks_of(configuration: Configuration) -> list[Stack]:
    """What an environment is made from: the package, and the layers one over the other; or an image."""
    if configuration.image is not None:
        return list(configuration.image.stacks())
    layers = tuple(layer.code.digest for layer in configuration.layers)
    return [(configuration.code.digest,), *([layers] if layers else [])]


def _unpacked(reading: FunctionVersion) -> list[Stack]:
    """An idle function keeps its image as it came in, and not the files that were made of it."""
    if reading.is_reclaimed and reading.configuration.image is not None:
        return []
    return stacks_of(reading.configuration)


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
            claims[_owner(record)] += _decode(record, ProvisionedConfig).requested
        async for record in self._all(RESERVES, ""):
            claims[_owner(record)] = msgspec.json.decode(record.value, type=int)
        for key, claim in claims.items():
            self._note_claim(key, claim)

    # Functions

    async def function(self, key: FunctionKey) -> StoredFunction | None:
        record = await self._records.get(FUNCTIONS, _key(key))
        if record is None:
            return None
        prefix = _key(key) + "/"
        versions = [_decode(each, FunctionVersion) async for each in self._all(VERSIONS, prefix)]
        aliases = [_decode(each, Alias) async for each in self._all(ALIASES, prefix)]
        policies = {each.key[len(prefix) :]: _decode(each, Policy) async for each in self._all(POLICIES, prefix)}
        event_configs = {
            each.key[len(prefix) :]: _decode(each, EventInvokeConfig) async for each in self._all(EVENT_CONFIGS, prefix)
        }
        urls = {each.key[len(prefix) :]: _decode(each, FunctionUrl) async for each in self._all(URLS, prefix)}
        provisioned = {
            each.key[len(prefix) :]: _decode(each, ProvisionedConfig) async for each in self._all(PROVISIONED, prefix)
        }
        return StoredFunction(
            function=_decode(record, Function),
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
            yield each.key[len(prefix) :], _decode(each, ScalingConfig)

    async def save_function(self, old: StoredFunction | None, new: StoredFunction) -> tuple[StoredFunction, set[Stack]]:
        """Writes what differs in one commit. Conflict if another was faster.

        Returns the function as it now stands, and the archives that it no longer needs.
        """
        key = _key(new.key)
        before = old.references() if old else set()
        after = new.references()
        value = _encode(new.function)
        guard = Put(FUNCTIONS, key, value, if_revision=old.revision) if old else Put(FUNCTIONS, key, value, if_absent=True)
        changes = [guard, *_differences(old, new), *_reference_changes(before, after)]
        await self._commit(changes, new.key, new.code_size() - (old.code_size() if old else 0))
        self._note_claim(new.key, new.claimed_concurrency)
        written = await self._records.get(FUNCTIONS, key)
        saved = replace(new, revision=written.revision if written else 0)
        return saved, {stack for stack, _ in before - after}

    async def delete_function(self, stored: StoredFunction) -> set[Stack]:
        """Removes the function with its versions, aliases and policies. Returns the archives it needed."""
        bare = StoredFunction(stored.function)
        before = stored.references()
        changes: list[Change] = [Delete(FUNCTIONS, _key(stored.key), if_revision=stored.revision)]
        changes += _member_changes(VERSIONS, stored, stored.versions, bare.versions, _number)
        changes += _member_changes(ALIASES, stored, stored.aliases, bare.aliases, str)
        changes += _member_changes(POLICIES, stored, stored.policies, bare.policies, str)
        changes += _member_changes(EVENT_CONFIGS, stored, stored.event_configs, bare.event_configs, str)
        changes += _url_changes(stored, stored.urls, bare.urls)
        changes += _member_changes(PROVISIONED, stored, stored.provisioned, bare.provisioned, str)
        changes += _signing_changes(stored, stored.function.code_signing_config_arn, None)
        changes += _member_changes(SCALING, stored, stored.scaling, bare.scaling, str)
        changes += [Delete(PROVIDER_USES, use) for use in stored.provider_uses()]
        changes += [Delete(LAST_USES, use) for use in stored.reclaimable()]
        gone = [Delete(RESERVES, _key(stored.key)), Delete(UNSETTLED, _key(stored.key))]
        await self._commit([*changes, *gone, *_reference_changes(before, set())], stored.key, -stored.code_size())
        self._note_claim(stored.key, 0)
        return {stack for stack, _ in before}

    async def functions(self, account_id: str, region: str, *, after: str = "", limit: int = PAGE) -> list[Function]:
        """Functions in the order of their names, from the first one after the name `after`."""
        prefix = f"{account_id}/{region}/"
        found = await self._records.list(FUNCTIONS, prefix=prefix, after=prefix + after, limit=limit)
        return [_decode(record, Function) for record in found]

    async def versions(self, key: FunctionKey) -> list[FunctionVersion]:
        """Published versions by rising number."""
        return [_decode(record, FunctionVersion) async for record in self._all(VERSIONS, _key(key) + "/")]

    async def unsettled(self) -> list[FunctionKey]:
        """Functions that waited to become ready when the server ended."""
        return [_owner(record) async for record in self._all(UNSETTLED, "")]

    async def provisioned(self) -> list[FunctionKey]:
        """Functions that have provisioned concurrency."""
        return list(dict.fromkeys([_owner(record) async for record in self._all(PROVISIONED, "")]))

    async def last_uses(self) -> AsyncIterator[LastUse]:
        """Of all versions that hold what is taken back when nobody invokes them for long."""
        async for record in self._all(LAST_USES, ""):
            *key, number = record.key.split("/")
            at = msgspec.json.decode(record.value, type=float) if record.value else None
            account_id, region, name = key
            version = str(int(number)) if number.isdecimal() else number
            yield LastUse((account_id, region, name), version, at, record.revision)

    async def note_last_use(self, use: LastUse, at: float) -> None:
        """Conflict when the version is gone, or has been taken back from, meanwhile."""
        name = f"{_key(use.key)}/{_number(use.version)}"
        await self._records.commit([Put(LAST_USES, name, _encode(at), if_revision=use.revision)])

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
            total += _decode(record, Function).latest.configuration.code.size
        async for record in self._all(VERSIONS, prefix):
            total += _decode(record, FunctionVersion).configuration.code.size
        async for record in self._all(LAYER_VERSIONS, prefix):
            total += _decode(record, LayerVersion).code.size
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
        record = await self._records.get(LAYERS, _key(key))
        return 0 if record is None else msgspec.json.decode(record.value, type=int)

    async def add_layer_version(self, layer: LayerVersion) -> None:
        """Takes the next number; Conflict if another publication took it first."""
        key = _layer_key(layer)
        owner = (layer.account_id, layer.region, layer.name)
        changes = [
            Put(LAYERS, _key(owner), msgspec.json.encode(layer.version)),
            Put(LAYER_VERSIONS, key, _encode(layer), if_absent=True),
            refer(layer.code.digest, f"lambda/layer/{key}"),
        ]
        await self._commit(changes, owner, layer.code.size)

    async def layer_version(self, key: FunctionKey, version: int) -> LayerVersion | None:
        record = await self._records.get(LAYER_VERSIONS, f"{_key(key)}/{_number(version)}")
        return None if record is None else _decode(record, LayerVersion)

    async def layer_versions(self, account_id: str, region: str, name: str | None = None) -> list[LayerVersion]:
        """All versions of one layer or of all layers, by name and rising number."""
        prefix = f"{account_id}/{region}/" + (f"{name}/" if name is not None else "")
        return [_decode(record, LayerVersion) async for record in self._all(LAYER_VERSIONS, prefix)]

    async def delete_layer_version(self, layer: LayerVersion) -> None:
        key = _layer_key(layer)
        owner = f"lambda/layer/{key}"
        gone = [Delete(LAYER_VERSIONS, key), Delete(LAYER_POLICIES, key), unrefer(layer.code.digest, owner)]
        await self._commit(gone, (layer.account_id, layer.region, layer.name), -layer.code.size)

    async def layer_policy(self, layer: LayerVersion) -> Policy | None:
        record = await self._records.get(LAYER_POLICIES, _layer_key(layer))
        return None if record is None else _decode(record, Policy)

    async def save_layer_policy(self, layer: LayerVersion, policy: Policy) -> None:
        """Writes the policy, or removes one that has no statements left."""
        key = _layer_key(layer)
        change = Put(LAYER_POLICIES, key, _encode(policy)) if policy.statements else Delete(LAYER_POLICIES, key)
        await self._records.commit([change])

    # Code signing configurations

    async def code_signing_config(self, account_id: str, region: str, config_id: str) -> CodeSigningConfig | None:
        record = await self._records.get(SIGNING_CONFIGS, f"{account_id}/{region}/{config_id}")
        return None if record is None else _decode(record, CodeSigningConfig)

    async def code_signing_configs(self, account_id: str, region: str) -> list[CodeSigningConfig]:
        """In the order of their ids."""
        return [_decode(record, CodeSigningConfig) async for record in self._all(SIGNING_CONFIGS, f"{account_id}/{region}/")]

    async def code_signing_users(self, config: CodeSigningConfig, limit: int | None = None) -> list[str]:
        """Names of the functions that have it."""
        prefix = f"{_signing_key(config)}/"
        if limit is not None:
            found = await self._records.list(SIGNING_USES, prefix=prefix, limit=limit)
            return [record.key[len(prefix) :] for record in found]
        return [record.key[len(prefix) :] async for record in self._all(SIGNING_USES, prefix)]

    async def save_code_signing_config(self, config: CodeSigningConfig) -> None:
        await self._records.commit([Put(SIGNING_CONFIGS, _signing_key(config), _encode(config))])

    async def delete_code_signing_config(self, config: CodeSigningConfig) -> None:
        await self._records.commit([Delete(SIGNING_CONFIGS, _signing_key(config))])

    # Capacity providers

    async def capacity_provider(self, key: ProviderKey) -> CapacityProvider | None:
        record = await self._records.get(PROVIDERS, _key(key))
        return None if record is None else _decode(record, CapacityProvider)

    async def save_capacity_provider(self, provider: CapacityProvider) -> None:
        await self._records.commit([Put(PROVIDERS, _key(provider.key), _encode(provider))])

    async def delete_capacity_provider(self, key: ProviderKey) -> None:
        await self._records.commit([Delete(PROVIDERS, _key(key))])

    async def capacity_providers(self, account_id: str = "", region: str = "") -> list[CapacityProvider]:
        """In the order of their names; without arguments those of everybody."""
        prefix = f"{account_id}/{region}/" if account_id else ""
        return [_decode(record, CapacityProvider) async for record in self._all(PROVIDERS, prefix)]

    async def provider_uses(self, key: ProviderKey) -> list[tuple[FunctionKey, str]]:
        """The functions' versions that use a capacity provider, `$LATEST` among them."""
        return [_use(record) async for record in self._all(PROVIDER_USES, _key(key) + "/")]

    async def managed(self) -> list[FunctionKey]:
        """Functions on managed instances."""
        return list(dict.fromkeys([_use(record)[0] async for record in self._all(PROVIDER_USES, "")]))

    # Archives

    async def is_referenced(self, stack: Stack) -> bool:
        collection, name = (REFERENCES, stack[0]) if len(stack) == 1 else (STACKS, _stack_key(stack))
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


def _differences(old: StoredFunction | None, new: StoredFunction) -> list[Change]:
    was = old or StoredFunction(new.function)
    changes = _member_changes(VERSIONS, new, was.versions, new.versions, _number)
    changes += _member_changes(ALIASES, new, was.aliases, new.aliases, str)
    changes += _member_changes(POLICIES, new, was.policies, new.policies, str)
    changes += _member_changes(EVENT_CONFIGS, new, was.event_configs, new.event_configs, str)
    changes += _url_changes(new, was.urls, new.urls)
    changes += _member_changes(PROVISIONED, new, was.provisioned, new.provisioned, str)
    changes += _signing_changes(
        new, old.function.code_signing_config_arn if old else None, new.function.code_signing_config_arn
    )
    changes += _member_changes(SCALING, new, was.scaling, new.scaling, str)
    used, uses = old.provider_uses() if old else set(), new.provider_uses()
    changes += [Put(PROVIDER_USES, use, b"") for use in sorted(uses - used)]
    changes += [Delete(PROVIDER_USES, use) for use in sorted(used - uses)]
    held, holds = old.reclaimable() if old else set(), new.reclaimable()
    changes += [Put(LAST_USES, version, b"") for version in sorted(holds - held)]
    changes += [Delete(LAST_USES, version) for version in sorted(held - holds)]
    reserve = new.function.reserved_concurrency
    if reserve is not None:
        changes.append(Put(RESERVES, _key(new.key), msgspec.json.encode(reserve)))
    elif was.function.reserved_concurrency is not None:
        changes.append(Delete(RESERVES, _key(new.key)))
    if new.is_unsettled:
        changes.append(Put(UNSETTLED, _key(new.key), b""))
    elif old is not None and old.is_unsettled:
        changes.append(Delete(UNSETTLED, _key(new.key)))
    return changes


def _member_changes(
    collection: str, owner: StoredFunction, old: Mapping[str, object], new: Mapping[str, object], key_of: Callable[[str], str]
) -> list[Change]:
    prefix = _key(owner.key)
    puts = [
        Put(collection, f"{prefix}/{key_of(name)}", _encode(value)) for name, value in new.items() if old.get(name) is not value
    ]
    deletes = [Delete(collection, f"{prefix}/{key_of(name)}") for name in old if name not in new]
    return [*puts, *deletes]


def _url_changes(owner: StoredFunction, old: Mapping[str, FunctionUrl], new: Mapping[str, FunctionUrl]) -> list[Change]:
    changes = _member_changes(URLS, owner, old, new, str)
    was, now = {url.url_id: qualifier for qualifier, url in old.items()}, {url.url_id: each for each, url in new.items()}
    changes += [
        Put(URL_OWNERS, url_id, f"{_key(owner.key)}/{qualifier}".encode())
        for url_id, qualifier in now.items()
        if was.get(url_id) != qualifier
    ]
    return [*changes, *(Delete(URL_OWNERS, url_id) for url_id in was if url_id not in now)]


def _signing_changes(owner: StoredFunction, old: str | None, new: str | None) -> list[Change]:
    if old == new:
        return []
    gone = [Delete(SIGNING_USES, _use_key(owner, old))] if old is not None else []
    return [*gone, *([Put(SIGNING_USES, _use_key(owner, new), b"")] if new is not None else [])]


def _use_key(owner: StoredFunction, config_arn: str) -> str:
    account_id, region, name = owner.key
    return f"{account_id}/{region}/{config_arn.rpartition(':')[2]}/{name}"


def _signing_key(config: CodeSigningConfig) -> str:
    return f"{config.account_id}/{config.region}/{config.id}"


def _reference_changes(before: set[tuple[Stack, str]], after: set[tuple[Stack, str]]) -> list[Change]:
    added, gone = sorted(after - before), sorted(before - after)
    return [*(_refer(*each) for each in added), *(_unrefer(*each) for each in gone)]


def _refer(stack: Stack, owner: str) -> Put:
    return refer(stack[0], owner) if len(stack) == 1 else Put(STACKS, f"{_stack_key(stack)}/{owner}", b"")


def _unrefer(stack: Stack, owner: str) -> Delete:
    return unrefer(stack[0], owner) if len(stack) == 1 else Delete(STACKS, f"{_stack_key(stack)}/{owner}")


def _stack_key(stack: Stack) -> str:
    return hashlib.sha256("\n".join(stack).encode()).hexdigest()


def _key(key: FunctionKey) -> str:
    return "/".join(key)


def _owner(record: Record) -> FunctionKey:
    account_id, region, name, *_ = record.key.split("/")
    return account_id, region, name


def _layer_key(layer: LayerVersion) -> str:
    return f"{layer.account_id}/{layer.region}/{layer.name}/{_number(layer.version)}"


def _number(version: str | int) -> str:
    """Version numbers in the order of their text, behind the versions that have none."""
    return f"{int(version):010d}" if isinstance(version, int) or version.isdecimal() else version


def _use(record: Record) -> tuple[FunctionKey, str]:
    account_id, region, _, function, number = record.key.split("/")
    return (account_id, region, function), str(int(number)) if number.isdecimal() else number


def _encode(value: object) -> bytes:
    return msgspec.json.encode(value)


def _decode(record: Record, kind: type[T]) -> T:
    return msgspec.json.decode(record.value, type=kind)
