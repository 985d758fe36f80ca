"""Reads of settings that nobody can make."""

from __future__ import annotations

from typing import Any

import pytest

from lambdad.services.s3.bucket_defaults import DEFAULTS


@pytest.mark.parametrize("operation", sorted(DEFAULTS))
async def test_only_the_owner_of_a_bucket_is_answered(s3: Any, refused: Any, operation: str) -> None:
    """A bucket that is not there, or another's, has no settings to tell."""
    with refused("NoSuchBucket", 404):
        await s3(operation, Bucket="unknown", Key="k")
    with refused("AccessDenied", 403):
        await s3(operation, account_id="210987654321", Bucket="bucket", Key="k")


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("GetBucketPolicy", "NoSuchBucketPolicy"),
        ("GetBucketCors", "NoSuchCORSConfiguration"),
        ("GetBucketWebsite", "NoSuchWebsiteConfiguration"),
        ("GetBucketLifecycleConfiguration", "NoSuchLifecycleConfiguration"),
    ],
)
async def test_what_nobody_made_is_not_found(s3: Any, refused: Any, operation: str, code: str) -> None:
    """The error is the one that AWS has for a bucket without that setting."""
    with refused(code, 404):
        await s3(operation, Bucket="bucket")


async def test_what_always_holds_is_told(s3: Any) -> None:
    """No versions, the owner pays, ACLs give the owner everything and nobody else anything."""
    assert await s3("GetBucketVersioning", Bucket="bucket") == {}
    assert await s3("GetBucketRequestPayment", Bucket="bucket") == {"Payer": "BucketOwner"}
    await s3.put("k")
    acl = await s3("GetObjectAcl", Bucket="bucket", Key="k")
    assert acl == await s3("GetBucketAcl", Bucket="bucket")
    assert [grant["Permission"] for grant in acl["Grants"]] == ["FULL_CONTROL"]
    assert acl["Grants"][0]["Grantee"]["ID"] == acl["Owner"]["ID"]
