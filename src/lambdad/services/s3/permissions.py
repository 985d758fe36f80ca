"""Which operation asks for which right on what. Many actions have other names than the operations that need them."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from lambdad.model.permission import (
    KeyReader,
    Parameters,
    Permission,
    Resource,
    everything,
    has,
    member_key,
)
from lambdad.model.request import RequestContext


def _bucket(context: RequestContext, parameters: Parameters) -> str:
    return f"arn:aws:s3:::{parameters['Bucket']}"


def _object(context: RequestContext, parameters: Parameters) -> str:
    return f"arn:aws:s3:::{parameters['Bucket']}/{parameters['Key']}"


def _objects(context: RequestContext, parameters: Parameters) -> list[str]:
    return [f"arn:aws:s3:::{parameters['Bucket']}/{each['Key']}" for each in parameters["Delete"]["Objects"]]


def _source(context: RequestContext, parameters: Parameters) -> str:
    given = parameters["CopySource"]
    if isinstance(given, Mapping):
        return f"arn:aws:s3:::{given['Bucket']}/{given['Key']}"
    return f"arn:aws:s3:::{unquote(given.partition('?')[0]).lstrip('/')}"


def _tags_of_new_object(context: RequestContext, parameters: Parameters) -> tuple[str, ...] | None:
    tagging = parameters.get("Tagging")
    if not isinstance(tagging, str):
        return None
    return tuple(unquote(pair.partition("=")[0]) for pair in tagging.split("&") if pair) or None


_LISTING: Mapping[str, KeyReader] = {
    "s3:prefix": member_key("Prefix"),
    "s3:delimiter": member_key("Delimiter"),
    "s3:max-keys": member_key("MaxKeys"),
}
_WRITING: Mapping[str, KeyReader] = {
    "s3:x-amz-acl": member_key("ACL"),
    "s3:x-amz-storage-class": member_key("StorageClass"),
    "s3:x-amz-copy-source": member_key("CopySource"),
    "s3:x-amz-metadata-directive": member_key("MetadataDirective"),
    "s3:requestobjecttagkeys": _tags_of_new_object,
}
_READ_SOURCE = Permission("s3:GetObject", _source)
_SET_TAGS = Permission("s3:PutObjectTagging", _object, _WRITING, has("Tagging"))


def _one(action: str, resource: Resource = _bucket, **keys: KeyReader) -> tuple[Permission, ...]:
    return (Permission(f"s3:{action}", resource, keys),)


def _listing(action: str) -> tuple[Permission, ...]:
    return (Permission(f"s3:{action}", _bucket, _LISTING),)


def _each(resource: Resource, actions: str) -> dict[str, tuple[Permission, ...]]:
    return {action: _one(action, resource) for action in actions.split()}


_PUT = Permission("s3:PutObject", _object, _WRITING)

#: Operations and actions as the Service Authorization Reference pairs them.
PERMISSIONS: Mapping[str, tuple[Permission, ...]] = {
    # Objects
    "AbortMultipartUpload": _one("AbortMultipartUpload", _object),
    "CompleteMultipartUpload": (_PUT,),
    "CopyObject": (_PUT, _READ_SOURCE, _SET_TAGS),
    "CreateMultipartUpload": (_PUT, _SET_TAGS),
    "DeleteObject": _one("DeleteObject", _object),
    "DeleteObjectTagging": _one("DeleteObjectTagging", _object),
    "DeleteObjects": _one("DeleteObject", _objects),
    "GetObject": _one("GetObject", _object),
    "GetObjectAttributes": (
        Permission("s3:GetObject", _object),
        Permission("s3:GetObjectAttributes", _object),
    ),
    "HeadObject": _one("GetObject", _object),
    "ListParts": _one("ListMultipartUploadParts", _object),
    "PutObject": (_PUT, _SET_TAGS),
    "PutObjectTagging": _one("PutObjectTagging", _object),
    "UploadPart": (_PUT,),
    "UploadPartCopy": (_PUT, _READ_SOURCE),
    **_each(
        _object,
        "GetObjectAcl GetObjectLegalHold GetObjectRetention GetObjectTagging GetObjectTorrent "
        "PutObjectAcl PutObjectLegalHold PutObjectRetention RestoreObject",
    ),
    "SelectObjectContent": _one("GetObject", _object),
    # Buckets
    "HeadBucket": _one("ListBucket"),
    "ListBuckets": _one("ListAllMyBuckets", everything),
    "ListMultipartUploads": _listing("ListBucketMultipartUploads"),
    "ListObjectVersions": _listing("ListBucketVersions"),
    "ListObjects": _listing("ListBucket"),
    "ListObjectsV2": _listing("ListBucket"),
    **_each(
        _bucket,
        "DeleteBucket DeleteBucketPolicy GetBucketAcl GetBucketLocation GetBucketLogging "
        "GetBucketOwnershipControls GetBucketPolicy GetBucketPolicyStatus GetBucketRequestPayment GetBucketTagging "
        "GetBucketVersioning GetBucketWebsite PutBucketAcl PutBucketLogging PutBucketOwnershipControls PutBucketPolicy "
        "PutBucketRequestPayment PutBucketTagging PutBucketVersioning PutBucketWebsite DeleteBucketWebsite",
    ),
    "CreateBucket": (
        Permission("s3:CreateBucket", _bucket),
        Permission("s3:TagResource", _bucket, {}, has("CreateBucketConfiguration", "Tags")),
    ),
    "DeleteBucketCors": _one("PutBucketCORS"),
    "DeleteBucketEncryption": _one("PutEncryptionConfiguration"),
    "DeleteBucketLifecycle": _one("PutLifecycleConfiguration"),
    "DeleteBucketOwnershipControls": _one("PutBucketOwnershipControls"),
    "DeleteBucketReplication": _one("PutReplicationConfiguration"),
    "DeleteBucketTagging": _one("PutBucketTagging"),
    "DeletePublicAccessBlock": _one("PutBucketPublicAccessBlock"),
    "GetBucketAccelerateConfiguration": _one("GetAccelerateConfiguration"),
    "GetBucketCors": _one("GetBucketCORS"),
    "GetBucketEncryption": _one("GetEncryptionConfiguration"),
    "GetBucketLifecycle": _one("GetLifecycleConfiguration"),
    "GetBucketLifecycleConfiguration": _one("GetLifecycleConfiguration"),
    "GetBucketNotificationConfiguration": _one("GetBucketNotification"),
    "GetBucketReplication": _one("GetReplicationConfiguration"),
    "GetObjectLockConfiguration": _one("GetBucketObjectLockConfiguration"),
    "GetPublicAccessBlock": _one("GetBucketPublicAccessBlock"),
    "PutBucketAccelerateConfiguration": _one("PutAccelerateConfiguration"),
    "PutBucketCors": _one("PutBucketCORS"),
    "PutBucketEncryption": _one("PutEncryptionConfiguration"),
    "PutBucketLifecycleConfiguration": _one("PutLifecycleConfiguration"),
    "PutBucketNotificationConfiguration": _one("PutBucketNotification"),
    "PutBucketReplication": _one("PutReplicationConfiguration"),
    "PutObjectLockConfiguration": _one("PutBucketObjectLockConfiguration"),
    "PutPublicAccessBlock": _one("PutBucketPublicAccessBlock"),
}
