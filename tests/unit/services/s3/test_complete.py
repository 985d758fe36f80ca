"""CompleteMultipartUpload."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import zlib
from typing import Any

import pytest

from lambdad.services.s3 import records

LARGE = bytes(range(256)) * 20 * 1024  # 5 MiB


async def test_the_object_is_its_parts_in_order(s3: Any) -> None:
    """The bytes, the size, the ETag of AWS's form, the description of the upload; and the parts can be read one by one."""
    upload_id, parts = await s3.upload("k", LARGE, LARGE[::-1], b"end", ContentType="text/x", Metadata={"a": "b"})
    before = s3.blobs()
    answer = await s3.complete("k", upload_id, parts)
    md5s = b"".join(hashlib.md5(part).digest() for part in (LARGE, LARGE[::-1], b"end"))
    etag = f'"{hashlib.md5(md5s).hexdigest()}-3"'
    assert (answer["ETag"], answer["Location"]) == (etag, "http://127.0.0.1:4566/bucket/k")
    assert s3.blobs() == before  # no byte was copied
    got, content = await s3.get("k")
    assert content == LARGE + LARGE[::-1] + b"end"
    assert (got["ETag"], got["ContentType"], got["Metadata"]) == (etag, "text/x", {"a": "b"})
    assert "PartsCount" not in got
    part, content = await s3.get("k", PartNumber=3)
    size = 2 * len(LARGE) + 3
    assert (s3.status, content) == (206, b"end")
    assert (part["PartsCount"], part["ContentRange"]) == (3, f"bytes {size - 3}-{size - 1}/{size}")
    _, content = await s3.get("k", Range=f"bytes={len(LARGE) - 1}-{len(LARGE)}")
    assert content == LARGE[-1:] * 2
    await s3("DeleteObject", Bucket="bucket", Key="k")
    assert s3.blobs() == await s3.references() == set()
    assert not await s3.store.list(records.LAYOUTS)


async def test_the_record_of_an_object_stays_small(s3: Any) -> None:
    """Listings read object records, so their size does not grow with the number of parts."""
    upload_id, parts = await s3.upload("k", *[LARGE] * 4)
    await s3.complete("k", upload_id, parts)
    record = await records.get_object_record(s3.store, "bucket", "k")
    assert len(record.value) < 600
    assert "piece" not in json.loads(record.value)


async def test_attributes_show_the_parts(s3: Any) -> None:
    """GetObjectAttributes pages through the parts of an object that was uploaded in parts."""
    upload_id, parts = await s3.upload("k", LARGE, b"end", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    await s3.complete("k", upload_id, parts)
    answer = await s3("GetObjectAttributes", Bucket="bucket", Key="k", ObjectAttributes=["ObjectParts"], PartNumberMarker=1)
    assert answer["ObjectParts"] == {
        "TotalPartsCount": 2,
        "PartNumberMarker": 1,
        "NextPartNumberMarker": 2,
        "MaxParts": 1000,
        "IsTruncated": False,
        "Parts": [{"PartNumber": 2, "Size": 3, "ChecksumCRC32": parts[1]["ChecksumCRC32"]}],
    }


async def test_asking_again_gives_the_same_answer(s3: Any, refused: Any) -> None:
    """A completion repeated after its success succeeds again, as long as its object stands."""
    upload_id, parts = await s3.upload("k", b"content")
    answer = await s3.complete("k", upload_id, parts)
    assert await s3.complete("k", upload_id, parts) == answer
    await s3.put("k", b"other")
    with refused("NoSuchUpload", 404):
        await s3.complete("k", upload_id, parts)


async def test_completing_at_once_makes_one_object(s3: Any) -> None:
    """Completions of one upload at the same time agree, and the object is whole."""
    upload_id, parts = await s3.upload("k", LARGE, b"end")
    answers = await asyncio.gather(*(s3.complete("k", upload_id, parts) for _ in range(5)))
    assert all(answer == answers[0] for answer in answers)
    assert (await s3.get("k"))[1] == LARGE + b"end"


async def test_an_abort_and_a_completion_at_once(s3: Any) -> None:
    """Of an abort and a completion at the same time one wins, and nothing is half there."""
    for number in range(10):
        key = f"k{number}"
        upload_id, parts = await s3.upload(key, b"content %d" % number)
        abort = s3("AbortMultipartUpload", Bucket="bucket", Key=key, UploadId=upload_id)
        both = [abort, s3.complete(key, upload_id, parts)]
        outcomes = await asyncio.gather(*(both if number % 2 else both[::-1]), return_exceptions=True)
        assert sum(isinstance(outcome, dict) for outcome in outcomes) == 1
        assert s3.blobs() == await s3.references()


async def test_parts_that_are_not_chosen_go(s3: Any) -> None:
    """Parts uploaded but not listed do not belong to the object, and their blobs go."""
    upload_id, parts = await s3.upload("k", b"one", b"two", b"three")
    await s3.complete("k", upload_id, [parts[1]])
    assert (await s3.get("k"))[1] == b"two"
    assert s3.blobs() == await s3.references() == {hashlib.sha256(b"two").hexdigest()}


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda parts: [], "MalformedXML"),
        (lambda parts: [{"PartNumber": 1}], "MalformedXML"),
        (lambda parts: parts[::-1], "InvalidPartOrder"),
        (lambda parts: [parts[0], parts[0]], "InvalidPartOrder"),
        (lambda parts: [*parts, {"PartNumber": 3, "ETag": parts[0]["ETag"]}], "InvalidPart"),
        (lambda parts: [{**parts[0], "ETag": parts[1]["ETag"]}], "InvalidPart"),
        (lambda parts: [{**parts[0], "ChecksumSHA1": "AAAA"}], "InvalidPart"),
        (lambda parts: parts, "EntityTooSmall"),
    ],
)
async def test_lists_that_do_not_fit_are_refused(s3: Any, refused: Any, change: Any, code: str) -> None:
    """A wrong list completes nothing, and the upload goes on."""
    upload_id, parts = await s3.upload("k", b"one", b"two")
    with refused(code, 400):
        await s3.complete("k", upload_id, change(parts))
    with refused("NoSuchKey", 404):
        await s3.get("k")
    await s3.complete("k", upload_id, parts[:1])


