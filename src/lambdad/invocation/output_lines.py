"""Bytes that a function or an extension has written, as lines of its log: plain ones, and messages in frames.

The clients of the managed runtimes put each message of a logger into a frame, so that it stays one event whatever line ends are
in it, and has its level and its own time:

    type, 4 bytes: 0xa55a0002 (JSON) or 0xa55a0003 (text), with the level in bits 2 to 4 and CONTINUED in bit 6
    length, 4 bytes, of what follows the head; time, 8 bytes, microseconds since the epoch; all big-endian

Frames come in the same pipe as what is printed. No text in UTF-8 that anybody writes on purpose begins like one. Whoever forges
one, or begins one and does not end it, reaches only the lines of its own function: it says what it could have printed as well.

lambdad's own clients write no frame that a pipe could take in two pieces (PIPE_BUF), so nothing another process writes gets
into one. A longer message comes in several frames with the same time, all but the last of them marked CONTINUED; that mark is
lambdad's.
"""

from __future__ import annotations

import re
import struct

from lambdad.model.invocation import LogEvent
from lambdad.model.log_settings import LEVELS

MAX_LINE_BYTES = 256 * 1024  #: of an event; a longer line becomes several
MAX_FRAME_BYTES = (1 << 24) - 1  #: what claims to be longer is no frame
CONTINUED = 0x40
_HEAD = struct.Struct(">IIQ")
_TYPES = bytes(encoding | level << 2 | mark for encoding in (2, 3) for level in range(7) for mark in (0, CONTINUED))
_BEGINNING = re.compile(rb"\xa5\x5a\x00[" + re.escape(_TYPES) + rb"]\x00", re.DOTALL)
_FIRST = b"\xa5\x5a\x00"
_BEGINNING_BYTES = 5
_MAX_OPEN = 8  #: messages that are not whole yet, at one time
_MAX_OPEN_BYTES = 2 * MAX_LINE_BYTES


class Line(LogEvent, frozen=True, gc=False):
    level: str | None = None  #: None of what is only printed, and of messages without


