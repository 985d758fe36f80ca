"""The channel between server and launcher, and what its records accept."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import msgspec
import pytest

from lambdad.sandbox.records import (
    MAX_RECORD_BYTES,
    Channel,
    Program,
    RecordTooLong,
    Refused,
    Start,
    Stop,
    ToLauncher,
    ToServer,
    close_all,
)

PROGRAM = Program("python3.8", "/usr/bin/python3.8", "/usr", "/var/runtime")


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    one, other = (Channel(end) for end in socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET))
    yield one, other
    one.close()
    other.close()


def test_round_trip(pair: tuple[Channel, Channel]) -> None:
    """Records come out as they went in, with their descriptors, in order; then there is nothing."""
    reader, writer = os.pipe()
    pair[0].send(Stop("a"), [writer])
    pair[0].send(Start("b", PROGRAM, "/task", None, 128, 512))
    os.close(writer)
    data, descriptors = pair[1].receive() or (b"", [])
    assert msgspec.json.decode(data, type=ToLauncher) == Stop("a")
    os.write(descriptors[0], b"x")
    assert os.read(reader, 1) == b"x"
    data, none = pair[1].receive() or (b"", [])
    assert msgspec.json.decode(data, type=ToLauncher) == Start("b", PROGRAM, "/task", None, 128, 512)
    assert none == []
    assert pair[1].receive() is None
    close_all([*descriptors, reader])


def test_full_socket_keeps_the_order(pair: tuple[Channel, Channel]) -> None:
    """What does not fit now is kept with its descriptors, and sent in order once there is room."""
    reader, writer = os.pipe()
    count = 0
    while not pair[0].has_unsent:
        pair[0].send({"number": count}, [writer])
        count += 1
    pair[0].send({"number": count})
    os.close(writer)
    numbers = []
    while len(numbers) <= count:
        received = pair[1].receive()
        if received is None:
            pair[0].flush()
            continue
        numbers.append(msgspec.json.decode(received[0])["number"])
        close_all(received[1])
    assert numbers == list(range(count + 1))
    assert os.read(reader, 1) == b""  # no copy of the writing end is left anywhere
    os.close(reader)


def test_too_long(pair: tuple[Channel, Channel]) -> None:
    """A record that is too long is refused before it is sent; the longest one arrives whole."""
    with pytest.raises(RecordTooLong):
        pair[0].send(b"x" * (MAX_RECORD_BYTES + 1))
    pair[0].send(b"x" * MAX_RECORD_BYTES)
    assert pair[1].receive() == (b"x" * MAX_RECORD_BYTES, [])


def test_other_side_gone(pair: tuple[Channel, Channel]) -> None:
    """The end of the other side reads as an empty record, and sending to it does no harm."""
    pair[1].close()
    pair[0].send(Stop("a"))
    assert pair[0].receive() == (b"", [])


def test_unsent_descriptors_are_closed(pair: tuple[Channel, Channel]) -> None:
    """Closing a channel lets go of what it has not sent."""
    reader, writer = os.pipe()
    while not pair[0].has_unsent:
        pair[0].send({}, [writer])
    os.close(writer)
    pair[0].close()
    pair[1].close()
    assert os.read(reader, 1) == b""
    os.close(reader)


@pytest.mark.parametrize(
    "changes",
    [
        {"sandbox_id": ""},
        {"sandbox_id": "A"},
        {"sandbox_id": "a/b"},
        {"sandbox_id": "x" * 41},
        {"task_root": "task"},
        {"task_root": "/a\0b"},
        {"opt_root": ""},
        {"memory_mb": 0},
        {"memory_mb": 1 << 30},
        {"tmp_mb": 1.5},
        {"environment": {"A": "x"}},
        {"program": {"name": "../x", "interpreter": "/x", "language_root": "/x", "runtime_dir": "/x"}},
        {"surprise": 1},
        {"file_system": {"arn": "a", "name": ".."}},
        {"file_system": {"arn": "a", "name": "."}},
        {"file_system": {"arn": "a", "name": ""}},
        {"file_system": {"arn": "a", "name": "a/b"}},
        {"file_system": {"arn": "a", "name": "a\n"}},
        {"file_system": {"arn": "a", "name": "a", "folder": "/etc"}},
    ],
)
def test_start_takes_nothing_odd(changes: dict[str, object]) -> None:
    """Each field of a start is checked by whoever receives it."""
    good = msgspec.to_builtins(Start("a", PROGRAM, "/task", None, 128, 512))
    assert msgspec.convert(good, ToLauncher) == Start("a", PROGRAM, "/task", None, 128, 512)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**good, **changes}, ToLauncher)


def test_directions_are_apart() -> None:
    """The launcher takes no record that only it sends."""
    record = msgspec.json.encode(Refused("a", "no"))
    assert msgspec.json.decode(record, type=ToServer) == Refused("a", "no")
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(record, type=ToLauncher)
