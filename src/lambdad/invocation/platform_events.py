"""What happens to an environment, as the events of the Telemetry API: a type and a record, in AWS's shapes.

`log_lines` has the same as the lines of a function's log in text format.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from lambdad.invocation.log_lines import Report
from lambdad.model.runtime_version import RuntimeVersion

#: Events that only the Logs API knows, and that have no line in a log.
LOGS_API_ONLY = frozenset({"platform.end", "platform.fault"})


class PlatformEvent(NamedTuple):
    type: str
    record: Any  #: an object; of "function" and "extension", the line
    level: str = "INFO"  #: of the system log in JSON format


ON_DEMAND, SNAP_START = "on-demand", "snap-start"


def init_start(
    runtime: RuntimeVersion, region: str, phase: str, function_name: str, version: str, initialization_type: str = ON_DEMAND
) -> PlatformEvent:
    record = {
        "initializationType": initialization_type,
        "phase": phase,
        "runtimeVersion": runtime.name,
        "runtimeVersionArn": runtime.arn(region),
        "functionName": function_name,
        "functionVersion": version,
    }
    return PlatformEvent("platform.initStart", record)


def init_runtime_done(phase: str, status: str, error_type: str, initialization_type: str = ON_DEMAND) -> PlatformEvent:
    record = {"initializationType": initialization_type, "phase": phase, "status": status, **_error(error_type)}
    return PlatformEvent("platform.initRuntimeDone", record, _level(status, "DEBUG"))


def init_report(
    phase: str, status: str, error_type: str, duration_ms: float, initialization_type: str = ON_DEMAND
) -> PlatformEvent:
    record = {
        "initializationType": initialization_type,
        "phase": phase,
        "status": status,
        "metrics": {"durationMs": round(duration_ms, 3)},
        **_error(error_type),
    }
    return PlatformEvent("platform.initReport", record, _level(status, "DEBUG"))


def restore_start(runtime: RuntimeVersion, region: str, function_name: str, version: str) -> PlatformEvent:
    record = {
        "runtimeVersion": runtime.name,
        "runtimeVersionArn": runtime.arn(region),
        "functionName": function_name,
        "functionVersion": version,
    }
    return PlatformEvent("platform.restoreStart", record)


def restore_runtime_done(status: str, error_type: str) -> PlatformEvent:
    """Its statuses are "success", "failure" and "timeout": what is an error in the report is a failure here."""
    record = {"status": "failure" if status == "error" else status, **_error(error_type)}
    return PlatformEvent("platform.restoreRuntimeDone", record, _level(status, "DEBUG"))


def restore_report(status: str, error_type: str, duration_ms: float) -> PlatformEvent:
    record = {"status": status, "metrics": {"durationMs": round(duration_ms, 3)}, **_error(error_type)}
    return PlatformEvent("platform.restoreReport", record, _level(status, "INFO"))


def start(request_id: str, version: str, trace_header: str, tenant_id: str = "") -> PlatformEvent:
    record = {"requestId": request_id, "version": version, **_tenant(tenant_id), **_tracing(trace_header)}
    return PlatformEvent("platform.start", record)


class Span(NamedTuple):
    """A part of an invocation."""

    name: str
    start_ms: int
    duration_ms: float


def runtime_done(
    request_id: str,
    status: str,
    error_type: str,
    duration_ms: float,
    size: int,
    trace: str,
    spans: Sequence[Span] = (),
    tenant_id: str = "",
) -> PlatformEvent:
    """`status` is "success", "failure", "error" or "timeout"; `size` the bytes of the response."""
    record = {
        "requestId": request_id,
        "status": status,
        "metrics": {"durationMs": round(duration_ms, 3), "producedBytes": size},
        **_spans(spans),
        **_error(error_type),
        **_tenant(tenant_id),
        **_tracing(trace),
    }
    return PlatformEvent("platform.runtimeDone", record, _level(status, "DEBUG"))


def report(figures: Report, trace_header: str, spans: Sequence[Span] = (), tenant_id: str = "") -> PlatformEvent:
    metrics: dict[str, Any] = {
        "durationMs": round(figures.duration_ms, 3),
        "billedDurationMs": figures.billed_ms,
        "memorySizeMB": figures.memory_mb,
        "maxMemoryUsedMB": figures.peak_mb,
    }
    if figures.init_ms is not None:
        metrics["initDurationMs"] = round(figures.init_ms, 3)
    if figures.restore_ms is not None:
        metrics["restoreDurationMs"] = round(figures.restore_ms, 3)
        metrics["billedRestoreDurationMs"] = figures.billed_restore_ms
    status = figures.status or "success"
    record = {
        "requestId": figures.request_id,
        "metrics": metrics,
        "status": status,
        **_spans(spans),
        **_error(figures.error_type),
        **_tenant(tenant_id),
        **_tracing(trace_header),
    }
    return PlatformEvent("platform.report", record, _level(status, "INFO"))


def managed_report(
    request_id: str, status: str, error_type: str, duration_ms: float, trace: str, spans: Sequence[Span] = ()
) -> PlatformEvent:
    """Of an invocation that shared its environment with others: nothing else of it can be told apart."""
    record = {
        "requestId": request_id,
        "metrics": {"durationMs": round(duration_ms, 3)},
        "status": status,
        **_spans(spans),
        **_error(error_type),
        **_tracing(trace),
    }
    return PlatformEvent("platform.report", record, _level(status, "INFO"))


def end(request_id: str) -> PlatformEvent:
    """Of the Logs API alone."""
    return PlatformEvent("platform.end", {"requestId": request_id})


def fault(request_id: str) -> PlatformEvent:
    """Of the Logs API alone: the runtime ended in the invocation."""
    return PlatformEvent("platform.fault", f"RequestId: {request_id} Process exited before completing request", "WARN")


def extension(name: str, state: str, events: Sequence[str], error_type: str = "") -> PlatformEvent:
    record = {"name": name, "state": state, "events": list(events), **_error(error_type)}
    return PlatformEvent("platform.extension", record, "WARN" if error_type else "INFO")


def subscription(api: str, name: str, types: Sequence[str]) -> PlatformEvent:
    """`api` is "TELEMETRY" or "LOGS"."""
    kind = "platform.telemetrySubscription" if api == "TELEMETRY" else "platform.logsSubscription"
    return PlatformEvent(kind, {"name": name, "state": "Subscribed", "types": list(types)})


def logs_dropped(records: int, size: int) -> PlatformEvent:
    reason = "Consumer seems to have fallen behind as it has not acknowledged receipt of logs."
    return PlatformEvent("platform.logsDropped", {"reason": reason, "droppedRecords": records, "droppedBytes": size}, "WARN")


def line(kind: str, text: str) -> PlatformEvent:
    """What the function or an extension printed: `kind` is "function" or "extension"."""
    return PlatformEvent(kind, text)


def timestamp(time_ms: int) -> str:
    """ISO 8601 with milliseconds and Z."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03d}Z"


def as_json(time_ms: int, event: PlatformEvent) -> str:
    """A line of the system log in JSON format."""
    document = {"time": timestamp(time_ms), "type": event.type, "record": event.record}
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False)


def _level(status: str, success: str) -> str:
    return success if status == "success" else "WARN"


def _error(error_type: str) -> dict[str, str]:
    return {"errorType": error_type} if error_type else {}


def _tenant(tenant_id: str) -> dict[str, str]:
    return {"tenantId": tenant_id} if tenant_id else {}


def _spans(spans: Sequence[Span]) -> dict[str, Any]:
    if not spans:
        return {}
    return {
        "spans": [
            {"name": span.name, "start": timestamp(span.start_ms), "durationMs": round(max(0.0, span.duration_ms), 3)}
            for span in spans
        ]
    }


def _tracing(trace_header: str) -> dict[str, Any]:
    return {"tracing": {"type": "X-Amzn-Trace-Id", "value": trace_header}} if trace_header else {}
