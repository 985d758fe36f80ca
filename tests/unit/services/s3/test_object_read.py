"""GetObject, HeadObject and GetObjectAttributes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

MODIFIED = datetime.fromtimestamp(1_700_000_000, UTC)
BEFORE, AFTER = MODIFIED - timedelta(seconds=1), MODIFIED + timedelta(seconds=1)
ETAG = '"781e5e245d69b566979b86e28d23f2c7"'  # of 0123456789


@pytest.fixture(autouse=True)
async def digits(s3: Any) -> None:
    await s3.put("digits", b"0123456789")


@pytest.mark.parametrize(
    ("header", "content", "content_range"),
    [
        ("bytes=0-3", b"0123", "bytes 0-3/10"),
        ("bytes=7-", b"789", "bytes 7-9/10"),
        ("bytes=-2", b"89", "bytes 8-9/10"),
        ("bytes=-99", b"0123456789", "bytes 0-9/10"),
        ("bytes=5-99", b"56789", "bytes 5-9/10"),
    ],
)
async def test_a_range_is_answered_with_that_part(s3: Any, header: str, content: bytes, content_range: str) -> None:
    """A range that fits gives 206, its bytes and its place."""
    answer, got = await s3.get("digits", Range=header)
    assert (s3.status, got, answer["ContentRange"], answer["ContentLength"]) == (206, content, content_range, len(content))
    head = await s3("HeadObject", Bucket="bucket", Key="digits", Range=header)
    assert (s3.status, head["ContentRange"], head["ContentLength"]) == (206, content_range, len(content))


@pytest.mark.parametrize("header", ["bytes=0-1,3-4", "lines=0-1", "bytes=4-2", "bytes=-", "bytes=a-b", "nonsense"])
async def test_other_ranges_are_passed_over(s3: Any, header: str) -> None:
    """Several ranges and ranges that are none give the whole object."""
    answer, got = await s3.get("digits", Range=header)
    assert (s3.status, got) == (200, b"0123456789")
    assert "ContentRange" not in answer


@pytest.mark.parametrize("header", ["bytes=10-", "bytes=99-100", "bytes=-0", "bytes=" + "9" * 5000 + "-"])
async def test_a_range_beyond_the_object_is_refused(s3: Any, refused: Any, header: str) -> None:
    """A range that begins after the last byte is a 416 that tells the size."""
    with refused("InvalidRange", 416) as error:
        await s3.get("digits", Range=header)
    assert error.value.members["ActualObjectSize"] == 10
    with refused("InvalidRange", 416):
        await s3("HeadObject", Bucket="bucket", Key="digits", Range=header)


@pytest.mark.parametrize(
    ("conditions", "code"),
    [
        ({"IfMatch": ETAG}, None),
        ({"IfMatch": ETAG.strip('"')}, None),
        ({"IfMatch": "*"}, None),
        ({"IfMatch": '"other"'}, "PreconditionFailed"),
        ({"IfNoneMatch": ETAG}, "NotModified"),
        ({"IfNoneMatch": f'"other", {ETAG}'}, "NotModified"),
        ({"IfNoneMatch": '"other"'}, None),
        ({"IfModifiedSince": MODIFIED}, "NotModified"),
        ({"IfModifiedSince": BEFORE}, None),
        ({"IfUnmodifiedSince": MODIFIED}, None),
        ({"IfUnmodifiedSince": BEFORE}, "PreconditionFailed"),
        ({"IfMatch": ETAG, "IfUnmodifiedSince": BEFORE}, None),
        ({"IfNoneMatch": ETAG, "IfModifiedSince": BEFORE}, "NotModified"),
        ({"IfNoneMatch": '"other"', "IfModifiedSince": AFTER}, None),
        ({"IfMatch": '"other"', "IfNoneMatch": ETAG}, "PreconditionFailed"),
    ],
)
async def test_conditions(s3: Any, refused: Any, conditions: dict[str, Any], code: str | None) -> None:
    """Reads go ahead, or end in 412 or 304, by AWS's precedence of the conditions."""
    for operation in ("GetObject", "HeadObject"):
        if code is None:
            await s3(operation, Bucket="bucket", Key="digits", **conditions)
            assert s3.status == 200
            continue
        with refused(code, 304 if code == "NotModified" else 412) as error:
            await s3(operation, Bucket="bucket", Key="digits", **conditions)
        if code == "NotModified":
            assert error.value.headers["etag"] == ETAG


async def test_response_parameters_override_headers(s3: Any) -> None:
    """response-content-type and its kin stand in for what is stored, for this answer."""
    answer, _ = await s3.get(
        "digits",
        ResponseContentType="text/x",
        ResponseCacheControl="c",
        ResponseContentDisposition="d",
        ResponseContentEncoding="e",
        ResponseContentLanguage="l",
        ResponseExpires=MODIFIED,
    )
    names = ("ContentType", "CacheControl", "ContentDisposition", "ContentEncoding", "ContentLanguage")
    assert [answer[name] for name in names] == ["text/x", "c", "d", "e", "l"]
    assert s3.headers["expires"] == "Tue, 14 Nov 2023 22:13:20 GMT"


async def test_what_is_not_there_is_told(s3: Any, refused: Any) -> None:
    """An unknown key is NoSuchKey; a version other than null is none."""
    for operation in ("GetObject", "HeadObject", "GetObjectAttributes"):
        with refused("NoSuchKey", 404):
            await s3(operation, Bucket="bucket", Key="unknown")
        with refused("InvalidArgument", 400):
            await s3(operation, Bucket="bucket", Key="digits", VersionId="abc")
        await s3(operation, Bucket="bucket", Key="digits", VersionId="null")


async def test_the_checksum_is_told_with_the_whole_object_only(s3: Any) -> None:
    """ChecksumMode ENABLED shows the checksum, but not with a part of the bytes, which it would not fit."""
    answer, _ = await s3.get("digits", ChecksumMode="ENABLED")
    assert answer["ChecksumType"] == "FULL_OBJECT"
    assert answer["ChecksumCRC64NVME"]
    ranged, _ = await s3.get("digits", ChecksumMode="ENABLED", Range="bytes=0-1")
    assert "ChecksumCRC64NVME" not in ranged
    plain, _ = await s3.get("digits")
    assert "ChecksumCRC64NVME" not in plain


async def test_a_part_number_of_an_object_in_one_piece(s3: Any, refused: Any) -> None:
    """Part 1 is the whole, other parts do not exist, and a range beside a part is a contradiction."""
    answer, content = await s3.get("digits", PartNumber=1)
    assert (s3.status, content, answer["ContentRange"]) == (206, b"0123456789", "bytes 0-9/10")
    with refused("InvalidPartNumber", 416):
        await s3.get("digits", PartNumber=2)
    with refused("InvalidRequest", 400):
        await s3.get("digits", PartNumber=1, Range="bytes=0-1")


async def test_attributes(s3: Any) -> None:
    """GetObjectAttributes tells what it is asked for."""
    answer = await s3(
        "GetObjectAttributes",
        Bucket="bucket",
        Key="digits",
        ObjectAttributes=["ETag", "ObjectSize", "ObjectParts", "StorageClass"],
    )
    assert answer == {"LastModified": MODIFIED, "ETag": ETAG.strip('"'), "ObjectSize": 10, "StorageClass": "STANDARD"}
