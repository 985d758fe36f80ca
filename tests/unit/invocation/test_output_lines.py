"""Lines and frames out of one pipe."""

from __future__ import annotations

import os
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lambdad.invocation.output_lines import CONTINUED, MAX_FRAME_BYTES, MAX_LINE_BYTES, Line, OutputLines

NOW = 1_700_000_000_000
JSON, TEXT = 0xA55A0002, 0xA55A0003
LEVELS = {None: 0, "TRACE": 4, "DEBUG": 8, "INFO": 12, "WARN": 16, "ERROR": 20, "FATAL": 24}


def frame(content: bytes, kind: int = TEXT, time_us: int = NOW * 1000, length: int | None = None) -> bytes:
    return struct.pack(">IIQ", kind, len(content) if length is None else length, time_us) + content


def read(data: bytes, size: int = 1 << 30, *, has_frames: bool = True) -> list[Line]:
    """All lines of an output that arrives in pieces of a size."""
    lines = OutputLines(has_frames=has_frames)
    found = []
    for begin in range(0, len(data), size):
        found += lines.feed(data[begin : begin + size], NOW)
    found += lines.finish(NOW)
    assert lines.is_empty
    return found


def messages(lines: list[Line]) -> list[str]:
    return [line.message for line in lines]


@pytest.mark.parametrize(("name", "bits"), LEVELS.items())
@pytest.mark.parametrize("kind", [JSON, TEXT])
def test_a_frame_is_one_event(name: str | None, bits: int, kind: int) -> None:
    """Its message keeps its line ends but the last, and has a level and a time."""
    (line,) = read(frame(b"one\n\ntwo\n", kind | bits, (NOW - 5) * 1000))
    assert line == Line(NOW - 5, "one\n\ntwo", name)


def test_frames_and_lines_stay_in_order() -> None:
    """What is printed and what is logged come out as they went in; a frame inside a line does not break it."""
    data = b"a\nb" + frame(b"1") + b"c\n" + frame(b"2", TEXT | 8) + frame(b"") + b"d"
    assert messages(read(data)) == ["a", "1", "bc", "2", "", "d"]


def test_times_never_go_back() -> None:
    """Nor beyond the present: a stream is shown by time, and must not change its order."""
    times = [NOW - 10, NOW - 20, NOW + 10**9, 0]
    lines = read(b"".join(frame(b"x", time_us=time * 1000) for time in times))
    assert [line.timestamp_ms for line in lines] == [NOW - 10, NOW - 10, NOW, NOW]
    lines = read(b"printed\n" + frame(b"logged before that was read", time_us=(NOW - 5) * 1000))
    assert [line.timestamp_ms for line in lines] == [NOW, NOW]


def test_a_frame_before_the_invocation() -> None:
    """No line of an invocation is older than its START."""
    lines = OutputLines(has_frames=True)
    lines.not_before(NOW - 3)
    assert [line.timestamp_ms for line in lines.feed(frame(b"x", time_us=1), NOW)] == [NOW - 3]


def test_a_message_in_several_frames() -> None:
    """Frames of one time are one message, whatever other messages come in between."""
    one, two = NOW * 1000, NOW * 1000 + 1
    data = (
        frame(b"a", TEXT | 16 | CONTINUED, one)
        + frame(b"x", TEXT | 8 | CONTINUED, two)
        + b"printed\n"
        + frame(b"b", TEXT | 16 | CONTINUED, one)
        + frame(b"y", TEXT | 8, two)
        + frame(b"c\n", TEXT | 16, one)
    )
    assert [(line.message, line.level) for line in read(data)] == [("printed", None), ("xy", "DEBUG"), ("abc", "WARN")]


def test_messages_that_never_end() -> None:
    """Only so many are waited for; the oldest are told as they are."""
    data = b"".join(frame(b"%d" % number, TEXT | CONTINUED, number) for number in range(1000))
    lines = OutputLines(has_frames=True)
    assert messages(lines.feed(data, NOW)) == [str(number) for number in range(992)]
    assert messages(lines.finish(NOW)) == [str(number) for number in range(992, 1000)]


@pytest.mark.parametrize(
    "head",
    [
        struct.pack(">IIQ", 0xA55A0001, 3, 0),
        struct.pack(">IIQ", 0xA55A0004, 3, 0),
        struct.pack(">IIQ", 0xA55A001E, 3, 0),
        struct.pack(">IIQ", 0xA55A0102, 3, 0),
        struct.pack(">IIQ", 0xA55B0002, 3, 0),
        struct.pack(">IIQ", TEXT, MAX_FRAME_BYTES + 1, 0),
        struct.pack(">IIQ", TEXT, 0xFFFFFFFF, 0),
    ],
)
def test_what_is_no_frame(head: bytes) -> None:
    """A head with another type or a huge length is text, and what follows it is read as ever."""
    lines = read(head + b"abc\nnext\n" + frame(b"framed"))
    assert messages(lines) == [*(head + b"abc").decode("utf-8", "replace").split("\n"), "next", "framed"]


