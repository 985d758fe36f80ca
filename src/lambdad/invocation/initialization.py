"""How an environment comes to be initialised: AWS's initialization types, their limits, and what their failure means."""

from __future__ import annotations

from enum import Enum

from lambdad.invocation.environment_parts import EnvironmentParts
from lambdad.invocation.failure import Failure
from lambdad.model.version import Version
from lambdad.runtime_api.session import Beginning

#: AWS's limit of an Init that no invocation waits for, or the function's timeout if that is longer.
AHEAD_INIT_SECONDS = 130.0


class InitFailed(Exception):
    """The Init of what was started ahead: a template of snapshots, or a provisioned environment."""

    def __init__(self, reason: Failure) -> None:
        super().__init__(reason.message)
        self.failure = reason


class Initialization(Enum):
    """The values are those of AWS_LAMBDA_INITIALIZATION_TYPE."""

    ON_DEMAND = "on-demand"
    PROVISIONED = "provisioned-concurrency"
    SNAP_START = "snap-start"
    MANAGED = "lambda-managed-instances"


def init_limit(kind: Initialization, beginning: Beginning, version: Version, parts: EnvironmentParts) -> float:
    if beginning is Beginning.CLONE:
        return parts.restore_seconds
    if kind is Initialization.ON_DEMAND:
        return parts.init_seconds
    return max(AHEAD_INIT_SECONDS, version.timeout_seconds)
