"""AWS's own managed policies that work with Lambda uses, as AWS publishes them; read-only, in every account."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from lambdad.services.iam.model import ManagedPolicy, PolicyVersion

_WRITE_LOGS = ("logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents")
_LOOK_AROUND = (
    "cloudformation:DescribeStacks",
    "cloudformation:ListStackResources",
    "cloudwatch:ListMetrics",
    "cloudwatch:GetMetricData",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
    "kms:ListAliases",
    "iam:GetPolicy",
    "iam:GetPolicyVersion",
    "iam:GetRole",
    "iam:GetRolePolicy",
    "iam:ListAttachedRolePolicies",
    "iam:ListRolePolicies",
    "iam:ListRoles",
)
_LOOK_FURTHER = (
    "logs:DescribeLogGroups",
    "states:DescribeStateMachine",
    "states:ListStateMachines",
    "tag:GetResources",
    "xray:GetTraceSummaries",
    "xray:BatchGetTraces",
)

Rule = dict[str, Any]


def _allow(*actions: str, resource: str = "*", **elements: Any) -> Rule:
    return {"Effect": "Allow", "Action": list(actions), "Resource": resource, **elements}


_READ_FUNCTION_LOGS = _allow(
    "logs:DescribeLogStreams",
    "logs:GetLogEvents",
    "logs:FilterLogEvents",
    "logs:StartLiveTail",
    "logs:StopLiveTail",
    resource="arn:aws:logs:*:*:log-group:/aws/lambda/*",
)
_PASS_TO_LAMBDA = _allow(
    "iam:PassRole", Condition={"StringEquals": {"iam:PassedToService": "lambda.amazonaws.com"}}
)  # fmt: skip

#: Path and name -> version in force at AWS, rules.
_POLICIES: Mapping[str, tuple[int, list[Rule]]] = {
    "/AdministratorAccess": (1, [_allow("*")]),
    "/AmazonS3FullAccess": (2, [_allow("s3:*", "s3-object-lambda:*")]),
    "/AmazonS3ReadOnlyAccess": (
        3,
        [_allow("s3:Get*", "s3:List*", "s3:Describe*", "s3-object-lambda:Get*", "s3-object-lambda:List*")],
    ),
    "/AmazonSNSFullAccess": (1, [_allow("sns:*")]),
    "/AmazonSQSFullAccess": (1, [_allow("sqs:*")]),
    "/AWSLambdaExecute": (
        4,
        [
            _allow("logs:*", resource="arn:aws:logs:*:*:*"),
            _allow("s3:GetObject", "s3:PutObject", resource="arn:aws:s3:::*"),
        ],
    ),
    "/AWSLambda_FullAccess": (2, [_allow(*_LOOK_AROUND, "lambda:*", *_LOOK_FURTHER), _PASS_TO_LAMBDA, _READ_FUNCTION_LOGS]),
    "/AWSLambda_ReadOnlyAccess": (
        2,
        [_allow(*_LOOK_AROUND, "lambda:Get*", "lambda:List*", *_LOOK_FURTHER), _READ_FUNCTION_LOGS],
    ),
    "/AWSXRayDaemonWriteAccess": (
        2,
        [
            _allow(
                "xray:PutTraceSegments",
                "xray:PutTelemetryRecords",
                "xray:GetSamplingRules",
                "xray:GetSamplingTargets",
                "xray:GetSamplingStatisticSummaries",
            )
        ],
    ),
    "/CloudWatchLogsFullAccess": (2, [_allow("logs:*", "cloudwatch:GenerateQuery")]),
    "/IAMReadOnlyAccess": (
        4,
        [
            _allow(
                "iam:GenerateCredentialReport",
                "iam:GenerateServiceLastAccessedDetails",
                "iam:Get*",
                "iam:List*",
                "iam:SimulateCustomPolicy",
                "iam:SimulatePrincipalPolicy",
            )
        ],
    ),
    "/service-role/AWSLambdaBasicExecutionRole": (1, [_allow(*_WRITE_LOGS)]),
    "/service-role/AWSLambdaBasicDurableExecutionRolePolicy": (
        1,
        [_allow(*_WRITE_LOGS, "lambda:CheckpointDurableExecution", "lambda:GetDurableExecutionState")],
    ),
    "/service-role/AWSLambdaDynamoDBExecutionRole": (
        1,
        [
            _allow(
                "dynamodb:DescribeStream",
                "dynamodb:GetRecords",
                "dynamodb:GetShardIterator",
                "dynamodb:ListStreams",
                *_WRITE_LOGS,
            )
        ],
    ),
    "/service-role/AWSLambdaKinesisExecutionRole": (
        2,
        [
            _allow(
                "kinesis:DescribeStream",
                "kinesis:DescribeStreamSummary",
                "kinesis:GetRecords",
                "kinesis:GetShardIterator",
                "kinesis:ListShards",
                "kinesis:ListStreams",
                "kinesis:SubscribeToShard",
                *_WRITE_LOGS,
            )
        ],
    ),
    "/service-role/AWSLambdaRole": (1, [_allow("lambda:InvokeFunction")]),
    "/service-role/AWSLambdaSQSQueueExecutionRole": (
        1,
        [_allow("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes", *_WRITE_LOGS)],
    ),
    "/service-role/AWSLambdaVPCAccessExecutionRole": (
        3,
        [
            _allow(
                *_WRITE_LOGS,
                "ec2:CreateNetworkInterface",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeSubnets",
                "ec2:DeleteNetworkInterface",
                "ec2:AssignPrivateIpAddresses",
                "ec2:UnassignPrivateIpAddresses",
                Sid="AWSLambdaVPCAccessExecutionPermissions",
            )
        ],
    ),
}
_CREATED_AT = 1_423_243_596.0  #: February 2015, when the first of them came


def _managed(full_name: str, version: int, rules: list[Rule]) -> ManagedPolicy:
    path, _, name = full_name.rpartition("/")
    text = json.dumps({"Version": "2012-10-17", "Statement": rules})
    number = f"v{version}"
    return ManagedPolicy(
        account_id="aws",
        name=name,
        path=f"{path}/",
        unique_id="ANPA" + name.upper().translate({ord("_"): "X", ord("-"): "X"})[:17].ljust(17, "X"),
        created_at=_CREATED_AT,
        updated_at=_CREATED_AT,
        versions={number: PolicyVersion(text, _CREATED_AT)},
        default=number,
        latest=version,
    )


AWS_MANAGED: Mapping[str, ManagedPolicy] = {
    policy.arn: policy for policy in (_managed(name, *rest) for name, rest in _POLICIES.items())
}
