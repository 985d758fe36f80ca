"""Whether the caller may use a bucket, and the permissions it may ask for: every bucket belongs to its owner alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdad.model.request import RequestContext
from lambdad.services.s3 import records
from lambdad.services.s3.errors import access_denied, no_such_bucket, s3_error
from lambdad.services.s3.model import Bucket
from lambdad.services.s3.state import S3State

_GRANTS = ("GrantFullControl", "GrantRead", "GrantReadACP", "GrantWrite", "GrantWriteACP")


async def own_bucket(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Bucket:
    """The bucket of the request, if it is the caller's."""
    bucket, _ = await own_bucket_and_revision(state, context, request)
    return bucket


async def own_bucket_and_revision(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> tuple[Bucket, int]:
    found = await bucket_of_account(state, context.account_id, request["Bucket"])
    if request.get("ExpectedBucketOwner") not in (None, found[0].account_id):
        raise access_denied()
    return found


async def bucket_of_account(state: S3State, account_id: str, name: str) -> tuple[Bucket, int]:
    found = await records.get_bucket(state.records, name)
    if found is None:
        raise no_such_bucket(name)
    if found[0].account_id != account_id:
        raise access_denied()
    return found


def check_object_acl(request: Mapping[str, Any]) -> None:
    """Buckets are BucketOwnerEnforced, as AWS makes them by default: an ACL may only say what holds anyway."""
    if request.get("ACL") not in (None, "private", "bucket-owner-full-control") or any(map(request.get, _GRANTS)):
        raise s3_error("AccessControlListNotSupported", "The bucket does not allow ACLs", 400)


def check_bucket_acl(request: Mapping[str, Any]) -> None:
    if request.get("ACL") not in (None, "private") or any(map(request.get, _GRANTS)):
        message = "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting"
        raise s3_error("InvalidBucketAclWithObjectOwnership", message, 400)
