"""The launcher's event loop."""

from __future__ import annotations

import os
import socket

from lambdad.sandbox.event_loop import EventLoop
from lambdad.sandbox.records import Channel


def test_handlers_are_called() -> None:
    """A readable descriptor's handler is called; without events a step ends by its timeout."""
    loop, seen = EventLoop(), []
    reader, writer = os.pipe()
    loop.watch(reader, lambda: seen.append(os.read(reader, 10)))
    loop.step(0)
    assert seen == []
    os.write(writer, b"x")
    loop.step(None)
    assert seen == [b"x"]
    loop.forget(reader)
    loop.forget(reader)
    assert not loop.is_watched(reader)
    os.close(reader)
    os.close(writer)
    loop.close()


def test_forgotten_in_the_same_round() -> None:
    """A handler may forget a descriptor that is ready too: its handler is not called any more."""
    loop, called = EventLoop(), []
    pipes = [os.pipe() for _ in range(2)]

    def handle(number: int) -> None:
        called.append(number)
        loop.forget(pipes[1 - number][0])

    for number, (reader, writer) in enumerate(pipes):
        loop.watch(reader, lambda number=number: handle(number))  # type: ignore[misc]
        os.write(writer, b"x")
    loop.step(None)
    assert len(called) == 1
    for ends in pipes:
        for end in ends:
            os.close(end)
    loop.close()


def test_channels_are_flushed() -> None:
    """What a channel could not send at once goes out as soon as there is room."""
    loop = EventLoop()
    ours, theirs = (Channel(end) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    received = []
    loop.watch_channel(ours, lambda: None)
    loop.watch_channel(theirs, lambda: received.append(theirs.receive()))
    count = 0
    while not ours.has_unsent:
        ours.send({"number": count})
        count += 1
    while len(received) < count:
        loop.step(None)
    assert not ours.has_unsent
    ours.close()
    theirs.close()
    loop.close()
