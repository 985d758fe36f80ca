"""What of S3 is not served, and why: whole operations, and members of those that are served."""

from __future__ import annotations

_ACL = "buckets are BucketOwnerEnforced: access is the owner's alone, and ACLs cannot be set"
_ANALYTICS = "there are no usage reports on buckets"
_ANNOTATION = "objects have no annotations"
_DIRECTORY = "there are no directory buckets"
_ENCRYPTION = "objects are not encrypted at rest"
_LIFECYCLE = "objects stay until they are deleted"
_LOCK = "objects cannot be locked"
_LOGGING = "requests are not logged to a bucket"
_METADATA_TABLE = "there are no metadata tables"
_POLICY = "buckets have no policy: access is the owner's alone"
_REPLICATION = "buckets are not replicated"
_STORAGE_CLASS = "STANDARD is the only storage class"
_VERSIONING = "buckets have no versions"
_WEBSITE = "buckets are not served as websites"

_REASONS: dict[str, tuple[str, ...]] = {
    _ACL: ("PutBucketAcl", "PutBucketOwnershipControls", "PutObjectAcl"),
    "bucket ownership is fixed to BucketOwnerEnforced": ("DeleteBucketOwnershipControls",),
    "access by attributes (ABAC) is not there": ("GetBucketAbac", "PutBucketAbac"),
    "there is one endpoint, and nothing to accelerate": ("PutBucketAccelerateConfiguration",),
    _ANALYTICS: (
        "DeleteBucketAnalyticsConfiguration",
        "DeleteBucketInventoryConfiguration",
        "DeleteBucketMetricsConfiguration",
        "GetBucketAnalyticsConfiguration",
        "GetBucketInventoryConfiguration",
        "GetBucketMetricsConfiguration",
        "ListBucketAnalyticsConfigurations",
        "ListBucketInventoryConfigurations",
        "ListBucketMetricsConfigurations",
        "PutBucketAnalyticsConfiguration",
        "PutBucketInventoryConfiguration",
        "PutBucketMetricsConfiguration",
    ),
    _ANNOTATION: ("DeleteObjectAnnotation", "GetObjectAnnotation", "ListObjectAnnotations", "PutObjectAnnotation"),
    "browsers of other origins are not let in (CORS)": ("DeleteBucketCors", "PutBucketCors"),
    _DIRECTORY: ("CreateSession", "ListDirectoryBuckets", "RenameObject"),
    _ENCRYPTION: ("DeleteBucketEncryption", "GetBucketEncryption", "PutBucketEncryption", "UpdateObjectEncryption"),
    _LIFECYCLE: (
        "DeleteBucketLifecycle",
        "PutBucketLifecycle",
        "PutBucketLifecycleConfiguration",
    ),
    "the operation is deprecated; its successor with Configuration in its name is served": (
        "GetBucketLifecycle",
        "GetBucketNotification",
        "PutBucketNotification",
    ),
    _LOCK: (
        "GetObjectLegalHold",
        "GetObjectRetention",
        "PutObjectLegalHold",
        "PutObjectLockConfiguration",
        "PutObjectRetention",
    ),
    _LOGGING: ("PutBucketLogging",),
    _METADATA_TABLE: (
        "CreateBucketMetadataConfiguration",
        "CreateBucketMetadataTableConfiguration",
        "DeleteBucketMetadataConfiguration",
        "DeleteBucketMetadataTableConfiguration",
        "GetBucketMetadataConfiguration",
        "GetBucketMetadataTableConfiguration",
        "UpdateBucketMetadataAnnotationTableConfiguration",
        "UpdateBucketMetadataInventoryTableConfiguration",
        "UpdateBucketMetadataJournalTableConfiguration",
    ),
    _POLICY: ("DeleteBucketPolicy", "PutBucketPolicy"),
    _REPLICATION: ("DeleteBucketReplication", "PutBucketReplication"),
    _STORAGE_CLASS: (
        "DeleteBucketIntelligentTieringConfiguration",
        "GetBucketIntelligentTieringConfiguration",
        "ListBucketIntelligentTieringConfigurations",
        "PutBucketIntelligentTieringConfiguration",
        "RestoreObject",
    ),
    "nobody is charged for requests": ("PutBucketRequestPayment",),
    _VERSIONING: ("ListObjectVersions", "PutBucketVersioning"),
    _WEBSITE: ("DeleteBucketWebsite", "PutBucketWebsite"),
    "objects are not served by BitTorrent": ("GetObjectTorrent",),
    "objects are not queried": ("SelectObjectContent",),
    "Object Lambda is not there": ("WriteGetObjectResponse",),
}

