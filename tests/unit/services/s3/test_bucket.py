"""Buckets."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

OTHER = "210987654321"


async def test_a_bucket_says_where_it_is(s3: Any) -> None:
    """A bucket made through us-east-1 may lie anywhere, and HeadBucket and GetBucketLocation tell where."""
    made = await s3("CreateBucket", Bucket="west", CreateBucketConfiguration={"LocationConstraint": "us-west-2"})
    assert made == {"Location": "http://west.s3.amazonaws.com/", "BucketArn": "arn:aws:s3:::west"}
    assert (await s3("HeadBucket", Bucket="west"))["BucketRegion"] == "us-west-2"
    assert await s3("GetBucketLocation", Bucket="west") == {"LocationConstraint": "us-west-2"}
    assert await s3("GetBucketLocation", Bucket="bucket") == {}


@pytest.mark.parametrize(
    "name",
    ["ab", "a" * 64, "Upper", "under_score", "-dash", "dot.", "two..dots", "192.168.5.4", "xn--a", "b-s3alias", "c--x-s3", ""],
)
async def test_names_that_break_the_rules_are_refused(s3: Any, refused: Any, name: str) -> None:
    """A name against the rules of general purpose buckets is an InvalidBucketName."""
    with refused("InvalidBucketName", 400):
        await s3("CreateBucket", Bucket=name)


@pytest.mark.parametrize("name", ["abc", "a" * 63, "a.b-c", "1ab", "192.168.5.400"])
async def test_names_that_keep_the_rules_are_taken(s3: Any, name: str) -> None:
    """A name within the rules makes a bucket."""
    await s3("CreateBucket", Bucket=name)
    await s3("HeadBucket", Bucket=name)


@pytest.mark.parametrize(
    ("region", "constraint", "code"),
    [
        ("us-east-1", "us-east-1", "InvalidLocationConstraint"),
        ("us-east-1", "nowhere", "InvalidLocationConstraint"),
        ("eu-west-1", None, "IllegalLocationConstraintException"),
        ("eu-west-1", "us-west-2", "IllegalLocationConstraintException"),
    ],
)
async def test_wrong_locations_are_refused(s3: Any, refused: Any, region: str, constraint: str | None, code: str) -> None:
    """Only us-east-1 places buckets elsewhere, and no constraint means us-east-1."""
    configuration = {"CreateBucketConfiguration": {"LocationConstraint": constraint}} if constraint else {}
    with refused(code, 400):
        await s3("CreateBucket", region=region, Bucket="elsewhere", **configuration)


async def test_eu_is_the_old_name_of_eu_west_1(s3: Any) -> None:
    """The constraint EU means eu-west-1, which may be asked of its own endpoint."""
    await s3("CreateBucket", region="eu-west-1", Bucket="old", CreateBucketConfiguration={"LocationConstraint": "EU"})
    assert (await s3("HeadBucket", Bucket="old"))["BucketRegion"] == "eu-west-1"


async def test_bucket_names_are_global(s3: Any, refused: Any) -> None:
    """A name taken by another account is taken; one's own is a conflict too, except in us-east-1."""
    with refused("BucketAlreadyExists", 409):
        await s3("CreateBucket", account_id=OTHER, Bucket="bucket")
    assert await s3("CreateBucket", Bucket="bucket")
    there = {"LocationConstraint": "eu-west-1"}
    await s3("CreateBucket", Bucket="mine", CreateBucketConfiguration=there)
    with refused("BucketAlreadyOwnedByYou", 409):
        await s3("CreateBucket", region="eu-west-1", Bucket="mine", CreateBucketConfiguration=there)


async def test_making_a_bucket_again_leaves_it_as_it_is(s3: Any) -> None:
    """The repeated CreateBucket of us-east-1 does not make the bucket anew."""
    s3.clock.now += 100
    await s3("CreateBucket", Bucket="bucket")
    assert (await s3("ListBuckets"))["Buckets"][0]["CreationDate"] == datetime.fromtimestamp(1_700_000_000, UTC)


