"""The table of operations against botocore's model of the service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel, Shape, StructureShape

from lambdad.services.lambda_ import SERVICE

MODEL = ServiceModel(Loader().load_service_model("lambda", "service-2"), "lambda")

CORS = "Cors.AllowCredentials Cors.AllowHeaders Cors.AllowMethods Cors.AllowOrigins Cors.ExposeHeaders Cors.MaxAge"

#: As which versions on managed instances are made.
CAPACITY = (
    "CapacityProviderConfig.LambdaManagedInstancesCapacityProviderConfig.CapacityProviderArn "
    "CapacityProviderConfig.LambdaManagedInstancesCapacityProviderConfig.PerExecutionEnvironmentMaxConcurrency "
    "CapacityProviderConfig.LambdaManagedInstancesCapacityProviderConfig.ExecutionEnvironmentMemoryGiBPerVCpu"
)

#: Members that an operation reads, beside those whose values `settings.check_unsupported_values` judges.
READ = {
    "CreateCodeSigningConfig": "Description AllowedPublishers.SigningProfileVersionArns Tags "
    "CodeSigningPolicies.UntrustedArtifactOnDeployment",
    "DeleteCodeSigningConfig": "CodeSigningConfigArn",
    "DeleteFunctionCodeSigningConfig": "FunctionName",
    "GetCodeSigningConfig": "CodeSigningConfigArn",
    "GetFunctionCodeSigningConfig": "FunctionName",
    "ListCodeSigningConfigs": "Marker MaxItems",
    "ListFunctionsByCodeSigningConfig": "CodeSigningConfigArn Marker MaxItems",
    "PutFunctionCodeSigningConfig": "FunctionName CodeSigningConfigArn",
    "UpdateCodeSigningConfig": "CodeSigningConfigArn Description AllowedPublishers.SigningProfileVersionArns "
    "CodeSigningPolicies.UntrustedArtifactOnDeployment",
    "AddLayerVersionPermission": "LayerName VersionNumber StatementId Action Principal OrganizationId RevisionId",
    "AddPermission": "FunctionName StatementId Action Principal SourceArn FunctionUrlAuthType InvokedViaFunctionUrl "
    "SourceAccount EventSourceToken Qualifier RevisionId PrincipalOrgID",
    "CreateAlias": "FunctionName Name FunctionVersion Description RoutingConfig.AdditionalVersionWeights",
    "CreateFunctionUrlConfig": f"FunctionName Qualifier AuthType InvokeMode {CORS}",
    "UpdateFunctionUrlConfig": f"FunctionName Qualifier AuthType InvokeMode {CORS}",
    "DeleteFunctionUrlConfig": "FunctionName Qualifier",
    "GetFunctionUrlConfig": "FunctionName Qualifier",
    "ListFunctionUrlConfigs": "FunctionName Marker MaxItems",
    "CreateFunction": "FunctionName Runtime Role Handler Code.ZipFile Code.S3Bucket Code.S3Key Code.S3ObjectVersion "
    "Code.S3ObjectStorageMode Description Timeout MemorySize Publish VpcConfig.SubnetIds VpcConfig.SecurityGroupIds "
    "VpcConfig.Ipv6AllowedForDualStack PackageType DeadLetterConfig.TargetArn Environment.Variables TracingConfig.Mode Tags "
    "Layers FileSystemConfigs Architectures EphemeralStorage.Size SnapStart.ApplyOn LoggingConfig.LogFormat "
    "LoggingConfig.ApplicationLogLevel LoggingConfig.SystemLogLevel LoggingConfig.LogGroup TenancyConfig.TenantIsolationMode "
    "CodeSigningConfigArn Code.ImageUri ImageConfig.EntryPoint ImageConfig.Command ImageConfig.WorkingDirectory PublishTo "
    + CAPACITY,
    "DeleteAlias": "FunctionName Name",
    "DeleteFunction": "FunctionName Qualifier",
    "DeleteFunctionConcurrency": "FunctionName",
    "DeleteFunctionEventInvokeConfig": "FunctionName Qualifier",
    "DeleteLayerVersion": "LayerName VersionNumber",
    "DeleteResourcePolicy": "ResourceArn RevisionId",
    "GetAccountSettings": "",
    "GetAlias": "FunctionName Name",
    "GetEventSourceMapping": "UUID",
    "GetFunction": "FunctionName Qualifier",
    "GetFunctionConcurrency": "FunctionName",
    "GetFunctionRecursionConfig": "FunctionName",
    "GetFunctionConfiguration": "FunctionName Qualifier",
    "GetFunctionEventInvokeConfig": "FunctionName Qualifier",
    "GetLayerVersion": "LayerName VersionNumber",
    "GetLayerVersionByArn": "Arn",
    "GetLayerVersionPolicy": "LayerName VersionNumber",
    "GetPolicy": "FunctionName Qualifier",
    "GetResourcePolicy": "ResourceArn",
    "Invoke": "FunctionName InvocationType LogType ClientContext Payload Qualifier TenantId",
    "InvokeAsync": "FunctionName InvokeArgs",
    "InvokeWithResponseStream": "FunctionName InvocationType LogType ClientContext Payload Qualifier TenantId",
    "ListAliases": "FunctionName FunctionVersion Marker MaxItems",
    "ListEventSourceMappings": "EventSourceArn FunctionName Marker MaxItems",
    "ListFunctionEventInvokeConfigs": "FunctionName Marker MaxItems",
    "ListFunctions": "MasterRegion FunctionVersion Marker MaxItems",
    "ListLayerVersions": "CompatibleArchitecture CompatibleRuntime LayerName Marker MaxItems",
    "ListLayers": "CompatibleArchitecture CompatibleRuntime Marker MaxItems",
    "ListTags": "Resource",
    "ListVersionsByFunction": "FunctionName Marker MaxItems",
    "PublishLayerVersion": "LayerName Description Content.S3Bucket Content.S3Key Content.S3ObjectVersion "
    "Content.S3ObjectStorageMode Content.ZipFile CompatibleArchitectures CompatibleRuntimes LicenseInfo",
    "PublishVersion": "FunctionName CodeSha256 Description RevisionId PublishTo",
    "CreateCapacityProvider": "CapacityProviderName VpcConfig.SubnetIds VpcConfig.SecurityGroupIds "
    "PermissionsConfig.CapacityProviderOperatorRoleArn InstanceRequirements.Architectures "
    "CapacityProviderScalingConfig.MaxVCpuCount CapacityProviderScalingConfig.ScalingMode Tags PropagateTags.Mode",
    "UpdateCapacityProvider": "CapacityProviderName CapacityProviderScalingConfig.MaxVCpuCount "
    "CapacityProviderScalingConfig.ScalingMode PropagateTags.Mode",
    "GetCapacityProvider": "CapacityProviderName",
    "DeleteCapacityProvider": "CapacityProviderName",
    "ListCapacityProviders": "State Marker MaxItems",
    "ListFunctionVersionsByCapacityProvider": "CapacityProviderName Marker MaxItems",
    "GetFunctionScalingConfig": "FunctionName Qualifier",
    "PutFunctionScalingConfig": "FunctionName Qualifier FunctionScalingConfig.MinExecutionEnvironments "
    "FunctionScalingConfig.MaxExecutionEnvironments",
    "DeleteProvisionedConcurrencyConfig": "FunctionName Qualifier",
    "GetProvisionedConcurrencyConfig": "FunctionName Qualifier",
    "ListProvisionedConcurrencyConfigs": "FunctionName Marker MaxItems",
    "PutProvisionedConcurrencyConfig": "FunctionName Qualifier ProvisionedConcurrentExecutions",
    "PutFunctionConcurrency": "FunctionName ReservedConcurrentExecutions",
    "PutFunctionRecursionConfig": "FunctionName RecursiveLoop",
    "PutFunctionEventInvokeConfig": "FunctionName Qualifier MaximumRetryAttempts MaximumEventAgeInSeconds "
    "DestinationConfig.OnSuccess.Destination DestinationConfig.OnFailure.Destination",
    "GetRuntimeManagementConfig": "FunctionName Qualifier",
    "PutRuntimeManagementConfig": "FunctionName Qualifier UpdateRuntimeOn RuntimeVersionArn",
    "PutResourcePolicy": "ResourceArn Policy RevisionId",
    "RemoveLayerVersionPermission": "LayerName VersionNumber StatementId RevisionId",
    "RemovePermission": "FunctionName StatementId Qualifier RevisionId",
    "TagResource": "Resource Tags",
    "UntagResource": "Resource TagKeys",
    "UpdateFunctionEventInvokeConfig": "FunctionName Qualifier MaximumRetryAttempts MaximumEventAgeInSeconds "
    "DestinationConfig.OnSuccess.Destination DestinationConfig.OnFailure.Destination",
    "UpdateAlias": "FunctionName Name FunctionVersion Description RoutingConfig.AdditionalVersionWeights RevisionId",
    "UpdateFunctionCode": "FunctionName ZipFile S3Bucket S3Key S3ObjectVersion S3ObjectStorageMode Architectures Publish "
    "DryRun RevisionId ImageUri PublishTo",
    "UpdateFunctionConfiguration": "FunctionName Role Handler Description Timeout MemorySize VpcConfig.SubnetIds "
    "VpcConfig.SecurityGroupIds VpcConfig.Ipv6AllowedForDualStack Environment.Variables Runtime DeadLetterConfig.TargetArn "
    "TracingConfig.Mode RevisionId Layers FileSystemConfigs EphemeralStorage.Size SnapStart.ApplyOn LoggingConfig.LogFormat "
    "LoggingConfig.ApplicationLogLevel LoggingConfig.SystemLogLevel LoggingConfig.LogGroup "
    "ImageConfig.EntryPoint ImageConfig.Command ImageConfig.WorkingDirectory " + CAPACITY,
}


def test_every_operation_is_served_or_named() -> None:
    """Served and not-yet operations are the whole model, without overlap."""
    assert sorted([*SERVICE.operations, *SERVICE.not_yet]) == sorted(MODEL.operation_names)


@pytest.mark.parametrize("operation", sorted(SERVICE.operations))
def test_every_member_is_read_or_refused(operation: str) -> None:
    """No member of a served operation is taken in silence."""
    refused = set(SERVICE.refused.get(operation, {}))
    leaves = {path for path in _paths(MODEL.operation_model(operation)) if not _is_covered(path, refused)}
    assert leaves == set(READ[operation].split())
    assert refused <= set(_all_paths(MODEL.operation_model(operation)))


@pytest.mark.parametrize("operation", sorted(SERVICE.limited))
def test_every_limited_member_is_read(operation: str) -> None:
    """What is refused by its value is a member of a served operation, and its value is looked at."""
    limited = set(SERVICE.limited[operation])
    assert limited <= set(_all_paths(MODEL.operation_model(operation)))
    assert all(any(_is_covered(path, {member}) for path in READ[operation].split()) for member in limited)


def _paths(operation: OperationModel) -> Iterator[str]:
    """The members that hold values, structures opened up."""
    if operation.input_shape is not None:
        yield from _leaves(operation.input_shape, "")


def _leaves(shape: Shape, prefix: str) -> Iterator[str]:
    assert isinstance(shape, StructureShape)
    for name, member in shape.members.items():
        if isinstance(member, StructureShape):
            yield from _leaves(member, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}"


def _all_paths(operation: OperationModel) -> Iterator[str]:
    for path in _paths(operation):
        parts = path.split(".")
        yield from (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def _is_covered(path: str, refused: set[str]) -> bool:
    parts = path.split(".")
    return any(".".join(parts[:length]) in refused for length in range(1, len(parts) + 1))
