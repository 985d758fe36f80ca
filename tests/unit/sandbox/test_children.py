"""Programs run beside each other in one thread: their ends, their last words, and what they leave behind."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lambdad.sandbox import linux
from lambdad.sandbox.children import Children, Finished
from support.processes import children as children_of
from support.processes import is_running


@pytest.fixture
async def children() -> AsyncIterator[Children]:
    made = Children()
    yield made
    made.close()
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 0)


@pytest.fixture
def nothing() -> AsyncIterator[int]:
    descriptor = os.open("/dev/null", os.O_RDWR)
    yield descriptor
    os.close(descriptor)


def shell(script: str) -> list[str]:
    return ["/bin/sh", "-c", script]


async def test_code_and_output(children: Children, nothing: int) -> None:
    """The exit code, or the signal as a negative number, and both streams in their order."""
    finished = await children.run(shell("echo out; echo err >&2; exit 3"), stdin=nothing, seconds=20)
    assert finished == Finished(3, "out\nerr")
    assert (await children.run(shell("kill -9 $$"), stdin=nothing, seconds=20)).code == -signal.SIGKILL


async def test_standard_input_is_what_was_given(children: Children) -> None:
    """Of the environment nothing is inherited."""
    reader, writer = os.pipe()
    os.write(writer, b"hello\n")
    os.close(writer)
    finished = await children.run(shell("cat; env | grep -c PYTEST"), stdin=reader, seconds=20)
    os.close(reader)
    assert finished.output == "hello\n0"


async def test_many_at_once(children: Children, nothing: int) -> None:
    """Each gets its own end."""
    runs = (children.run(shell(f"exit {number}"), stdin=nothing, seconds=20) for number in range(30))
    assert [finished.code for finished in await asyncio.gather(*runs)] == list(range(30))


async def test_output_is_bounded(children: Children, nothing: int) -> None:
    """Of a flood the last is kept, and it holds nobody up."""
    finished = await children.run(shell("yes | head -c 5000000; echo; echo last"), stdin=nothing, seconds=60)
    assert finished.output.endswith("last")
    assert len(finished.output) <= 64 * 1024


async def test_a_survivor_that_holds_the_output_is_not_waited_for(children: Children, nothing: int) -> None:
    """The end of the program is the end, though what it has started goes on; that is reaped when it ends."""
    finished = await children.run(shell("sleep 600 & echo $!"), stdin=nothing, seconds=20)
    orphan = int(finished.output)
    assert is_running(orphan)
    assert orphan in children_of(os.getpid())
    os.kill(orphan, signal.SIGKILL)
    while Path(f"/proc/{orphan}").exists():
        await asyncio.sleep(0)


async def test_a_program_that_does_not_end(children: Children, nothing: int) -> None:
    """It is killed when its time is over."""
    with pytest.raises(TimeoutError):
        await children.run(shell("exec sleep 600"), stdin=nothing, seconds=0.1)
    assert not any("sleep" in Path(f"/proc/{pid}/cmdline").read_text() for pid in children_of(os.getpid()))


async def test_cancelled_it_is_waited_for(children: Children, nothing: int, tmp_path: Path) -> None:
    """What has begun is not left half-way."""
    os.mkfifo(tmp_path / "gate")
    running = asyncio.create_task(children.run(shell(f"cat {tmp_path}/gate; touch {tmp_path}/done"), stdin=nothing, seconds=20))
    gate = await asyncio.to_thread(os.open, tmp_path / "gate", os.O_WRONLY)
    running.cancel()
    os.close(gate)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert (tmp_path / "done").exists()


async def test_no_such_program(children: Children, nothing: int) -> None:
    """Is an OSError, and leaves no descriptor."""
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        await children.run(["/no/such/program"], stdin=nothing, seconds=1)
    assert len(os.listdir("/proc/self/fd")) == before
