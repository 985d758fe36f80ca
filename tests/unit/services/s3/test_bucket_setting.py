"""Tags of buckets, and what blocks public access to them."""

from __future__ import annotations

from typing import Any

import pytest

from lambdad.services.s3.model import ALL_BLOCKS


def tag_set(**tags: str) -> dict[str, Any]:
    return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}


async def test_tags_come_and_go(s3: Any, refused: Any) -> None:
    """A bucket is made with tags or gets them later, all at once; without any there is no tag set."""
    with refused("NoSuchTagSet", 404):
        await s3("GetBucketTagging", Bucket="bucket")
    await s3("PutBucketTagging", Bucket="bucket", Tagging=tag_set(stage="one", owner="two words"))
    assert s3.status == 204
    assert await s3("GetBucketTagging", Bucket="bucket") == tag_set(stage="one", owner="two words")
    await s3("PutBucketTagging", Bucket="bucket", Tagging=tag_set(stage=""))
    assert await s3("GetBucketTagging", Bucket="bucket") == tag_set(stage="")
    await s3("DeleteBucketTagging", Bucket="bucket")
    with refused("NoSuchTagSet", 404):
        await s3("GetBucketTagging", Bucket="bucket")
    await s3("CreateBucket", Bucket="tagged", CreateBucketConfiguration={"Tags": tag_set(stage="one")["TagSet"]})
    assert await s3("GetBucketTagging", Bucket="tagged") == tag_set(stage="one")


@pytest.mark.parametrize(
    ("tags", "code"),
    [
        ([("k", "v")] * 2, "InvalidTag"),
        ([("k" * 129, "v")], "InvalidTag"),
        ([("aws:k", "v")], "InvalidTag"),
        ([("k", "v" * 257)], "InvalidTag"),
        ([(str(number), "v") for number in range(51)], "BadRequest"),
    ],
)
async def test_tags_against_the_rules(s3: Any, refused: Any, tags: list[tuple[str, str]], code: str) -> None:
    """Fifty tags, each key once; what is refused changes nothing, and makes no bucket."""
    listed = [{"Key": key, "Value": value} for key, value in tags]
    await s3("PutBucketTagging", Bucket="bucket", Tagging=tag_set(kept="1"))
    with refused(code, 400):
        await s3("PutBucketTagging", Bucket="bucket", Tagging={"TagSet": listed})
    assert await s3("GetBucketTagging", Bucket="bucket") == tag_set(kept="1")
    with refused(code, 400):
        await s3("CreateBucket", Bucket="never-made", CreateBucketConfiguration={"Tags": listed})
    with refused("NoSuchBucket", 404):
        await s3("HeadBucket", Bucket="never-made")


async def test_public_access_is_blocked_until_somebody_says_otherwise(s3: Any, refused: Any) -> None:
    """All four settings are on in a new bucket; what is left out is off; taken away they are not found."""
    found = await s3("GetPublicAccessBlock", Bucket="bucket")
    assert found["PublicAccessBlockConfiguration"] == dict.fromkeys(ALL_BLOCKS, True)
    some = {"BlockPublicAcls": True, "IgnorePublicAcls": False}
    await s3("PutPublicAccessBlock", Bucket="bucket", PublicAccessBlockConfiguration=some)
    found = await s3("GetPublicAccessBlock", Bucket="bucket")
    assert found["PublicAccessBlockConfiguration"] == {**dict.fromkeys(ALL_BLOCKS, False), "BlockPublicAcls": True}
    await s3("DeletePublicAccessBlock", Bucket="bucket")
    assert s3.status == 204
    with refused("NoSuchPublicAccessBlockConfiguration", 404):
        await s3("GetPublicAccessBlock", Bucket="bucket")


@pytest.mark.parametrize(
    "operation", ["PutBucketTagging", "DeleteBucketTagging", "PutPublicAccessBlock", "DeletePublicAccessBlock"]
)
async def test_only_the_owner_changes_a_bucket(s3: Any, refused: Any, operation: str) -> None:
    """Another account's bucket stays as it is."""
    with refused("AccessDenied", 403):
        await s3(
            operation, account_id="210987654321", Bucket="bucket", Tagging=tag_set(), PublicAccessBlockConfiguration={}
        )  # fmt: skip
    assert all((await s3("GetPublicAccessBlock", Bucket="bucket"))["PublicAccessBlockConfiguration"].values())
