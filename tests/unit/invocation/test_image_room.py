"""The part of the disk that unpacked images may have."""

from __future__ import annotations

from lambdad.invocation.image_room import ImageRoom, Room
from lambdad.sandbox.base import UnpackLimits, UnpackReport


def test_what_is_taken_is_not_left() -> None:
    """Until it is given back, under whatever name it then has; nothing counts twice."""
    room = ImageRoom(Room(1000, 10))
    room.take("a", Room(600, 4))
    room.take("a", Room(700, 4))
    assert room.limits(UnpackLimits(5, 6)) == UnpackLimits(5, 6, 300, 6)
    room.rename("a", "b")
    room.give_back("a")
    assert room.taken == Room(700, 4)
    room.give_back("b")
    room.give_back("b")
    assert room.taken == Room(0, 0)


def test_nothing_is_left_of_what_is_too_small() -> None:
    """A bound may be made smaller than what is there already."""
    room = ImageRoom(Room(1000, 10))
    room.take("a", Room(2000, 20))
    assert room.limits(UnpackLimits(5)).disk_bytes == room.limits(UnpackLimits(5)).inodes == 0
    assert room.has_room_for(UnpackReport(0))
    assert not room.has_room_for(UnpackReport(0, disk_bytes=1))
    assert not room.has_room_for(UnpackReport(0, inodes=1))
