"""What an environment writes: reads its pipe, cuts it into lines, puts START, END and REPORT around it, keeps the tail.

A flood of output costs this server neither time nor memory: reading pauses, the pipe fills, and the function waits.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass

from lambdad.invocation import log_lines, platform_events
from lambdad.invocation.platform_events import LEVELS, PlatformEvent
from lambdad.model.invocation import LogBatch, LogEvent

TAIL_BYTES = 4096  #: of START to REPORT, in the answer to an invocation with LogType=Tail
MAX_LINE_BYTES = 256 * 1024  #: CloudWatch Logs' largest event; a longer line becomes several
READ_BYTES = 64 * 1024
#: Output that an environment may have read on its behalf at once, and for how long it lasts: 8 MiB a second on average.
FLOW_BYTES = 4 * 1024 * 1024
FLOW_SECONDS = 0.5
PAUSE_SECONDS = 0.05

_MAX_EARLY = 1000

LogSink = Callable[[LogBatch], None]


@dataclass(frozen=True, slots=True)
class LogStream:
    account_id: str
    region: str
    group: str
    name: str


class FunctionLog:
    """The log of one execution environment. Owns the read end of its pipe.

    With a `json_level` the platform's lines are JSON, and only those of that level and above. `hear` is told of every event of
    the platform and of every line, with its time in milliseconds: for the Telemetry API. Neither costs where it is not wanted.
    """

    def __init__(
        self,
        stream: LogStream,
        sink: LogSink,
        *,
        clock: Callable[[], float],
        is_sink_full: Callable[[], bool] = lambda: False,
        json_level: str | None = None,
    ) -> None:
        self.stream = stream
        self._sink = sink
        self._clock = clock
        self._is_sink_full = is_sink_full
        self._json_level = json_level
        self.hear: Callable[[int, PlatformEvent], None] | None = None
        self._early: list[tuple[int, PlatformEvent]] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pipe = -1
        self._partial = b""
        self._start: LogEvent | None = None  #: START line of the running invocation, not yet handed on
        self._tail: bytearray | None = None  #: what the running invocation wrote so far, when its invoker wants to see it
        self._flow_bytes = 0
        self._flow_since = 0.0
        self._resume: asyncio.TimerHandle | None = None

    def open(self, pipe: int, loop: asyncio.AbstractEventLoop) -> None:
        """Reads from this pipe from now on. What is left in the one before is read first."""
        self.close()
        self._pipe = pipe
        self._loop = loop
        self._flow_since = loop.time()
        loop.add_reader(pipe, self._readable)

    @property
    def wants_details(self) -> bool:
        """Somebody hears, or reads, of what has no line in text format."""
        return self.hear is not None or self._json_level in ("TRACE", "DEBUG", "INFO", "WARN")

    def platform(self, event: PlatformEvent, text: str | None) -> None:
        """Something that the platform tells of besides START to REPORT; `text` is its line in text format, if it has one."""
        now = self._now_ms()
        self._tell(now, event)
        line = text if self._json_level is None else self._system_line(now, event)
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
        if self._json_level is None:
            line = log_lines.start(request_id, version)
        if self.hear is not None or self._json_level is not None:
            event = platform_events.start(request_id, version, trace_header)
            self._tell(now, event)
            line = line or self._system_line(now, event)
        self._start = None if line is None else LogEvent(now, line)
        self._tail = bytearray() if wants_tail else None
        if wants_tail and line is not None:
            self._tail = bytearray(line.encode() + b"\n")

    def finish(self, report: log_lines.Report, trace_header: str = "") -> bytes | None:
        """END and REPORT. Gives the tail if it was wanted."""
        now = self._now_ms()
        lines = [self._take_partial()] if self._partial else []
        if self._json_level is None:
            lines += [log_lines.end(report.request_id), log_lines.report(report)]
        if self.hear is not None or self._json_level is not None:
            self._tell(now, platform_events.end(report.request_id))
            event = platform_events.report(report, trace_header)
            self._tell(now, event)
            if self._json_level is not None and (line := self._system_line(now, event)) is not None:
                lines.append(line)
        self._emit([LogEvent(now, line) for line in lines])
        tail, self._tail = self._tail, None
        return None if tail is None else bytes(tail[-TAIL_BYTES:])

    def keep_early(self) -> None:
        """From now on events are kept for who subscribes late, until `forget_early`."""
        self._early = []

    def early(self) -> list[tuple[int, PlatformEvent]]:
        return self._early or []

    def forget_early(self) -> None:
        self._early = None

    def _tell(self, time_ms: int, event: PlatformEvent) -> None:
        if self._early is not None and len(self._early) < _MAX_EARLY:
            self._early.append((time_ms, event))
        if self.hear is not None:
            self.hear(time_ms, event)

    def _system_line(self, time_ms: int, event: PlatformEvent) -> str | None:
        """The event as JSON, if the function wants to see events of its level."""
        if event.type == "platform.end" or LEVELS.index(event.level) < LEVELS.index(self._json_level or "INFO"):
            return None
        return platform_events.as_json(time_ms, event)

    def drain(self) -> None:
        """Reads what is in the pipe at this moment, so that it stands before the REPORT line."""
        for _ in range(FLOW_BYTES // READ_BYTES):
            if self._pipe < 0 or not self._read():
                return

    def close(self) -> None:
        """Reads what is left and gives the pipe back. May be repeated."""
        self.drain()
        self._close_pipe()
        if self._partial:
            self._emit([LogEvent(self._now_ms(), self._take_partial())])

    def _readable(self) -> None:
        assert self._loop is not None
        if self._is_flooding():
            self._loop.remove_reader(self._pipe)
            self._resume = self._loop.call_later(PAUSE_SECONDS, self._resume_reading)
        else:
            self._read()

    def _is_flooding(self) -> bool:
        if self._is_sink_full():
            return True
        if self._flow_bytes < FLOW_BYTES:
            return False
        assert self._loop is not None
        now = self._loop.time()
        if now - self._flow_since < FLOW_SECONDS:
            return True
        self._flow_bytes = 0
        self._flow_since = now
        return False

    def _resume_reading(self) -> None:
        self._resume = None
        if self._pipe >= 0 and self._loop is not None:
            self._loop.add_reader(self._pipe, self._readable)

    def _read(self) -> bool:
        """Takes one piece from the pipe; False when there is none."""
        try:
            data = os.read(self._pipe, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._close_pipe()
            return False
        self._flow_bytes += len(data)
        self._take(data)
        return True

    def _take(self, data: bytes) -> None:
        lines = []
        pending = self._partial + data
        if len(pending) > MAX_LINE_BYTES and pending.find(b"\n", 0, MAX_LINE_BYTES + 1) < 0:
            lines.append(pending[:MAX_LINE_BYTES])
            pending = pending[MAX_LINE_BYTES:]
        *whole, self._partial = pending.split(b"\n")
        lines += whole
        if lines:
            now = self._now_ms()
            events = [LogEvent(now, line.decode("utf-8", "replace")) for line in lines]
            if self.hear is not None or self._early is not None:
                for event in events:
                    self._tell(now, platform_events.line("function", event.message))
            self._emit(events)

    def _take_partial(self) -> str:
        text = self._partial.decode("utf-8", "replace")
        self._partial = b""
        return text

    def _emit(self, events: list[LogEvent]) -> None:
        if self._tail is not None:
            for event in events:
                self._tail += event.message.encode() + b"\n"
            if len(self._tail) > 2 * MAX_LINE_BYTES:
                del self._tail[:-TAIL_BYTES]
        if self._start is not None:
            events.insert(0, self._start)
            self._start = None
        stream = self.stream
        self._sink(LogBatch(stream.account_id, stream.region, stream.group, stream.name, tuple(events)))

    def _close_pipe(self) -> None:
        if self._pipe < 0:
            return
        if self._resume is not None:
            self._resume.cancel()
            self._resume = None
        elif self._loop is not None:
            self._loop.remove_reader(self._pipe)
        os.close(self._pipe)
        self._pipe = -1

    def _now_ms(self) -> int:
        return int(self._clock() * 1000)
