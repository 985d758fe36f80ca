"""Which rights operations ask for, checked against AWS's Service Authorization Reference, a row an operation."""

from __future__ import annotations

import importlib
from typing import Any

import pytest

from lambdad.model.request import Principal, RequestContext
from lambdad.services.lambda_ import SERVICE

ACCOUNT = "111111111111"
LAMBDA = f"arn:aws:lambda:us-east-1:{ACCOUNT}:"
FUNCTION = f"{LAMBDA}function:f"
LAYER = f"{LAMBDA}layer:l"
PROVIDER = f"{LAMBDA}capacity-provider:p"
PLACED = {"CapacityProviderConfig": {"LambdaManagedInstancesCapacityProviderConfig": {"CapacityProviderArn": PROVIDER}}}
GROUPS = f"arn:aws:logs:us-east-1:{ACCOUNT}:log-group:"
SIGNER = f"arn:aws:signer:us-east-1:{ACCOUNT}:/"
IAM = f"arn:aws:iam::{ACCOUNT}:"
ROLE = f"{IAM}role/r"
OBJECT = "arn:aws:s3:::b/a b"
ANN = f"{IAM}user/ann"


def asked(service: str, operation: str, request: dict[str, Any]) -> list[tuple[str, Any]]:
    """Actions and resources, in the order in which they are asked for."""
    folder = "lambda_" if service == "lambda" else service
    known = importlib.import_module(f"lambdad.services.{folder}").SERVICE.permissions[operation]
    context = RequestContext(
        "r", service, operation, ACCOUNT, "us-east-1", Principal(ACCOUNT, ANN), "127.0.0.1", "http://localhost"
    )
    return [
        (permission.action, permission.resource(context, request))
        for permission in known
        if permission.applies is None or permission.applies(request)
    ]


