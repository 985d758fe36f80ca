"""Checks of what a caller may decide about a function, and how it becomes a configuration."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import msgspec

from lambdad.errors import ServiceError
from lambdad.model import network_choice
from lambdad.model.arn import is_role_arn
from lambdad.model.quota import Quotas
from lambdad.services.lambda_.refusal import invalid_parameter

RESERVED_KEYS = frozenset(
    {
        "_HANDLER",
        "_X_AMZN_TRACE_ID",
        "AWS_ACCESS_KEY",
        "AWS_ACCESS_KEY_ID",
        "AWS_DEFAULT_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        "AWS_LAMBDA_FUNCTION_NAME",
        "AWS_LAMBDA_FUNCTION_VERSION",
        "AWS_LAMBDA_INITIALIZATION_TYPE",
        "AWS_LAMBDA_LOG_GROUP_NAME",
        "AWS_LAMBDA_LOG_STREAM_NAME",
        "AWS_LAMBDA_MAX_CONCURRENCY",
        "AWS_LAMBDA_METADATA_API",
        "AWS_LAMBDA_METADATA_TOKEN",
        "AWS_LAMBDA_RUNTIME_API",
        "AWS_REGION",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SECRET_KEY",
        "AWS_SECURITY_TOKEN",
        "AWS_SESSION_TOKEN",
        "LAMBDA_RUNTIME_DIR",
        "LAMBDA_TASK_ROOT",
    }
)

_UNABLE = "Lambda was unable to configure your environment variables because the environment variables you have provided "


def chosen_settings(
    request: Mapping[str, Any], quotas: Quotas, architecture: str, *, is_managed: bool = False
) -> dict[str, Any]:
    """The members that CreateFunction and UpdateFunctionConfiguration share, checked, as fields of Configuration.

    Runtime, layers, logging and code are checked by their own modules. Absent members give absent fields.
    """
    check_unsupported_values(request)
    chosen: dict[str, Any] = {}
    if "Handler" in request:
        chosen["handler"] = _handler(request["Handler"])
    if "Role" in request:
        chosen["role"] = _role(request["Role"])
    if "Description" in request:
        chosen["description"] = request["Description"]
    if "Timeout" in request:
        chosen["timeout_seconds"] = in_range("Timeout", request["Timeout"], 1, quotas.timeout_max_seconds)
    if "MemorySize" in request:
        chosen["memory_mb"] = _memory(request["MemorySize"], quotas, is_managed=is_managed)
    if "EphemeralStorage" in request:
        chosen["ephemeral_storage_mb"] = _tmp_size(request["EphemeralStorage"], quotas)
    if "Environment" in request:
        chosen["environment"] = _environment(request["Environment"].get("Variables", {}), quotas)
    if "DeadLetterConfig" in request:
        chosen["dead_letter"] = request["DeadLetterConfig"].get("TargetArn") or None
    if "SnapStart" in request:
        chosen["snap_start"] = request["SnapStart"].get("ApplyOn", "None") == "PublishedVersions"
    if "TenancyConfig" in request:  # of CreateFunction alone
        chosen["is_per_tenant"] = request["TenancyConfig"]["TenantIsolationMode"] == "PER_TENANT"
    if "Architectures" in request:
        chosen["architecture"] = _architecture(request["Architectures"], architecture)
    return chosen


def check_unsupported_values(request: Mapping[str, Any]) -> None:
    """Members of which clients send the harmless default, and whose other values would have no effect here."""
    vpc = request.get("VpcConfig", {})
    if bool(vpc.get("SubnetIds")) != bool(vpc.get("SecurityGroupIds")):
        raise invalid_parameter("SubnetIds and SecurityIds must coexist or be both empty list.")
    if vpc.get("SubnetIds") or vpc.get("SecurityGroupIds") or vpc.get("Ipv6AllowedForDualStack"):
        raise _unsupported("VpcConfig", "functions have no VPC here")
    if request.get("TracingConfig", {}).get("Mode", "PassThrough") != "PassThrough":
        raise _unsupported("TracingConfig Mode Active", "use PassThrough")


def in_range(name: str, value: int, low: int, high: int) -> int:
    if value < low:
        raise invalid_parameter(
            f"'{name}' value failed to satisfy constraint: Member must have value greater than or equal to {low}"
        )
    if value > high:
        raise invalid_parameter(
            f"'{name}' value failed to satisfy constraint: Member must have value less than or equal to {high}"
        )
    return value


def check_tags(tags: Mapping[str, str], quotas: Quotas, *, network_can_be_withheld: bool) -> dict[str, str]:
    check_tag_names(tags, quotas)
    refusal = network_choice.refusal(tags, can_be_withheld=network_can_be_withheld)
    if refusal is not None:
        raise invalid_parameter(refusal)
    return dict(tags)


def check_tag_names(tags: Mapping[str, str], quotas: Quotas) -> None:
    if len(tags) > quotas.tags:
        raise invalid_parameter("Number of tags exceeds resource tag limit.")
    for key in tags:
        if key.lower().startswith("aws:"):
            raise invalid_parameter(f"Tag keys must not start with 'aws:', which is reserved: {key}")


def _handler(handler: str) -> str:
    if not handler or len(handler) > 128 or any(c.isspace() or c == "\0" for c in handler):
        raise invalid_parameter(
            f"Value '{handler}' at 'handler' failed to satisfy constraint: "
            r"Member must satisfy regular expression pattern: [^\s]+ of at most 128 characters"
        )
    return handler


def _role(role: str) -> str:
    if not is_role_arn(role):
        raise invalid_parameter(
            f"Value '{role}' at 'role' failed to satisfy constraint: Member must satisfy regular expression pattern: "
            r"arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+"
        )
    return role


def _memory(megabytes: int, quotas: Quotas, *, is_managed: bool) -> int:
    if is_managed:
        return in_range("MemorySize", megabytes, quotas.managed_memory_min_mb, quotas.managed_memory_max_mb)
    in_range("MemorySize", megabytes, quotas.memory_min_mb, quotas.memory_max_mb)
    if (megabytes - quotas.memory_min_mb) % quotas.memory_step_mb:
        raise invalid_parameter(
            f"'MemorySize' value failed to satisfy constraint: Member must be a multiple of {quotas.memory_step_mb} MB"
        )
    return megabytes


def _tmp_size(storage: Mapping[str, Any], quotas: Quotas) -> int:
    if "Size" not in storage:
        raise invalid_parameter(
            "1 validation error detected: Value null at 'ephemeralStorage.size' failed to satisfy constraint: "
            "Member must not be null"
        )
    return in_range("EphemeralStorage.Size", storage["Size"], quotas.tmp_min_mb, quotas.tmp_max_mb)


def _environment(variables: Mapping[str, str], quotas: Quotas) -> dict[str, str]:
    reserved = [key for key in variables if key in RESERVED_KEYS]
    if reserved:
        raise invalid_parameter(
            f"{_UNABLE}contains reserved keys that are currently not supported for modification. "
            f"Reserved keys used in this request: {', '.join(reserved)}"
        )
    measured = msgspec.json.encode(dict(variables))
    if len(measured) > quotas.environment_bytes:
        limit = math.ceil(quotas.environment_bytes / 1024)
        raise invalid_parameter(f"{_UNABLE}exceeded the {limit}KB limit. String measured: {measured.decode()}")
    if any("\0" in value for value in variables.values()):
        raise invalid_parameter(f"{_UNABLE}contain a null character.")
    return dict(variables)


def _architecture(architectures: list[str], host: str) -> str:
    if len(architectures) != 1:
        raise invalid_parameter("Architectures must name exactly one instruction set.")
    if architectures[0] != host:
        raise _unsupported(f"Architecture {architectures[0]}", f"this machine runs {host}")
    return host


def _unsupported(what: str, advice: str) -> ServiceError:
    return invalid_parameter(f"{what} is not supported by lambdad: {advice}.")
