"""A function with everything that lives and dies with it: what is read, changed and kept as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from lambdad.model.alias import Alias
from lambdad.model.event_invoke_config import EventInvokeConfig
from lambdad.model.function import Configuration, Function, FunctionVersion
from lambdad.model.function_url import FunctionUrl
from lambdad.model.managed import ProviderKey, ScalingConfig
from lambdad.model.policy import Policy
from lambdad.model.provisioned_concurrency import ProvisionedConfig

Stack = tuple[str, ...]  #: digests of archives that are unpacked one over the other; alone, one archive
FunctionKey = tuple[str, str, str]  #: account, region, name


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

    def revision_of(self, qualifier: str | None) -> str:
        """Of the function itself, or of a version or alias that it has, with the resource policy."""
        if qualifier is None:
            return self.function.latest.shown_revision_id
        if qualifier in self.aliases:
            return self.aliases[qualifier].revision_id
        return self.versions[qualifier].shown_revision_id

    def with_policy(self, qualifier: str | None, policy: Policy | None, revision_id: str) -> StoredFunction:
        """With another resource policy, or none, of the function itself or of a version or alias."""
        policies = {owner: each for owner, each in self.policies.items() if owner != (qualifier or "")}
        if policy is not None:
            policies[qualifier or ""] = policy
        function, aliases, versions = self.function, self.aliases, self.versions
        if qualifier is None:
            function = replace(function, latest=function.latest.with_later_revision(revision_id))
        elif qualifier in aliases:
            aliases = {**aliases, qualifier: replace(aliases[qualifier], revision_id=revision_id)}
        else:
            versions = {**versions, qualifier: versions[qualifier].with_later_revision(revision_id)}
        return replace(self, policies=policies, function=function, aliases=aliases, versions=versions)

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

    def provider_uses(self) -> set[tuple[ProviderKey, str]]:
        """The capacity providers and the versions that use them."""
        readings = [self.function.latest, *self.versions.values()]
        return {
            (capacity.provider, reading.version)
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
        """Versions that hold what is taken back when nobody invokes them for long."""
        readings = [self.function.latest, *self.versions.values()]
        return {reading.version for reading in readings if reading.is_reclaimable and not reading.is_reclaimed}


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