@pytest.mark.parametrize(
    ("service", "operation", "request_", "expected"),
    [
        ("lambda", "Invoke", {"FunctionName": "f"}, [("lambda:InvokeFunction", FUNCTION)]),
        ("lambda", "Invoke", {"FunctionName": "f:live"}, [("lambda:InvokeFunction", f"{FUNCTION}:live")]),
        ("lambda", "Invoke", {"FunctionName": "f", "Qualifier": "1"}, [("lambda:InvokeFunction", f"{FUNCTION}:1")]),
        (
            "lambda", "Invoke", {"FunctionName": FUNCTION.replace(ACCOUNT, "222222222222")},
            [("lambda:InvokeFunction", FUNCTION.replace(ACCOUNT, "222222222222"))],
        ),
        ("lambda", "InvokeWithResponseStream", {"FunctionName": "f"}, [("lambda:InvokeFunction", FUNCTION)]),
        (
            "lambda", "GetFunction", {"FunctionName": "f", "Qualifier": "1"},
            [("lambda:GetFunction", FUNCTION), ("lambda:ListTags", FUNCTION)],
        ),
        (
            "lambda", "CreateFunction", {"FunctionName": "f", "Role": ROLE, "Code": {"ZipFile": b"x"}, "Tags": {"a": "b"}},
            [("lambda:CreateFunction", FUNCTION), ("iam:PassRole", ROLE), ("lambda:TagResource", FUNCTION)],
        ),
        (
            "lambda", "CreateCodeSigningConfig", {"Tags": {"a": "b"}},
            [("lambda:CreateCodeSigningConfig", "*"), ("lambda:TagResource", f"{LAMBDA}code-signing-config:*")],
        ),
        ("lambda", "UpdateAlias", {"FunctionName": FUNCTION, "Name": "live"}, [("lambda:UpdateAlias", FUNCTION)]),
        ("lambda", "ListFunctions", {}, [("lambda:ListFunctions", "*")]),
        (
            "lambda", "CreateFunction",
            {"FunctionName": "f", "Role": ROLE, "Code": {"S3Bucket": "b", "S3Key": "a b"}, "Layers": [f"{LAYER}:1"]},
            [
                ("lambda:CreateFunction", FUNCTION), ("iam:PassRole", ROLE), ("s3:GetObject", OBJECT),
                ("lambda:GetLayerVersion", [f"{LAYER}:1"]),
            ],
        ),
        (
            "lambda", "CreateFunction", {"FunctionName": "f", "Role": ROLE, "Code": {"ZipFile": b"x"}},
            [("lambda:CreateFunction", FUNCTION), ("iam:PassRole", ROLE)],
        ),
        (
            "lambda", "CreateFunction", {"FunctionName": "f", "Role": ROLE, "Code": {"ZipFile": b"x"}, **PLACED},
            [("lambda:CreateFunction", FUNCTION), ("iam:PassRole", ROLE), ("lambda:PassCapacityProvider", PROVIDER)],
        ),
        (
            "lambda", "UpdateFunctionConfiguration", {"FunctionName": "f", **PLACED},
            [("lambda:UpdateFunctionConfiguration", FUNCTION), ("lambda:PassCapacityProvider", PROVIDER)],
        ),
        (
            "lambda", "CreateCapacityProvider",
            {"CapacityProviderName": "p", "PermissionsConfig": {"CapacityProviderOperatorRoleArn": ROLE}},
            [("lambda:CreateCapacityProvider", PROVIDER), ("iam:PassRole", ROLE)],
        ),
        ("lambda", "GetCapacityProvider", {"CapacityProviderName": PROVIDER}, [("lambda:GetCapacityProvider", PROVIDER)]),
        (
            "lambda", "UpdateFunctionConfiguration", {"FunctionName": "f", "Timeout": 3},
            [("lambda:UpdateFunctionConfiguration", FUNCTION)],
        ),
        (
            "lambda", "UpdateFunctionCode", {"FunctionName": "f", "S3Bucket": "b", "S3Key": "a b"},
            [("lambda:UpdateFunctionCode", FUNCTION), ("s3:GetObject", OBJECT)],
        ),
        ("lambda", "GetLayerVersion", {"LayerName": "l", "VersionNumber": 3}, [("lambda:GetLayerVersion", f"{LAYER}:3")]),
        ("lambda", "GetLayerVersionByArn", {"Arn": f"{LAYER}:3"}, [("lambda:GetLayerVersion", f"{LAYER}:3")]),
        ("lambda", "ListLayerVersions", {"LayerName": "l"}, [("lambda:ListLayerVersions", LAYER)]),
        ("lambda", "TagResource", {"Resource": FUNCTION, "Tags": {}}, [("lambda:TagResource", FUNCTION)]),
        (
            "lambda", "ListFunctionUrlConfigs", {"FunctionName": "f:live"}, [("lambda:ListFunctionUrlConfigs", FUNCTION)],
        ),
        (
            "lambda", "GetEventSourceMapping", {"UUID": "u"},
            [("lambda:GetEventSourceMapping", f"{LAMBDA}event-source-mapping:u")],
        ),
        (
            "lambda", "PutResourcePolicy", {"ResourceArn": f"{FUNCTION}:1", "Policy": "{}"},
            [(f"lambda:{action}", f"{FUNCTION}:1") for action in ("PutResourcePolicy", "AddPermission", "RemovePermission")],
        ),
        ("s3", "PutObject", {"Bucket": "b", "Key": "a b"}, [("s3:PutObject", OBJECT)]),
        (
            "s3", "PutObject", {"Bucket": "b", "Key": "a b", "Tagging": "k=v"},
            [("s3:PutObject", OBJECT), ("s3:PutObjectTagging", OBJECT)],
        ),
        ("s3", "HeadObject", {"Bucket": "b", "Key": "a b"}, [("s3:GetObject", OBJECT)]),
        (
            "s3", "CopyObject", {"Bucket": "b", "Key": "k", "CopySource": "/b/a%20b?versionId=null"},
            [("s3:PutObject", "arn:aws:s3:::b/k"), ("s3:GetObject", OBJECT)],
        ),
        (
            "s3", "DeleteObjects", {"Bucket": "b", "Delete": {"Objects": [{"Key": "x"}, {"Key": "y"}]}},
            [("s3:DeleteObject", ["arn:aws:s3:::b/x", "arn:aws:s3:::b/y"])],
        ),
        ("s3", "ListObjectsV2", {"Bucket": "b", "Prefix": "p"}, [("s3:ListBucket", "arn:aws:s3:::b")]),
        ("s3", "HeadBucket", {"Bucket": "b"}, [("s3:ListBucket", "arn:aws:s3:::b")]),
        ("s3", "ListBuckets", {}, [("s3:ListAllMyBuckets", "*")]),
        ("s3", "UploadPart", {"Bucket": "b", "Key": "a b"}, [("s3:PutObject", OBJECT)]),
        ("s3", "ListParts", {"Bucket": "b", "Key": "a b"}, [("s3:ListMultipartUploadParts", OBJECT)]),
        ("s3", "PutBucketNotificationConfiguration", {"Bucket": "b"}, [("s3:PutBucketNotification", "arn:aws:s3:::b")]),
        ("logs", "CreateLogGroup", {"logGroupName": "/g"}, [("logs:CreateLogGroup", f"{GROUPS}/g:*")]),
        (
            "logs", "PutLogEvents", {"logGroupName": "/g", "logStreamName": "s"},
            [("logs:PutLogEvents", f"{GROUPS}/g:log-stream:s")],
        ),
        (
            "logs", "FilterLogEvents", {"logGroupIdentifier": f"{GROUPS}/g"}, [("logs:FilterLogEvents", f"{GROUPS}/g:*")],
        ),
        ("logs", "DescribeLogGroups", {}, [("logs:DescribeLogGroups", f"{GROUPS}*")]),
        ("iam", "CreateRole", {"RoleName": "r", "Path": "/p/"}, [("iam:CreateRole", f"{IAM}role/p/r")]),
        ("iam", "GetUser", {}, [("iam:GetUser", ANN)]),
        ("iam", "AttachRolePolicy", {"RoleName": "r", "PolicyArn": "x"}, [("iam:AttachRolePolicy", ROLE)]),
        ("iam", "GetPolicy", {"PolicyArn": f"{IAM}policy/p"}, [("iam:GetPolicy", f"{IAM}policy/p")]),
        ("iam", "ListUsers", {}, [("iam:ListUsers", "*")]),
        ("iam", "SimulatePrincipalPolicy", {"PolicySourceArn": ROLE}, [("iam:SimulatePrincipalPolicy", ROLE)]),
        ("iam", "SimulateCustomPolicy", {}, [("iam:SimulateCustomPolicy", "*")]),
        ("sts", "GetCallerIdentity", {}, []),
        ("signer", "PutSigningProfile", {"profileName": "p"}, [("signer:PutSigningProfile", "*")]),
        ("signer", "GetSigningProfile", {"profileName": "p"}, [("signer:GetSigningProfile", f"{SIGNER}signing-profiles/p")]),
        ("signer", "RevokeSignature", {"jobId": "j"}, [("signer:RevokeSignature", f"{SIGNER}signing-jobs/j")]),
        (
            "signer", "StartSigningJob",
            {
                "profileName": "p", "source": {"s3": {"bucketName": "b", "key": "a b", "version": "null"}},
                "destination": {"s3": {"bucketName": "c", "prefix": "signed/"}},
            },
            [
                ("signer:StartSigningJob", f"{SIGNER}signing-profiles/p"), ("s3:GetObject", OBJECT),
                ("s3:PutObject", "arn:aws:s3:::c/signed/*"),
            ],
        ),
        ("signer", "StartSigningJob", {"profileName": "p", "source": {}, "destination": {}}, [
            ("signer:StartSigningJob", f"{SIGNER}signing-profiles/p"), ("s3:GetObject", "arn:aws:s3:::/"),
            ("s3:PutObject", "arn:aws:s3:::/*"),
        ]),
    ],
)  # fmt: skip
def test_an_operation_asks_for_its_rights(
    service: str, operation: str, request_: dict[str, Any], expected: list[tuple[str, Any]]
) -> None:
    """Its own action on its resource, and what else it touches in the caller's name."""
    assert asked(service, operation, request_) == expected


@pytest.mark.parametrize("operation", ["CreateFunctionUrlConfig", "UpdateFunctionUrlConfig", "DeleteFunctionUrlConfig"])
def test_conditions_know_the_function_of_a_url(operation: str) -> None:
    """`lambda:FunctionArn`, beside what a new URL asks of its callers."""
    (permission,) = SERVICE.permissions[operation]
    assert permission.keys is not None
    context = RequestContext(
        "r", "lambda", operation, ACCOUNT, "us-east-1", Principal(ACCOUNT, ANN), "127.0.0.1", "http://localhost"
    )
    read = {key: reader(context, {"FunctionName": "f", "AuthType": "NONE"}) for key, reader in permission.keys.items()}
    assert read["lambda:functionarn"] == (FUNCTION,)
    assert read["lambda:functionurlauthtype"] == ("NONE",)
