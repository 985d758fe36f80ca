"""Object tags."""

from __future__ import annotations

from typing import Any

import pytest


async def test_tags_come_and_go(s3: Any) -> None:
    """Tags given with the object or later are told, counted, and deleted; bytes and time stay."""
    made = await s3.put("k", b"content", Tagging="a=1&b=two%20words")
    assert (await s3("GetObjectTagging", Bucket="bucket", Key="k"))["TagSet"] == [
        {"Key": "a", "Value": "1"},
        {"Key": "b", "Value": "two words"},
    ]
    s3.clock.now += 100
    await s3("PutObjectTagging", Bucket="bucket", Key="k", Tagging={"TagSet": [{"Key": "c", "Value": ""}]})
    head = await s3("HeadObject", Bucket="bucket", Key="k")
    assert (head["TagCount"], head["ETag"], head["LastModified"].timestamp()) == (1, made["ETag"], 1_700_000_000)
    await s3("DeleteObjectTagging", Bucket="bucket", Key="k")
    assert s3.status == 204
    assert (await s3("GetObjectTagging", Bucket="bucket", Key="k"))["TagSet"] == []
    assert "TagCount" not in await s3("HeadObject", Bucket="bucket", Key="k")


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ([("k", "v")] * 2, "InvalidTag"),
        ([("", "v")], "InvalidTag"),
        ([("k" * 129, "v")], "InvalidTag"),
        ([("aws:k", "v")], "InvalidTag"),
        ([("k", "v" * 257)], "InvalidTag"),
        ([("k", "<>")], "InvalidTag"),
        ([(str(number), "v") for number in range(11)], "BadRequest"),
    ],
)
async def test_tags_against_the_rules(s3: Any, refused: Any, tags: list[tuple[str, str]], code: str) -> None:
    """Ten tags, each key once, lengths and characters as AWS has them."""
    await s3.put("k")
    with refused(code, 400):
        tag_set = [{"Key": key, "Value": value} for key, value in tags]
        await s3("PutObjectTagging", Bucket="bucket", Key="k", Tagging={"TagSet": tag_set})


async def test_tags_need_an_object_and_a_header_its_form(s3: Any, refused: Any) -> None:
    """Tags of what is not there are NoSuchKey; a header that is no query string is invalid."""
    for operation in ("PutObjectTagging", "GetObjectTagging", "DeleteObjectTagging"):
        with refused("NoSuchKey", 404):
            await s3(operation, Bucket="bucket", Key="unknown", Tagging={"TagSet": []})
    with refused("InvalidArgument", 400):
        await s3.put("k", Tagging="novalue")
