"""Which operation asks for which right on what, and the policies on functions and layer versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.arn import FunctionName, parse_function_name, parse_layer_name
from lambdad.model.permission import (
    KeyReader,
    Parameters,
    Permission,
    everything,
    has,
    member_key,
    permissions_for,
)
from lambdad.model.policy import document_of
from lambdad.model.policy_document import PolicyDocument
from lambdad.model.request import RequestContext
from lambdad.services.lambda_.state import LambdaState

_SERVICE_PRINCIPAL = "lambda.amazonaws.com"


def _function(context: RequestContext, parameters: Parameters) -> str:
    """The function's own ARN: the qualifier of a request matters to what it does, not to what it is allowed."""
    return _named(context, parameters["FunctionName"]).arn


def _qualified_function(context: RequestContext, parameters: Parameters) -> str:
    return _named(context, parameters["FunctionName"], parameters.get("Qualifier")).qualified_arn


def _layer(context: RequestContext, parameters: Parameters) -> str:
    return parse_layer_name(parameters["LayerName"], context.account_id, context.region).arn


def _layer_version(context: RequestContext, parameters: Parameters) -> str:
    return parse_layer_name(
        parameters["LayerName"], context.account_id, context.region, parameters["VersionNumber"]
    ).version_arn


def _given(name: str) -> Any:
    def resource(context: RequestContext, parameters: Parameters) -> str:
        return str(parameters[name])

    return resource


def _made(kind: str, name: str | None) -> Any:
    """Resources that are named by what stands last in their ARN, or by the whole ARN; None: by nothing that the caller says."""

    def resource(context: RequestContext, parameters: Parameters) -> str:
        given = "*" if name is None else str(parameters[name])
        if given.startswith("arn:"):
            return given
        return f"arn:aws:lambda:{context.region}:{context.account_id}:{kind}:{given}"

    return resource


def _function_key(context: RequestContext, parameters: Parameters) -> tuple[str, ...] | None:
    name = parameters.get("FunctionName")
    return (_named(context, name).arn,) if name else None


def _code_object(context: RequestContext, parameters: Parameters) -> str:
    """Where the code comes from: a member of its own, or the request's."""
    for where in ("Code", "Content"):
        if where in parameters:
            return f"arn:aws:s3:::{parameters[where].get('S3Bucket', '')}/{parameters[where].get('S3Key', '')}"
    return f"arn:aws:s3:::{parameters.get('S3Bucket', '')}/{parameters.get('S3Key', '')}"


def _layers_in(context: RequestContext, parameters: Parameters) -> list[str]:
    """Layer versions that a function is to use; a name that is none is refused by the operation itself."""
    return [arn for arn in parameters.get("Layers", ()) if arn.startswith("arn:")]


def _role(context: RequestContext, parameters: Parameters) -> str:
    return _own_role(context, parameters["Role"])


def _operator_role(context: RequestContext, parameters: Parameters) -> str:
    return _own_role(context, parameters["PermissionsConfig"]["CapacityProviderOperatorRoleArn"])


def _own_role(context: RequestContext, arn: str) -> str:
    """No policy lets anybody pass a role of another account."""
    if arn.split(":")[4] != context.account_id:
        raise ServiceError("AccessDeniedException", "Cross-account pass role is not allowed.", status=403)
    return arn


def _provider_in(context: RequestContext, parameters: Parameters) -> str:
    return str(parameters["CapacityProviderConfig"]["LambdaManagedInstancesCapacityProviderConfig"]["CapacityProviderArn"])


def _to_lambda(context: RequestContext, parameters: Parameters) -> tuple[str, ...]:
    return (_SERVICE_PRINCIPAL,)


def _named(context: RequestContext, text: str, qualifier: str | None = None) -> FunctionName:
    return parse_function_name(text, context.account_id, context.region, qualifier)


