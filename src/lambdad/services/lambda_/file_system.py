"""FileSystemConfigs: folders of this machine, by the ARNs of the access points that they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdad.model.file_system import FileSystem, is_access_point, is_local_path, is_s3_files
from lambdad.services.lambda_.refusal import invalid_parameter
from lambdad.services.lambda_.state import LambdaState


def chosen_file_system(state: LambdaState, request: Mapping[str, Any]) -> dict[str, Any]:
    """As fields of Configuration. An empty list detaches, an absent member keeps what is. The model allows one at most."""
    if "FileSystemConfigs" not in request:
        return {}
    configs = request["FileSystemConfigs"]
    if len(configs) > 1:
        raise invalid_parameter("A function can have one file system at most.")
    return {"file_system": _file_system(state, configs[0]) if configs else None}


def file_system_shape(file_system: FileSystem) -> dict[str, Any]:
    shape: dict[str, Any] = {"Arn": file_system.arn, "LocalMountPath": file_system.local_path}
    if file_system.direct_s3_read is not None:
        shape["S3FilesConfig"] = {"DirectS3Read": file_system.direct_s3_read}
    return shape


def _file_system(state: LambdaState, config: Mapping[str, Any]) -> FileSystem:
    arn, path = config["Arn"], config["LocalMountPath"]
    if not is_access_point(arn):
        raise invalid_parameter(f"{arn} is not the ARN of an access point of Amazon EFS or Amazon S3 Files.")
    if not is_local_path(path):
        raise invalid_parameter(f"{path} is no local mount path: it must be /mnt/ and one folder's name.")
    direct_s3_read = _direct_s3_read(arn, config.get("S3FilesConfig"))
    if state.file_system_problem is not None:
        raise invalid_parameter(f"FileSystemConfigs is not supported on this machine: {state.file_system_problem}.")
    if arn not in state.file_systems:
        raise invalid_parameter(
            f"Access point {arn} does not exist: no folder stands for it here. The table file_systems of the settings "
            "(--file-systems) names folders by the ARNs of access points."
        )
    return FileSystem(arn, path, direct_s3_read)


def _direct_s3_read(arn: str, config: Mapping[str, Any] | None) -> str | None:
    """A folder is read as a folder."""
    if config is None:
        return None
    if not is_s3_files(arn):
        raise invalid_parameter("S3FilesConfig is only for access points of Amazon S3 Files.")
    mode: str | None = config.get("DirectS3Read")
    if mode not in (None, "DISABLED"):
        raise invalid_parameter(f"DirectS3Read {mode} is not supported by lambdad: use DISABLED.")
    return mode
