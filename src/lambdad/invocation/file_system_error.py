"""What a caller is told when a function's file system cannot be mounted: AWS's errors of Amazon EFS and Amazon S3 Files."""

from __future__ import annotations

from lambdad.errors import FileSystemTrouble, ServiceError
from lambdad.model.version import Version

#: Kind of trouble -> the end of the error's name, its status, and AWS's sentence.
_ERRORS = {
    FileSystemTrouble.MISSING: ("ConnectivityException", 408, "couldn't make a network connection to"),
    FileSystemTrouble.UNSUITABLE: ("FailureException", 403, "couldn't mount"),
    FileSystemTrouble.SILENT: ("TimeoutException", 408, "timed out mounting"),
}


def file_system_error(trouble: FileSystemTrouble, version: Version) -> ServiceError:
    ending, status, what = _ERRORS[trouble.kind]
    kind = "S3Files" if version.file_system is not None and version.file_system.is_s3_files else "EFS"
    return ServiceError(f"{kind}Mount{ending}", f"The function {what} the configured file system: {trouble}.", status=status)