NOT_YET: dict[str, str] = {operation: reason for reason, operations in _REASONS.items() for operation in operations}

_CUSTOMER_KEY = dict.fromkeys(("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5"), _ENCRYPTION)
_SOURCE_KEY = {f"CopySource{name}": reason for name, reason in _CUSTOMER_KEY.items()}
_AT_REST = {
    **dict.fromkeys(("ServerSideEncryption", "SSEKMSKeyId", "SSEKMSEncryptionContext", "BucketKeyEnabled"), _ENCRYPTION),
    **_CUSTOMER_KEY,
}
_LOCKED = dict.fromkeys(
    (
        "ObjectLockMode",
        "ObjectLockRetainUntilDate",
        "ObjectLockLegalHoldStatus",
        "ObjectLockEventHold",
        "ObjectLockEventHoldDurationDays",
        "ObjectLockEventHoldDurationYears",
    ),
    _LOCK,
)
_NEW_OBJECT = {**_AT_REST, **_LOCKED, "WebsiteRedirectLocation": _WEBSITE}
_OTHER_CHECKSUMS = {
    f"Checksum{algorithm}": f"the checksum algorithm {algorithm} is not computed here"
    for algorithm in ("SHA512", "MD5", "XXHASH64", "XXHASH3", "XXHASH128")
}
#: members of many operations that are let pass, and why they need no effect
WITHOUT_EFFECT = {"RequestPayer": "the caller agrees to pay for the request; nobody is charged, at AWS either in own buckets"}
_VERSIONED = {"MFA": _VERSIONING, "BypassGovernanceRetention": _LOCK}

#: operation -> member -> why a request that sets it is refused
REFUSED: dict[str, dict[str, str]] = {
    "AbortMultipartUpload": {"IfMatchInitiatedTime": _DIRECTORY},
    "CompleteMultipartUpload": {**_OTHER_CHECKSUMS, **_CUSTOMER_KEY},
    "CopyObject": {**_NEW_OBJECT, **_SOURCE_KEY, "AnnotationDirective": _ANNOTATION},
    "CreateBucket": {
        "ObjectLockEnabledForBucket": _LOCK,
        "CreateBucketConfiguration.Location": _DIRECTORY,
        "CreateBucketConfiguration.Bucket": _DIRECTORY,
    },
    "CreateMultipartUpload": _NEW_OBJECT,
    "DeleteObject": {**_VERSIONED, "IfMatchLastModifiedTime": _DIRECTORY, "IfMatchSize": _DIRECTORY},
    "DeleteObjects": _VERSIONED,
    "GetObject": _CUSTOMER_KEY,
    "GetObjectAttributes": _CUSTOMER_KEY,
    "HeadObject": _CUSTOMER_KEY,
    "ListObjects": {"OptionalObjectAttributes": _STORAGE_CLASS},
    "ListObjectsV2": {"OptionalObjectAttributes": _STORAGE_CLASS},
    "ListParts": _CUSTOMER_KEY,
    "PutBucketNotificationConfiguration": {
        "NotificationConfiguration.TopicConfigurations": "events go to Lambda functions only",
        "NotificationConfiguration.QueueConfigurations": "events go to Lambda functions only",
        "NotificationConfiguration.EventBridgeConfiguration": "events go to Lambda functions only",
    },
    "PutObject": {**_NEW_OBJECT, **_OTHER_CHECKSUMS, "WriteOffsetBytes": _DIRECTORY},
    "UploadPart": {**_OTHER_CHECKSUMS, **_CUSTOMER_KEY},
    "UploadPartCopy": {**_CUSTOMER_KEY, **_SOURCE_KEY},
}
