"""The part of the disk that unpacked images may have."""

from __future__ import annotations

import asyncio

from lambdad.invocation.image_room import ImageRoom, Room, fits, within
from lambdad.sandbox.base import UnpackLimits, UnpackReport

ALL = Room(10_000, 10_000)


async def promise(room: ImageRoom, wanted: Room = ALL) -> Room:
    async with room.promised(wanted) as granted:
        return granted


async def test_what_is_taken_is_not_left() -> None:
    """Until it is given back, under whatever name it then has; nothing counts twice."""
    room = ImageRoom(Room(1000, 10))
    room.take("a", Room(600, 4))
    room.take("a", Room(700, 4))
    assert await promise(room) == Room(300, 6)
    room.rename("a", "b")
    room.give_back("a")
    assert room.taken == Room(700, 4)
    room.give_back("b")
    room.give_back("b")
    assert room.taken == Room(0, 0)


async def test_nothing_is_left_of_what_is_too_small() -> None:
    """A bound may be made smaller than what is there already, and the disk be filled by others."""
    room = ImageRoom(Room(1000, 10))
    room.take("a", Room(2000, 20))
    assert await promise(room) == Room(0, 0)
    assert await promise(ImageRoom(Room(1000, 10), lambda: Room(-5, 3))) == Room(0, 3)


async def test_what_is_promised_is_nobody_elses() -> None:
    """Who wants more than is left waits for whoever may give some back; who wants less does not wait."""
    room = ImageRoom(Room(1000, 10))
    async with room.promised(Room(600, 1)):
        async with room.promised(Room(300, 1)) as granted:
            assert granted == Room(300, 1)
            large = asyncio.create_task(promise(room, Room(500, 1)))
            all_of_it = asyncio.create_task(promise(room))
            await asyncio.sleep(0)
            assert await promise(room, Room(100, 1)) == Room(100, 1)
        await asyncio.sleep(0)
        assert not large.done()
        room.take("a", Room(250, 1))
    assert await large == Room(500, 1)
    assert await all_of_it == Room(750, 9)


async def test_who_gives_up_has_been_promised_nothing() -> None:
    """Whether it was waiting or had its turn."""
    room = ImageRoom(Room(1000, 10))
    has_turn = asyncio.Event()

    async def hold() -> None:
        async with room.promised(Room(800, 1)):
            has_turn.set()
            await asyncio.Event().wait()

    work = [asyncio.create_task(hold()) for _ in range(3)]
    await has_turn.wait()
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    assert await promise(room) == Room(1000, 10)


def test_a_tree_has_to_fit_into_what_was_promised() -> None:
    assert within(UnpackLimits(5, 6), Room(300, 6)) == UnpackLimits(5, 6, 300, 6)
    assert fits(UnpackReport(0), Room(0, 0))
    assert not fits(UnpackReport(0, disk_bytes=1), Room(0, 9))
    assert not fits(UnpackReport(0, inodes=1), Room(9, 0))
