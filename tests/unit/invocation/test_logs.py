"""Lines from the pipe."""

from __future__ import annotations

import asyncio
import json
import os
import re
import struct

import pytest

from lambdad.invocation import log_lines, platform_events
from lambdad.invocation.logs import FunctionLog, LogStream
from lambdad.invocation.output_lines import MAX_LINE_BYTES
from lambdad.model.log_settings import LEVELS, LogSettings
from lambdad.model.runtime_version import runtime_version


@pytest.fixture
async def pipe():
    """A log that reads a pipe; the test writes into the other end."""
    batches = []
    full = []
    log = FunctionLog(LogStream("1", "r", "g", "s"), batches.append, clock=lambda: 12.5, is_sink_full=lambda stream: bool(full))
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    log.open(read, asyncio.get_running_loop())
    yield log, write, batches, full
    log.close()
    os.close(write)


def messages(batches):
    return [event.message for batch in batches for event in batch.events]


async def until(condition):
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


async def test_lines(pipe):
    """Output becomes one event a line, at the time of its arrival, whatever its bytes."""
    _, write, batches, _ = pipe
    os.write(write, b"one\n\ntwo\rstill two\n\xe4\n")
    await until(lambda: batches)
    assert messages(batches) == ["one", "", "two\rstill two", "\ufffd"]
    assert {event.timestamp_ms for event in batches[0].events} == {12500}


async def test_lines_in_pieces(pipe):
    """A line may arrive in pieces, and a character too; what has no end is kept until the invocation ends."""
    log, write, batches, _ = pipe
    log.begin("id", "1", wants_tail=True)
    for byte in "grün\nrest".encode():
        os.write(write, bytes([byte]))
        await asyncio.sleep(0)
    log.drain()
    tail = log.finish(log_lines.Report("id", 1.001, 128, None))
    report = "REPORT RequestId: id\tDuration: 1.00 ms\tBilled Duration: 2 ms\tMemory Size: 128 MB\tMax Memory Used: 0 MB\t"
    assert messages(batches) == ["START RequestId: id Version: 1", "grün", "rest", "END RequestId: id", report]
    assert tail.decode().splitlines() == messages(batches)


async def test_long_line(pipe):
    """A line longer than an event may be becomes several."""
    _, write, batches, _ = pipe
    sent = 3 * MAX_LINE_BYTES
    left = b"x" * sent + b"\n"
    while left:
        try:
            left = left[os.write(write, left[:4096]) :]
        except BlockingIOError:
            await asyncio.sleep(0)
    await until(lambda: sum(map(len, messages(batches))) == sent)
    assert max(map(len, messages(batches))) == MAX_LINE_BYTES


async def test_full_sink(pipe):
    """While the receiver of logs is full nothing is read, so the writer has to wait; later everything arrives."""
    _, write, batches, full = pipe
    full.append(True)
    written = 0
    with pytest.raises(BlockingIOError):
        while True:
            written += os.write(write, b"x" * 1023 + b"\n")
            await asyncio.sleep(0)
    assert batches == []
    full.clear()
    await until(lambda: sum(len(message) + 1 for message in messages(batches)) == written)


async def test_end_of_output(pipe):
    """The end of the pipe and a repeated close do no harm."""
    log, write, batches, _ = pipe
    os.write(write, b"last")
    log.close()
    log.close()
    assert messages(batches) == ["last"]


@pytest.mark.parametrize(
    ("runtime", "version"),
    [
        ("python3.12", "python:3.12.v1"),
        ("nodejs14.x", "nodejs:14.v1"),
        ("provided.al2", "provided:al2.v1"),
        ("java8.al2", "java:8.al2.v1"),
    ],
)
def test_init_start(runtime, version):
    """INIT_START names the runtime's version and an ARN of the right shape."""
    line = log_lines.init_start(runtime_version(runtime), "eu-west-1")
    head, arn = line.split("\tRuntime Version ARN: ")
    assert head == f"INIT_START Runtime Version: {version}"
    assert arn.startswith("arn:aws:lambda:eu-west-1::runtime:")
    assert len(arn.rpartition(":")[2]) == 64


async def test_last_words_without_newline(pipe):
    """What a process wrote last is kept without its newline, also when the pipe ended before the log is closed."""
    log, _, _, _ = pipe
    batches = []
    other = FunctionLog(log.stream, batches.append, clock=lambda: 12.5)
    read, write = os.pipe()
    os.set_blocking(read, False)
    other.open(read, asyncio.get_running_loop())
    os.write(write, b"no more memory")
    os.close(write)
    other.drain()
    other.close()
    other.close()
    assert messages(batches) == ["no more memory"]


def json_log(batches, *, application="INFO", system="INFO"):
    settings = LogSettings("JSON", application, system)
    return FunctionLog(LogStream("1", "r", "g", "s"), batches.append, clock=lambda: 12.5, settings=settings, has_frames=True)


def frame(level_bits, text):
    content = text.encode()
    return struct.pack(">IIQ", 0xA55A0002 | level_bits, len(content), 0) + content


async def test_json_format():
    """In JSON format the platform's lines are the events of the Telemetry API, and there is no END."""
    batches = []
    log = json_log(batches)
    log.begin("id", "7", "Root=1-a", wants_tail=True)
    tail = log.finish(log_lines.Report("id", 1.001, 128, None), "Root=1-a")
    start, report = map(json.loads, messages(batches))
    tracing = {"type": "X-Amzn-Trace-Id", "value": "Root=1-a"}
    assert start == {
        "time": "1970-01-01T00:00:12.500Z",
        "type": "platform.start",
        "record": {"requestId": "id", "version": "7", "tracing": tracing},
    }
    assert report["record"]["metrics"] == {
        "durationMs": 1.001,
        "billedDurationMs": 2,
        "memorySizeMB": 128,
        "maxMemoryUsedMB": 0,
    }
    assert tail.decode().splitlines() == messages(batches)


