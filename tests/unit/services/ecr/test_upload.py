"""Parts of images on their way in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from lambdad.errors import ServiceError
from lambdad.images.account_share import AccountShares
from lambdad.services.ecr.model import RepositoryName
from lambdad.services.ecr.upload import IDLE_SECONDS, MOST_OF_ACCOUNT, Uploads
from lambdad.store.files import FileBlobs
from lambdad.store.memory import MemoryStore

NAME = RepositoryName("000000000000", "us-east-1", "app")


async def pieces(*data: bytes) -> AsyncIterator[bytes]:
    for piece in data:
        yield piece


async def test_who_waited_for_an_upload_that_ended_is_told_so(tmp_path: Path) -> None:
    """As one who comes later is: clients that give up and ask again may be there twice."""
    blobs = FileBlobs(tmp_path / "blobs", MemoryStore())
    await blobs.open()
    uploads = Uploads(blobs, lambda: 0.0, AccountShares(), 1 << 30)
    upload_id = (await uploads.begin(NAME)).upload_id
    finished: list[str] = []

    async def finish() -> None:
        async with uploads.turn(NAME, upload_id) as upload:
            await upload.add(pieces(b"part"))
            finished.append(await upload.finish())
            await uploads.end(upload)

    outcomes = await asyncio.gather(finish(), finish(), return_exceptions=True)
    assert len(finished) == 1
    (late,) = [outcome for outcome in outcomes if outcome is not None]
    assert isinstance(late, ServiceError)
    assert (late.code, late.status) == ("BLOB_UPLOAD_UNKNOWN", 404)
    with pytest.raises(ServiceError):
        uploads.find(NAME, upload_id)
    await blobs.close()


async def test_one_account_leaves_room_for_others(tmp_path: Path) -> None:
    """Uploads that nobody goes on with are held for an hour, and hold up nobody else."""
    blobs = FileBlobs(tmp_path / "blobs", MemoryStore())
    await blobs.open()
    uploads = Uploads(blobs, lambda: 0.0, AccountShares(), 1 << 30)
    for _ in range(MOST_OF_ACCOUNT):
        await uploads.begin(NAME)
    with pytest.raises(ServiceError) as refused:
        await uploads.begin(NAME)
    assert (refused.value.code, refused.value.status) == ("TOOMANYREQUESTS", 429)
    assert (await uploads.begin(NAME._replace(account_id="111111111111"))).received == 0
    await uploads.close()
    assert list((tmp_path / "blobs/tmp").iterdir()) == []
    await blobs.close()


async def test_an_upload_beyond_the_share_of_its_account_ends(tmp_path: Path) -> None:
    """While it comes, with all that it brought; what others send, and what it sends instead, has its room."""
    blobs = FileBlobs(tmp_path / "blobs", MemoryStore())
    await blobs.open()
    shares = AccountShares(10)
    uploads = Uploads(blobs, lambda: 0.0, shares, 1 << 30)
    other = await uploads.begin(NAME._replace(account_id="1" * 12))
    first, second = await uploads.begin(NAME), await uploads.begin(NAME)
    await other.add(pieces(b"123456789"))
    await first.add(pieces(b"1234"))
    with pytest.raises(ServiceError) as refused:
        async with uploads.turn(NAME, second.upload_id):
            await second.add(pieces(b"123456", b"7", b"8"))
    assert refused.value.code == "LimitExceededException"
    with pytest.raises(ServiceError):
        uploads.find(NAME, second.upload_id)
    assert shares.used(NAME.account_id) == 4
    await first.add(pieces(b"567890"))
    await uploads.close()
    assert shares.used(NAME.account_id) == 0
    assert list((tmp_path / "blobs/tmp").iterdir()) == []
    await blobs.close()


async def test_uploads_that_nobody_goes_on_with_end(tmp_path: Path) -> None:
    """Also where nobody begins another."""
    blobs = FileBlobs(tmp_path / "blobs", MemoryStore())
    await blobs.open()
    now = [0.0]
    uploads = Uploads(blobs, lambda: now[0], AccountShares(), 1 << 30)
    idle, busy = await uploads.begin(NAME), await uploads.begin(NAME)
    now[0] = IDLE_SECONDS
    uploads.find(NAME, busy.upload_id)
    now[0] += 1
    await uploads.end_idle()
    assert uploads.find(NAME, busy.upload_id) is busy
    with pytest.raises(ServiceError):
        uploads.find(NAME, idle.upload_id)
    await uploads.close()
    await blobs.close()


async def test_an_upload_is_not_idle_while_a_piece_comes(tmp_path: Path) -> None:
    """However long it takes: its hour begins when the piece is in, so that others who begin then do not end it."""
    blobs = FileBlobs(tmp_path / "blobs", MemoryStore())
    await blobs.open()
    now = [0.0]
    uploads = Uploads(blobs, lambda: now[0], AccountShares(), 1 << 30)
    upload_id = (await uploads.begin(NAME)).upload_id
    async with uploads.turn(NAME, upload_id) as upload:
        await upload.add(pieces(b"large"))
        now[0] = IDLE_SECONDS + 1
        await uploads.begin(NAME)
    await uploads.begin(NAME)
    async with uploads.turn(NAME, upload_id) as upload:
        assert upload.received == 5
    await uploads.close()
    await blobs.close()