async def test_a_bucket_is_its_owners_alone(s3: Any, refused: Any) -> None:
    """Another account is denied, an expected owner that is not the owner likewise, and an unknown bucket is unknown."""
    with refused("AccessDenied", 403):
        await s3("HeadBucket", account_id=OTHER, Bucket="bucket")
    with refused("AccessDenied", 403):
        await s3("HeadBucket", Bucket="bucket", ExpectedBucketOwner=OTHER)
    with refused("NoSuchBucket", 404):
        await s3("HeadBucket", Bucket="unknown")
    with refused("AccessDenied", 403):
        await s3("PutObject", account_id=OTHER, Bucket="bucket", Key="k", Body=b"")


async def test_acls_that_give_nothing_away_pass_and_others_do_not(s3: Any, refused: Any) -> None:
    """Buckets are BucketOwnerEnforced: private is what holds anyway, public-read is refused."""
    await s3("CreateBucket", Bucket="private", ACL="private", ObjectOwnership="BucketOwnerEnforced")
    with refused("InvalidBucketAclWithObjectOwnership", 400):
        await s3("CreateBucket", Bucket="public", ACL="public-read")
    with refused("InvalidBucketAclWithObjectOwnership", 400):
        await s3("CreateBucket", Bucket="public", GrantRead="id=1")
    with refused("NotImplemented", 501):
        await s3("CreateBucket", Bucket="public", ObjectOwnership="ObjectWriter")
    with refused("NoSuchBucket"):
        await s3("HeadBucket", Bucket="public")


async def test_only_an_empty_bucket_can_be_deleted(s3: Any, refused: Any) -> None:
    """An object keeps its bucket; without it the bucket goes and its name is free."""
    await s3.put("key")
    with refused("BucketNotEmpty", 409):
        await s3("DeleteBucket", Bucket="bucket")
    await s3("DeleteObject", Bucket="bucket", Key="key")
    await s3("DeleteBucket", Bucket="bucket")
    assert s3.status == 204
    with refused("NoSuchBucket", 404):
        await s3("DeleteBucket", Bucket="bucket")
    await s3("CreateBucket", account_id=OTHER, Bucket="bucket")


async def test_unfinished_uploads_go_with_their_bucket(s3: Any) -> None:
    """Deleting a bucket with uploads under way leaves neither records nor blobs of them."""
    await s3.upload("key", b"one", b"two")
    await s3("DeleteBucket", Bucket="bucket")
    assert s3.blobs() == set()
    assert await s3.references() == set()


async def test_no_object_is_left_without_its_bucket(s3: Any) -> None:
    """Of a DeleteBucket and PutObjects at the same time either the bucket stays or the objects are refused."""
    tasks = [s3.put(f"key{number}") for number in range(20)]
    outcomes = await asyncio.gather(*tasks[:10], s3("DeleteBucket", Bucket="bucket"), *tasks[10:], return_exceptions=True)
    refusals = {getattr(outcome, "code", None) for outcome in outcomes if isinstance(outcome, Exception)}
    assert refusals <= {"BucketNotEmpty", "NoSuchBucket"}
    if "BucketNotEmpty" not in refusals:
        assert s3.blobs() == set()


async def test_list_buckets_pages_by_name(s3: Any, refused: Any) -> None:
    """Pages follow each other by token; prefix and region narrow them; other accounts' buckets are not there."""
    for name in ("beta-1", "beta-2", "alpha"):
        await s3("CreateBucket", Bucket=name)
    await s3("CreateBucket", Bucket="beta-3", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    await s3("CreateBucket", account_id=OTHER, Bucket="beta-4")

    def names(answer: dict[str, Any]) -> list[str]:
        return [bucket["Name"] for bucket in answer["Buckets"]]

    assert names(await s3("ListBuckets")) == ["alpha", "beta-1", "beta-2", "beta-3", "bucket"]
    page = await s3("ListBuckets", MaxBuckets=2, Prefix="beta")
    assert names(page) == ["beta-1", "beta-2"]
    page = await s3("ListBuckets", MaxBuckets=2, Prefix="beta", ContinuationToken=page["ContinuationToken"])
    assert names(page) == ["beta-3"]
    assert "ContinuationToken" not in page
    assert names(await s3("ListBuckets", BucketRegion="eu-west-1")) == ["beta-3"]
    with refused("InvalidArgument", 400):
        await s3("ListBuckets", MaxBuckets=0)
    with refused("InvalidArgument", 400):
        await s3("ListBuckets", ContinuationToken="é")
