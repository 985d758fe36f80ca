"""The lines that the platform itself writes into a function's log, to the letter."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence

import msgspec


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


def runtime_version(runtime: str, region: str) -> tuple[str, str]:
    """Number and ARN. They are lambdad's own: its runtimes are not AWS's builds."""
    name = re.match(r"[a-z]*", runtime)
    family = name[0] if name else ""
    number = runtime[len(family) :].removeprefix(".").removesuffix(".x")
    version = f"{family}:{number}.v1"
    digest = hashlib.sha256(f"lambdad {version}".encode()).hexdigest()
    return version, f"arn:aws:lambda:{region}::runtime:{digest}"


def init_start(runtime: str, region: str) -> str:
    version, arn = runtime_version(runtime, region)
    return f"INIT_START Runtime Version: {version}\tRuntime Version ARN: {arn}"


def restore_start(runtime: str, region: str) -> str:
    version, arn = runtime_version(runtime, region)
    return f"RESTORE_START Runtime Version: {version}\tRuntime Version ARN: {arn}"


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
