"""The table of operations: AWS's name and the function that serves it."""

from __future__ import annotations

from collections.abc import Mapping

from lambdad.model.service import Operation
from lambdad.services.lambda_.account import get_account_settings
from lambdad.services.lambda_.alias import create_alias, delete_alias, get_alias, list_aliases, update_alias
from lambdad.services.lambda_.capacity_provider import (
    create_capacity_provider,
    delete_capacity_provider,
    get_capacity_provider,
    list_capacity_providers,
    list_function_versions_by_capacity_provider,
    update_capacity_provider,
)
from lambdad.services.lambda_.code import update_function_code
from lambdad.services.lambda_.code_signing import (
    create_code_signing_config,
    delete_code_signing_config,
    delete_function_code_signing_config,
    get_code_signing_config,
    get_function_code_signing_config,
    list_code_signing_configs,
    list_functions_by_code_signing_config,
    put_function_code_signing_config,
    update_code_signing_config,
)
from lambdad.services.lambda_.concurrency import (
    delete_function_concurrency,
    get_function_concurrency,
    put_function_concurrency,
)
from lambdad.services.lambda_.configuration import get_function_configuration, update_function_configuration
from lambdad.services.lambda_.event_invoke_config import (
    delete_function_event_invoke_config,
    get_function_event_invoke_config,
    list_function_event_invoke_configs,
    put_function_event_invoke_config,
    update_function_event_invoke_config,
)
from lambdad.services.lambda_.event_source_mapping import get_event_source_mapping, list_event_source_mappings
from lambdad.services.lambda_.function import create_function, delete_function, get_function, list_functions
from lambdad.services.lambda_.function_scaling import get_function_scaling_config, put_function_scaling_config
from lambdad.services.lambda_.function_url import (
    create_function_url_config,
    delete_function_url_config,
    get_function_url_config,
    list_function_url_configs,
    update_function_url_config,
)
from lambdad.services.lambda_.invoke import invoke, invoke_async
from lambdad.services.lambda_.invoke_stream import invoke_with_response_stream
from lambdad.services.lambda_.layer import (
    delete_layer_version,
    get_layer_version,
    get_layer_version_by_arn,
    list_layer_versions,
    list_layers,
    publish_layer_version,
)
from lambdad.services.lambda_.layer_permission import (
    add_layer_version_permission,
    get_layer_version_policy,
    remove_layer_version_permission,
)
from lambdad.services.lambda_.permission import add_permission, get_policy, remove_permission
from lambdad.services.lambda_.provisioned_concurrency import (
    delete_provisioned_concurrency_config,
    get_provisioned_concurrency_config,
    list_provisioned_concurrency_configs,
    put_provisioned_concurrency_config,
)
from lambdad.services.lambda_.recursion import get_function_recursion_config, put_function_recursion_config
from lambdad.services.lambda_.resource_policy import delete_resource_policy, get_resource_policy, put_resource_policy
from lambdad.services.lambda_.runtime_management import get_runtime_management_config, put_runtime_management_config
from lambdad.services.lambda_.tag import list_tags, tag_resource, untag_resource
from lambdad.services.lambda_.version import list_versions_by_function, publish_version

