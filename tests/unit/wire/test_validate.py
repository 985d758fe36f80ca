"""wire/validate.py: AWS's wording, from the models."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from lambdad.errors import ServiceError
from lambdad.wire.dialect import dialect_of
from lambdad.wire.spec import ServiceSpec
from lambdad.wire.validate import Validator
from lambdad.wire.validate_s3 import S3Validator


@cache
def spec_of(service: str) -> ServiceSpec:
    return ServiceSpec(service)


def message_of(service: str, operation: str, parameters: dict[str, Any]) -> str:
    spec = spec_of(service)
    check = Validator(dialect_of(service, spec.protocol)).check_of(spec.operation(operation))
    assert check is not None
    try:
        check(parameters)
    except ServiceError as error:
        assert error.status == 400
        return f"{error.code}: {error.message}"
    return ""


NAME = "[a-zA-Z0-9-_]+"
KEY = "[a-zA-Z]([a-zA-Z0-9_])+"
FUNCTION = {"FunctionName": "f", "Role": "arn:aws:iam::000000000000:role/r", "Code": {}}
EVENT = {"timestamp": 1, "message": "m"}
ONE = "ValidationException: 1 validation error detected: "
FAILED = "failed to satisfy constraint: Member must"

TABLE = [
    ("lambda", "CreateAlias", {"FunctionName": "f", "Name": "a", "FunctionVersion": "1"}, ""),
    (
        "lambda",
        "UntagResource",
        {"Resource": "arn:aws:lambda:us-east-1:000000000000:function:f"},
        f"{ONE}Value null at 'tagKeys' {FAILED} not be null",
    ),
    (
        "lambda",
        "ListFunctions",
        {"MaxItems": 0},
        f"{ONE}Value '0' at 'maxItems' {FAILED} have value greater than or equal to 1",
    ),
    (
        "lambda",
        "ListFunctions",
        {"MaxItems": 20000},
        f"{ONE}Value '20000' at 'maxItems' {FAILED} have value less than or equal to 10000",
    ),
    (
        "lambda",
        "Invoke",
        {"FunctionName": "f", "InvocationType": "Later"},
        f"{ONE}Value 'Later' at 'invocationType' {FAILED} satisfy enum value set: [Event, RequestResponse, DryRun]",
    ),
    (
        "lambda",
        "CreateFunction",
        {**FUNCTION, "Handler": "a b"},
        f"{ONE}Value 'a b' at 'handler' {FAILED} satisfy regular expression pattern: [^\\s]+",
    ),
    (
        "lambda",
        "CreateFunction",
        {**FUNCTION, "Description": "d" * 257},
        f"{ONE}Value '{'d' * 257}' at 'description' {FAILED} have length less than or equal to 256",
    ),
    (
        "lambda",
        "CreateFunction",
        {**FUNCTION, "Environment": {"Variables": {"1A": "secret"}}},
        f"{ONE}Value at 'environment.variables' failed to satisfy constraint: "
        f"Map keys must satisfy constraint: [Member must satisfy regular expression pattern: {KEY}]",
    ),
    (
        "lambda",
        "CreateFunction",
        {**FUNCTION, "Architectures": ["vax"]},
        f"{ONE}Value '[vax]' at 'architectures' failed to satisfy constraint: "
        "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64]]",
    ),
    (
        "lambda",
        "CreateFunction",
        {**FUNCTION, "Runtime": "python9", "Timeout": 99999, "MemorySize": 1, "EphemeralStorage": {"Size": 1}},
        "",  # left to the service, which has its own words for them
    ),
    (
        "lambda",
        "CreateFunction",
        {**FUNCTION, "FileSystemConfigs": [{"Arn": "x"}]},
        "ValidationException: 2 validation errors detected: "
        f"Value null at 'fileSystemConfigs.1.member.localMountPath' {FAILED} not be null; "
        f"Value 'x' at 'fileSystemConfigs.1.member.arn' {FAILED} satisfy regular expression pattern: ",
    ),
    (
        "logs",
        "CreateLogGroup",
        {"logGroupName": ""},
        "InvalidParameterException: 2 validation errors detected: "
        f"Value '' at 'logGroupName' {FAILED} have length greater than or equal to 1; "
        f"Value '' at 'logGroupName' {FAILED} satisfy regular expression pattern: [\\.\\-_/#A-Za-z0-9]+",
    ),
    (
        "logs",
        "PutLogEvents",
        {"logGroupName": "g", "logStreamName": "s", "logEvents": [EVENT, {**EVENT, "message": ""}]},
        f"InvalidParameterException: 1 validation error detected: "
        f"Value '' at 'logEvents.2.member.message' {FAILED} have length greater than or equal to 1",
    ),
    (
        "dynamodb",
        "BatchWriteItem",
        {"RequestItems": {"table": [{"PutRequest": {}}]}},
        f"{ONE}Value null at 'requestItems.table.member.1.member.putRequest.item' {FAILED} not be null",
    ),
    ("sts", "AssumeRole", {}, "ValidationError: 2 validation errors detected: Value null at 'roleArn' "),
]  # fmt: skip


@pytest.mark.parametrize(("service", "operation", "parameters", "message"), TABLE, ids=range(len(TABLE)))
def test_wording(service: str, operation: str, parameters: dict[str, Any], message: str) -> None:
    """Each kind of constraint is worded, and its member named, as AWS does."""
    found = message_of(service, operation, parameters)
    assert found.startswith(message) if message else found == ""


def test_hostile_values_cost_little() -> None:
    """Huge values are neither tried on patterns nor printed back whole."""
    message = message_of("lambda", "CreateFunction", {**FUNCTION, "Role": "arn:aws:iam::" + "1" * 10_000_000})
    assert "have length less than or equal to 10000" in message
    assert len(message) < 10_000
    many = [{"Arn": "x", "LocalMountPath": "y"}] * 100_000
    assert len(message_of("lambda", "CreateFunction", {**FUNCTION, "FileSystemConfigs": many})) < 200_000


def test_recursive_shapes() -> None:
    """A shape that contains itself is checked at every depth it comes in."""
    nested: dict[str, Any] = {"S": "x"}
    for _ in range(50):
        nested = {"L": [nested]}
    assert message_of("dynamodb", "PutItem", {"TableName": "t", "Item": {"a": nested}}) == ""


S3_TABLE: list[tuple[str, dict[str, Any], str]] = [
    ("PutObject", {"StorageClass": "COLD"}, "InvalidStorageClass"),
    ("PutObject", {"ACL": "mine"}, "InvalidArgument"),
    ("CreateBucket", {"CreateBucketConfiguration": {"LocationConstraint": "moon"}}, "InvalidLocationConstraint"),
    ("PutBucketNotificationConfiguration", {}, "MissingRequestBodyError"),
    ("DeleteObjects", {"Delete": {"Objects": [{}]}}, "MalformedXML"),
    ("CopyObject", {}, "InvalidRequest"),
    ("UploadPart", {"PartNumber": 1}, "InvalidArgument"),
    ("ListObjectsV2", {"EncodingType": "rot13"}, "InvalidArgument"),
    (
        "PutBucketNotificationConfiguration",
        {"NotificationConfiguration": {"LambdaFunctionConfigurations": [{"LambdaFunctionArn": "a", "Events": ["s3:Nope"]}]}},
        "InvalidArgument",
    ),
    ("PutObject", {"StorageClass": "STANDARD"}, ""),
]  # fmt: skip


@pytest.mark.parametrize(("operation", "parameters", "code"), S3_TABLE, ids=range(len(S3_TABLE)))
def test_s3_has_errors_of_its_own(operation: str, parameters: dict[str, Any], code: str) -> None:
    """S3 never answers ValidationException."""
    check = S3Validator().check_of(spec_of("s3").operation(operation))
    assert check is not None
    if not code:
        check(parameters)
        return
    with pytest.raises(ServiceError) as caught:
        check(parameters)
    assert caught.value.code == code
