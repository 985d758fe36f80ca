"""What the log, and who subscribes to telemetry, are told of an environment: Init, restore and invocations, in AWS's words."""

from __future__ import annotations

import math
from datetime import UTC, datetime

import msgspec

from lambdad.invocation import log_lines, platform_events
from lambdad.invocation.environment_parts import EnvironmentParts
from lambdad.invocation.failure import Failure
from lambdad.invocation.initialization import Initialization
from lambdad.invocation.logs import FunctionLog, LogStream
from lambdad.invocation.platform_events import Span
from lambdad.invocation.run import Run, Timing
from lambdad.model.version import Version
from lambdad.runtimes.families import family_of


class EnvironmentLog:
    """`output` is the log itself, into which the processes of the environment write."""

    def __init__(self, version: Version, parts: EnvironmentParts, initialization: Initialization) -> None:
        self.output = FunctionLog(
            _stream_of(version, parts),
            parts.log_sink,
            clock=parts.clock,
            is_sink_full=parts.is_log_sink_full,
            settings=version.log_settings,
            has_frames=family_of(version.runtime).has_frames,
            shared=parts.output_allowance,
            tenant_id=version.tenant_id,
        )
        self._version = version
        self._runtime_version = parts.runtime_version
        self._clock = parts.clock
        self._monotonic = parts.monotonic
        self._is_template = initialization is Initialization.SNAP_START
        self._initialization_type = initialization.value
        # Until the first invocation has reported them, in milliseconds:
        self._init_ms: float | None = None
        self._restore_ms: tuple[float, int] | None = None  #: and what of it is billed

    @property
    def wants_details(self) -> bool:
        return self.output.wants_details

    # Init and restore

    def init_begins(self, phase: str) -> None:
        """Only the first one has a line in text format."""
        version, runtime = self._version, self._runtime_version(self._version.runtime)
        self.output.keep_early()
        named = (version.function_name, version.version, self._initialization_type)
        event = platform_events.init_start(runtime, version.region, phase, *named)
        self.output.platform(event, log_lines.init_start(runtime, version.region) if phase == "init" else None)

    def init_ends(self, failed: Failure | None, seconds: float, phase: str) -> None:
        """In text format there is a line only of what failed, and of a snapshot's."""
        if failed is None and phase == "init":
            self._init_ms = seconds * 1000
        if failed is None and not self.wants_details and not self._is_template:
            return
        self.output.drain()
        status, error_type = ("success", "") if failed is None else (failed.status, failed.reported_type)
        has_line = failed is not None or self._is_template
        text = log_lines.init_report(seconds * 1000, status, error_type, phase) if has_line else None
        kind = self._initialization_type
        self.output.platform(platform_events.init_runtime_done(phase, status, error_type, kind), None)
        self.output.platform(platform_events.init_report(phase, status, error_type, seconds * 1000, kind), text)

    def restore_begins(self) -> None:
        version, runtime = self._version, self._runtime_version(self._version.runtime)
        self.output.keep_early()
        event = platform_events.restore_start(runtime, version.region, version.function_name, version.version)
        self.output.platform(event, log_lines.restore_start(runtime, version.region))

    def restore_ends(self, failed: Failure | None, seconds: float, billed_seconds: float) -> None:
        """`billed_seconds` of it are the function's own."""
        status, error_type = ("success", "") if failed is None else (failed.status, failed.reported_type)
        if status == "timeout":
            error_type = "Runtime.RestoreHookUserTimeout"
        self.output.drain()
        text = log_lines.restore_report(seconds * 1000, "" if failed is None else status, error_type)
        self.output.platform(platform_events.restore_runtime_done(status, error_type), None)
        self.output.platform(platform_events.restore_report(status, error_type, seconds * 1000), text)
        if failed is None:
            self._restore_ms = (seconds * 1000, math.ceil(billed_seconds * 1000))

    # Invocations

    def invocation_begins(self, run: Run) -> None:
        run.is_begun = True
        invocation = run.invocation
        version, trace = self._version.version, invocation.trace_header
        self.output.begin(invocation.request_id, version, trace, wants_tail=invocation.wants_log_tail)

    def runtime_is_done(self, run: Run, reason: Failure | None) -> None:
        """The runtime is done with an invocation: it has asked for the next one, or never will, for this reason.

        An error that it reported is a success here, as on AWS: the runtime did what it should.
        """
        now, timing, invocation = self._monotonic(), run.timing, run.invocation
        status, error_type, size = "success", "", 0
        if timing is not None:
            run.measure_stream()
            timing.done, size = now, timing.size
        if reason is not None:
            status = "failure" if reason.error_type.startswith("Sandbox.Failure") else reason.status
            error_type = reason.reported_type
        self.output.drain()
        spans = () if timing is None else self._spans(run, timing, now)
        duration_ms = (now - run.started) * 1000
        event = platform_events.runtime_done(
            invocation.request_id,
            status,
            error_type,
            duration_ms,
            size,
            invocation.trace_header,
            spans,
            self._version.tenant_id,
        )
        self.output.platform(event, None)
        if reason is not None and reason.error_type == "Runtime.ExitError":
            self.output.platform(platform_events.fault(invocation.request_id), None)

    def invocation_ends(self, run: Run, duration_ms: float, memory_peak_bytes: int | None) -> None:
        """END and REPORT; `run.log_tail` is what the invoker may get of the log."""
        self.output.drain()  # reading may have been paused
        invocation, reason = run.invocation, run.failure
        if reason is not None and reason.status == "timeout":
            duration_ms = min(duration_ms, self._version.timeout_seconds * 1000)
        figures = log_lines.Report(
            invocation.request_id,
            duration_ms,
            self._version.memory_mb,
            memory_peak_bytes,
            self._init_ms,
            status="" if reason is None else reason.status,
            error_type="" if reason is None else reason.reported_type,
        )
        if self._restore_ms is not None:
            restore_ms, billed_ms = self._restore_ms
            figures = msgspec.structs.replace(figures, restore_ms=restore_ms, billed_restore_ms=billed_ms)
        self._init_ms = self._restore_ms = None
        spans = () if run.extension_overhead is None else (run.extension_overhead,)
        run.log_tail = self.output.finish(figures, invocation.trace_header, spans)

    def span(self, name: str, start: float, end: float) -> Span:
        start_ms = int((self._clock() - (self._monotonic() - start)) * 1000)
        return Span(name, start_ms, (end - start) * 1000)

    def _spans(self, run: Run, timing: Timing, now: float) -> tuple[Span, ...]:
        response = timing.answered - timing.transfer_seconds
        return (
            self.span("responseLatency", run.started, response),
            self.span("responseDuration", response, timing.answered),
            self.span("runtimeOverhead", timing.answered, now),
        )


def _stream_of(version: Version, parts: EnvironmentParts) -> LogStream:
    day = datetime.fromtimestamp(parts.clock(), UTC).strftime("%Y/%m/%d")
    group = version.log_group or f"/aws/lambda/{version.function_name}"
    return LogStream(version.account_id, version.region, group, f"{day}/[{version.version}]{parts.new_id()}")
