"""What an extension prints."""

from __future__ import annotations

import asyncio
import os

import pytest

from lambdad.invocation.extension_output import ExtensionOutput
from lambdad.invocation.logs import FunctionLog, LogStream
from lambdad.invocation.output_lines import MAX_LINE_BYTES
from lambdad.model.invocation import LogBatch


class Extension:
    """Its pipe, and what the log has of it."""

    def __init__(self) -> None:
        self.batches: list[LogBatch] = []
        self.heard: list[tuple[str, object]] = []
        log = FunctionLog(LogStream("1", "r", "g", "s"), self.batches.append, clock=lambda: 12.5)
        log.hear = lambda time_ms, event: self.heard.append((event.type, event.record))
        log.listeners = 1
        reader, self.writer = os.pipe()
        os.set_blocking(reader, False)
        os.set_blocking(self.writer, False)
        self.output = ExtensionOutput(reader, asyncio.get_running_loop(), log)

    @property
    def said(self) -> list[str]:
        return [event.message for batch in self.batches for event in batch.events]


@pytest.fixture
async def extension() -> Extension:
    return Extension()


async def test_lines_of_an_extension(extension: Extension) -> None:
    """Lines come as they end, the last one at the end without its newline; what looks like a frame is text."""
    os.write(extension.writer, b"one\n\xa5\x5a\x00\x02\x00\ntwo")
    async with asyncio.timeout(60):
        while len(extension.said) < 2:
            await asyncio.sleep(0)
    os.close(extension.writer)
    extension.output.close()
    extension.output.close()
    assert extension.said == ["one", "\ufffdZ\0\x02\0", "two"]
    assert extension.heard == [("extension", text) for text in extension.said]


async def test_a_long_line(extension: Extension) -> None:
    """A line longer than an event may be becomes several."""
    left = b"x" * (MAX_LINE_BYTES + 10)
    async with asyncio.timeout(60):
        while left:
            try:
                left = left[os.write(extension.writer, left[:4096]) :]
            except BlockingIOError:
                await asyncio.sleep(0)
    os.close(extension.writer)
    extension.output.close()
    assert list(map(len, extension.said)) == [MAX_LINE_BYTES, 10]


async def test_a_flood_at_the_end(extension: Extension) -> None:
    """Short lines that could not be read to their end are counted in the log."""
    written = 0
    try:
        while True:
            written += os.write(extension.writer, b"\n" * 4096)
    except BlockingIOError:
        pass
    extension.output.close()
    os.close(extension.writer)
    *empty, last = extension.said
    assert last == f"lambdad: {written - len(empty)} bytes of output lost, because they came faster than they could be read"
