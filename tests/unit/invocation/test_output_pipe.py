"""A pipe that is read no faster than others can bear."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest

from lambdad.invocation import output_pipe
from lambdad.invocation.output_pipe import Allowance, OutputPipe, shared_allowance


class Clocked:
    """An event loop, by whose clock nothing is allowed again but when the test says so: a slow machine's would allow more."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self.now = 1000.0

    def time(self) -> float:
        return self.now

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)


class Reader:
    """A pipe, what was read of it, and its writing end."""

    def __init__(self, shared: Allowance | None = None) -> None:
        reader, self.writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(self.writer, False)
        self.is_full = False
        self.taken: list[bytes] = []
        self.loop = Clocked(asyncio.get_running_loop())
        shared = shared or shared_allowance()
        self.pipe = OutputPipe(reader, self.loop, self._take, shared=shared, is_full=lambda: self.is_full)  # type: ignore[arg-type]

    @property
    def size(self) -> int:
        return sum(map(len, self.taken))

    def _take(self, data: bytes) -> int:
        self.taken.append(data)
        return data.count(b"\n")

    def fill(self, line: bytes) -> int:
        """Writes until the pipe is full."""
        written = 0
        try:
            while True:
                written += os.write(self.writer, line * (4096 // len(line)))
        except BlockingIOError:
            return written

    def close(self) -> None:
        self.pipe.close()
        os.close(self.writer)


@pytest.fixture
async def reader() -> Reader:
    one = Reader()
    yield one
    one.close()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_flood_is_slowed(reader: Reader) -> None:
    """Once its allowance is used up a pipe is not read, its writer waits, and what it wrote comes later, whole."""
    written = 0
    while reader.size == written:
        assert written < 10 * output_pipe.BURST
        written += reader.fill(b"x" * 4095 + b"\n")
        await turns(50)
    reader.loop.now += 60
    await until(lambda: reader.size == written)


async def test_short_lines_cost_more(reader: Reader) -> None:
    """A flood of empty lines is stopped by their number."""
    for _ in range(2000):
        reader.fill(b"\n")
        await asyncio.sleep(0)
    lines = sum(data.count(b"\n") for data in reader.taken)
    assert lines < 4 * output_pipe.BURST / output_pipe.LINE_COST


async def test_short_lines_are_read_in_small_pieces(reader: Reader) -> None:
    """No turn of the loop has many lines to handle; long lines are read in large pieces."""
    reader.fill(b"\n")
    await until(lambda: len(reader.taken) > 3)
    assert max(map(len, reader.taken)) <= output_pipe.FIRST_READ_BYTES
    assert len(reader.taken[3]) < len(reader.taken[0])
    reader.pipe.drain()
    reader.taken.clear()
    for _ in range(20):
        reader.fill(b"x" * 4095 + b"\n")
        reader.pipe.drain()
    assert max(map(len, reader.taken)) > output_pipe.FIRST_READ_BYTES


async def test_one_that_writes_little_is_read_beside_floods() -> None:
    """When others have used up what all have together, a pipe with little in it is still read at once."""
    shared = shared_allowance()
    quiet, loud = Reader(shared), Reader(shared)
    shared.has_some(loud.loop.time())
    shared.take(100 * output_pipe.SHARED_BURST)
    loud_written = 0
    while loud_written <= 2 * output_pipe.LITTLE_BURST:
        loud_written += loud.fill(b"x" * 4095 + b"\n")
        if loud.size < loud_written:
            await turns(20)
        if loud.size < loud_written and loud_written > output_pipe.LITTLE_BURST:
            break
    os.write(quiet.writer, b"quiet\n")
    await until(lambda: quiet.taken == [b"quiet\n"])
    assert loud.size < loud_written
    quiet.close()
    loud.close()


async def test_nowhere_to_go(reader: Reader) -> None:
    """While what it becomes has nowhere to go a pipe is not read, except when its invocation ends."""
    reader.is_full = True
    os.write(reader.writer, b"one\n")
    await turns(20)
    assert reader.taken == []
    reader.pipe.drain()
    assert reader.taken == [b"one\n"]
    reader.is_full = False
    os.write(reader.writer, b"two\n")
    await until(lambda: len(reader.taken) == 2)


async def test_the_end_counts_what_it_leaves(reader: Reader) -> None:
    """Closing reads what is there; of more short lines than can be handled at once it says how many bytes are lost."""
    written = reader.fill(b"long enough a line to be read to its end\n")
    assert reader.pipe.close() == 0
    assert reader.size == written
    assert reader.pipe.close() == 0
    flood = Reader()
    written = flood.fill(b"\n")
    assert flood.pipe.close() == written - flood.size > 0
    flood.close()


async def test_an_end_while_reading_was_paused() -> None:
    """A pipe that is closed in a pause is not read again."""
    one = Reader()
    one.is_full = True
    os.write(one.writer, b"x\n")
    await turns(5)
    one.close()
    assert one.taken == [b"x\n"]
    await asyncio.sleep(output_pipe.PAUSE_SECONDS * 2)
    assert one.taken == [b"x\n"]


async def test_the_writer_ends() -> None:
    """The end of the pipe is the end of the reading."""
    one = Reader()
    os.write(one.writer, b"last\n")
    os.close(one.writer)
    await until(lambda: one.pipe._pipe < 0)
    assert one.taken == [b"last\n"]
    assert one.pipe.close() == 0


def test_an_allowance() -> None:
    """So much at once, more with time, never more than at the beginning, and a debt no greater than that."""
    allowance = Allowance(burst=100, rate=10)
    assert allowance.has_some(1000.0)
    allowance.take(1000)
    assert not allowance.has_some(1000.0)
    assert not allowance.has_some(1009.9)
    assert allowance.has_some(1010.1)
    assert allowance.has_some(5000.0)
    allowance.take(99)
    assert allowance.has_some(5000.0)
    allowance.take(1)
    assert not allowance.has_some(5000.0)
