"""What an extension prints."""

from __future__ import annotations

import asyncio
import os

from lambdad.invocation.extension_output import ExtensionOutput
from lambdad.invocation.output_lines import MAX_LINE_BYTES
from lambdad.invocation.output_pipe import shared_allowance


async def test_lines_of_an_extension() -> None:
    """Lines come as they end, the last one at the end without its newline; what looks like a frame is text."""
    said: list[str] = []
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    output = ExtensionOutput(reader, asyncio.get_running_loop(), said.append, shared_allowance())
    os.write(writer, b"one\n\xa5\x5a\x00\x02\x00\ntwo")
    async with asyncio.timeout(5):
        while len(said) < 2:
            await asyncio.sleep(0)
    os.close(writer)
    output.close()
    output.close()
    assert said == ["one", "\ufffdZ\0\x02\0", "two"]


async def test_a_long_line() -> None:
    """A line longer than an event may be becomes several."""
    said: list[str] = []
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    output = ExtensionOutput(reader, asyncio.get_running_loop(), said.append, shared_allowance())
    left = b"x" * (MAX_LINE_BYTES + 10)
    async with asyncio.timeout(10):
        while left:
            try:
                left = left[os.write(writer, left[:4096]) :]
            except BlockingIOError:
                await asyncio.sleep(0)
    os.close(writer)
    output.close()
    assert list(map(len, said)) == [MAX_LINE_BYTES, 10]
