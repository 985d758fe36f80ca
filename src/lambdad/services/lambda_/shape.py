"""Functions, aliases and layers in the members that AWS prints."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from lambdad.model.alias import Alias
from lambdad.model.arn import function_arn
from lambdad.model.function import Configuration, FunctionVersion
from lambdad.model.image import ImageOverrides
from lambdad.model.layer import LayerVersion
from lambdad.model.managed import ProviderUse
from lambdad.model.version import CodeArchive
from lambdad.services.lambda_.file_system import file_system_shape
from lambdad.services.lambda_.logging_config import logging_shape
from lambdad.services.lambda_.runtime_version import FindVersion, runtime_version_config


def configuration_shape(reading: FunctionVersion, find: FindVersion, qualifier: str | None = None) -> dict[str, Any]:
    """FunctionConfiguration. The ARN carries `qualifier` if the caller asked with one. `find` knows this machine's runtimes."""
    return {**listed_shape(reading, qualifier), **_states(reading, find)}


def listed_shape(reading: FunctionVersion, qualifier: str | None = None) -> dict[str, Any]:
    """FunctionConfiguration as listings print it, without its states."""
    configuration = reading.configuration
    name = reading.function_name
    shape: dict[str, Any] = {
        "FunctionName": name,
        "FunctionArn": function_arn(reading.account_id, reading.region, name, qualifier),
        **({"Runtime": configuration.runtime, "Handler": configuration.handler} if configuration.image is None else {}),
        "Role": configuration.role,
        "CodeSize": configuration.code.size,
        "Description": configuration.description,
        "Timeout": configuration.timeout_seconds,
        "MemorySize": configuration.memory_mb,
        "LastModified": timestamp(reading.last_modified),
        "CodeSha256": sha256_of(configuration),
        "Version": reading.version,
        "TracingConfig": {"Mode": "PassThrough"},
        "RevisionId": reading.shown_revision_id,
        "PackageType": "Zip" if configuration.image is None else "Image",
        "Architectures": [configuration.architecture],
        "EphemeralStorage": {"Size": configuration.ephemeral_storage_mb},
        "SnapStart": {
            "ApplyOn": "PublishedVersions" if configuration.snap_start else "None",
            "OptimizationStatus": "On" if reading.has_snapshot else "Off",
        },
        "LoggingConfig": logging_shape(configuration.log_settings, configuration.log_group or f"/aws/lambda/{name}"),
        **signature_members(configuration.code),
    }
    if configuration.environment is not None:
        shape["Environment"] = {"Variables": dict(configuration.environment)}
    if configuration.file_system is not None:
        shape["FileSystemConfigs"] = [file_system_shape(configuration.file_system)]
    if configuration.dead_letter is not None:
        shape["DeadLetterConfig"] = {"TargetArn": configuration.dead_letter}
    if configuration.capacity is not None:
        shape["CapacityProviderConfig"] = _capacity_shape(configuration.capacity)
    if configuration.is_per_tenant:
        shape["TenancyConfig"] = {"TenantIsolationMode": "PER_TENANT"}
    if configuration.image is not None and (config := _image_config(configuration.image.overrides)):
        shape["ImageConfigResponse"] = {"ImageConfig": config}
    if configuration.layers:
        shape["Layers"] = [
            {"Arn": layer.arn, "CodeSize": layer.code.size, **signature_members(layer.code)} for layer in configuration.layers
        ]
    return shape


def _states(reading: FunctionVersion, find: FindVersion) -> dict[str, Any]:
    states = {
        "RuntimeVersionConfig": runtime_version_config(find, reading) if reading.configuration.image is None else None,
        "State": reading.state,
        "StateReason": reading.state_reason,
        "StateReasonCode": reading.state_reason_code,
        "LastUpdateStatus": reading.update_status,
        "LastUpdateStatusReason": reading.update_reason,
        "LastUpdateStatusReasonCode": reading.update_reason_code,
    }
    return {member: value for member, value in states.items() if value is not None}


def signature_members(code: CodeArchive) -> dict[str, str]:
    """Who signed a package, where that is certain."""
    signature = code.signature
    if signature is None or not signature.is_vouched_for:
        return {}
    return {"SigningProfileVersionArn": signature.profile_version_arn, "SigningJobArn": signature.job_arn}


def _capacity_shape(capacity: ProviderUse) -> dict[str, Any]:
    members = {
        "CapacityProviderArn": capacity.provider_arn,
        "PerExecutionEnvironmentMaxConcurrency": capacity.max_concurrency,
        "ExecutionEnvironmentMemoryGiBPerVCpu": capacity.memory_gib_per_vcpu,
    }
    shown = {member: value for member, value in members.items() if value is not None}
    return {"LambdaManagedInstancesCapacityProviderConfig": shown}


def alias_shape(alias: Alias, arn: str) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "AliasArn": f"{arn}:{alias.name}",
        "Name": alias.name,
        "FunctionVersion": alias.function_version,
        "Description": alias.description,
        "RevisionId": alias.revision_id,
    }
    if alias.weights:
        shape["RoutingConfig"] = {"AdditionalVersionWeights": dict(alias.weights)}
    return shape


def layer_version_shape(layer: LayerVersion) -> dict[str, Any]:
    """A layer version as listings print it."""
    shape: dict[str, Any] = {
        "LayerVersionArn": layer.version_arn,
        "Version": layer.version,
        "Description": layer.description,
        "CreatedDate": timestamp(layer.created_at),
    }
    optional: Mapping[str, Any] = {
        "CompatibleRuntimes": layer.compatible_runtimes,
        "CompatibleArchitectures": layer.compatible_architectures,
        "LicenseInfo": layer.license_info,
    }
    for member, value in optional.items():
        if value is not None:
            shape[member] = list(value) if isinstance(value, tuple) else value
    return shape


def timestamp(seconds: float) -> str:
    """2021-02-04T12:50:07.629+0000"""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "+0000"


def sha256_of(configuration: Configuration) -> str:
    """Of an image its digest, in hex as AWS has it there."""
    if configuration.image is not None:
        return configuration.image.image.digest
    return code_sha256(configuration.code.digest)


def _image_config(overrides: ImageOverrides) -> dict[str, Any]:
    config: Mapping[str, Any] = {
        "EntryPoint": overrides.entry_point and list(overrides.entry_point),
        "Command": overrides.command and list(overrides.command),
        "WorkingDirectory": overrides.working_directory,
    }
    return {member: value for member, value in config.items() if value}


def code_sha256(digest: str) -> str:
    """The digest of a zip as AWS prints it: base64 instead of hex."""
    return base64.b64encode(bytes.fromhex(digest)).decode()