_KEYS: Mapping[str, KeyReader] = {
    "lambda:codesigningconfigarn": member_key("CodeSigningConfigArn"),
    "lambda:functionurlauthtype": member_key("AuthType"),
    "lambda:layer": member_key("Layers"),
    "lambda:principal": member_key("Principal"),
    "lambda:securitygroupids": member_key("VpcConfig", "SecurityGroupIds"),
    "lambda:subnetids": member_key("VpcConfig", "SubnetIds"),
}
_PASS_ROLE = Permission("iam:PassRole", _role, {"iam:passedtoservice": _to_lambda}, has("Role"))
_PASS_OPERATOR_ROLE = Permission("iam:PassRole", _operator_role, {"iam:passedtoservice": _to_lambda})
_PASS_PROVIDER = Permission("lambda:PassCapacityProvider", _provider_in, applies=has("CapacityProviderConfig"))
_USE_LAYERS = Permission("lambda:GetLayerVersion", _layers_in, applies=has("Layers"))
#: Tags that something is made with are put on it.
_TAG_FUNCTION = Permission("lambda:TagResource", _function, applies=has("Tags"))
_SEE_TAGS = Permission("lambda:ListTags", _function, is_optional=True)


def _tag_new(kind: str, name: str | None = None) -> Permission:
    return Permission("lambda:TagResource", _made(kind, name), applies=has("Tags"))


def _from_s3(*where: str) -> Permission:
    return Permission("s3:GetObject", _code_object, applies=has(*where, "S3Bucket"))


def _on_function(action: str, *more: Permission) -> tuple[Permission, ...]:
    return (Permission(f"lambda:{action}", _function, _KEYS), *more)


def _on_policy(actions: str) -> tuple[Permission, ...]:
    """The rights to whole policies are no way around those to their statements: AWS asks for both."""
    return tuple(Permission(f"lambda:{action}", _given("ResourceArn")) for action in _names(actions))


def _names(text: str) -> list[str]:
    return text.split()


