"""Reading the bytes while the object changes."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from lambdad.errors import ServiceError
from lambdad.services.s3.object_reader import open_object

PIECE = bytes(range(256)) * 4096


async def drain(body: Any) -> bytes:
    return b"".join([piece async for piece in body])


@pytest.mark.parametrize("change", ["delete", "overwrite"])
async def test_a_reader_gets_the_old_bytes_to_the_end(s3: Any, change: str) -> None:
    """An object that goes or is replaced while it is read is read to its end; its blob goes after that."""
    content = PIECE * 3
    await s3.put("k", content)
    answer = await s3("GetObject", Bucket="bucket", Key="k")
    first = await anext(answer["Body"])
    if change == "delete":
        await s3("DeleteObject", Bucket="bucket", Key="k")
    else:
        await s3.put("k", b"new")
    assert first + await drain(answer["Body"]) == content
    assert len(s3.blobs()) == (0 if change == "delete" else 1)


async def test_the_later_parts_stay_as_well(s3: Any) -> None:
    """Of an object in parts those not yet begun are kept for the reader too."""
    part = PIECE * 5
    upload_id, parts = await s3.upload("k", part, part[::-1], b"end")
    await s3.complete("k", upload_id, parts)
    answer = await s3("GetObject", Bucket="bucket", Key="k")
    await s3("DeleteObject", Bucket="bucket", Key="k")
    assert await drain(answer["Body"]) == part + part[::-1] + b"end"
    assert s3.blobs() == set()


async def test_an_answer_that_nobody_reads_lets_go(s3: Any) -> None:
    """A body that is closed, or dropped, unread no longer keeps the blob of a deleted object."""
    for give_up in ("close", "drop"):
        await s3.put("k", b"content")
        answer = await s3("GetObject", Bucket="bucket", Key="k")
        await s3("DeleteObject", Bucket="bucket", Key="k")
        assert len(s3.blobs()) == 1
        if give_up == "close":
            await answer["Body"].aclose()
        del answer
        gc.collect()
        for _ in range(1000):
            if not s3.blobs():
                break
            await asyncio.sleep(0.001)
        assert s3.blobs() == set()


async def test_readers_and_writers_together(s3: Any) -> None:
    """Whoever reads among writers and deleters gets one of the contents whole, or is told that there is none."""
    contents = {bytes([number]) * 300_000 for number in range(4)}

    async def write(content: bytes) -> None:
        for _ in range(10):
            await s3.put("k", content)

    async def read() -> None:
        for _ in range(40):
            try:
                assert (await s3.get("k"))[1] in contents
            except ServiceError as error:
                assert error.code == "NoSuchKey"

    async def delete() -> None:
        for _ in range(20):
            await s3("DeleteObject", Bucket="bucket", Key="k")

    await asyncio.gather(*map(write, contents), read(), read(), delete())
    assert s3.blobs() == await s3.references()


async def test_another_service_opens_an_object(s3: Any, refused: Any) -> None:
    """open_object gives size and bytes to who acts for the owner, and S3's errors otherwise."""
    await s3.put("code.zip", b"zip")
    size, body = await open_object(s3.state, "123456789012", "bucket", "code.zip", None)
    assert (size, await drain(body)) == (3, b"zip")
    for account_id, bucket, key, version, code in (
        ("123456789012", "unknown", "code.zip", None, "NoSuchBucket"),
        ("123456789012", "bucket", "unknown", None, "NoSuchKey"),
        ("210987654321", "bucket", "code.zip", None, "AccessDenied"),
        ("123456789012", "bucket", "code.zip", "3", "InvalidArgument"),
    ):
        with refused(code):
            await open_object(s3.state, account_id, bucket, key, version)
