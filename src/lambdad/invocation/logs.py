"""What an environment writes: takes lines from its pipe, puts START, END and REPORT around them, keeps the tail."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import msgspec

from lambdad.invocation import log_lines, platform_events
from lambdad.invocation.output_lines import MAX_LINE_BYTES, Line, OutputLines
from lambdad.invocation.output_pipe import Allowance, OutputPipe, shared_allowance
from lambdad.invocation.platform_events import PlatformEvent
from lambdad.model.invocation import LogBatch, LogEvent
from lambdad.model.log_settings import DEFAULT_LEVEL, LEVELS, TEXT, LogSettings, is_below

TAIL_BYTES = 4096  #: of START to REPORT, in the answer to an invocation with LogType=Tail

_MAX_EARLY = 1000
_MAX_EARLY_BYTES = 1024 * 1024
#: Names of levels that loggers use beside AWS's.
_OTHER_NAMES = {"WARNING": "WARN", "CRITICAL": "FATAL"}

LogSink = Callable[[LogBatch], None]


@dataclass(frozen=True, slots=True)
class LogStream:
    account_id: str
    region: str
    group: str
    name: str


class FunctionLog:
    """The log of one execution environment. Owns the read end of its pipe.

    In JSON format the platform's lines are JSON, and what is below the levels of the settings is left out. `hear` is told of
    every event of the platform and of every line, with its time in milliseconds: for the Telemetry API. Neither costs where it
    is not wanted.
    """

    def __init__(
        self,
        stream: LogStream,
        sink: LogSink,
        *,
        clock: Callable[[], float],
        is_sink_full: Callable[[LogStream], bool] = lambda stream: False,
        settings: LogSettings = TEXT,
        has_frames: bool = False,
        shared: Allowance | None = None,
        tenant_id: str = "",
    ) -> None:
        self.stream = stream
        self.settings = settings
        self.hear: Callable[[int, PlatformEvent], None] | None = None
        self.listeners = 0  #: how many are told by it, each of which makes a line cost more
        self._sink = sink
        self._tenant_id = tenant_id
        self._clock = clock
        self._is_sink_full = is_sink_full
        self._is_json = settings.format == "JSON"
        self._system_level = settings.system_level or DEFAULT_LEVEL
        self._application_level = settings.application_level if self._is_json else None
        self.shared = shared or shared_allowance()
        self._early: list[tuple[int, PlatformEvent]] | None = None
        self._early_bytes = self._lost_early = self._lost_early_bytes = 0
        self._lines = OutputLines(has_frames=has_frames)
        self._pipe: OutputPipe | None = None
        self._start: LogEvent | None = None  #: START line of the running invocation, not yet handed on
        self._tail: bytearray | None = None  #: what the running invocation wrote so far, when its invoker wants to see it

    def open(self, pipe: int, loop: asyncio.AbstractEventLoop) -> None:
        """Reads from this pipe from now on. What is left in the one before is read first."""
        self.close()
        self._pipe = OutputPipe(pipe, loop, self._take, shared=self.shared, is_full=self.is_sink_full)

    def is_sink_full(self) -> bool:
        """The lines of this log have nowhere to go at the moment."""
        return self._is_sink_full(self.stream)

    @property
    def wants_details(self) -> bool:
        """Somebody hears, or reads, of what has no line in text format."""
        return self.hear is not None or self._is_json

    def platform(self, event: PlatformEvent, text: str | None) -> None:
        """Something that the platform tells of besides START to REPORT; `text` is its line in text format, if it has one."""
        now = self._now_ms()
        self._tell(now, event)
        line = self._system_line(now, event) if self._is_json else text
        if line is not None:
            self._emit([LogEvent(now, line)])

    def extension_line(self, text: str) -> None:
        """A line that an external extension printed, in an invocation or outside of one."""
        now = self._now_ms()
        self._tell(now, platform_events.line("extension", text))
        self._emit([LogEvent(now, text)])

    def begin(self, request_id: str, version: str, trace_header: str = "", *, wants_tail: bool) -> None:
        """START. It is handed on together with what follows it."""
        now = self._now_ms()
        line: str | None = None
        if not self._is_json:
            line = log_lines.start(request_id, version)
        if self.hear is not None or self._is_json:
            event = platform_events.start(request_id, version, trace_header, self._tenant_id)
            self._tell(now, event)
            line = line or self._system_line(now, event)
        self._start = None if line is None else LogEvent(now, line)
        self._lines.not_before(now)
        self._tail = bytearray() if wants_tail else None
        if wants_tail and line is not None:
            self._tail = bytearray(line.encode() + b"\n")

    def finish(
        self, report: log_lines.Report, trace_header: str = "", spans: Sequence[platform_events.Span] = ()
    ) -> bytes | None:
        """END and REPORT. Gives the tail if it was wanted."""
        now = self._now_ms()
        if not self._lines.is_empty:
            self._hand_on(self._lines.finish(now))
        lines = []
        if not self._is_json:
            lines = [log_lines.end(report.request_id), log_lines.report(report)]
        if self.hear is not None or self._is_json:
            self._tell(now, platform_events.end(report.request_id))
            event = platform_events.report(report, trace_header, spans, self._tenant_id)
            self._tell(now, event)
            if self._is_json and (line := self._system_line(now, event)) is not None:
                lines.append(line)
        if lines or self._start is not None:
            self._emit([LogEvent(now, line) for line in lines])
        tail, self._tail = self._tail, None
        return None if tail is None else bytes(tail[-TAIL_BYTES:])

    def keep_early(self) -> None:
        """From now on events are kept for who subscribes late, until `forget_early`."""
        self._early = []
        self._early_bytes = self._lost_early = self._lost_early_bytes = 0

    def early(self) -> list[tuple[int, PlatformEvent]]:
        """In the end how much was too much to be kept."""
        early = list(self._early or [])
        if self._lost_early:
            early.append((self._now_ms(), platform_events.logs_dropped(self._lost_early, self._lost_early_bytes)))
        return early

    def forget_early(self) -> None:
        self._early = None

    def _tell(self, time_ms: int, event: PlatformEvent) -> None:
        if self._early is not None:
            self._keep_early(self._early, time_ms, event)
        if self.hear is not None:
            self.hear(time_ms, event)

    def _keep_early(self, early: list[tuple[int, PlatformEvent]], time_ms: int, event: PlatformEvent) -> None:
        size = len(event.record) if isinstance(event.record, str) else 0  # the platform's own are few and small
        if len(early) < _MAX_EARLY and self._early_bytes + size <= _MAX_EARLY_BYTES:
            early.append((time_ms, event))
            self._early_bytes += size
        else:
            self._lost_early += 1
            self._lost_early_bytes += size

    def _system_line(self, time_ms: int, event: PlatformEvent) -> str | None:
        """The event as JSON, if the function wants to see events of its level."""
        if event.type in platform_events.LOGS_API_ONLY or is_below(event.level, self._system_level):
            return None
        return platform_events.as_json(time_ms, event)

    def drain(self) -> None:
        """Reads what is in the pipe at this moment, so that it stands before the REPORT line."""
        if self._pipe is not None:
            self._pipe.drain()

    def close(self) -> None:
        """Reads what is left and gives the pipe back. May be repeated."""
        if self._pipe is None:
            return
        lost = self._pipe.close()
        self._pipe = None
        self._hand_on(self._lines.finish(self._now_ms()))
        if lost:
            self.tell_of_loss(lost)

    def tell_of_loss(self, size: int) -> None:
        """Of so many bytes that were written and never read."""
        text = f"lambdad: {size} bytes of output lost, because they came faster than they could be read"
        self._emit([LogEvent(self._now_ms(), text)])

    def _take(self, data: bytes) -> int:
        lines = self._lines.feed(data, self._now_ms())
        if lines:
            self._hand_on(lines)
        return len(lines) * (1 + self.listeners)

    def _hand_on(self, lines: list[Line]) -> None:
        if self.hear is not None or self._early is not None:
            for line in lines:
                self._tell(line.timestamp_ms, platform_events.line("function", line.message))
        if self._application_level is not None:
            lines = [line for line in lines if not is_below(line.level or _level_of(line.message), self._application_level)]
        if lines:
            self._emit(lines)

    def _emit(self, events: Sequence[LogEvent]) -> None:
        if self._tail is not None:
            for event in events:
                self._tail += event.message.encode() + b"\n"
            if len(self._tail) > 2 * MAX_LINE_BYTES:
                del self._tail[:-TAIL_BYTES]
        if self._start is not None:
            events = (self._start, *events)
            self._start = None
        stream = self.stream
        self._sink(LogBatch(stream.account_id, stream.region, stream.group, stream.name, tuple(events)))

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)


class _Levelled(msgspec.Struct):
    """A JSON line that says what level it has. AWS believes it only if it says when as well."""

    level: str
    timestamp: datetime


_levelled = msgspec.json.Decoder(_Levelled)


def _level_of(text: str) -> str:
    """Of a line that did not come in a frame."""
    if not text.startswith("{"):
        return DEFAULT_LEVEL
    try:
        level = _levelled.decode(text).level.upper()
    except (msgspec.DecodeError, RecursionError):  # the latter of what is nested without end
        return DEFAULT_LEVEL
    level = _OTHER_NAMES.get(level, level)
    return level if level in LEVELS else DEFAULT_LEVEL
