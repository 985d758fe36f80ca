"""ListObjects and ListObjectsV2."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lambdad.delivery import Delivery
from lambdad.model.request import Principal, RequestContext
from lambdad.services.s3 import listing, records
from lambdad.services.s3.model import Bucket, Checksum, Description, Piece, StoredObject
from lambdad.services.s3.state import S3State
from lambdad.store.files import FileBlobs
from lambdad.store.memory import MemoryStore

KEYS = ["a", "a/1", "a/2", "a0", "b/1/x", "b/2", "c d", "z", "é\U0010ffff"]


@pytest.fixture
async def filled(s3: Any) -> Any:
    for key in KEYS:
        await s3.put(key, key.encode())
    return s3


def keys(answer: dict[str, Any]) -> list[str]:
    return [content["Key"] for content in answer["Contents"]]


def prefixes(answer: dict[str, Any]) -> list[str]:
    return [common["Prefix"] for common in answer["CommonPrefixes"]]


async def test_keys_come_in_the_order_of_their_bytes(filled: Any) -> None:
    """Both versions list every object, by key, with what is known of it."""
    answer = await filled("ListObjectsV2", Bucket="bucket")
    assert keys(answer) == KEYS
    assert (answer["KeyCount"], answer["IsTruncated"], answer["MaxKeys"]) == (len(KEYS), False, 1000)
    first = answer["Contents"][0]
    assert (first["Size"], first["StorageClass"], first["ETag"]) == (1, "STANDARD", '"0cc175b9c0f1b6a831c399e269772661"')
    assert "Owner" not in first
    assert "Owner" in (await filled("ListObjectsV2", Bucket="bucket", FetchOwner=True))["Contents"][0]
    answer = await filled("ListObjects", Bucket="bucket")
    assert keys(answer) == KEYS
    assert "Owner" in answer["Contents"][0]


async def test_a_delimiter_folds_what_lies_below(filled: Any) -> None:
    """Keys with the delimiter after the prefix appear as common prefixes."""
    answer = await filled("ListObjectsV2", Bucket="bucket", Delimiter="/")
    assert keys(answer) == ["a", "a0", "c d", "z", "é\U0010ffff"]
    assert prefixes(answer) == ["a/", "b/"]
    assert answer["KeyCount"] == 7
    answer = await filled("ListObjectsV2", Bucket="bucket", Delimiter="/", Prefix="b/")
    assert (keys(answer), prefixes(answer)) == (["b/2"], ["b/1/"])


async def test_pages_follow_each_other(filled: Any) -> None:
    """By token, by marker and by start-after one gets on; a page that is full to the last key is the last."""
    seen: list[str] = []
    request: dict[str, Any] = {"Bucket": "bucket", "MaxKeys": 2, "Delimiter": "/"}
    while True:
        answer = await filled("ListObjectsV2", **request)
        seen += sorted(keys(answer) + prefixes(answer))
        if not answer["IsTruncated"]:
            break
        request["ContinuationToken"] = answer["NextContinuationToken"]
    assert seen == ["a", "a/", "a0", "b/", "c d", "z", "é\U0010ffff"]
    seen, request = [], {"Bucket": "bucket", "MaxKeys": 2, "Delimiter": "/"}
    while True:
        answer = await filled("ListObjects", **request)
        seen += sorted(keys(answer) + prefixes(answer))
        if not answer["IsTruncated"]:
            break
        request["Marker"] = answer["NextMarker"]
    assert seen == ["a", "a/", "a0", "b/", "c d", "z", "é\U0010ffff"]
    assert "NextMarker" not in await filled("ListObjects", Bucket="bucket", MaxKeys=2)
    answer = await filled("ListObjectsV2", Bucket="bucket", StartAfter="b/2")
    assert keys(answer) == KEYS[6:]
    assert answer["StartAfter"] == "b/2"
    assert (await filled("ListObjectsV2", Bucket="bucket", MaxKeys=len(KEYS)))["IsTruncated"] is False


async def test_no_keys_and_too_many(filled: Any, refused: Any) -> None:
    """max-keys 0 is an empty page and the end; more than 1,000 is 1,000; less than none is refused."""
    answer = await filled("ListObjectsV2", Bucket="bucket", MaxKeys=0)
    assert (keys(answer), answer["IsTruncated"]) == ([], False)
    assert (await filled("ListObjectsV2", Bucket="bucket", MaxKeys=5000))["MaxKeys"] == 1000
    for operation in ("ListObjects", "ListObjectsV2"):
        with refused("InvalidArgument", 400):
            await filled(operation, Bucket="bucket", MaxKeys=-1)


@pytest.mark.parametrize("token", ["", "!", "AAAA", "é", "MQ=", "Mf8="])
async def test_tokens_are_ours_or_refused(filled: Any, refused: Any, token: str) -> None:
    """A continuation token that no listing gave out is an invalid argument."""
    with refused("InvalidArgument", 400):
        await filled("ListObjectsV2", Bucket="bucket", ContinuationToken=token)


async def test_encoded_listings(filled: Any, refused: Any) -> None:
    """With encoding-type url all that holds keys is URL-encoded."""
    answer = await filled("ListObjectsV2", Bucket="bucket", EncodingType="url", Delimiter=" ", Prefix="c", StartAfter="c")
    assert prefixes(answer) == ["c+"]
    assert (answer["Delimiter"], answer["EncodingType"]) == ("+", "url")
    assert keys(await filled("ListObjects", Bucket="bucket", EncodingType="url", Prefix="é")) == ["%C3%A9%F4%8F%BF%BF"]
    with refused("InvalidArgument", 400):
        await filled("ListObjects", Bucket="bucket", EncodingType="base64")


class Counting(MemoryStore):
    """Counts the records that listings read."""

    def __init__(self) -> None:
        super().__init__()
        self.read = 0

    async def list(self, collection: str, **options: Any) -> Any:
        found = await super().list(collection, **options)
        self.read += len(found)
        return found


async def listed(store: MemoryStore, names: list[str], folder: Path, **request: Any) -> dict[str, Any]:
    state = S3State(store, FileBlobs(folder, store), store, Delivery())
    bucket = Bucket("bucket", "123456789012", "us-east-1", 0.0)
    await store.commit(records.put_bucket(bucket, None))
    stored = StoredObject("etag", 1, 0.0, Description(), Checksum("CRC32", "FULL_OBJECT", ""), Piece("d", 1, "o"))
    await store.commit([records.put_object("bucket", name, stored, None) for name in names])
    principal = Principal("123456789012", "arn:aws:iam::123456789012:root")
    context = RequestContext("id", "s3", "ListObjectsV2", "123456789012", "us-east-1", principal, "", "")
    seen: list[str] = []
    token: dict[str, str] = {}
    while True:
        answer = await listing.list_objects_v2(state, context, {"Bucket": "bucket", **request, **token})
        page = keys(dict(answer)) + prefixes(dict(answer))
        assert len(page) <= request.get("MaxKeys", 1000)
        seen += page
        if not answer["IsTruncated"]:
            return {"seen": seen}
        assert page
        token = {"ContinuationToken": answer["NextContinuationToken"]}


async def test_common_prefixes_are_jumped_over(tmp_path: Path) -> None:
    """Listing ten folders of a thousand objects each reads far fewer records than there are."""
    store = Counting()
    names = [f"{folder:02d}/{number:04d}" for folder in range(10) for number in range(1000)]
    assert (await listed(store, names, tmp_path, Delimiter="/"))["seen"] == [f"{folder:02d}/" for folder in range(10)]
    assert store.read < 300


async def test_a_page_reads_no_more_than_it_shows(tmp_path: Path) -> None:
    """A page of ten keys of ten thousand reads eleven records."""
    store = Counting()
    names = [f"{number:05d}" for number in range(10_000)]
    assert len((await listed(store, names, tmp_path, MaxKeys=1000, Prefix="0000"))["seen"]) == 10
    assert store.read <= 11


@given(
    names=st.sets(st.text("ab/\U0010ffff!", min_size=1, max_size=6), max_size=60),
    prefix=st.text("ab/", max_size=2),
    delimiter=st.sampled_from(["", "/", "b", "/a", "\U0010ffff"]),
    size=st.integers(1, 5),
)
@settings(max_examples=150, deadline=None)
def test_pages_together_are_the_whole(names: set[str], prefix: str, delimiter: str, size: int) -> None:
    """Whatever the keys, prefix, delimiter and page size, the pages show each key or common prefix once."""
    expected: set[str] = set()
    for name in names:
        if name.startswith(prefix):
            found = name.find(delimiter, len(prefix)) if delimiter else -1
            expected.add(name if found < 0 else name[: found + len(delimiter)])
    request = {"Prefix": prefix, "Delimiter": delimiter, "MaxKeys": size}
    with tempfile.TemporaryDirectory() as folder:
        seen = asyncio.run(listed(MemoryStore(), sorted(names), Path(folder), **request))["seen"]
    assert sorted(seen) == sorted(expected)
