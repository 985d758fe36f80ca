"""AWS's codes for why an environment of managed instances could not be had."""

from __future__ import annotations

import pytest

from lambdad.errors import FileSystemTrouble, SandboxError, ServiceError
from lambdad.invocation.failure import Failure
from lambdad.invocation.initialization import InitFailed
from lambdad.invocation.managed_failure import managed_failure
from lambdad.invocation.started_ahead import NO_ROOM


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (InitFailed(Failure("Sandbox.Timedout", "late", "timeout")), "FunctionError.InitTimeout", "late"),
        (InitFailed(Failure("Extension.Crash", "gone")), "FunctionError.ExtensionInitError", "gone"),
        (InitFailed(Failure("Runtime.ExitError", "gone")), "FunctionError.RuntimeInitError", "gone"),
        (ServiceError("TooManyRequestsException", "Rate Exceeded."), "InsufficientCapacity", NO_ROOM),
        (ServiceError("InvalidRuntimeException", "It is gone."), "InternalError", "It is gone."),
        (
            FileSystemTrouble(FileSystemTrouble.MISSING, "not there"),
            "EFSMountConnectivityError",
            "The configured file system cannot be mounted: not there",
        ),
        (
            FileSystemTrouble(FileSystemTrouble.SILENT, "mute"),
            "EFSMountTimeout",
            "The configured file system cannot be mounted: mute",
        ),
        (SandboxError("no cgroup"), "InternalError", "An execution environment could not be made: no cgroup"),
        (KeyError("oops"), "InternalError", "Internal error: KeyError"),
    ],
)
def test_codes_of_managed_instances(error, code, reason):
    """Each kind of failure has AWS's code in the state of the version."""
    failure = managed_failure(error)
    assert (failure.code, failure.reason) == (code, reason)
