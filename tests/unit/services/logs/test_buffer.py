"""Function output waits in bounds, and nothing waits for it."""

from __future__ import annotations

import asyncio
import logging

import pytest

from lambdad.model.invocation import LogBatch, LogEvent
from lambdad.services.logs.buffer import LogBuffer, memory_of
from lambdad.store.memory import MemoryStore
from support.logs_service import NOW_MS, Logs


@pytest.fixture
def logs() -> Logs:
    return Logs()


def batch(*lines: str, stream: str = "s", group: str = "g", start: int = 0) -> LogBatch:
    events = tuple(LogEvent(NOW_MS + start + number, line) for number, line in enumerate(lines))
    return LogBatch("000000000000", "us-east-1", group, stream, events)


async def test_oldest_give_way(logs: Logs) -> None:
    """A stream that is too fast loses its oldest lines, is told how many, and takes nothing from another stream."""
    one = memory_of(LogEvent(0, "x" * 74))
    buffer = LogBuffer(logs.state.records, stream_bytes=10 * one)
    buffer.append(batch("quiet", stream="t"))
    for number in range(100):
        buffer.append(batch(f"line {number:03d}" + "x" * 66, start=number))
    await buffer.flush()
    lines = await logs.got()
    assert lines[0] == "lambdad: 90 lines dropped, because they came faster than they could be stored\n"
    assert [line[:8] for line in lines[1:]] == [f"line {number:03d}" for number in range(90, 100)]
    assert await logs.got(logStreamName="t") == ["quiet\n"]


async def test_bounded_in_all(logs: Logs) -> None:
    """All streams together have a bound."""
    one = memory_of(LogEvent(0, "x" * 74))
    buffer = LogBuffer(logs.state.records, total_bytes=50 * one)
    for number in range(200):
        buffer.append(batch("x" * 74, stream=f"{number}"))
    assert buffer._bytes == 50 * one
    await buffer.flush()
    assert buffer._bytes == 0


async def test_a_line_larger_than_the_bound(logs: Logs) -> None:
    """A single line beyond the bound is dropped and counted."""
    buffer = LogBuffer(logs.state.records, stream_bytes=100)
    buffer.append(batch("x" * 1000))
    await buffer.flush()
    assert await logs.got() == ["lambdad: 1 lines dropped, because they came faster than they could be stored\n"]


async def test_flushes_by_itself(logs: Logs) -> None:
    """Output is stored soon without anyone asking, and few transactions do for many lines."""
    buffer = LogBuffer(logs.state.records, flush_seconds=0.01)
    running = asyncio.create_task(buffer.run())
    for number in range(1000):
        buffer.append(batch(f"{number}", stream=f"{number % 3}", start=number))
    async with asyncio.timeout(60):
        while len(await logs.store.list("log-chunk")) < 3:
            await asyncio.sleep(0.005)
    assert len(await logs.store.list("log-chunk")) == 3
    await buffer.stop()
    await asyncio.wait_for(running, 60)


async def test_store_trouble(logs: Logs, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be stored is given up with a word in the server's log, and later output is stored again."""

    async def fail(*arguments: object) -> None:
        raise OSError("disk")

    buffer = LogBuffer(logs.state.records)
    buffer.append(batch("lost"))
    with monkeypatch.context() as patch:
        patch.setattr(MemoryStore, "commit", fail)
        await buffer.flush()
    assert "1 lines of log group g could not be stored and are lost" in caplog.text
    assert caplog.records[0].levelno == logging.ERROR
    buffer.append(batch("kept"))
    await buffer.flush()
    assert await logs.got() == ["kept\n"]


async def test_full_for_one_stream(logs: Logs) -> None:
    """A stream with half of what it may have waiting is full, whoever else writes is not, and storing makes room again."""
    one = memory_of(LogEvent(0, "x" * 74))
    buffer = LogBuffer(logs.state.records, stream_bytes=10 * one)
    stream = ("000000000000", "us-east-1", "g")
    buffer.append(batch(*["x" * 74] * 5))
    assert not buffer.is_full_for(*stream, "s")
    buffer.append(batch("x" * 74))
    assert buffer.is_full_for(*stream, "s")
    assert not buffer.is_full_for(*stream, "t")
    assert not buffer.is_full_for("000000000000", "us-east-1", "h", "s")
    await buffer.flush()
    assert not buffer.is_full_for(*stream, "s")


async def test_much_is_written_in_slices(logs: Logs, monkeypatch: pytest.MonkeyPatch) -> None:
    """What waits is stored by commits of bounded size, whole and in order, whatever streams it is of."""
    monkeypatch.setattr("lambdad.services.logs.buffer._SLICE_BYTES", 4 * memory_of(LogEvent(0, "00")))
    written = []
    write = logs.state.records.write

    async def count(scope: object, group: str, events_of: dict[str, list[LogEvent]], **options: bool) -> None:
        written.append(sum(map(len, events_of.values())))
        await write(scope, group, events_of, **options)

    monkeypatch.setattr(logs.state.records, "write", count)
    buffer = LogBuffer(logs.state.records)
    buffer.append(batch(*(f"{number:02d}" for number in range(10))))
    buffer.append(batch("t0", "t1", stream="t"))
    await buffer.flush()
    assert written == [4, 4, 4]
    assert await logs.got() == [f"{number:02d}\n" for number in range(10)]
    assert await logs.got(logStreamName="t") == ["t0\n", "t1\n"]
    assert buffer._bytes == 0
