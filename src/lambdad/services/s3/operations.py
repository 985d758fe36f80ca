"""The operations that S3 serves, by name."""

from __future__ import annotations

from lambdad.model.service import Operation
from lambdad.services.s3.bucket import create_bucket, delete_bucket, get_bucket_location, head_bucket, list_buckets
from lambdad.services.s3.bucket_defaults import DEFAULTS
from lambdad.services.s3.bucket_setting import (
    delete_bucket_tagging,
    delete_public_access_block,
    get_bucket_tagging,
    get_public_access_block,
    put_bucket_tagging,
    put_public_access_block,
)
from lambdad.services.s3.complete import complete_multipart_upload
from lambdad.services.s3.listing import list_objects, list_objects_v2
from lambdad.services.s3.multipart import (
    abort_multipart_upload,
    create_multipart_upload,
    list_multipart_uploads,
    list_parts,
)
from lambdad.services.s3.notification import (
    get_bucket_notification_configuration,
    put_bucket_notification_configuration,
)
from lambdad.services.s3.object_copy import copy_object
from lambdad.services.s3.object_delete import delete_object, delete_objects
from lambdad.services.s3.object_read import get_object, get_object_attributes, head_object
from lambdad.services.s3.object_tagging import delete_object_tagging, get_object_tagging, put_object_tagging
from lambdad.services.s3.object_write import put_object
from lambdad.services.s3.part import upload_part, upload_part_copy

OPERATIONS: dict[str, Operation] = {
    "AbortMultipartUpload": abort_multipart_upload,
    "CompleteMultipartUpload": complete_multipart_upload,
    "CopyObject": copy_object,
    "CreateBucket": create_bucket,
    "CreateMultipartUpload": create_multipart_upload,
    "DeleteBucket": delete_bucket,
    "DeleteBucketTagging": delete_bucket_tagging,
    "DeleteObject": delete_object,
    "DeleteObjectTagging": delete_object_tagging,
    "DeleteObjects": delete_objects,
    "DeletePublicAccessBlock": delete_public_access_block,
    "GetBucketLocation": get_bucket_location,
    "GetBucketNotificationConfiguration": get_bucket_notification_configuration,
    "GetBucketTagging": get_bucket_tagging,
    "GetObject": get_object,
    "GetObjectAttributes": get_object_attributes,
    "GetObjectTagging": get_object_tagging,
    "GetPublicAccessBlock": get_public_access_block,
    "HeadBucket": head_bucket,
    "HeadObject": head_object,
    "ListBuckets": list_buckets,
    "ListMultipartUploads": list_multipart_uploads,
    "ListObjects": list_objects,
    "ListObjectsV2": list_objects_v2,
    "ListParts": list_parts,
    "PutBucketNotificationConfiguration": put_bucket_notification_configuration,
    "PutBucketTagging": put_bucket_tagging,
    "PutObject": put_object,
    "PutObjectTagging": put_object_tagging,
    "PutPublicAccessBlock": put_public_access_block,
    "UploadPart": upload_part,
    "UploadPartCopy": upload_part_copy,
    **DEFAULTS,
}
