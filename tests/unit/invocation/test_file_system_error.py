"""AWS's errors for file systems that cannot be mounted."""

from __future__ import annotations

import pytest
from botocore.loaders import Loader
from botocore.model import ServiceModel

from lambdad.errors import FileSystemTrouble
from lambdad.invocation.file_system_error import file_system_error
from lambdad.model.file_system import FileSystem
from lambdad.model.version import CodeArchive, Version

MODEL = ServiceModel(Loader().load_service_model("lambda", "service-2"), "lambda")
EFS = "arn:aws:elasticfilesystem:us-east-1:123456789012:access-point/fsap-0123456789abcdef0"
S3_FILES = "arn:aws:s3files:us-east-1:123456789012:file-system/fs-0123456789abcdef0/access-point/fsap-0123456789abcdef0"


@pytest.mark.parametrize(("arn", "family"), [(EFS, "EFS"), (S3_FILES, "S3Files")])
@pytest.mark.parametrize(
    ("kind", "ending"),
    [
        (FileSystemTrouble.MISSING, "MountConnectivityException"),
        (FileSystemTrouble.UNSUITABLE, "MountFailureException"),
        (FileSystemTrouble.SILENT, "MountTimeoutException"),
    ],
)
def test_errors(arn: str, family: str, kind: str, ending: str) -> None:
    """Each kind of trouble is the error that Invoke declares for the service, with its status and what is wrong."""
    version = Version(
        "123456789012", "us-east-1", "f", "1", "r", "python3.12", "h", CodeArchive("a", 1, 1),
        file_system=FileSystem(arn, "/mnt/data"),
    )  # fmt: skip
    error = file_system_error(FileSystemTrouble(kind, "there is no folder /srv"), version)
    assert error.code == family + ending
    assert "there is no folder /srv" in error.message
    declared = {shape.name: shape for shape in MODEL.operation_model("Invoke").error_shapes}
    assert declared[error.code].metadata["error"]["httpStatusCode"] == error.status
