"""The states of a shell, and how many shells a nursery wants."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdad.sandbox.cgroup import Group
from lambdad.sandbox.nursery import Nursery
from lambdad.sandbox.records import Channel, Program, Start
from lambdad.sandbox.shell import NEXT, Shell

PROGRAM = Program("python3.8", "/usr/bin/python3.8", "/usr", "/var/runtime")
START = Start("a", PROGRAM, "/there/is/none", None, 128, 512)


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made = Nursery(PROGRAM, Channel(ours), pid=0, handle=-1, last_used=100.0)
    yield made
    made.channel.close()
    theirs.close()


@pytest.fixture
def shell(nursery: Nursery) -> Iterator[Shell]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made = Shell(1, nursery, 20_002, Group([], "1"), Channel(ours), theirs.detach())
    yield made
    made.close()


def test_only_the_tables_transitions(shell: Shell) -> None:
    """A shell enters no state but those that may follow; from the end there is no way back."""
    for state in ("spare", "assigned", "ended"):
        shell.enter(state)
    for state in NEXT:
        with pytest.raises(ValueError, match="cannot become"):
            shell.enter(state)


def test_prepared_needs_doors_and_a_handle(shell: Shell) -> None:
    """A shell is prepared once both the zygote and the sandbox inside have spoken, in whichever order."""
    assert not shell.is_prepared
    reader, writer = os.pipe()
    shell.note({"ready": True}, [writer, os.dup(writer)])
    assert not shell.is_prepared
    shell.handle = reader
    assert shell.is_prepared


def test_assigning_what_is_not_there(shell: Shell) -> None:
    """An assignment whose files are missing fails, and leaves the shell a spare."""
    shell.enter("spare")
    with pytest.raises(OSError, match="there is no folder /there/is/none"):
        shell.assign(START)
    assert shell.state == "spare"


def test_last_words(shell: Shell) -> None:
    """Why the inside could not be prepared is kept."""
    shell.note({"error": "no"}, [])
    assert shell.failure == "no"


def test_wanted(nursery: Nursery, shell: Shell) -> None:
    """As many as wait, and the spares; less what there is; no spares for a language long unused or out of order."""
    assert nursery.wanted(2, now=110.0, idle_seconds=60.0) == 2
    nursery.forking.add(1)
    nursery.spares.append(shell)
    assert nursery.wanted(2, now=110.0, idle_seconds=60.0) == 0
    nursery.waiting.extend([START] * 5)
    assert nursery.wanted(2, now=110.0, idle_seconds=60.0) == 5
    assert nursery.wanted(2, now=200.0, idle_seconds=60.0) == 3
    nursery.waiting.clear()
    nursery.failures = 3
    assert nursery.wanted(2, now=110.0, idle_seconds=60.0) == -2


def test_zygote_is_python_2_and_3() -> None:
    """What zygotes run is free of what Python 2.7 does not know; its imports are the standard library's."""
    folder = Path(__file__).parents[3] / "src/lambdad/sandbox/zygote"
    for source in folder.glob("*.py"):
        text = source.read_text()
        assert ' f"' not in text
        assert "nonlocal" not in text
