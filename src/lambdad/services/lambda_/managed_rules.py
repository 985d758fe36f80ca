"""Managed instances: which functions may have them, and with what."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.function import Configuration, FunctionVersion
from lambdad.model.managed import ProviderUse
from lambdad.model.version import LATEST
from lambdad.services.lambda_.refusal import invalid_parameter, not_found
from lambdad.services.lambda_.settings import in_range
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.tenancy import check_without_tenants

OLDEST_PYTHON = (3, 8)  #: AWS: 3.13
_CUSTOM = frozenset({"provided.al2023"})

RUNTIMES = "python3.8 and later, and provided.al2023"
CONVERTS = (
    "CapacityProviderConfig is not supported for an existing function without a capacity provider: create the function with it."
)
ONLY_MANAGED = "PublishTo LATEST_PUBLISHED is supported for functions on Lambda Managed Instances only."


def chosen_capacity(request: Mapping[str, Any]) -> dict[str, Any]:
    """CapacityProviderConfig as a field of Configuration."""
    if "CapacityProviderConfig" not in request:
        return {}
    given = request["CapacityProviderConfig"]["LambdaManagedInstancesCapacityProviderConfig"]
    return {
        "capacity": ProviderUse(
            given["CapacityProviderArn"],
            given.get("PerExecutionEnvironmentMaxConcurrency"),
            given.get("ExecutionEnvironmentMemoryGiBPerVCpu"),
        )
    }


def check_managed(state: LambdaState, configuration: Configuration) -> None:
    """Whether published versions of such a function can be had."""
    capacity = configuration.capacity
    if capacity is None:
        return
    check_without_tenants(configuration, "CapacityProviderConfig")
    if configuration.snap_start:
        raise not_with_instances("SnapStart")
    if not _is_supported(configuration.runtime):
        raise invalid_parameter(f"{configuration.runtime} is not supported for Lambda Managed Instances; use {RUNTIMES}.")
    quotas = state.quotas
    in_range("MemorySize", configuration.memory_mb, quotas.managed_memory_min_mb, quotas.managed_memory_max_mb)
    if configuration.log_settings.format != "JSON":
        raise invalid_parameter("Functions on Lambda Managed Instances support the log format JSON only.")
    concurrency = capacity.instances(configuration.memory_mb).concurrency
    in_range("PerExecutionEnvironmentMaxConcurrency", concurrency, 1, quotas.managed_concurrency_max)


def not_with_instances(feature: str) -> ServiceError:
    return invalid_parameter(f"{feature} is not supported for functions on Lambda Managed Instances.")


@asynccontextmanager
async def using_provider(state: LambdaState, owner: tuple[str, str], capacity: ProviderUse | None) -> AsyncIterator[None]:
    """Holds the capacity provider that a function's version is to use, so that it is there at the commit."""
    if capacity is None:
        yield
        return
    async with state.provider_locks.hold(capacity.provider):
        if capacity.provider[:2] != owner or await state.records.capacity_provider(capacity.provider) is None:
            raise not_found(f"Capacity provider not found: {capacity.provider_arn}")
        yield


async def check_room_for(state: LambdaState, version: FunctionVersion, before: Collection[str] = ()) -> None:
    """Whether the version's provider, which is held, may have one more. `before` are those that its function has."""
    capacity = version.configuration.capacity
    if capacity is None or version.version in before:
        return
    uses = await state.records.provider_uses(capacity.provider)
    most = state.quotas.versions_per_capacity_provider
    if sum(1 for _, number in uses if number != LATEST) >= most:
        raise ServiceError(
            "FunctionVersionsPerCapacityProviderLimitExceededException",
            f"A capacity provider can have at most {most} function versions.",
        )


def _is_supported(runtime: str) -> bool:
    matched = re.fullmatch(r"python(\d+)\.(\d+)", runtime)
    return runtime in _CUSTOM or (matched is not None and (int(matched[1]), int(matched[2])) >= OLDEST_PYTHON)