class OutputLines:
    """`has_frames` where a client of a managed runtime writes. Keeps at most a few lines' worth of bytes, whatever comes."""

    def __init__(self, *, has_frames: bool = False) -> None:
        self._has_frames = has_frames
        self._line = bytearray()  #: begun, without its end
        self._held = b""  #: may be the head of a frame
        self._frame: _Frame | None = None
        self._open: dict[int, _Message] = {}  #: continued ones, by their times
        self._lines: list[Line] = []
        self._now_ms = 0
        self._last_ms = 0

    @property
    def is_empty(self) -> bool:
        """Nothing that was begun waits for its end."""
        return not (self._line or self._held or self._frame or self._open)

    def feed(self, data: bytes, now_ms: int) -> list[Line]:
        """The lines that have ended, in their order. Their times never go back, nor beyond now."""
        self._now_ms = now_ms
        if self._has_frames and (self._frame is not None or self._held or b"\xa5" in data):
            self._take_framed(self._held + data)
        else:
            self._take_plain(data)
        return self._taken()

    def finish(self, now_ms: int) -> list[Line]:
        """What was begun and not ended, as it is: an invocation is over, or the output."""
        self._now_ms = now_ms
        if self._held:
            self._take_plain(self._held)
            self._held = b""
        frame, self._frame = self._frame, None
        if frame is not None and frame.message.time_us not in self._open:
            self._end_message(frame.message)
        while self._open:
            self._end_message(self._open.pop(next(iter(self._open))))
        if self._line:
            self._add_plain(bytes(self._line))
            self._line.clear()
        return self._taken()

    def not_before(self, time_ms: int) -> None:
        """The lines to come are no older than this."""
        self._last_ms = max(self._last_ms, time_ms)

    def _taken(self) -> list[Line]:
        lines, self._lines = self._lines, []
        return lines

    # What is printed

    def _take_plain(self, data: bytes) -> None:
        end = data.rfind(b"\n")
        if end < 0:
            self._line += data
        else:
            whole = bytes(self._line) + data[:end] if self._line else data[:end]
            self._line = bytearray(data[end + 1 :])
            if len(whole) <= MAX_LINE_BYTES:
                now = self._last_ms = max(self._last_ms, self._now_ms)
                self._lines += [Line(now, text) for text in whole.decode("utf-8", "replace").split("\n")]
            else:
                for line in whole.split(b"\n"):
                    self._add_plain(line)
        while len(self._line) > MAX_LINE_BYTES:
            piece = _piece(self._line)
            self._add_plain(piece)
            del self._line[: len(piece)]

    def _add_plain(self, line: bytes) -> None:
        now = self._last_ms = max(self._last_ms, self._now_ms)
        while len(line) > MAX_LINE_BYTES:
            piece = _piece(line)
            self._lines.append(Line(now, piece.decode("utf-8", "replace")))
            line = line[len(piece) :]
        self._lines.append(Line(now, line.decode("utf-8", "replace")))

    # Frames

    def _take_framed(self, data: bytes) -> None:
        self._held = b""
        position = 0
        while position < len(data):
            if self._frame is not None:
                position += self._take_message(self._frame, data[position : position + self._frame.missing])
                continue
            found = _BEGINNING.search(data, position)
            end = len(data) - _possible_beginning(data, position) if found is None else found.start()
            if end > position:
                self._take_plain(data[position:end])
            if found is None or len(data) - end < _HEAD.size:
                self._held = data[end:]
                return
            kind, length, time_us = _HEAD.unpack_from(data, end)
            position = end + _HEAD.size
            self._begin_frame(kind & 0xFF, length, time_us)

    def _begin_frame(self, kind: int, length: int, time_us: int) -> None:
        message = self._open.get(time_us)
        if message is None:
            number = kind >> 2 & 7
            message = _Message(time_us, LEVELS[number - 1] if number else None)
        self._frame = _Frame(message, length, is_continued=bool(kind & CONTINUED))
        if length == 0:
            self._end_frame(self._frame)

    def _take_message(self, frame: _Frame, data: bytes) -> int:
        content = frame.message.content
        content += data
        frame.missing -= len(data)
        while len(content) > MAX_LINE_BYTES:
            piece = _piece(content)
            self._add_message(frame.message, piece)
            del content[: len(piece)]
        if not frame.missing:
            self._end_frame(frame)
        return len(data)

    def _end_frame(self, frame: _Frame) -> None:
        self._frame = None
        if not frame.is_continued:
            self._open.pop(frame.message.time_us, None)
            self._end_message(frame.message)
            return
        self._open[frame.message.time_us] = frame.message
        while len(self._open) > _MAX_OPEN or sum(len(one.content) for one in self._open.values()) > _MAX_OPEN_BYTES:
            self._end_message(self._open.pop(next(iter(self._open))))

    def _end_message(self, message: _Message) -> None:
        self._add_message(message, bytes(message.content.removesuffix(b"\n")))

    def _add_message(self, message: _Message, text: bytes) -> None:
        self._last_ms = max(self._last_ms, min(message.time_us // 1000, self._now_ms))
        self._lines.append(Line(self._last_ms, text.decode("utf-8", "replace"), message.level))


class _Message:
    __slots__ = ("content", "level", "time_us")

    def __init__(self, time_us: int, level: str | None) -> None:
        self.time_us = time_us
        self.level = level
        self.content = bytearray()


class _Frame:
    __slots__ = ("is_continued", "message", "missing")

    def __init__(self, message: _Message, missing: int, *, is_continued: bool) -> None:
        self.message = message
        self.missing = missing
        self.is_continued = is_continued


def _possible_beginning(data: bytes, position: int) -> int:
    """How many of the last bytes could be the first ones of a frame's beginning."""
    for size in range(min(_BEGINNING_BYTES - 1, len(data) - position), 0, -1):
        last = data[-size:]
        if last[:3] == _FIRST[:size] and (size < 4 or last[3] in _TYPES):
            return size
    return 0


def _piece(line: bytes | bytearray) -> bytes:
    """As much of the beginning as an event may hold, without cutting a letter in two."""
    end = MAX_LINE_BYTES
    while end > MAX_LINE_BYTES - 4 and line[end] & 0xC0 == 0x80:
        end -= 1
    return bytes(line[:end])
