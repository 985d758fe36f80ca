"""Lambda's quotas, and ECR's for its images: one table, two dated profiles, each figure replaceable one by one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from lambdad.errors import StartupError

MEBIBYTE = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Quotas:
    """The figures of one profile. Sizes are bytes unless the name says otherwise."""

    memory_min_mb: int = 128
    memory_max_mb: int = 10_240
    memory_step_mb: int = 1
    timeout_max_seconds: int = 900
    tmp_min_mb: int = 512
    tmp_max_mb: int = 10_240
    zip_bytes: int = 50 * MEBIBYTE  #: of a package sent in the request itself; through S3 only the unzipped size counts
    unzipped_bytes: int = 250 * MEBIBYTE  #: package and layers together
    image_bytes: int = 10 * 1024 * MEBIBYTE  #: of a container image, unpacked
    create_request_bytes: int = 70_167_211  #: HTTP body of an upload: base64 of the largest zip and the rest
    environment_bytes: int = 4096
    layers: int = 5
    policy_bytes: int = 20 * 1024
    tags: int = 50
    sync_payload_bytes: int = 6 * MEBIBYTE
    async_payload_bytes: int = MEBIBYTE
    invoke_async_payload_bytes: int = 256 * 1024  #: of the old operation InvokeAsync, which did not grow with Invoke
    client_context_bytes: int = 3583
    code_storage_bytes: int = 75 * 1024 * MEBIBYTE
    concurrent_executions: int = 1000
    requests_per_environment: int = 10  #: synchronous invocations a second, for each unit of concurrency
    scaling_burst: int = 1000  #: environments that a function may gain at once
    scaling_per_minute: int = 6000  #: and how fast it may gain more
    capacity_providers: int = 1000  #: of an account
    versions_per_capacity_provider: int = 100
    managed_memory_min_mb: int = 2048  #: of a function on managed instances
    managed_memory_max_mb: int = 32_768
    managed_concurrency_max: int = 256  #: invocations at once in one environment; AWS: 1600. Of Python each is a process
    repositories: int = 100_000  #: of an account in a Region
    images_per_repository: int = 100_000
    tags_per_image: int = 1000
    image_layer_bytes: int = 52_000 * MEBIBYTE  #: of a layer in a repository, as it is kept


PROFILES: Mapping[str, Quotas] = {
    "current": Quotas(),
    "2021": Quotas(
        memory_max_mb=3008,
        memory_step_mb=64,
        tmp_max_mb=512,
        async_payload_bytes=256 * 1024,
        repositories=10_000,
        images_per_repository=10_000,
        scaling_burst=3000,
        scaling_per_minute=500,
    ),
}


QUOTA_NAMES = tuple(field.name for field in fields(Quotas))


def quotas(profile: str = "current", overrides: Mapping[str, int] | None = None) -> Quotas:
    """The profile's quotas with single figures replaced."""
    if profile not in PROFILES:
        raise StartupError(f"No quota profile is called {profile!r}; there are {', '.join(sorted(PROFILES))}.")
    unknown = sorted(set(overrides or {}) - {field.name for field in fields(Quotas)})
    if unknown:
        raise StartupError(f"No quota is called {unknown[0]!r}; there are {', '.join(field.name for field in fields(Quotas))}.")
    return replace(PROFILES[profile], **(overrides or {}))
