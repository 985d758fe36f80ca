"""Lines from the pipe."""

from __future__ import annotations

import asyncio
import os

import pytest

from lambdad.invocation import log_lines
from lambdad.invocation.logs import MAX_LINE_BYTES, FunctionLog, LogStream


@pytest.fixture
async def pipe():
    """A log that reads a pipe; the test writes into the other end."""
    batches = []
    full = []
    log = FunctionLog(LogStream("1", "r", "g", "s"), batches.append, clock=lambda: 12.5, is_sink_full=lambda: bool(full))
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
    async with asyncio.timeout(5):
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
    line = log_lines.init_start(runtime, "eu-west-1")
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
