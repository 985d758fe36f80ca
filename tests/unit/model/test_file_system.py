"""ARNs of access points, and the paths at which functions see them."""

from __future__ import annotations

import pytest

from lambdad.model.file_system import FileSystem, is_access_point, is_local_path, is_s3_files

EFS = "arn:aws:elasticfilesystem:us-east-1:123456789012:access-point/fsap-0123456789abcdef0"
S3_FILES = "arn:aws:s3files:us-east-1:123456789012:file-system/fs-0123456789abcdef0/access-point/fsap-0123456789abcdef0"


@pytest.mark.parametrize(
    "arn",
    [
        EFS,
        S3_FILES,
        EFS.replace("aws:", "aws-us-gov:").replace("us-east-1", "us-gov-east-1"),
        EFS.replace("us-", "eusc-de-", 1),
    ],
)
def test_access_points(arn: str) -> None:
    """Access points of both services, in every partition."""
    assert is_access_point(arn)
    assert is_s3_files(arn) == (":s3files:" in arn)


@pytest.mark.parametrize(
    "arn",
    [
        "",
        "fsap-0123456789abcdef0",
        EFS + "0",
        EFS[:-1],
        EFS.upper(),
        EFS + "\n",
        EFS + "/../x",
        EFS.replace("123456789012", "12345678901"),
        EFS.replace("access-point/fsap", "file-system/fs"),
        S3_FILES + "/..",
        S3_FILES.replace("us-east-1", "us-east-1" + ":a" * 200),
        "arn:aws:s3:::bucket",
        EFS.replace("1234567890", "١٢٣٤٥٦٧٨٩٠"),
    ],
)
def test_what_is_no_access_point(arn: str) -> None:
    """Nothing but a whole ARN of an access point, in ASCII, of at most 256 characters."""
    assert not is_access_point(arn)


@pytest.mark.parametrize(
    ("path", "is_one"),
    [
        ("/mnt/data", True),
        ("/mnt/a-b_c.D9", True),
        ("/mnt/...", True),
        ("/mnt/..a", True),
        ("/mnt/" + "x" * 155, True),
        ("/mnt/" + "x" * 156, False),
        ("/mnt", False),
        ("/mnt/", False),
        ("/mnt/.", False),
        ("/mnt/..", False),
        ("/mnt/a/b", False),
        ("/mnt/../etc", False),
        ("/mnt//a", False),
        ("mnt/a", False),
        ("/mnt/ä", False),
        ("/mnt/a\n", False),
        ("/mnt/a b", False),
        ("/MNT/a", False),
    ],
)
def test_local_paths(path: str, is_one: bool) -> None:
    """/mnt and one name in it, which is no way to another folder."""
    assert is_local_path(path) == is_one


def test_the_name_alone() -> None:
    """What the launcher is told is the name."""
    assert FileSystem(EFS, "/mnt/data").name == "data"
