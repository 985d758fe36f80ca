"""Parts of uploads."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

CRC32_OF_ABC = "NSRBwg=="


@pytest.mark.parametrize("number", [0, -1, 10_001])
async def test_part_numbers_have_limits(s3: Any, refused: Any, number: int) -> None:
    """Part numbers run from 1 to 10,000."""
    upload_id, _ = await s3.upload("k")
    with refused("InvalidArgument", 400):
        await s3("UploadPart", Bucket="bucket", Key="k", UploadId=upload_id, PartNumber=number, Body=b"")


async def test_a_part_keeps_to_the_checksum_of_its_upload(s3: Any, refused: Any) -> None:
    """With a composite checksum each part must bring its own, of that algorithm, and right."""
    upload_id, _ = await s3.upload("k", ChecksumAlgorithm="CRC32")
    request = {"Bucket": "bucket", "Key": "k", "UploadId": upload_id, "PartNumber": 1, "Body": b"abc"}
    with refused("InvalidRequest", 400):
        await s3("UploadPart", **request)
    with refused("InvalidRequest", 400):
        await s3("UploadPart", **request, ChecksumSHA1=base64.b64encode(hashlib.sha1(b"abc").digest()).decode())
    with refused("BadDigest", 400):
        await s3("UploadPart", **request, ChecksumCRC32="AAAAAA==")
    assert s3.blobs() == set()
    answer = await s3("UploadPart", **request, ChecksumCRC32=CRC32_OF_ABC)
    assert answer["ChecksumCRC32"] == CRC32_OF_ABC


async def test_a_full_object_checksum_does_without_those_of_parts(s3: Any) -> None:
    """Parts of a FULL_OBJECT upload may come without a checksum; it is computed and told."""
    upload_id, parts = await s3.upload("k", b"abc", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")
    assert parts[0]["ChecksumCRC32"] == CRC32_OF_ABC
    answer = await s3("ListParts", Bucket="bucket", Key="k", UploadId=upload_id)
    assert answer["Parts"][0]["ChecksumCRC32"] == CRC32_OF_ABC


async def test_an_upload_without_algorithm_takes_any(s3: Any) -> None:
    """Today's SDKs send CRC32 with every part, whether or not the upload named an algorithm."""
    upload_id, _ = await s3.upload("k")
    part = await s3(
        "UploadPart", Bucket="bucket", Key="k", UploadId=upload_id, PartNumber=1, Body=b"abc", ChecksumCRC32=CRC32_OF_ABC
    )
    assert part["ChecksumCRC32"] == CRC32_OF_ABC
    await s3.complete("k", upload_id, [{**part, "PartNumber": 1}])
    answer, _ = await s3.get("k", ChecksumMode="ENABLED")
    assert "ChecksumCRC64NVME" in answer


async def test_a_part_may_be_copied_from_an_object(s3: Any, refused: Any) -> None:
    """UploadPartCopy takes a range of an object, across its own parts."""
    large = b"x" * 5 * 1024**2
    upload_id, parts = await s3.upload("source", large, b"0123456789")
    await s3.complete("source", upload_id, parts)
    upload_id, _ = await s3.upload("k")
    request = {"Bucket": "bucket", "Key": "k", "UploadId": upload_id, "CopySource": "bucket/source"}
    first = len(large) - 2
    copied = await s3("UploadPartCopy", **request, PartNumber=1, CopySourceRange=f"bytes={first}-{first + 4}")
    result = copied["CopyPartResult"]
    assert result["ETag"] == f'"{hashlib.md5(b"xx012").hexdigest()}"'
    await s3.complete("k", upload_id, [{"PartNumber": 1, "ETag": result["ETag"]}])
    assert (await s3.get("k"))[1] == b"xx012"
    upload_id, _ = await s3.upload("other")
    request = {**request, "Key": "other", "UploadId": upload_id, "PartNumber": 1}
    for wrong in ("bytes=0-", "bytes=-5", "bytes=5-4", f"bytes=0-{len(large) + 10}", "0-5"):
        with refused("InvalidArgument", 400):
            await s3("UploadPartCopy", **request, CopySourceRange=wrong)
    with refused("PreconditionFailed", 412):
        await s3("UploadPartCopy", **request, CopySourceIfMatch='"other"')
    with refused("NoSuchKey", 404):
        await s3("UploadPartCopy", **{**request, "CopySource": "bucket/unknown"})
