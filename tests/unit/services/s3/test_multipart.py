"""Multipart uploads: begun, given up, listed."""

from __future__ import annotations

from typing import Any

import pytest


async def test_parts_are_listed_in_their_order(s3: Any) -> None:
    """ListParts shows what has been uploaded, by number, in pages."""
    upload_id, parts = await s3.upload("k", b"one", b"second", b"3")
    request = {"Bucket": "bucket", "Key": "k", "UploadId": upload_id}
    answer = await s3("ListParts", **request, MaxParts=2)
    assert [(part["PartNumber"], part["Size"]) for part in answer["Parts"]] == [(1, 3), (2, 6)]
    assert (answer["IsTruncated"], answer["NextPartNumberMarker"]) == (True, 2)
    answer = await s3("ListParts", **request, PartNumberMarker=2)
    assert [part["ETag"] for part in answer["Parts"]] == [parts[2]["ETag"]]
    assert answer["IsTruncated"] is False


async def test_a_part_uploaded_again_replaces_the_earlier_one(s3: Any) -> None:
    """The last upload of a number counts, and the blob of the one before goes."""
    upload_id, _ = await s3.upload("k", b"first")
    await s3("UploadPart", Bucket="bucket", Key="k", UploadId=upload_id, PartNumber=1, Body=b"second")
    answer = await s3("ListParts", Bucket="bucket", Key="k", UploadId=upload_id)
    assert [part["Size"] for part in answer["Parts"]] == [6]
    assert len(s3.blobs()) == len(await s3.references()) == 1


async def test_an_aborted_upload_leaves_nothing(s3: Any, refused: Any) -> None:
    """Abort removes the parts; after it the upload is unknown to every operation."""
    upload_id, parts = await s3.upload("k", b"one", b"two")
    request = {"Bucket": "bucket", "Key": "k", "UploadId": upload_id}
    await s3("AbortMultipartUpload", **request)
    assert s3.status == 204
    assert s3.blobs() == await s3.references() == set()
    for operation, more in (
        ("AbortMultipartUpload", {}),
        ("ListParts", {}),
        ("UploadPart", {"PartNumber": 1, "Body": b"x"}),
        ("UploadPartCopy", {"PartNumber": 1, "CopySource": "bucket/k"}),
        ("CompleteMultipartUpload", {"MultipartUpload": {"Parts": parts}}),
    ):
        with refused("NoSuchUpload", 404):
            await s3(operation, **request, **more)
    assert (await s3("ListMultipartUploads", Bucket="bucket"))["Uploads"] == []


@pytest.mark.parametrize("key", ["other", "k\x01"])
async def test_an_upload_belongs_to_its_key(s3: Any, refused: Any, key: str) -> None:
    """An upload id with another key is no upload."""
    upload_id, _ = await s3.upload("k", b"one")
    with refused("NoSuchUpload", 404):
        await s3("ListParts", Bucket="bucket", Key=key, UploadId=upload_id)
    with refused("NoSuchUpload", 404):
        await s3("ListParts", Bucket="bucket", Key="", UploadId=f"k\x01{upload_id}")


async def test_uploads_are_listed_by_key_and_start(s3: Any) -> None:
    """ListMultipartUploads pages by key, then by start; a delimiter folds keys."""
    ids: dict[str, list[str]] = {}
    for key in ("b", "a", "b", "b!", "dir/1", "dir/2"):
        s3.clock.now += 1
        upload_id, _ = await s3.upload(key)
        ids.setdefault(key, []).append(upload_id)
    expected = [("a", ids["a"][0]), ("b", ids["b"][0]), ("b", ids["b"][1]), ("b!", ids["b!"][0])]
    seen: list[tuple[str, str]] = []
    prefixes: list[str] = []
    markers: dict[str, str] = {}
    while True:
        answer = await s3("ListMultipartUploads", Bucket="bucket", MaxUploads=1, Delimiter="/", **markers)
        seen += [(upload["Key"], upload["UploadId"]) for upload in answer["Uploads"]]
        prefixes += [common["Prefix"] for common in answer.get("CommonPrefixes", [])]
        if not answer["IsTruncated"]:
            break
        markers = {"KeyMarker": answer["NextKeyMarker"], "UploadIdMarker": answer["NextUploadIdMarker"]}
    assert seen == expected
    assert prefixes == ["dir/"]
    answer = await s3("ListMultipartUploads", Bucket="bucket", KeyMarker="b", Prefix="b")
    assert [upload["Key"] for upload in answer["Uploads"]] == ["b!"]


@pytest.mark.parametrize(
    ("algorithm", "kind", "expected"),
    [
        ("CRC32", None, "COMPOSITE"),
        ("CRC32C", "FULL_OBJECT", "FULL_OBJECT"),
        ("CRC64NVME", None, "FULL_OBJECT"),
        ("SHA256", "COMPOSITE", "COMPOSITE"),
    ],
)
async def test_the_checksum_of_an_upload(s3: Any, algorithm: str, kind: str | None, expected: str) -> None:
    """An upload has the type asked for, or the one that AWS takes for the algorithm."""
    more = {"ChecksumType": kind} if kind else {}
    answer = await s3("CreateMultipartUpload", Bucket="bucket", Key="k", ChecksumAlgorithm=algorithm, **more)
    assert (answer["ChecksumAlgorithm"], answer["ChecksumType"]) == (algorithm, expected)


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"ChecksumAlgorithm": "SHA1", "ChecksumType": "FULL_OBJECT"}, "InvalidRequest"),
        ({"ChecksumAlgorithm": "CRC64NVME", "ChecksumType": "COMPOSITE"}, "InvalidRequest"),
        ({"ChecksumType": "COMPOSITE"}, "InvalidRequest"),
        ({"ChecksumAlgorithm": "XXHASH3"}, "NotImplemented"),
        ({"ACL": "public-read"}, "AccessControlListNotSupported"),
        ({"StorageClass": "GLACIER"}, "NotImplemented"),
    ],
)
async def test_uploads_that_cannot_be(s3: Any, refused: Any, request_: dict[str, str], code: str) -> None:
    """A checksum that does not exist or a setting without effect is refused at the start, not at the end."""
    with refused(code):
        await s3("CreateMultipartUpload", Bucket="bucket", Key="k", **request_)