def test_a_frame_that_lies_about_its_length() -> None:
    """It takes in what its own function writes behind it until the invocation is over, and no more of it than a line may
    hold at a time; then all is as before."""
    lines = OutputLines(has_frames=True)
    found = lines.feed(frame(b"begun", length=MAX_FRAME_BYTES), NOW)
    for _ in range(5):
        found += lines.feed(b"x" * MAX_LINE_BYTES, NOW)
    assert [len(line.message) for line in found] == [MAX_LINE_BYTES] * 5
    assert messages(lines.finish(NOW)) == ["xxxxx"]
    assert messages(lines.feed(b"next\n", NOW)) == ["next"]


@pytest.mark.parametrize("size", range(1, 16))
def test_a_head_that_is_not_whole(size: int) -> None:
    """The first bytes of a frame with nothing behind them are text in the end."""
    data = frame(b"", time_us=0)[:size]
    assert messages(read(b"a\n" + data)) == ["a", data.decode("utf-8", "replace")]


def test_long_lines_are_cut_between_letters() -> None:
    """A line, or a message, longer than an event may be becomes several, without breaking a letter."""
    text = "x" + "ü" * MAX_LINE_BYTES
    for data in (text.encode() + b"\n", frame(text.encode())):
        lines = read(data, 5000)
        assert "".join(messages(lines)) == text
        assert max(len(line.message.encode()) for line in lines) <= MAX_LINE_BYTES
        assert len(lines) == 3


def test_no_frames_for_a_custom_runtime() -> None:
    """What looks like a frame is text where no client of a managed runtime writes."""
    data = frame(b"content\nmore", JSON)
    assert messages(read(data, has_frames=False)) == data.decode("utf-8", "replace").split("\n")


@given(st.binary(max_size=3000), st.integers(1, 40))
def test_any_bytes_without_frames(data: bytes, size: int) -> None:
    """Plain output comes out whole, whatever its bytes and its pieces."""
    expected = data.decode("utf-8", "replace").split("\n")
    if expected[-1] == "":
        expected.pop()
    assert messages(read(data, size, has_frames=False)) == expected


printed = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=50).map(
    lambda text: (None, text, f"{text}\n".encode())
)
framed = st.tuples(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=50),
    st.sampled_from(sorted(LEVELS, key=str)),
    st.sampled_from([JSON, TEXT]),
).map(lambda one: (one[1], one[0].removesuffix("\n"), frame(one[0].encode(), one[2] | LEVELS[one[1]])))


@given(st.lists(printed | framed, max_size=20), st.integers(1, 40))
def test_any_mixture(written: list[tuple[str | None, str, bytes]], size: int) -> None:
    """Lines and frames in any mixture come out as they went in, however they are cut."""
    data = b"".join(piece for _, _, piece in written)
    assert [(line.level, line.message) for line in read(data, size)] == [(level, text) for level, text, _ in written]


@given(
    st.lists(st.binary(max_size=40) | st.sampled_from([frame(b"ab"), frame(b"")[:9], b"\xa5\x5a", frame(b"x", length=99)])),
    st.integers(1, 9),
)
def test_any_bytes_with_frames(pieces: list[bytes], size: int) -> None:
    """Whatever comes, little is kept, every line is text, times do not go back, and the end leaves nothing."""
    lines = OutputLines(has_frames=True)
    data = b"".join(pieces)
    found = []
    for begin in range(0, len(data), size):
        found += lines.feed(data[begin : begin + size], NOW)
    found += lines.finish(NOW)
    assert lines.is_empty
    assert sum(len(line.message) for line in found) <= len(data)
    assert all(line.timestamp_ms <= NOW for line in found)
    assert messages(lines.feed(b"then\n", NOW)) == ["then"]


def test_a_flood_of_heads_is_kept_in_bounds() -> None:
    """Random bytes and beginnings of frames without end leave no more behind than a few lines."""
    lines = OutputLines(has_frames=True)
    for _ in range(64):
        lines.feed(os.urandom(16_384).replace(b"\n", b"") + frame(b"", length=MAX_FRAME_BYTES)[:7], NOW)
        lines.feed(frame(b"y" * 1000, TEXT | CONTINUED, int.from_bytes(os.urandom(7))), NOW)
        kept = len(lines._line) + len(lines._held) + sum(len(one.content) for one in lines._open.values())
        assert kept <= 4 * MAX_LINE_BYTES
