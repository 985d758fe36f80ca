"""FunctionConfiguration, member by member: what is printed, and what never is and why."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import pytest
from botocore.loaders import Loader
from botocore.model import ListShape, ServiceModel, Shape, StructureShape

from lambdad.model.code_signature import CodeSignature
from lambdad.model.file_system import FileSystem
from lambdad.model.function import Configuration, FunctionVersion
from lambdad.model.image import Image, ImageCommand, ImageOverrides, ImageUse
from lambdad.model.layer import LayerUse
from lambdad.model.log_settings import LogSettings
from lambdad.model.managed import ProviderUse
from lambdad.model.runtime_version import runtime_version
from lambdad.model.version import LATEST, CodeArchive
from lambdad.services.lambda_.shape import configuration_shape, listed_shape
from lambdad.services.lambda_.unsupported import REFUSED
from support.lambda_service import ACCOUNT, REGION, ROLE

MODEL = ServiceModel(Loader().load_service_model("lambda", "service-2"), "lambda").shape_for("FunctionConfiguration")
CODE = CodeArchive("ab" * 32, 10, 20)
SIGNED = replace(CODE, signature=CodeSignature("arn:profile", "arn:job", is_vouched_for=True))

PLAIN = Configuration(runtime="python3.12", handler="app.handler", role=ROLE, code=CODE)
#: Everything that a caller can decide, decided.
FULL = replace(
    PLAIN,
    code=SIGNED,
    description="d",
    timeout_seconds=4,
    memory_mb=129,
    ephemeral_storage_mb=513,
    architecture="arm64",
    environment={"A1": "1"},
    layers=(LayerUse(f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:1", SIGNED),),
    snap_start=True,
    is_per_tenant=True,
    file_system=FileSystem(
        "arn:aws:s3files:us-east-1:000000000000:file-system/fs-0123456789abcdef0/access-point/fsap-0123456789abcdef0",
        "/mnt/data",
        "DISABLED",
    ),
    capacity=ProviderUse(f"arn:aws:lambda:{REGION}:{ACCOUNT}:capacity-provider:p", 4, 2.0),
    log_group="/here",
    log_settings=LogSettings("JSON", "DEBUG", "WARN"),
    dead_letter=f"arn:aws:sqs:{REGION}:{ACCOUNT}:lost",
)

IMAGE = ImageUse(
    "here/image:1",
    "here/image@sha256:" + "cd" * 32,
    Image("cd" * 32, "ef" * 32, (), ImageCommand(), "x86_64"),
    ImageOverrides(("/entry",), ("command",), "/work"),
)
#: And everything that goes with an image.
OF_IMAGE = replace(PLAIN, image=IMAGE)

#: Members of a function as AWS has them that no function here has. Those which a caller could set are refused by name.
NEVER = {
    "VpcConfig": "functions have no VPC",
    "MasterArn": "there are no replicas at edge locations",
    "ConfigSha256": "how AWS makes it is not known, and a client could compare it with nothing",
}

ALWAYS = {
    "FunctionName",
    "FunctionArn",
    "Runtime",
    "Role",
    "Handler",
    "CodeSize",
    "Description",
    "Timeout",
    "MemorySize",
    "LastModified",
    "CodeSha256",
    "Version",
    "TracingConfig",
    "TracingConfig.Mode",
    "RevisionId",
    "PackageType",
    "Architectures",
    "EphemeralStorage",
    "EphemeralStorage.Size",
    "SnapStart",
    "SnapStart.ApplyOn",
    "SnapStart.OptimizationStatus",
    "LoggingConfig",
    "LoggingConfig.LogFormat",
    "LoggingConfig.LogGroup",
}
IF_SET = {
    "Environment",
    "Environment.Variables",
    "DeadLetterConfig",
    "DeadLetterConfig.TargetArn",
    "Layers",
    "Layers.Arn",
    "Layers.CodeSize",
    "LoggingConfig.ApplicationLogLevel",
    "LoggingConfig.SystemLogLevel",
    "FileSystemConfigs",
    "FileSystemConfigs.Arn",
    "FileSystemConfigs.LocalMountPath",
    "FileSystemConfigs.S3FilesConfig",
    "FileSystemConfigs.S3FilesConfig.DirectS3Read",
    "SigningProfileVersionArn",
    "SigningJobArn",
    "Layers.SigningProfileVersionArn",
    "Layers.SigningJobArn",
    "CapacityProviderConfig",
    "CapacityProviderConfig.LambdaManagedInstancesCapacityProviderConfig",
    "CapacityProviderConfig.LambdaManagedInstancesCapacityProviderConfig.CapacityProviderArn",
    "CapacityProviderConfig.LambdaManagedInstancesCapacityProviderConfig.PerExecutionEnvironmentMaxConcurrency",
    "CapacityProviderConfig.LambdaManagedInstancesCapacityProviderConfig.ExecutionEnvironmentMemoryGiBPerVCpu",
    "TenancyConfig",
    "TenancyConfig.TenantIsolationMode",
}
WITHOUT_IMAGE = {"Runtime", "Handler"}
WITH_IMAGE = {
    "ImageConfigResponse",
    "ImageConfigResponse.ImageConfig",
    "ImageConfigResponse.ImageConfig.EntryPoint",
    "ImageConfigResponse.ImageConfig.Command",
    "ImageConfigResponse.ImageConfig.WorkingDirectory",
}
STATES = {
    "State",
    "StateReason",
    "StateReasonCode",
    "LastUpdateStatus",
    "LastUpdateStatusReason",
    "LastUpdateStatusReasonCode",
    "RuntimeVersionConfig",
    "RuntimeVersionConfig.RuntimeVersionArn",
    "RuntimeVersionConfig.Error",
    "RuntimeVersionConfig.Error.ErrorCode",
    "RuntimeVersionConfig.Error.Message",
}
#: Parts of printed members that never are.
NEVER_WITHIN = {
    "Environment.Error": "variables are not encrypted with a key that could be missing",
    "Environment.Error.ErrorCode": "as above",
    "Environment.Error.Message": "as above",
    "ImageConfigResponse.Error": "an image's settings are read when the function is given it, or it is refused",
    "ImageConfigResponse.Error.ErrorCode": "as above",
    "ImageConfigResponse.Error.Message": "as above",
}


def reading(configuration: Configuration = PLAIN, **fields: Any) -> FunctionVersion:
    made = FunctionVersion(ACCOUNT, REGION, "f", LATEST, configuration, "revision", 1_612_443_007.629)
    return replace(made, **fields)


def printed(value: Any, prefix: str = "") -> Iterator[str]:
    items = value if isinstance(value, list) else [value]
    for item in items:
        if isinstance(item, dict) and prefix != "Environment.Variables.":
            for name, member in item.items():
                yield f"{prefix}{name}"
                yield from printed(member, f"{prefix}{name}.")


def modelled(shape: Shape, prefix: str = "") -> Iterator[str]:
    shape = shape.member if isinstance(shape, ListShape) else shape
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            yield f"{prefix}{name}"
            yield from modelled(member, f"{prefix}{name}.")


def settable() -> set[str]:
    return {member for members in (REFUSED["CreateFunction"], REFUSED["UpdateFunctionConfiguration"]) for member in members}


def test_every_member_is_printed_or_named() -> None:
    """No member of the model is forgotten: it is printed, or refused where a caller sets it, or there is a reason."""
    known = ALWAYS | IF_SET | STATES | WITH_IMAGE | set(NEVER_WITHIN)
    unprinted = {*NEVER, *settable()}
    assert not {path for path in modelled(MODEL) if path not in known and path.partition(".")[0] not in unprinted}
    assert known <= set(modelled(MODEL))


def test_everything_is_decided() -> None:
    """What a caller can decide is decided otherwise than by default in the configuration that these tests print."""
    decided = [field.name for field in fields(Configuration) if field.name not in ("runtime", "handler", "role")]
    plain = {name: getattr(PLAIN, name) for name in decided}
    assert not [name for name in decided if all(getattr(other, name) == plain[name] for other in (FULL, OF_IMAGE))]


@pytest.mark.parametrize(
    ("configuration", "members"),
    [(PLAIN, ALWAYS), (FULL, ALWAYS | IF_SET), (OF_IMAGE, ALWAYS - WITHOUT_IMAGE | WITH_IMAGE)],
)
def test_listings_print_what_was_decided(configuration: Configuration, members: set[str]) -> None:
    """A member that the caller did not set is left out, unless AWS prints its default; listings have no states."""
    assert set(printed(listed_shape(reading(configuration)))) == members


def test_states_are_printed_with_their_reasons() -> None:
    """A state's reason is printed as long as it has one; what is ready has none."""
    failed = reading(
        FULL,
        state="Failed",
        state_reason="r",
        state_reason_code="InternalError",
        update_status="Failed",
        update_reason="r",
        update_reason_code="InvalidRuntime",
        runtime_version_arn="arn:aws:lambda:us-east-1::runtime:gone",
        update_runtime_on="Manual",
    )
    assert set(printed(configuration_shape(failed, runtime_version))) == ALWAYS | IF_SET | STATES
    ready = reading(
        PLAIN,
        state="Active",
        state_reason=None,
        state_reason_code=None,
        update_status="Successful",
        update_reason=None,
        update_reason_code=None,
    )
    states = {"State", "LastUpdateStatus", "RuntimeVersionConfig", "RuntimeVersionConfig.RuntimeVersionArn"}
    assert set(printed(configuration_shape(ready, runtime_version))) == ALWAYS | states


def test_a_snapshot_is_a_published_versions() -> None:
    """OptimizationStatus is On for published versions alone."""
    statuses = {
        number: listed_shape(reading(FULL, version=number))["SnapStart"]["OptimizationStatus"] for number in (LATEST, "1")
    }
    assert statuses == {LATEST: "Off", "1": "On"}
    assert listed_shape(reading(PLAIN, version="1"))["SnapStart"] == {"ApplyOn": "None", "OptimizationStatus": "Off"}
