"""SnapStart: who may have it."""

from __future__ import annotations

import re
from collections.abc import Collection

from lambdad.model.function import Configuration
from lambdad.runtimes.catalog import RUNNABLE, sorted_names
from lambdad.services.lambda_.refusal import invalid_parameter
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.tenancy import check_without_tenants

OLDEST_PYTHON = (3, 8)  #: AWS: 3.12
MAX_TMP_MB = 512

#: What becomes of a published version by its runtime, when it asks for SnapStart.
CLONED = "a snapshot when a version is published, of which each environment is a clone, with hooks"
REFUSED = (
    "refused; each environment has an Init of its own, in a sandbox that may be made ahead of need (--spares, --pre-booted)"
)


def check_snap_start(state: LambdaState, configuration: Configuration) -> None:
    """Whether published versions of such a function can be had."""
    if not configuration.snap_start:
        return
    check_without_tenants(configuration, "SnapStart")
    if configuration.image is not None:
        raise invalid_parameter("SnapStart is not supported for functions created with container images.")
    if not _is_supported(configuration.runtime):
        raise invalid_parameter(f"{configuration.runtime} is not supported for SnapStart enabled functions.")
    if configuration.file_system is not None:
        raise invalid_parameter("SnapStart does not support functions with a file system.")
    if configuration.ephemeral_storage_mb > MAX_TMP_MB:
        raise invalid_parameter(
            f"SnapStart does not support ephemeral storage of more than {MAX_TMP_MB} MB; "
            f"the function has {configuration.ephemeral_storage_mb} MB."
        )
    if state.snapshot_problem is not None:
        raise invalid_parameter(f"SnapStart is not supported on this machine: {state.snapshot_problem}.")


def snap_start_by_runtime() -> str:
    """What every runtime that can be run here gets, as `lambdad support` prints it."""
    cloned = [name for name in RUNNABLE if _is_supported(name)]
    others = [name for name in RUNNABLE if not _is_supported(name)]
    return (
        f"{_names(cloned)}: {CLONED}; {_names(others)}: {REFUSED};"
        f" refused as well with more than {MAX_TMP_MB} MB of /tmp, and where"
        " no snapshots can be taken (any isolation but namespace, without root, not on x86_64)"
    )


def _names(runtimes: Collection[str]) -> str:
    return ", ".join(sorted_names(runtimes))


def _is_supported(runtime: str) -> bool:
    matched = re.fullmatch(r"python(\d+)\.(\d+)", runtime)
    return matched is not None and (int(matched[1]), int(matched[2])) >= OLDEST_PYTHON
