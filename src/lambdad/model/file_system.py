"""File systems of functions: the access points that a function may name, and where it sees them."""

from __future__ import annotations

import re
from dataclasses import dataclass

_REGION = r"(?:eusc-)?[a-z]{2}(?:-gov|-iso[a-z]?)?-[a-z]+-\d"
_EFS = re.compile(rf"arn:aws[a-zA-Z-]*:elasticfilesystem:{_REGION}:\d{{12}}:access-point/fsap-[a-f0-9]{{17}}", re.ASCII)
_S3_FILES = re.compile(
    r"arn:aws[-a-z]*:s3files:[0-9a-z-:]+:file-system/fs-[0-9a-f]{17,40}/access-point/fsap-[0-9a-f]{17,40}", re.ASCII
)
_LOCAL_PATH = re.compile(r"/mnt/[a-zA-Z0-9\-_.]{1,155}", re.ASCII)


@dataclass(frozen=True, slots=True)
class FileSystem:
    """An access point, and the folder in which a function finds it."""

    arn: str
    local_path: str  #: /mnt/NAME
    direct_s3_read: str | None = None  #: as the caller said it, of Amazon S3 Files alone

    @property
    def name(self) -> str:
        return self.local_path.removeprefix("/mnt/")

    @property
    def is_s3_files(self) -> bool:
        return is_s3_files(self.arn)


def is_access_point(arn: str) -> bool:
    return len(arn) <= 256 and (_EFS.fullmatch(arn) is not None or is_s3_files(arn))


def is_s3_files(arn: str) -> bool:
    return _S3_FILES.fullmatch(arn) is not None


def is_local_path(path: str) -> bool:
    """Dots alone are no name: they mean other folders."""
    return _LOCAL_PATH.fullmatch(path) is not None and path not in ("/mnt/.", "/mnt/..")
