"""The lines that the platform itself writes into a function's log, to the letter."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

from lambdad.model.runtime_version import RuntimeVersion


class Report(msgspec.Struct, frozen=True):
    """The figures of one invocation's REPORT line."""

    request_id: str
    duration_ms: float
    memory_mb: int
    memory_peak_bytes: int | None
    init_ms: float | None = None  #: only for the first invocation of an environment
    restore_ms: float | None = None  #: only for the first invocation of an environment that comes from a snapshot
    billed_restore_ms: int = 0
    status: str = ""  #: "timeout" or "error"; empty when all went well
    error_type: str = ""

    @property
    def billed_ms(self) -> int:
        return math.ceil(self.duration_ms)

    @property
    def peak_mb(self) -> int:
        return min(math.ceil((self.memory_peak_bytes or 0) / 1048576), self.memory_mb)


def init_start(runtime: RuntimeVersion, region: str) -> str:
    return f"INIT_START Runtime Version: {runtime.name}\tRuntime Version ARN: {runtime.arn(region)}"


def restore_start(runtime: RuntimeVersion, region: str) -> str:
    return f"RESTORE_START Runtime Version: {runtime.name}\tRuntime Version ARN: {runtime.arn(region)}"


def restore_report(restore_ms: float, status: str, error_type: str) -> str:
    """`status` is empty where all went well."""
    line = f"RESTORE_REPORT Restore Duration: {restore_ms:.2f} ms"
    if status:
        line += f"\tStatus: {status}"
    return f"{line}\tError Type: {error_type}" if error_type else line


def extension(name: str, events: Sequence[str]) -> str:
    return f"EXTENSION\tName: {name}\tState: Ready\tEvents: [{', '.join(events)}]"


def subscription(api: str, name: str, types: Sequence[str]) -> str:
    """`api` is "TELEMETRY" or "LOGS"."""
    return f"{api}\tName: {name}\tState: Subscribed\tTypes: [{', '.join(types)}]"


def init_report(init_ms: float, status: str, error_type: str, phase: str) -> str:
    """`phase` is "init", or "invoke" for an Init that was tried again inside an invocation."""
    line = f"INIT_REPORT Init Duration: {init_ms:.2f} ms\tPhase: {phase}\tStatus: {status}"
    return f"{line}\tError Type: {error_type}" if error_type else line


def start(request_id: str, version: str) -> str:
    return f"START RequestId: {request_id} Version: {version}"


def end(request_id: str) -> str:
    return f"END RequestId: {request_id}"


def report(figures: Report) -> str:
    line = (
        f"REPORT RequestId: {figures.request_id}\tDuration: {figures.duration_ms:.2f} ms\t"
        f"Billed Duration: {figures.billed_ms} ms\tMemory Size: {figures.memory_mb} MB\tMax Memory Used: {figures.peak_mb} MB\t"
    )
    if figures.init_ms is not None:
        line += f"Init Duration: {figures.init_ms:.2f} ms\t"
    if figures.restore_ms is not None:
        line += f"Restore Duration: {figures.restore_ms:.2f} ms\tBilled Restore Duration: {figures.billed_restore_ms} ms\t"
    if figures.status:
        line += f"Status: {figures.status}"
    if figures.error_type:
        line += f"\tError Type: {figures.error_type}"
    return line
