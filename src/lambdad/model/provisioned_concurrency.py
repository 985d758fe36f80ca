"""Provisioned concurrency: how many environments a version or alias has ready, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from lambdad.model.version import Version

Status = Literal["IN_PROGRESS", "READY", "FAILED"]
ProvisionedKey = tuple[str, str, str, str]  #: account, region, function, qualifier


@dataclass(frozen=True, slots=True)
class ProvisionedConfig:
    """What a caller asked for."""

    requested: int
    last_modified: float


@dataclass(frozen=True, slots=True)
class ProvisionedShare:
    version: Version
    count: int


@dataclass(frozen=True, slots=True)
class ProvisionedPlan:
    """What is to be kept ready: of one version, or of two while an alias shares its invocations between them."""

    requested: int
    last_modified: float  #: a plan that was asked for again is tried again
    shares: tuple[ProvisionedShare, ...] = ()  #: of versions that are ready to run
    problem: str | None = None  #: why there can be none


@dataclass(frozen=True, slots=True)
class ProvisionedStatus:
    """As it is now. An environment counts from the end of its Init to its own end, also while it has an invocation."""

    allocated: int = 0
    available: int = 0  #: of the allocated ones, those that have not just failed
    status: Status = "IN_PROGRESS"
    reason: str | None = None


def status_of(requested: int, allocated: int, available: int, failure: str | None) -> ProvisionedStatus:
    """READY once every environment is there; FAILED while one cannot be had."""
    if available >= requested:
        return ProvisionedStatus(allocated, available, "READY")
    if failure is not None:
        return ProvisionedStatus(allocated, available, "FAILED", failure)
    return ProvisionedStatus(allocated, available)


def split(requested: int, main: str, weights: Mapping[str, float]) -> dict[str, int]:
    """How many of each version: by the weights of the alias, rounded, and the rest for the main version."""
    shares = {version: int(requested * weight + 0.5) for version, weight in weights.items()}
    shares[main] = requested - sum(shares.values())
    return {version: count for version, count in shares.items() if count > 0}
