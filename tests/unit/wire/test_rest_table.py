"""wire/rest_table.py: S3's and Lambda's addresses."""

from __future__ import annotations

from functools import cache

import pytest

from lambdad.wire.http import parse_query
from lambdad.wire.rest_table import RestTable
from lambdad.wire.spec import ServiceSpec


@cache
def table_of(service: str) -> RestTable:
    return RestTable(ServiceSpec(service), needs_subresource=service == "s3")


S3 = [
    ("GET", "/", "ListBuckets"),
    ("GET", "/b", "ListObjects"),
    ("GET", "/b/", "ListObjects"),
    ("GET", "/b?list-type=2", "ListObjectsV2"),
    ("GET", "/b?location", "GetBucketLocation"),
    ("GET", "/b?versions", "ListObjectVersions"),
    ("GET", "/b?uploads", "ListMultipartUploads"),
    ("GET", "/b?notification", "GetBucketNotificationConfiguration"),
    ("PUT", "/b?notification", "PutBucketNotificationConfiguration"),
    ("POST", "/b?delete", "DeleteObjects"),
    ("GET", "/b/k", "GetObject"),
    ("GET", "/b/k?uploadId=1", "ListParts"),
    ("GET", "/b/k?attributes", "GetObjectAttributes"),
    ("PUT", "/b/k", "PutObject"),
    ("PUT", "/b/k?uploadId=1&partNumber=1", "UploadPart"),
    ("PUT", "/b/k?tagging=", "PutObjectTagging"),
    ("POST", "/b/k?uploads", "CreateMultipartUpload"),
    ("POST", "/b/k?uploads=", "CreateMultipartUpload"),
    ("POST", "/b/k?uploadId=1", "CompleteMultipartUpload"),
    ("DELETE", "/b/k?uploadId=1", "AbortMultipartUpload"),
    ("DELETE", "/b/k", "DeleteObject"),
    ("HEAD", "/b", "HeadBucket"),
    ("HEAD", "/b/k", "HeadObject"),
    ("POST", "/b/k", None),
    ("POST", "/b", None),
    ("PATCH", "/b/k", None),
    ("GET", "//k", None),
]


@pytest.mark.parametrize(("method", "address", "operation"), S3, ids=[f"{m} {a}" for m, a, _ in S3])
def test_s3_addresses(method: str, address: str, operation: str | None) -> None:
    """The sub-resource in the query and the depth of the path choose S3's operation."""
    path, _, query = address.partition("?")
    match = table_of("s3").match(method, path, parse_query(query), {})
    assert (match.operation if match else None) == operation


def test_copies_are_told_by_their_header() -> None:
    """x-amz-copy-source makes a PutObject a CopyObject and an UploadPart an UploadPartCopy."""
    headers = {"x-amz-copy-source": "b/k"}
    for query, operation in (("", "CopyObject"), ("partNumber=1&uploadId=2", "UploadPartCopy")):
        match = table_of("s3").match("PUT", "/b/k", parse_query(query), headers)
        assert match is not None
        assert match.operation == operation


KEYS = ["k", "a/b", "a//b", "/a", "a/", "a//", ".", "..", "a/../b", "%2F", "a%2Fb", "é", "a+b c", "%", "?", "#", " "]


@pytest.mark.parametrize("key", KEYS)
def test_keys_come_out_as_they_are(key: str) -> None:
    """Slashes, dots, empty segments and escapes in keys are kept."""
    from urllib.parse import quote

    match = table_of("s3").match("PUT", f"/bucket/{quote(key, safe='/~')}", {}, {})
    assert match is not None
    assert match.labels == {"Bucket": "bucket", "Key": key}


def test_stray_subresources() -> None:
    """A query that means another operation is told apart from parameters that S3 passes over."""
    table = table_of("s3")
    assert table.stray_subresource("PutObject", {"partNumber": ["1"]}) == "partNumber"
    assert table.stray_subresource("ListObjects", {"list-type": ["1"]}) == "list-type"
    assert table.stray_subresource("GetObject", {"partNumber": ["1"], "x-id": ["GetObject"], "id": ["1"]}) is None


LAMBDA = [
    ("GET", "/2015-03-31/functions", "ListFunctions", {}),
    ("GET", "/2015-03-31/functions/", "ListFunctions", {}),
    ("GET", "/2015-03-31/functions/f", "GetFunction", {"FunctionName": "f"}),
    ("POST", "/2015-03-31/functions/arn%3Aaws%3Alambda/invocations", "Invoke", {"FunctionName": "arn:aws:lambda"}),
    ("GET", "/2018-10-31/layers/l/versions/3", "GetLayerVersion", {"LayerName": "l", "VersionNumber": "3"}),
    ("GET", "/2018-10-31/layers?find=LayerVersion&Arn=x", "GetLayerVersionByArn", {}),
    ("GET", "/2018-10-31/layers?find=LayerVersion", "GetLayerVersionByArn", {}),
    ("GET", "/2018-10-31/layers", "ListLayers", {}),
    ("DELETE", "/2017-03-31/tags/arn", "UntagResource", {"Resource": "arn"}),
    ("POST", "/2015-03-31/functions//invocations", None, {}),
    ("GET", "/", None, {}),
]


@pytest.mark.parametrize(("method", "address", "operation", "labels"), LAMBDA, ids=[f"{m} {a}" for m, a, *_ in LAMBDA])
def test_lambda_addresses(method: str, address: str, operation: str | None, labels: dict[str, str]) -> None:
    """Escaped ARNs stay in their segment; an operation is found though its required query is missing."""
    path, _, query = address.partition("?")
    match = table_of("lambda").match(method, path, parse_query(query), {})
    assert (match.operation if match else None) == operation
    if match:
        assert match.labels == labels
