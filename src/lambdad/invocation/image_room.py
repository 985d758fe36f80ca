"""How much of the disk unpacked images take, how much they may, and what of it those have been promised that are under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from lambdad.sandbox.base import UNBOUNDED, UnpackLimits, UnpackReport


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes and inodes of the file system; a bound, or what is taken of it."""

    disk_bytes: int = UNBOUNDED
    inodes: int = UNBOUNDED

    def __add__(self, other: Room) -> Room:
        return Room(self.disk_bytes + other.disk_bytes, self.inodes + other.inodes)

    def __sub__(self, other: Room) -> Room:
        return Room(self.disk_bytes - other.disk_bytes, self.inodes - other.inodes)

    def least(self, other: Room) -> Room:
        return Room(min(self.disk_bytes, other.disk_bytes), min(self.inodes, other.inodes))

    def has(self, other: Room) -> bool:
        return self.disk_bytes >= other.disk_bytes and self.inodes >= other.inodes


NONE = Room(0, 0)


class ImageRoom:
    """What is taken is told for each tree by its name. A tree shares files with others, and they count for the one that brought
    them."""

    def __init__(self, most: Room, free: Callable[[], Room] = Room) -> None:
        """`free` is what the disk has besides what must stay free of it."""
        self._most = most
        self._free = free
        self._taken: dict[str, Room] = {}
        self._sum = NONE
        self._promised = NONE
        self._has_changed = asyncio.Event()  #: a new one after each change

    @property
    def taken(self) -> Room:
        return self._sum

    @asynccontextmanager
    async def promised(self, wanted: Room) -> AsyncIterator[Room]:
        """Room for one tree that is about to be unpacked, which no other one is promised while the block runs: `wanted`, or
        less where there is less and nobody who may give some back. As long as somebody may, this waits; whoever needs less
        goes first then."""
        while not (left := self._left()).has(wanted) and self._promised != NONE:
            await self._has_changed.wait()
        granted = Room(max(0, left.disk_bytes), max(0, left.inodes)).least(wanted)
        self._promised += granted
        try:
            yield granted
        finally:
            self._promised -= granted
            self._tell()

    def take(self, name: str, wanted: Room) -> None:
        self.give_back(name)
        self._taken[name] = wanted
        self._sum += wanted

    def rename(self, name: str, new: str) -> None:
        if name in self._taken:
            self._taken[new] = self._taken.pop(name)

    def give_back(self, name: str) -> None:
        """Harmless for one that took nothing."""
        self._sum -= self._taken.pop(name, NONE)
        self._tell()

    def _left(self) -> Room:
        """What those under way have written already counts twice: as promised, and as not free. It never counts too little."""
        return (self._most - self._sum).least(self._free()) - self._promised

    def _tell(self) -> None:
        self._has_changed.set()
        self._has_changed = asyncio.Event()


def within(limits: UnpackLimits, room: Room) -> UnpackLimits:
    return replace(limits, disk_bytes=room.disk_bytes, inodes=room.inodes)


def fits(report: UnpackReport, room: Room) -> bool:
    return room.has(Room(report.disk_bytes, report.inodes))
