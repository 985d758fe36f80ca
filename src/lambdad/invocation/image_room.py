"""How much of the disk unpacked images take, and how much they may."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lambdad.sandbox.base import UNBOUNDED, UnpackLimits, UnpackReport


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes and inodes of the file system; a bound, or what is taken of it."""

    disk_bytes: int = UNBOUNDED
    inodes: int = UNBOUNDED


class ImageRoom:
    """What is taken is told for each tree by its name. A tree shares files with others, and they count for the one that brought
    them."""

    def __init__(self, most: Room) -> None:
        self._most = most
        self._taken: dict[str, Room] = {}
        self._sum = Room(0, 0)

    @property
    def taken(self) -> Room:
        return self._sum

    def limits(self, limits: UnpackLimits) -> UnpackLimits:
        """These, and what there is room for."""
        left = Room(self._most.disk_bytes - self._sum.disk_bytes, self._most.inodes - self._sum.inodes)
        return replace(limits, disk_bytes=max(0, left.disk_bytes), inodes=max(0, left.inodes))

    def take(self, name: str, wanted: Room) -> None:
        self.give_back(name)
        self._taken[name] = wanted
        self._sum = Room(self._sum.disk_bytes + wanted.disk_bytes, self._sum.inodes + wanted.inodes)

    def has_room_for(self, report: UnpackReport) -> bool:
        """Others may have been unpacked since the limits were asked for."""
        limits = self.limits(UnpackLimits(0))
        return report.disk_bytes <= limits.disk_bytes and report.inodes <= limits.inodes

    def rename(self, name: str, new: str) -> None:
        if name in self._taken:
            self._taken[new] = self._taken.pop(name)

    def give_back(self, name: str) -> None:
        """Harmless for one that took nothing."""
        before = self._taken.pop(name, Room(0, 0))
        self._sum = Room(self._sum.disk_bytes - before.disk_bytes, self._sum.inodes - before.inodes)
