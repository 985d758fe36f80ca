"""Buckets: made, found, listed and removed."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lambdad.model.request import RequestContext, Response
from lambdad.services.s3 import access, records
from lambdad.services.s3.access import own_bucket
from lambdad.services.s3.description import checked_bucket_tags
from lambdad.services.s3.errors import invalid_argument, not_implemented, s3_error
from lambdad.services.s3.model import Bucket, Upload, canonical_user_id, check_bucket_name
from lambdad.services.s3.object_commit import commit
from lambdad.services.s3.state import S3State
from lambdad.services.s3.upload import drop_upload
from lambdad.store.base import Conflict
from lambdad.store.to_the_end import to_the_end

_LEGACY_REGION = "us-east-1"
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-\d")
_MAX_LISTED = 10_000


async def create_bucket(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    name = request["Bucket"]
    check_bucket_name(name)
    access.check_bucket_acl(request)
    if request.get("ObjectOwnership") not in (None, "BucketOwnerEnforced"):
        raise not_implemented("x-amz-object-ownership")
    if request.get("BucketNamespace") not in (None, "global"):
        raise not_implemented("x-amz-bucket-namespace")
    configuration = request.get("CreateBucketConfiguration") or {}
    region = _region(context.region, configuration.get("LocationConstraint"))
    tags = checked_bucket_tags(configuration.get("Tags") or ())
    bucket = Bucket(name, context.account_id, region, state.clock(), tags=tags)
    try:
        await state.records.commit(records.put_bucket(bucket, None))
    except Conflict:
        await _refuse_standing(state, context, name)
    location = f"/{name}" if region == _LEGACY_REGION else f"http://{name}.s3.amazonaws.com/"
    return {"Location": location, "BucketArn": bucket.arn}


async def head_bucket(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    bucket = await own_bucket(state, context, request)
    return {"BucketRegion": bucket.region, "BucketArn": bucket.arn, "AccessPointAlias": False}


async def get_bucket_location(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    bucket = await own_bucket(state, context, request)
    return {} if bucket.region == _LEGACY_REGION else {"LocationConstraint": bucket.region}


async def delete_bucket(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Response:
    """Unfinished uploads go with their bucket, as they do at AWS; objects keep it."""
    await own_bucket(state, context, request)
    await to_the_end(_delete_bucket(state, context, request))
    return Response({}, status=204)


async def list_buckets(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    limit = request.get("MaxBuckets")
    if limit is not None and not 1 <= limit <= _MAX_LISTED:
        raise invalid_argument(f"Argument max-buckets must be an integer between 1 and {_MAX_LISTED}", "max-buckets", limit)
    prefix = request.get("Prefix") or ""
    after = _token_name(request.get("ContinuationToken"))
    page = await _page(state, context.account_id, prefix, after, request.get("BucketRegion"), limit or _MAX_LISTED)
    answer: dict[str, Any] = {
        "Owner": {"ID": canonical_user_id(context.account_id)},
        "Buckets": [_listed(bucket) for bucket in page[: limit or _MAX_LISTED]],
    }
    if prefix:
        answer["Prefix"] = prefix
    if len(page) > (limit or _MAX_LISTED):
        answer["ContinuationToken"] = base64.urlsafe_b64encode(page[-2].name.encode()).decode()
    return answer


async def _delete_bucket(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> None:
    name = request["Bucket"]
    async with state.locks.closing(name):
        bucket, revision = await access.own_bucket_and_revision(state, context, request)
        if await records.list_objects(state.records, name, prefix="", after="", limit=1):
            raise s3_error("BucketNotEmpty", "The bucket you tried to delete is not empty", 409, BucketName=name)
        while uploads := await _some_uploads(state, name):
            for upload in uploads:
                await drop_upload(state, name, upload)
        await commit(state, records.delete_bucket(bucket, revision))


async def _some_uploads(state: S3State, bucket: str) -> list[Upload]:
    return await records.list_uploads(state.records, bucket, prefix="", after_key="", after_upload=None, limit=100)


def _region(endpoint_region: str, constraint: str | None) -> str:
    """Where the bucket goes. Only the us-east-1 endpoint may put it anywhere; the others only at home, and by name."""
    if constraint == _LEGACY_REGION or (constraint not in (None, "", "EU") and not _REGION.fullmatch(constraint or "")):
        message = "The specified location-constraint is not valid"
        raise s3_error("InvalidLocationConstraint", message, 400, LocationConstraint=constraint)
    wanted = "eu-west-1" if constraint == "EU" else constraint or _LEGACY_REGION
    if endpoint_region not in (_LEGACY_REGION, wanted):
        named = f"{constraint} location constraint" if constraint else "unspecified location constraint"
        message = f"The {named} is incompatible for the region specific endpoint this request was sent to."
        raise s3_error("IllegalLocationConstraintException", message, 400)
    return wanted


async def _refuse_standing(state: S3State, context: RequestContext, name: str) -> None:
    """In us-east-1 making one's own bucket once more succeeds, as it always did there."""
    found = await records.get_bucket(state.records, name)
    if found is None or found[0].account_id != context.account_id:
        message = (
            "The requested bucket name is not available. The bucket namespace is shared by all users of the system. "
            "Please select a different name and try again."
        )
        raise s3_error("BucketAlreadyExists", message, 409, BucketName=name)
    if not found[0].region == context.region == _LEGACY_REGION:
        message = "Your previous request to create the named bucket succeeded and you already own it."
        raise s3_error("BucketAlreadyOwnedByYou", message, 409, BucketName=name)


async def _page(state: S3State, account_id: str, prefix: str, after: str, region: str | None, limit: int) -> list[Bucket]:
    """One bucket more than the limit, if there is one."""
    page: list[Bucket] = []
    while len(page) <= limit:
        found = await records.list_buckets(state.records, account_id, prefix=prefix, after=after, limit=1000)
        page += [bucket for bucket in found if region in (None, bucket.region)]
        if len(found) < 1000:
            break
        after = found[-1].name
    return page[: limit + 1]


def _listed(bucket: Bucket) -> dict[str, Any]:
    return {
        "Name": bucket.name,
        "CreationDate": datetime.fromtimestamp(int(bucket.created_at), UTC),
        "BucketRegion": bucket.region,
        "BucketArn": bucket.arn,
    }


def _token_name(token: str | None) -> str:
    try:
        return base64.urlsafe_b64decode(token or "").decode()
    except ValueError:
        raise invalid_argument("The continuation token provided is incorrect", "continuation-token", token) from None
