"""PutObject."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from lambdad.errors import ServiceError


async def test_an_object_comes_back_as_it_was_put(s3: Any) -> None:
    """Bytes, headers and metadata of a put are those of the next get, with the MD5 as ETag."""
    expires = "Thu, 01 Dec 1994 16:00:00 GMT"
    made = await s3.put(
        "a/b",
        b"hello",
        headers={"expires": expires},
        ContentType="text/plain",
        CacheControl="no-cache",
        ContentDisposition="attachment",
        ContentLanguage="en",
        ContentEncoding="gzip,aws-chunked",
        Metadata={"colour": "blue"},
    )
    etag = f'"{hashlib.md5(b"hello").hexdigest()}"'
    assert made["ETag"] == etag
    answer, content = await s3.get("a/b")
    assert content == b"hello"
    assert s3.status == 200
    assert s3.headers == {"expires": expires}
    assert {**answer, "Body": None} == {
        "AcceptRanges": "bytes",
        "LastModified": answer["LastModified"],
        "ContentLength": 5,
        "ETag": etag,
        "ContentType": "text/plain",
        "CacheControl": "no-cache",
        "ContentDisposition": "attachment",
        "ContentLanguage": "en",
        "ContentEncoding": "gzip",
        "Metadata": {"colour": "blue"},
        "Body": None,
    }
    assert answer["LastModified"].timestamp() == 1_700_000_000


async def test_an_object_may_be_empty(s3: Any) -> None:
    """An object of no bytes is an object, with or without a body in the request."""
    await s3.put("empty", b"")
    await s3("PutObject", Bucket="bucket", Key="absent")
    for key in ("empty", "absent"):
        answer, content = await s3.get(key)
        assert (content, answer["ContentLength"]) == (b"", 0)
        assert answer["ContentType"] == "binary/octet-stream"


async def test_a_large_body_goes_through_in_pieces(s3: Any, body: Any) -> None:
    """A body of many pieces is stored whole."""
    pieces = [bytes([number]) * 100_000 for number in range(30)]
    await s3("PutObject", Bucket="bucket", Key="large", Body=body(*pieces))
    answer, content = await s3.get("large")
    assert content == b"".join(pieces)
    assert answer["ETag"] == f'"{hashlib.md5(content).hexdigest()}"'


async def test_an_interrupted_upload_leaves_nothing(s3: Any, body: Any) -> None:
    """When the body breaks off there is no object, no blob and no reference, and an earlier object stays."""
    await s3.put("key", b"before")
    before = s3.blobs()
    broken = body(b"x" * 1_000_000, length=2_000_000)
    broken.error = ServiceError("IncompleteBody", "", status=400)
    with pytest.raises(ServiceError):
        await s3("PutObject", Bucket="bucket", Key="key", Body=broken)
    assert s3.blobs() == before
    assert (await s3.get("key"))[1] == b"before"


async def test_the_length_must_be_known_and_bearable(s3: Any, body: Any, refused: Any) -> None:
    """Without a length a put is refused before a byte is read, and so is one of more than 5 GiB."""
    with refused("MissingContentLength", 411):
        await s3("PutObject", Bucket="bucket", Key="k", Body=body(b"x", length=None))
    with refused("NotImplemented", 501):
        await s3("PutObject", headers={"transfer-encoding": "chunked"}, Bucket="bucket", Key="k", Body=body(b"x", length=None))
    with refused("EntityTooLarge", 400):
        await s3("PutObject", Bucket="bucket", Key="k", Body=body(b"x", length=5 * 1024**3 + 1))


@pytest.mark.parametrize(
    ("key", "code"),
    [
        ("", "InvalidArgument"),
        ("k" * 1025, "KeyTooLongError"),
        ("é" * 513, "KeyTooLongError"),
        ("\udcff", "InvalidURI"),
        ("a\0b", "InvalidURI"),
    ],
)
async def test_keys_that_cannot_be_are_refused(s3: Any, refused: Any, key: str, code: str) -> None:
    """A key has 1 to 1,024 bytes of UTF-8."""
    with refused(code, 400):
        await s3.put(key)


@pytest.mark.parametrize("key", ["k" * 1024, "é" * 512, "../..//x", " ", "a\tb\x01\U0010ffff", "%2F+"])
async def test_every_other_key_is_just_a_name(s3: Any, key: str) -> None:
    """Dots, slashes, blanks and control characters in keys mean nothing."""
    await s3.put(key, b"there")
    assert (await s3.get(key))[1] == b"there"


async def test_metadata_has_a_limit(s3: Any, refused: Any) -> None:
    """2 KB of names and values together is the most."""
    await s3.put("k", Metadata={"a": "x" * 2047})
    with refused("MetadataTooLarge", 400):
        await s3.put("k", Metadata={"a": "x" * 2048})


async def test_settings_without_effect_are_refused(s3: Any, refused: Any) -> None:
    """ACLs that give something away and storage classes other than STANDARD are refused; what holds anyway passes."""
    await s3.put("k", ACL="bucket-owner-full-control", StorageClass="STANDARD", RequestPayer="requester")
    with refused("AccessControlListNotSupported", 400):
        await s3.put("k", ACL="public-read")
    with refused("AccessControlListNotSupported", 400):
        await s3.put("k", GrantRead="id=1")
    with refused("NotImplemented", 501):
        await s3.put("k", StorageClass="GLACIER")


async def test_conditional_writes(s3: Any, refused: Any) -> None:
    """If-None-Match: * needs a free key, If-Match the object with that ETag."""
    made = await s3.put("k", b"1", IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        await s3.put("k", b"2", IfNoneMatch="*")
    await s3.put("k", b"2", IfMatch=made["ETag"])
    with refused("PreconditionFailed", 412):
        await s3.put("k", b"3", IfMatch=made["ETag"])
    with refused("NoSuchKey", 404):
        await s3.put("other", b"3", IfMatch=made["ETag"])
    with refused("NotImplemented", 501):
        await s3.put("k", b"3", IfNoneMatch=made["ETag"])
    assert (await s3.get("k"))[1] == b"2"


async def test_of_many_conditional_writers_one_wins(s3: Any) -> None:
    """However many put with If-None-Match at once, one succeeds, and the others leave no blob behind."""
    bodies = [b"%d" % number for number in range(20)]
    outcomes = await asyncio.gather(*(s3.put("k", body, IfNoneMatch="*") for body in bodies), return_exceptions=True)
    winners = [body for body, outcome in zip(bodies, outcomes, strict=True) if isinstance(outcome, dict)]
    assert len(winners) == 1
    assert (await s3.get("k"))[1] == winners[0]
    assert s3.blobs() == {hashlib.sha256(winners[0]).hexdigest()} == await s3.references()


async def test_concurrent_puts_leak_no_blobs(s3: Any) -> None:
    """After many puts of one key at once exactly the winner's blob is there."""
    await asyncio.gather(*(s3.put("k", b"%d" % number) for number in range(30)))
    content = (await s3.get("k"))[1]
    assert s3.blobs() == {hashlib.sha256(content).hexdigest()} == await s3.references()


async def test_equal_content_under_two_keys_is_kept_until_both_are_gone(s3: Any) -> None:
    """Objects may share a blob; deleting one leaves the other readable."""
    await s3.put("one", b"same")
    await s3.put("two", b"same")
    await s3("DeleteObject", Bucket="bucket", Key="one")
    assert (await s3.get("two"))[1] == b"same"
    await s3.put("two", b"same")
    assert (await s3.get("two"))[1] == b"same"
    await s3("DeleteObject", Bucket="bucket", Key="two")
    assert s3.blobs() == set()


async def test_a_cancelled_put_is_there_or_not_but_never_broken(s3: Any) -> None:
    """Wherever a put is cancelled, the object is the old or the new one, whole, and nothing else remains."""
    await s3.put("k", b"old")
    for steps in range(60):
        task = asyncio.ensure_future(s3.put("k", b"new %d" % steps))
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        content = (await s3.get("k"))[1]
        assert s3.blobs() == {hashlib.sha256(content).hexdigest()} == await s3.references()
