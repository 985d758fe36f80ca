"""A function's file system where an OCI runtime finds it: mounted at a path, for as long as the making of the sandbox takes.

The mount is one of the launcher's own mount namespace, so nothing of it shows on the machine and nothing of it stays behind.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from lambdad.errors import FileSystemTrouble
from lambdad.sandbox import linux
from lambdad.sandbox.file_system_keeper import PATIENCE_SECONDS, FileSystemKeeper
from lambdad.sandbox.records import FileSystemMount


@dataclass(frozen=True, slots=True)
class FileSystems:
    """`places` is a folder of empty folders, which are removed by rmdir and in no other way: a user's files may be in them."""

    keeper: FileSystemKeeper
    places: Path

    @classmethod
    def make(cls, keeper: FileSystemKeeper, places: Path) -> FileSystems:
        """What an earlier, killed launcher has left there is empty, for its mounts have ended with it."""
        for place in places.iterdir():
            place.rmdir()
        return cls(keeper, places)

    @asynccontextmanager
    async def shown(self, wanted: FileSystemMount | None, uid: int, name: str) -> AsyncIterator[Path | None]:
        """Where it is to be found inside the block. FileSystemTrouble when it cannot be had."""
        if wanted is None:
            yield None
            return
        tree = await self._open(wanted.arn, uid)
        place = self.places / name
        try:
            place.mkdir()
            linux.move_mount(tree, os.fspath(place))
        finally:
            os.close(tree)
        try:
            yield place
        finally:
            linux.unmount(os.fspath(place))
            place.rmdir()

    async def _open(self, arn: str, uid: int) -> int:
        loop = asyncio.get_running_loop()
        opened: asyncio.Future[int | FileSystemTrouble] = loop.create_future()

        def answer(found: int | FileSystemTrouble) -> None:
            if not opened.done():
                opened.set_result(found)
            elif not isinstance(found, FileSystemTrouble):  # nobody waits for it any more
                os.close(found)

        self.keeper.open(arn, uid, answer)
        timer = loop.call_later(PATIENCE_SECONDS + 0.1, self.keeper.tend)
        try:
            found = await opened
        finally:
            timer.cancel()
        if isinstance(found, FileSystemTrouble):
            raise found
        return found


def enter_own_mounts() -> None:
    """What is mounted from now on is seen by this process and what it starts; what the machine mounts is seen here as well."""
    linux.unshare(linux.CLONE_NEWNS)
    linux.mount(None, "/", None, linux.MS_REC | linux.MS_SLAVE)