PERMISSIONS: Mapping[str, tuple[Permission, ...]] = {
    **permissions_for(
        "lambda",
        _names(
            "GetAccountSettings ListCapacityProviders ListCodeSigningConfigs ListEventSourceMappings ListFunctions ListLayers"
        ),
    ),
    **{
        name: _on_function(name)
        for name in _names(
            "AddPermission CreateAlias DeleteAlias DeleteFunction DeleteFunctionCodeSigningConfig "
            "DeleteFunctionConcurrency DeleteFunctionEventInvokeConfig "
            "DeleteProvisionedConcurrencyConfig GetAlias GetFunctionCodeSigningConfig GetFunctionConcurrency "
            "GetFunctionConfiguration GetFunctionEventInvokeConfig GetFunctionRecursionConfig GetFunctionScalingConfig "
            "GetPolicy GetProvisionedConcurrencyConfig GetRuntimeManagementConfig ListAliases "
            "ListDurableExecutionsByFunction ListFunctionEventInvokeConfigs "
            "ListProvisionedConcurrencyConfigs ListVersionsByFunction PublishVersion PutFunctionCodeSigningConfig "
            "PutFunctionConcurrency PutFunctionEventInvokeConfig PutFunctionRecursionConfig PutFunctionScalingConfig "
            "PutProvisionedConcurrencyConfig PutRuntimeManagementConfig RemovePermission UpdateAlias "
            "UpdateFunctionEventInvokeConfig"
        )
    },
    **{
        name: (Permission(f"lambda:{name}", _function, {**_KEYS, "lambda:functionarn": _function_key}),)
        for name in _names(
            "CreateFunctionUrlConfig DeleteFunctionUrlConfig GetFunctionUrlConfig ListFunctionUrlConfigs "
            "UpdateFunctionUrlConfig"
        )
    },
    **permissions_for("lambda", _names("ListLayerVersions"), _layer),
    **permissions_for(
        "lambda",
        _names(
            "AddLayerVersionPermission DeleteLayerVersion GetLayerVersion GetLayerVersionPolicy RemoveLayerVersionPermission"
        ),
        _layer_version,
    ),
    "DeleteResourcePolicy": _on_policy("DeleteResourcePolicy RemovePermission"),
    "GetResourcePolicy": _on_policy("GetResourcePolicy GetPolicy"),
    "PutResourcePolicy": _on_policy("PutResourcePolicy AddPermission RemovePermission"),
    **permissions_for("lambda", _names("ListTags TagResource UntagResource"), _given("Resource")),
    **permissions_for(
        "lambda",
        _names("DeleteCodeSigningConfig GetCodeSigningConfig ListFunctionsByCodeSigningConfig UpdateCodeSigningConfig"),
        _given("CodeSigningConfigArn"),
    ),
    **permissions_for(
        "lambda",
        _names("DeleteCapacityProvider GetCapacityProvider ListFunctionVersionsByCapacityProvider UpdateCapacityProvider"),
        _made("capacity-provider", "CapacityProviderName"),
    ),
    **permissions_for(
        "lambda",
        _names(
            "CheckpointDurableExecution DeleteDurableExecution GetDurableExecution GetDurableExecutionHistory "
            "GetDurableExecutionState PauseDurableExecution ResumeDurableExecution StopDurableExecution"
        ),
        _given("DurableExecutionArn"),
    ),
    **permissions_for(
        "lambda",
        _names("SendDurableExecutionCallbackFailure SendDurableExecutionCallbackHeartbeat SendDurableExecutionCallbackSuccess"),
    ),
    **{
        name: (Permission(f"lambda:{name}", _made("event-source-mapping", "UUID"), {"lambda:functionarn": _function_key}),)
        for name in _names("DeleteEventSourceMapping GetEventSourceMapping UpdateEventSourceMapping")
    },
    "CreateEventSourceMapping": (
        Permission("lambda:CreateEventSourceMapping", everything, {"lambda:functionarn": _function_key}),
    ),
    "CreateCapacityProvider": (
        Permission("lambda:CreateCapacityProvider", _made("capacity-provider", "CapacityProviderName")),
        _PASS_OPERATOR_ROLE,
        _tag_new("capacity-provider", "CapacityProviderName"),
    ),
    "CreateCodeSigningConfig": (
        Permission("lambda:CreateCodeSigningConfig", everything),
        _tag_new("code-signing-config"),
    ),
    "CreateFunction": _on_function("CreateFunction", _PASS_ROLE, _from_s3("Code"), _USE_LAYERS, _PASS_PROVIDER, _TAG_FUNCTION),
    "GetFunction": _on_function("GetFunction", _SEE_TAGS),
    "GetLayerVersionByArn": (Permission("lambda:GetLayerVersion", _given("Arn")),),
    "Invoke": (Permission("lambda:InvokeFunction", _qualified_function),),
    "InvokeAsync": (Permission("lambda:InvokeAsync", _qualified_function),),
    "InvokeWithResponseStream": (Permission("lambda:InvokeFunction", _qualified_function),),
    "PublishLayerVersion": (Permission("lambda:PublishLayerVersion", _layer), _from_s3("Content")),
    "UpdateFunctionCode": _on_function("UpdateFunctionCode", _from_s3()),
    "UpdateFunctionConfiguration": _on_function("UpdateFunctionConfiguration", _PASS_ROLE, _USE_LAYERS, _PASS_PROVIDER),
}


async def resource_policy(state: LambdaState, arn: str) -> PolicyDocument | None:
    """Of a function, version, alias or layer version."""
    fields = arn.split(":")
    if len(fields) in (7, 8) and fields[5] == "function":
        stored = await state.functions.find((fields[4], fields[3], fields[6]))
        policy = stored.policies.get(fields[7] if len(fields) == 8 else "") if stored is not None else None
        return document_of(policy) if policy is not None else None
    if len(fields) == 8 and fields[5] == "layer" and fields[7].isdecimal():
        layer = await state.records.layer_version((fields[4], fields[3], fields[6]), int(fields[7]))
        policy = await state.records.layer_policy(layer) if layer is not None else None
        return document_of(policy) if policy is not None else None
    return None


async def resource_tags(state: LambdaState, arn: str) -> Mapping[str, str]:
    """Of a function, whose versions and aliases have none of their own, a code signing configuration or a capacity provider."""
    fields = arn.split(":")
    if len(fields) == 7 and fields[5] == "code-signing-config":
        config = await state.records.code_signing_config(fields[4], fields[3], fields[6])
        return config.tags if config is not None else {}
    if len(fields) == 7 and fields[5] == "capacity-provider":
        provider = await state.records.capacity_provider((fields[4], fields[3], fields[6]))
        return provider.tags if provider is not None else {}
    if len(fields) not in (7, 8) or fields[5] != "function":
        return {}
    stored = await state.functions.find((fields[4], fields[3], fields[6]))
    return stored.function.tags if stored is not None else {}
