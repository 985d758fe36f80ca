"""Reads of bucket settings that nobody can make here: the answer is AWS's for a bucket where nobody made them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdad.model.request import RequestContext
from lambdad.model.service import Operation
from lambdad.services.s3.access import own_bucket
from lambdad.services.s3.errors import s3_error
from lambdad.services.s3.model import canonical_user_id, check_version_id
from lambdad.services.s3.object_reader import find_object
from lambdad.services.s3.state import S3State

#: operation -> output
_ANSWERS: dict[str, Mapping[str, Any]] = {
    "GetBucketVersioning": {},
    "GetBucketAccelerateConfiguration": {},
    "GetBucketLogging": {},
    "GetBucketRequestPayment": {"Payer": "BucketOwner"},
    "GetBucketOwnershipControls": {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}},
}
#: operation -> error code and message, always with status 404
_ABSENT: dict[str, tuple[str, str]] = {
    "GetBucketCors": ("NoSuchCORSConfiguration", "The CORS configuration does not exist"),
    "GetBucketLifecycleConfiguration": ("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"),
    "GetBucketPolicy": ("NoSuchBucketPolicy", "The bucket policy does not exist"),
    "GetBucketPolicyStatus": ("NoSuchBucketPolicy", "The bucket policy does not exist"),
    "GetBucketReplication": ("ReplicationConfigurationNotFoundError", "The replication configuration was not found"),
    "GetBucketWebsite": ("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"),
    "GetObjectLockConfiguration": (
        "ObjectLockConfigurationNotFoundError",
        "Object Lock configuration does not exist for this bucket",
    ),
}


async def get_bucket_acl(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    await own_bucket(state, context, request)
    return _owner_only(context)


async def get_object_acl(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
    bucket = await own_bucket(state, context, request)
    check_version_id(request.get("VersionId"))
    await find_object(state, bucket.name, request["Key"])
    return _owner_only(context)


def _owner_only(context: RequestContext) -> dict[str, Any]:
    owner = {"ID": canonical_user_id(context.account_id)}
    return {"Owner": owner, "Grants": [{"Grantee": {**owner, "Type": "CanonicalUser"}, "Permission": "FULL_CONTROL"}]}


def _answering(answer: Mapping[str, Any]) -> Operation:
    async def read_default(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
        await own_bucket(state, context, request)
        return answer

    return read_default


def _missing(code: str, message: str) -> Operation:
    async def read_absent(state: S3State, context: RequestContext, request: Mapping[str, Any]) -> Mapping[str, Any]:
        bucket = await own_bucket(state, context, request)
        raise s3_error(code, message, 404, BucketName=bucket.name)

    return read_absent


DEFAULTS: dict[str, Operation] = {
    **{name: _answering(answer) for name, answer in _ANSWERS.items()},
    **{name: _missing(code, message) for name, (code, message) in _ABSENT.items()},
    "GetBucketAcl": get_bucket_acl,
    "GetObjectAcl": get_object_acl,
}
