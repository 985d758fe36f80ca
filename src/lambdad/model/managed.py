"""Managed instances: functions whose environments belong to a capacity provider and take several invocations at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LATEST_PUBLISHED = "$LATEST.PUBLISHED"
PROCESSES_PER_VCPU = 16  #: AWS's default of a Python function
DEFAULT_MEMORY_GIB_PER_VCPU = 2.0
DEFAULT_ENVIRONMENTS = 3
MAX_VCPUS = 400  #: of a provider that names no other figure
MEBIBYTES_PER_GIBIBYTE = 1024

ProviderKey = tuple[str, str, str]  #: account, region, name
ManagedKey = tuple[str, str, str, str]  #: account, region, function, version


@dataclass(frozen=True, slots=True)
class ManagedInstances:
    """What the data plane needs to know of a version's environments."""

    provider: ProviderKey
    concurrency: int  #: invocations that each takes at once
    vcpus: float  #: that each takes of its provider's


@dataclass(frozen=True, slots=True)
class ProviderUse:
    """A function's CapacityProviderConfig. None is what the caller left to us."""

    provider_arn: str
    max_concurrency: int | None = None
    memory_gib_per_vcpu: float | None = None

    @property
    def provider(self) -> ProviderKey:
        fields = self.provider_arn.split(":")
        return fields[4], fields[3], fields[6]

    def instances(self, memory_mb: int) -> ManagedInstances:
        vcpus = memory_mb / MEBIBYTES_PER_GIBIBYTE / (self.memory_gib_per_vcpu or DEFAULT_MEMORY_GIB_PER_VCPU)
        concurrency = self.max_concurrency or max(1, int(vcpus * PROCESSES_PER_VCPU))
        return ManagedInstances(self.provider, concurrency, vcpus)


@dataclass(frozen=True, slots=True)
class ScalingConfig:
    """How many environments a published version has, whatever its load."""

    minimum: int = DEFAULT_ENVIRONMENTS
    maximum: int = DEFAULT_ENVIRONMENTS

    @property
    def is_off(self) -> bool:
        """None at all: the version is deactivated."""
        return self.maximum == 0


@dataclass(frozen=True, slots=True)
class CapacityProvider:
    account_id: str
    region: str
    name: str
    operator_role: str
    last_modified: float
    subnets: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()  #: as they were asked for; empty where they were not
    max_vcpus: int = MAX_VCPUS
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def key(self) -> ProviderKey:
        return (self.account_id, self.region, self.name)

    @property
    def arn(self) -> str:
        return provider_arn(*self.key)


def provider_arn(account_id: str, region: str, name: str) -> str:
    return f"arn:aws:lambda:{region}:{account_id}:capacity-provider:{name}"