@pytest.mark.parametrize(
    ("system", "wanted"),
    [
        ("DEBUG", ["platform.start", "platform.runtimeDone", "platform.report"]),
        ("INFO", ["platform.start", "platform.report"]),
        ("WARN", []),
    ],
)
async def test_system_levels(system, wanted):
    """The platform's events below the level are left out; what failed is always told."""
    batches = []
    log = json_log(batches, system=system)
    for status in ("", "error"):
        log.begin("id", "7", wants_tail=False)
        log.platform(platform_events.runtime_done("id", status or "success", "", 1.0, 2, ""), None)
        log.finish(log_lines.Report("id", 1.0, 128, None, status=status))
        told = [json.loads(message)["type"] for message in messages(batches)]
        assert told == (wanted if not status else [*wanted[:1], "platform.runtimeDone", "platform.report"])
        batches.clear()


@pytest.mark.parametrize("level", ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"])
async def test_application_levels(level):
    """What the function writes below the level is left out: by the level of a frame, or by what a JSON line says of itself;
    what says nothing, or nothing valid, is INFO. Whoever subscribed to telemetry hears all of it."""
    stamp = '"timestamp":"2024-11-02T16:51:31.587199Z"'
    lines = {
        "plain": "INFO",
        '{"msg":"no level"}': "INFO",
        f'{{"level":"debug",{stamp}}}': "DEBUG",
        f'{{"level":"WARNING",{stamp}}}': "WARN",
        f'{{"level":"critical",{stamp}}}': "FATAL",
        f'{{"level":"loud",{stamp}}}': "INFO",
        f'{{"level":3,{stamp}}}': "INFO",
        '{"level":"error"}': "INFO",
        '{"level":"error","timestamp":"today"}': "INFO",
        '{"level":"error",': "INFO",
        f'{{"level":"error",{stamp},"a":{"[" * 50_000}': "INFO",
    }
    frames = {f"framed {name}": (number << 2, name) for number, name in enumerate(LEVELS, 1)}
    batches, heard = [], []
    log = json_log(batches, application=level)
    log.hear = lambda time_ms, event: heard.append(event.record)
    written = "".join(f"{line}\n" for line in lines).encode()
    written += b"".join(frame(bits, name) for name, (bits, _) in frames.items())
    log._take(written)
    least = LEVELS.index(level)
    wanted = [line for line, own in lines.items() if LEVELS.index(own) >= least]
    wanted += [name for name, (_, own) in frames.items() if LEVELS.index(own) >= least]
    assert messages(batches) == wanted
    assert heard == [*lines, *frames]


async def test_text_format_filters_nothing():
    """In text format whatever is written is kept, and stays as it is."""
    batches = []
    log = FunctionLog(LogStream("1", "r", "g", "s"), batches.append, clock=lambda: 12.5, has_frames=True)
    log._take(b'{"level":"trace","timestamp":"2024-11-02T16:51:31Z"}\n' + frame(4, "trace"))
    assert messages(batches) == ['{"level":"trace","timestamp":"2024-11-02T16:51:31Z"}', "trace"]


async def test_a_flood_that_is_left_at_the_end():
    """Short lines that could not be read to their end are counted in the log."""
    batches = []
    log = FunctionLog(LogStream("1", "r", "g", "s"), batches.append, clock=lambda: 12.5)
    read, write = os.pipe()
    os.set_blocking(read, False)
    os.set_blocking(write, False)
    log.open(read, asyncio.get_running_loop())
    while True:
        try:
            os.write(write, b"\n" * 4096)
        except BlockingIOError:
            break
    log.close()
    os.close(write)
    *empty, last = messages(batches)
    assert set(empty) == {""}
    match = re.fullmatch(r"lambdad: (\d+) bytes of output lost, because they came faster than they could be read", last)
    assert int(match[1]) + len(empty) == 65536


async def test_forged_lines_of_the_platform(pipe):
    """What looks like a line of the platform's is the function's own to whoever hears, as JSON and as text."""
    log, write, batches, _ = pipe
    heard = []
    log.hear = lambda time_ms, event: heard.append(event)
    forged = [b"REPORT RequestId: id\tDuration: 0.01 ms", b'{"time":"x","type":"platform.report","record":{}}']
    os.write(write, b"\n".join(forged) + b"\n")
    await until(lambda: batches)
    assert [(event.type, event.record) for event in heard] == [("function", line.decode()) for line in forged]


async def test_early_events_are_bounded():
    """What is kept for those who subscribe late has a bound in number and size, and the rest is counted."""
    log = FunctionLog(LogStream("1", "r", "g", "s"), lambda batch: None, clock=lambda: 12.5)
    log.keep_early()
    for _ in range(20):
        log._take(b"x" * 200_000 + b"\n")
    *kept, (_, last) = log.early()
    assert 0 < sum(len(event.record) for _, event in kept) <= 1024 * 1024
    assert last.type == "platform.logsDropped"
    assert last.record["droppedRecords"] == 20 - len(kept)
    assert last.record["droppedBytes"] == 200_000 * (20 - len(kept))
    log.keep_early()
    assert log.early() == []
