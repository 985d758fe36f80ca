"""Who may keep code when there is little room."""

from __future__ import annotations

import asyncio

import pytest

from lambdad.errors import ServiceError
from lambdad.services.lambda_.code_storage import CodeStorage

LIMIT = 100


class Account:
    """How much is kept, and rooms whose holders commit when they are told."""

    def __init__(self) -> None:
        self.kept = 0
        self.storage = CodeStorage(self.used)

    async def used(self, account_id: str, region: str) -> int:
        await asyncio.sleep(0)
        return self.kept

    async def keep(self, size: int, go_on: asyncio.Event, *, fails: bool = False) -> None:
        async with self.storage.room("a", "r", size, LIMIT):
            await go_on.wait()
            if fails:
                raise OSError("no commit")
            self.kept += size


def opened() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


async def until_all_wait() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("size", "fits"), [(0, True), (99, True), (100, True), (101, False), (10**12, False)])
async def test_alone(size: int, fits: bool) -> None:
    """What fills the room to its last byte is let in, one byte more is not."""
    account = Account()
    if fits:
        await account.keep(size, opened())
        assert account.kept == size
    else:
        with pytest.raises(ServiceError, match="Code storage limit exceeded"):
            await account.keep(size, opened())
        assert account.kept == 0


async def test_two_do_not_get_the_same_room() -> None:
    """Who comes while another is about to commit waits, and is refused when that one has taken the room."""
    account, go_on = Account(), asyncio.Event()
    first = asyncio.create_task(account.keep(60, go_on))
    second = asyncio.create_task(account.keep(60, opened()))
    await until_all_wait()
    assert not second.done()
    go_on.set()
    await first
    with pytest.raises(ServiceError, match="Code storage limit exceeded"):
        await second
    assert account.kept == 60


async def test_room_that_was_not_used() -> None:
    """Whose commit failed, or who went away, leaves the room to who waits for it."""
    account, go_on = Account(), asyncio.Event()
    failing = asyncio.create_task(account.keep(60, go_on, fails=True))
    leaving = asyncio.create_task(account.keep(40, asyncio.Event()))
    waiting = [asyncio.create_task(account.keep(50, opened())) for _ in range(2)]
    await until_all_wait()
    assert not any(each.done() for each in waiting)
    leaving.cancel()
    await until_all_wait()
    assert not any(each.done() for each in waiting)
    go_on.set()
    await asyncio.gather(*waiting)
    assert account.kept == 100
    with pytest.raises(OSError, match="no commit"):
        await failing


async def test_what_fits_beside_others_does_not_wait() -> None:
    """Those who all fit are let in together."""
    account, go_on = Account(), asyncio.Event()
    first = asyncio.create_task(account.keep(60, go_on))
    await until_all_wait()
    await account.keep(40, opened())
    go_on.set()
    await first
    assert account.kept == 100


async def test_what_frees_storage_is_never_refused() -> None:
    """A smaller package replaces a larger one also where the limit was lowered below what is kept."""
    account = Account()
    account.kept = 500
    await account.keep(-400, opened())
    assert account.kept == 100


async def test_accounts_and_regions_are_apart() -> None:
    """Each has room of its own."""
    room = Account().storage.room
    async with room("a", "r", 80, LIMIT), room("a", "other", 80, LIMIT), room("b", "r", 80, LIMIT):
        with pytest.raises(ServiceError):
            await Account().storage.room("a", "r", 101, LIMIT).__aenter__()
