"""Why an environment of managed instances could not be had, as the state of its version has it: AWS's code, and a reason."""

from __future__ import annotations

from lambdad.errors import FileSystemTrouble
from lambdad.invocation.initialization import InitFailed
from lambdad.invocation.started_ahead import is_full, machine_reason
from lambdad.model.function import Failure

SHORT_LIVED = Failure("FunctionError.RuntimeInitError", "The runtime ended after Init, before it had an invocation.")

_INIT_CODES = {"timeout": "FunctionError.InitTimeout"}
_FILE_SYSTEM_CODES = {
    FileSystemTrouble.MISSING: "EFSMountConnectivityError",
    FileSystemTrouble.UNSUITABLE: "EFSMountFailure",
    FileSystemTrouble.SILENT: "EFSMountTimeout",
}


def managed_failure(error: Exception) -> Failure:
    if isinstance(error, InitFailed):
        return _init_failure(error)
    if isinstance(error, FileSystemTrouble):
        return Failure(_FILE_SYSTEM_CODES[error.kind], f"The configured file system cannot be mounted: {error}")
    return Failure("InsufficientCapacity" if is_full(error) else "InternalError", machine_reason(error))


def no_vcpus(limit: float, vcpus: float) -> Failure:
    reason = f"The capacity provider's MaxVCpuCount of {limit:g} leaves no room for {vcpus:g} more."
    return Failure("CapacityProviderScalingLimitExceeded", reason)


def _init_failure(error: InitFailed) -> Failure:
    reason = error.failure
    code = _INIT_CODES.get(reason.status)
    if code is None:
        is_extension = reason.error_type.startswith("Extension.")
        code = "FunctionError.ExtensionInitError" if is_extension else "FunctionError.RuntimeInitError"
    return Failure(code, reason.told)
