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


def _allow(*actions: str, resource: str | list[str] = "*", **elements: Any) -> Rule:
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

_INSIGHT_RULES = _allow(
    "cloudwatch:GetInsightRuleReport", resource="arn:aws:cloudwatch:*:*:insight-rule/DynamoDBContributorInsights*"
)
_OWN_ACCOUNT = {"StringEquals": {"aws:ResourceAccount": "${aws:PrincipalAccount}"}}
_READ_TABLES_STREAM = ("dynamodb:DescribeStream", "dynamodb:GetRecords", "dynamodb:GetShardIterator", "dynamodb:ListStreams")

#: Path and name -> version in force at AWS, rules.
_POLICIES: Mapping[str, tuple[int, list[Rule]]] = {
    "/AdministratorAccess": (1, [_allow("*")]),
    "/AmazonDynamoDBFullAccess": (
        15,
        [
            _allow(
                "dynamodb:*",
                "dax:*",
                "application-autoscaling:DeleteScalingPolicy",
                "application-autoscaling:DeregisterScalableTarget",
                "application-autoscaling:DescribeScalableTargets",
                "application-autoscaling:DescribeScalingActivities",
                "application-autoscaling:DescribeScalingPolicies",
                "application-autoscaling:PutScalingPolicy",
                "application-autoscaling:RegisterScalableTarget",
                "cloudwatch:DeleteAlarms",
                "cloudwatch:DescribeAlarmHistory",
                "cloudwatch:DescribeAlarms",
                "cloudwatch:DescribeAlarmsForMetric",
                "cloudwatch:GetMetricStatistics",
                "cloudwatch:ListMetrics",
                "cloudwatch:PutMetricAlarm",
                "cloudwatch:GetMetricData",
                "datapipeline:ActivatePipeline",
                "datapipeline:CreatePipeline",
                "datapipeline:DeletePipeline",
                "datapipeline:DescribeObjects",
                "datapipeline:DescribePipelines",
                "datapipeline:GetPipelineDefinition",
                "datapipeline:ListPipelines",
                "datapipeline:PutPipelineDefinition",
                "datapipeline:QueryObjects",
                "ec2:DescribeVpcs",
                "ec2:DescribeSubnets",
                "ec2:DescribeSecurityGroups",
                "iam:GetRole",
                "iam:ListRoles",
                "kms:DescribeKey",
                "kms:ListAliases",
                "sns:CreateTopic",
                "sns:DeleteTopic",
                "sns:ListSubscriptions",
                "sns:ListSubscriptionsByTopic",
                "sns:ListTopics",
                "sns:Subscribe",
                "sns:Unsubscribe",
                "sns:SetTopicAttributes",
                "lambda:CreateFunction",
                "lambda:ListFunctions",
                "lambda:ListEventSourceMappings",
                "lambda:CreateEventSourceMapping",
                "lambda:DeleteEventSourceMapping",
                "lambda:GetFunctionConfiguration",
                "lambda:DeleteFunction",
                "resource-groups:ListGroups",
                "resource-groups:ListGroupResources",
                "resource-groups:GetGroup",
                "resource-groups:GetGroupQuery",
                "resource-groups:DeleteGroup",
                "resource-groups:CreateGroup",
                "tag:GetResources",
                "kinesis:ListStreams",
                "kinesis:DescribeStream",
                "kinesis:DescribeStreamSummary",
            ),
            _INSIGHT_RULES,
            _allow(
                "iam:PassRole",
                Condition={
                    "StringLike": {
                        "iam:PassedToService": [
                            "application-autoscaling.amazonaws.com",
                            "application-autoscaling.amazonaws.com.cn",
                            "dax.amazonaws.com",
                        ]
                    }
                },
            ),
            _allow(
                "iam:CreateServiceLinkedRole",
                Condition={
                    "StringEquals": {
                        "iam:AWSServiceName": [
                            "replication.dynamodb.amazonaws.com",
                            "dax.amazonaws.com",
                            "dynamodb.application-autoscaling.amazonaws.com",
                            "contributorinsights.dynamodb.amazonaws.com",
                            "kinesisreplication.dynamodb.amazonaws.com",
                        ]
                    }
                },
            ),
        ],
    ),
    "/AmazonDynamoDBReadOnlyAccess": (
        14,
        [
            _allow(
                "application-autoscaling:DescribeScalableTargets",
                "application-autoscaling:DescribeScalingActivities",
                "application-autoscaling:DescribeScalingPolicies",
                "cloudwatch:DescribeAlarmHistory",
                "cloudwatch:DescribeAlarms",
                "cloudwatch:DescribeAlarmsForMetric",
                "cloudwatch:GetMetricStatistics",
                "cloudwatch:ListMetrics",
                "cloudwatch:GetMetricData",
                "datapipeline:DescribeObjects",
                "datapipeline:DescribePipelines",
                "datapipeline:GetPipelineDefinition",
                "datapipeline:ListPipelines",
                "datapipeline:QueryObjects",
                "dynamodb:BatchGetItem",
                "dynamodb:Describe*",
                "dynamodb:List*",
                "dynamodb:GetItem",
                "dynamodb:GetResourcePolicy",
                "dynamodb:Query",
                "dynamodb:Scan",
                "dynamodb:PartiQLSelect",
                "dax:Describe*",
                "dax:List*",
                "dax:GetItem",
                "dax:BatchGetItem",
                "dax:Query",
                "dax:Scan",
                "ec2:DescribeVpcs",
                "ec2:DescribeSubnets",
                "ec2:DescribeSecurityGroups",
                "iam:GetRole",
                "iam:ListRoles",
                "kms:DescribeKey",
                "kms:ListAliases",
                "sns:ListSubscriptionsByTopic",
                "sns:ListTopics",
                "lambda:ListFunctions",
                "lambda:ListEventSourceMappings",
                "lambda:GetFunctionConfiguration",
                "resource-groups:ListGroups",
                "resource-groups:ListGroupResources",
                "resource-groups:GetGroup",
                "resource-groups:GetGroupQuery",
                "tag:GetResources",
                "kinesis:ListStreams",
                "kinesis:DescribeStream",
                "kinesis:DescribeStreamSummary",
                Sid="GeneralReadOnlyAccess",
            ),
            {**_INSIGHT_RULES, "Sid": "CCIAccess"},
        ],
    ),
    "/AmazonEC2ContainerRegistryReadOnly": (
        3,
        [
            _allow(
                "ecr:GetAuthorizationToken",
                "ecr:BatchCheckLayerAvailability",
                "ecr:GetDownloadUrlForLayer",
                "ecr:GetRepositoryPolicy",
                "ecr:DescribeRepositories",
                "ecr:ListImages",
                "ecr:DescribeImages",
                "ecr:BatchGetImage",
                "ecr:GetLifecyclePolicy",
                "ecr:GetLifecyclePolicyPreview",
                "ecr:ListTagsForResource",
                "ecr:DescribeImageScanFindings",
            )
        ],
    ),
    "/AmazonKinesisFullAccess": (1, [_allow("kinesis:*")]),
    "/AmazonS3FullAccess": (2, [_allow("s3:*", "s3-object-lambda:*")]),
    "/AmazonS3ReadOnlyAccess": (
        3,
        [_allow("s3:Get*", "s3:List*", "s3:Describe*", "s3-object-lambda:Get*", "s3-object-lambda:List*")],
    ),
    "/AmazonSESFullAccess": (1, [_allow("ses:*")]),
    "/AmazonSNSFullAccess": (1, [_allow("sns:*")]),
    "/AmazonSQSFullAccess": (1, [_allow("sqs:*")]),
    "/AmazonSSMReadOnlyAccess": (1, [_allow("ssm:Describe*", "ssm:Get*", "ssm:List*")]),
    "/AWSLambdaExecute": (
        4,
        [
            _allow("logs:*", resource="arn:aws:logs:*:*:*"),
            _allow("s3:GetObject", "s3:PutObject", resource="arn:aws:s3:::*"),
        ],
    ),
    "/AWSLambdaInvocation-DynamoDB": (1, [_allow("lambda:InvokeFunction"), _allow(*_READ_TABLES_STREAM)]),
    "/AWSLambda_FullAccess": (2, [_allow(*_LOOK_AROUND, "lambda:*", *_LOOK_FURTHER), _PASS_TO_LAMBDA, _READ_FUNCTION_LOGS]),
    "/AWSLambda_ReadOnlyAccess": (
        2,
        [_allow(*_LOOK_AROUND, "lambda:Get*", "lambda:List*", *_LOOK_FURTHER), _READ_FUNCTION_LOGS],
    ),
    "/AWSStepFunctionsFullAccess": (1, [_allow("states:*")]),
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
    "/CloudWatchLambdaApplicationSignalsExecutionRolePolicy": (
        1,
        [
            _allow("xray:PutTraceSegments", Condition=_OWN_ACCOUNT, Sid="CloudWatchApplicationSignalsXrayWritePermissions"),
            _allow(
                *_WRITE_LOGS,
                resource="arn:aws:logs:*:*:log-group:/aws/application-signals/data:*",
                Condition=_OWN_ACCOUNT,
                Sid="CloudWatchApplicationSignalsLogGroupWritePermissions",
            ),
        ],
    ),
    "/CloudWatchLambdaInsightsExecutionRolePolicy": (
        1,
        [
            _allow("logs:CreateLogGroup"),
            _allow("logs:CreateLogStream", "logs:PutLogEvents", resource="arn:aws:logs:*:*:log-group:/aws/lambda-insights:*"),
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
    "/SecretsManagerReadWrite": (
        6,
        [
            _allow(
                "secretsmanager:*",
                "cloudformation:CreateChangeSet",
                "cloudformation:DescribeChangeSet",
                "cloudformation:DescribeStackResource",
                "cloudformation:DescribeStacks",
                "cloudformation:ExecuteChangeSet",
                "docdb-elastic:GetCluster",
                "docdb-elastic:ListClusters",
                "ec2:DescribeSecurityGroups",
                "ec2:DescribeSubnets",
                "ec2:DescribeVpcs",
                "kms:DescribeKey",
                "kms:ListAliases",
                "kms:ListKeys",
                "lambda:ListFunctions",
                "rds:DescribeDBClusters",
                "rds:DescribeDBInstances",
                "redshift:DescribeClusters",
                "redshift-serverless:ListWorkgroups",
                "redshift-serverless:GetNamespace",
                "tag:GetResources",
                Sid="BasePermissions",
            ),
            _allow(
                "lambda:AddPermission",
                "lambda:CreateFunction",
                "lambda:GetFunction",
                "lambda:InvokeFunction",
                "lambda:UpdateFunctionConfiguration",
                resource="arn:aws:lambda:*:*:function:SecretsManager*",
                Sid="LambdaPermissions",
            ),
            _allow(
                "serverlessrepo:CreateCloudFormationChangeSet",
                "serverlessrepo:GetApplication",
                resource="arn:aws:serverlessrepo:*:*:applications/SecretsManager*",
                Sid="SARPermissions",
            ),
            _allow(
                "s3:GetObject",
                resource=["arn:aws:s3:::awsserverlessrepo-changesets*", "arn:aws:s3:::secrets-manager-rotation-apps-*/*"],
                Sid="S3Permissions",
            ),
            _allow(
                "cloudformation:TagResource",
                "cloudformation:UntagResource",
                Condition={"StringEquals": {"cloudformation:CreateAction": ["CreateChangeSet", "ExecuteChangeSet"]}},
                Sid="CloudFormationTagOnCreate",
            ),
        ],
    ),
    "/service-role/AmazonS3ObjectLambdaExecutionRolePolicy": (
        1,
        [_allow(*_WRITE_LOGS, "s3-object-lambda:WriteGetObjectResponse")],
    ),
    "/service-role/AWSLambdaBasicExecutionRole": (1, [_allow(*_WRITE_LOGS)]),
    "/service-role/AWSLambdaBasicDurableExecutionRolePolicy": (
        1,
        [_allow(*_WRITE_LOGS, "lambda:CheckpointDurableExecution", "lambda:GetDurableExecutionState")],
    ),
    "/service-role/AWSLambdaDynamoDBExecutionRole": (
        1,
        [_allow(*_READ_TABLES_STREAM, *_WRITE_LOGS)],
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
    "/service-role/AWSLambdaMSKExecutionRole": (
        2,
        [
            _allow(
                "kafka:DescribeCluster",
                "kafka:DescribeClusterV2",
                "kafka:GetBootstrapBrokers",
                "ec2:CreateNetworkInterface",
                "ec2:DescribeNetworkInterfaces",
                "ec2:DescribeVpcs",
                "ec2:DeleteNetworkInterface",
                "ec2:DescribeSubnets",
                "ec2:DescribeSecurityGroups",
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
