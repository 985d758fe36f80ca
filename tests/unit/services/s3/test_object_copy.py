"""CopyObject."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

LARGE = b"x" * 5 * 1024**2


@pytest.fixture(autouse=True)
async def source(s3: Any) -> dict[str, Any]:
    return await s3.put("source key", b"content", ContentType="text/x", Metadata={"a": "1"}, Tagging="t=1")


@pytest.mark.parametrize(
    "header", ["bucket/source%20key", "/bucket/source key", "bucket%2Fsource%20key", "bucket/source%20key?versionId=null"]
)
async def test_a_copy_is_the_source_with_a_time_of_its_own(s3: Any, source: dict[str, Any], header: str) -> None:
    """Bytes, headers, metadata and tags are copied; no further blob is made."""
    s3.clock.now += 10
    answer = await s3("CopyObject", Bucket="bucket", Key="copy", CopySource=header)
    assert answer["CopyObjectResult"]["ETag"] == source["ETag"]
    got, content = await s3.get("copy")
    assert (content, got["ContentType"], got["Metadata"], got["TagCount"]) == (b"content", "text/x", {"a": "1"}, 1)
    assert got["LastModified"] == answer["CopyObjectResult"]["LastModified"]
    assert got["LastModified"].timestamp() == 1_700_000_010
    assert len(s3.blobs()) == 1
    await s3("DeleteObject", Bucket="bucket", Key="source key")
    assert (await s3.get("copy"))[1] == b"content"


async def test_directives_replace_metadata_and_tags(s3: Any) -> None:
    """REPLACE takes headers and metadata from the request, and the tags by a directive of their own."""
    request = {"Bucket": "bucket", "CopySource": "bucket/source key", "Metadata": {"b": "2"}, "Tagging": "u=2"}
    await s3("CopyObject", **request, Key="copy", MetadataDirective="REPLACE", ContentType="text/y")
    got, _ = await s3.get("copy")
    assert (got["ContentType"], got["Metadata"]) == ("text/y", {"b": "2"})
    assert (await s3("GetObjectTagging", Bucket="bucket", Key="copy"))["TagSet"] == [{"Key": "t", "Value": "1"}]
    await s3("CopyObject", **request, Key="copy", TaggingDirective="REPLACE")
    got, _ = await s3.get("copy")
    assert (got["ContentType"], got["Metadata"]) == ("text/x", {"a": "1"})
    assert (await s3("GetObjectTagging", Bucket="bucket", Key="copy"))["TagSet"] == [{"Key": "u", "Value": "2"}]


async def test_an_object_is_copied_to_itself_only_to_change_it(s3: Any, refused: Any) -> None:
    """A self-copy must replace the metadata, and then keeps the bytes."""
    request = {"Bucket": "bucket", "Key": "source key", "CopySource": "bucket/source key"}
    with refused("InvalidRequest", 400):
        await s3("CopyObject", **request)
    await s3("CopyObject", **request, MetadataDirective="REPLACE", Metadata={"c": "3"})
    got, content = await s3.get("source key")
    assert (content, got["Metadata"]) == (b"content", {"c": "3"})
    assert s3.blobs() == await s3.references()


async def test_copies_between_buckets_need_both(s3: Any, refused: Any) -> None:
    """The source may lie in another bucket of the account, not in another account's."""
    await s3("CreateBucket", Bucket="second")
    await s3("CopyObject", Bucket="second", Key="k", CopySource="bucket/source key")
    await s3("CreateBucket", account_id="210987654321", Bucket="foreign")
    with refused("AccessDenied", 403):
        await s3("CopyObject", Bucket="bucket", Key="k", CopySource="foreign/k")
    with refused("AccessDenied", 403):
        await s3("CopyObject", account_id="210987654321", Bucket="foreign", Key="k", CopySource="bucket/source key")
    with refused("AccessDenied", 403):
        await s3(
            "CopyObject", Bucket="bucket", Key="k", CopySource="bucket/source key", ExpectedSourceBucketOwner="210987654321"
        )
    with refused("NoSuchBucket", 404):
        await s3("CopyObject", Bucket="bucket", Key="k", CopySource="unknown/k")
    with refused("NoSuchKey", 404):
        await s3("CopyObject", Bucket="bucket", Key="k", CopySource="bucket/unknown")


@pytest.mark.parametrize(
    "header",
    ["", "bucket", "bucket/", "/", "arn:aws:s3:us-east-1:1:accesspoint/a/object/k", "bucket/k?versionId=1", "bucket/k?x"],
)
async def test_sources_that_name_nothing(s3: Any, refused: Any, header: str) -> None:
    """A copy source without bucket or key, or with a version, is an invalid argument."""
    with refused("InvalidArgument", 400):
        await s3("CopyObject", Bucket="bucket", Key="k", CopySource=header)


async def test_conditions_on_source_and_target(s3: Any, source: dict[str, Any], refused: Any) -> None:
    """The source's conditions fail with 412, also those that would be a 304 on a read; the target's as for a put."""
    request = {"Bucket": "bucket", "CopySource": "bucket/source key", "Key": "copy"}
    for condition in ({"CopySourceIfMatch": '"x"'}, {"CopySourceIfNoneMatch": source["ETag"]}, {"IfMatch": source["ETag"]}):
        with refused("NoSuchKey" if "IfMatch" in condition else "PreconditionFailed"):
            await s3("CopyObject", **request, **condition)
    await s3("CopyObject", **request, CopySourceIfMatch=source["ETag"], IfNoneMatch="*")
    with refused("PreconditionFailed", 412):
        await s3("CopyObject", **request, IfNoneMatch="*")


async def test_a_copy_of_an_object_in_parts_is_one_object(s3: Any) -> None:
    """Its ETag and checksum are those of the whole content, its bytes are still the parts' blobs, and each lives by itself."""
    upload_id, parts = await s3.upload("parts", LARGE, LARGE, b"end")
    await s3.complete("parts", upload_id, parts)
    answer = await s3("CopyObject", Bucket="bucket", Key="copy", CopySource="bucket/parts")
    content = LARGE + LARGE + b"end"
    assert answer["CopyObjectResult"]["ETag"] == f'"{hashlib.md5(content).hexdigest()}"'
    assert answer["CopyObjectResult"]["ChecksumType"] == "FULL_OBJECT"
    await s3("DeleteObject", Bucket="bucket", Key="parts")
    assert (await s3.get("copy"))[1] == content
    await s3("CopyObject", Bucket="bucket", Key="copy", CopySource="bucket/source key")
    assert len(s3.blobs()) == 1


async def test_a_copy_may_ask_for_another_checksum(s3: Any) -> None:
    """ChecksumAlgorithm computes that one for the copy."""
    answer = await s3("CopyObject", Bucket="bucket", Key="copy", CopySource="bucket/source key", ChecksumAlgorithm="SHA1")
    assert answer["CopyObjectResult"]["ChecksumSHA1"] == base64.b64encode(hashlib.sha1(b"content").digest()).decode()


async def test_what_is_refused_of_copies(s3: Any, refused: Any) -> None:
    """ACLs and checksums that are not there are refused."""
    request = {"Bucket": "bucket", "Key": "copy", "CopySource": "bucket/source key"}
    with refused("AccessControlListNotSupported", 400):
        await s3("CopyObject", **request, ACL="public-read")
    with refused("NotImplemented", 501):
        await s3("CopyObject", **request, ChecksumAlgorithm="SHA512")