async def test_an_etag_needs_no_quotes(s3: Any) -> None:
    """Clients may list ETags with or without quotes."""
    upload_id, parts = await s3.upload("k", b"one")
    await s3.complete("k", upload_id, [{"PartNumber": 1, "ETag": parts[0]["ETag"].strip('"')}])


async def test_conditions_hold_for_completions(s3: Any, refused: Any) -> None:
    """If-None-Match and If-Match are judged by the object that the completion would replace."""
    standing = await s3.put("k", b"standing")
    upload_id, parts = await s3.upload("k", b"one")
    with refused("PreconditionFailed", 412):
        await s3.complete("k", upload_id, parts, IfNoneMatch="*")
    await s3.complete("k", upload_id, parts, IfMatch=standing["ETag"])
    assert (await s3.get("k"))[1] == b"one"


async def test_checksums_over_the_parts(s3: Any, refused: Any) -> None:
    """FULL_OBJECT is the checksum of all bytes, COMPOSITE that of the parts' checksums, and what is announced is compared."""
    whole = base64.b64encode(zlib.crc32(LARGE + b"end").to_bytes(4, "big")).decode()
    upload_id, parts = await s3.upload("full", LARGE, b"end", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    with refused("BadDigest", 400):
        await s3.complete("full", upload_id, parts, ChecksumCRC32="AAAAAA==")
    with refused("InvalidRequest", 400):
        await s3.complete("full", upload_id, parts, ChecksumSHA1="AAAA")
    with refused("InvalidRequest", 400):
        await s3.complete("full", upload_id, parts, ChecksumType="COMPOSITE")
    with refused("InvalidRequest", 400):
        await s3.complete("full", upload_id, parts, MpuObjectSize=1)
    size = len(LARGE) + 3
    answer = await s3.complete("full", upload_id, parts, ChecksumCRC32=whole, ChecksumType="FULL_OBJECT", MpuObjectSize=size)
    assert (answer["ChecksumCRC32"], answer["ChecksumType"]) == (whole, "FULL_OBJECT")


async def test_a_composite_checksum_wants_those_of_the_parts(s3: Any, refused: Any) -> None:
    """The completion of a COMPOSITE upload repeats each part's checksum, and the result counts the parts."""
    upload_id = (await s3("CreateMultipartUpload", Bucket="bucket", Key="k", ChecksumAlgorithm="SHA256"))["UploadId"]
    digest = hashlib.sha256(b"one").digest()
    value = base64.b64encode(digest).decode()
    part = await s3("UploadPart", Bucket="bucket", Key="k", UploadId=upload_id, PartNumber=1, Body=b"one", ChecksumSHA256=value)
    with refused("InvalidRequest", 400):
        await s3.complete("k", upload_id, [{"PartNumber": 1, "ETag": part["ETag"]}])
    answer = await s3.complete("k", upload_id, [{"PartNumber": 1, **part}])
    composite = base64.b64encode(hashlib.sha256(digest).digest()).decode()
    assert (answer["ChecksumSHA256"], answer["ChecksumType"]) == (f"{composite}-1", "COMPOSITE")