OPERATIONS: Mapping[str, Operation] = {
    "AddLayerVersionPermission": add_layer_version_permission,
    "AddPermission": add_permission,
    "CreateAlias": create_alias,
    "CreateCapacityProvider": create_capacity_provider,
    "CreateCodeSigningConfig": create_code_signing_config,
    "CreateFunction": create_function,
    "CreateFunctionUrlConfig": create_function_url_config,
    "DeleteAlias": delete_alias,
    "DeleteCapacityProvider": delete_capacity_provider,
    "DeleteCodeSigningConfig": delete_code_signing_config,
    "DeleteFunction": delete_function,
    "DeleteFunctionCodeSigningConfig": delete_function_code_signing_config,
    "DeleteFunctionConcurrency": delete_function_concurrency,
    "DeleteFunctionEventInvokeConfig": delete_function_event_invoke_config,
    "DeleteFunctionUrlConfig": delete_function_url_config,
    "DeleteLayerVersion": delete_layer_version,
    "DeleteProvisionedConcurrencyConfig": delete_provisioned_concurrency_config,
    "DeleteResourcePolicy": delete_resource_policy,
    "GetAccountSettings": get_account_settings,
    "GetAlias": get_alias,
    "GetCapacityProvider": get_capacity_provider,
    "GetCodeSigningConfig": get_code_signing_config,
    "GetEventSourceMapping": get_event_source_mapping,
    "GetFunction": get_function,
    "GetFunctionCodeSigningConfig": get_function_code_signing_config,
    "GetFunctionConcurrency": get_function_concurrency,
    "GetFunctionConfiguration": get_function_configuration,
    "GetFunctionEventInvokeConfig": get_function_event_invoke_config,
    "GetFunctionRecursionConfig": get_function_recursion_config,
    "GetFunctionScalingConfig": get_function_scaling_config,
    "GetFunctionUrlConfig": get_function_url_config,
    "GetLayerVersion": get_layer_version,
    "GetLayerVersionByArn": get_layer_version_by_arn,
    "GetLayerVersionPolicy": get_layer_version_policy,
    "GetPolicy": get_policy,
    "GetProvisionedConcurrencyConfig": get_provisioned_concurrency_config,
    "GetResourcePolicy": get_resource_policy,
    "GetRuntimeManagementConfig": get_runtime_management_config,
    "Invoke": invoke,
    "InvokeAsync": invoke_async,
    "InvokeWithResponseStream": invoke_with_response_stream,
    "ListAliases": list_aliases,
    "ListCapacityProviders": list_capacity_providers,
    "ListCodeSigningConfigs": list_code_signing_configs,
    "ListEventSourceMappings": list_event_source_mappings,
    "ListFunctionEventInvokeConfigs": list_function_event_invoke_configs,
    "ListFunctionUrlConfigs": list_function_url_configs,
    "ListFunctionVersionsByCapacityProvider": list_function_versions_by_capacity_provider,
    "ListFunctions": list_functions,
    "ListFunctionsByCodeSigningConfig": list_functions_by_code_signing_config,
    "ListLayerVersions": list_layer_versions,
    "ListLayers": list_layers,
    "ListProvisionedConcurrencyConfigs": list_provisioned_concurrency_configs,
    "ListTags": list_tags,
    "ListVersionsByFunction": list_versions_by_function,
    "PublishLayerVersion": publish_layer_version,
    "PublishVersion": publish_version,
    "PutFunctionCodeSigningConfig": put_function_code_signing_config,
    "PutFunctionConcurrency": put_function_concurrency,
    "PutFunctionEventInvokeConfig": put_function_event_invoke_config,
    "PutFunctionRecursionConfig": put_function_recursion_config,
    "PutFunctionScalingConfig": put_function_scaling_config,
    "PutProvisionedConcurrencyConfig": put_provisioned_concurrency_config,
    "PutResourcePolicy": put_resource_policy,
    "PutRuntimeManagementConfig": put_runtime_management_config,
    "RemoveLayerVersionPermission": remove_layer_version_permission,
    "RemovePermission": remove_permission,
    "TagResource": tag_resource,
    "UntagResource": untag_resource,
    "UpdateAlias": update_alias,
    "UpdateCapacityProvider": update_capacity_provider,
    "UpdateCodeSigningConfig": update_code_signing_config,
    "UpdateFunctionCode": update_function_code,
    "UpdateFunctionConfiguration": update_function_configuration,
    "UpdateFunctionEventInvokeConfig": update_function_event_invoke_config,
    "UpdateFunctionUrlConfig": update_function_url_config,
}
