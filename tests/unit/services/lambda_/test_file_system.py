"""FileSystemConfigs: what is taken, what is refused, and where it shows."""

from __future__ import annotations

from typing import Any

import pytest

from support.lambda_service import World, function_request, refused

EFS = "arn:aws:elasticfilesystem:us-east-1:123456789012:access-point/fsap-0123456789abcdef0"
OTHER = EFS[:-1] + "1"
S3_FILES = "arn:aws:s3files:us-east-1:123456789012:file-system/fs-0123456789abcdef0/access-point/fsap-0123456789abcdef0"


def configs(arn: str = EFS, path: str = "/mnt/data", **more: Any) -> list[dict[str, Any]]:
    return [{"Arn": arn, "LocalMountPath": path, **more}]


@pytest.fixture
def mounting(world: World) -> World:
    """A world whose settings name folders."""
    world.state.file_systems = {EFS, S3_FILES}
    return world


async def test_attached_changed_and_detached(mounting: World) -> None:
    """A file system is in every answer, in published versions, and in what is run; an empty list takes it away."""
    created = await mounting.create(FileSystemConfigs=configs(), Publish=True)
    assert created["FileSystemConfigs"] == configs()
    await mounting.call("Invoke", FunctionName="f")
    file_system = mounting.invoker.invocations[-1].version.file_system
    assert file_system is not None
    assert (file_system.arn, file_system.local_path) == (EFS, "/mnt/data")
    updated = await mounting.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=5)
    assert updated["FileSystemConfigs"] == configs()
    await mounting.settled()
    changed = configs(S3_FILES, "/mnt/other", S3FilesConfig={"DirectS3Read": "DISABLED"})
    updated = await mounting.call("UpdateFunctionConfiguration", FunctionName="f", FileSystemConfigs=changed)
    assert updated["FileSystemConfigs"] == changed
    await mounting.settled()
    updated = await mounting.call("UpdateFunctionConfiguration", FunctionName="f", FileSystemConfigs=[])
    assert "FileSystemConfigs" not in updated
    await mounting.settled()
    await mounting.call("Invoke", FunctionName="f")
    assert mounting.invoker.invocations[-1].version.file_system is None
    assert (await mounting.call("GetFunctionConfiguration", FunctionName="f", Qualifier="1"))["FileSystemConfigs"] == configs()
    listed = await mounting.call("ListVersionsByFunction", FunctionName="f")
    assert [each.get("FileSystemConfigs") for each in listed["Versions"]] == [None, configs()]


async def test_it_lasts(mounting: World) -> None:
    """A restarted server knows it, also when the settings name the folder no more."""
    await mounting.create(FileSystemConfigs=configs())
    mounting.state = mounting.restarted()
    assert (await mounting.call("GetFunctionConfiguration", FunctionName="f"))["FileSystemConfigs"] == configs()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (configs(OTHER), f"Access point {OTHER} does not exist: no folder stands for it here."),
        (configs(OTHER), "--file-systems"),
        (configs("arn:aws:s3:::bucket"), "is not the ARN of an access point"),
        (configs(EFS + "\n"), "is not the ARN of an access point"),
        (configs(path="/mnt/.."), "no local mount path"),
        (configs(path="/mnt/."), "no local mount path"),
        (configs(path="/mnt/a/b"), "no local mount path"),
        (configs(path="/tmp/a"), "no local mount path"),
        (configs() + configs(S3_FILES, "/mnt/more"), "one file system at most"),
        (configs(S3FilesConfig={"DirectS3Read": "DISABLED"}), "only for access points of Amazon S3 Files"),
        (configs(S3FilesConfig={}), "only for access points of Amazon S3 Files"),
        (configs(S3_FILES, S3FilesConfig={"DirectS3Read": "AUTO"}), "DirectS3Read AUTO is not supported by lambdad"),
        (configs(S3_FILES, S3FilesConfig={"DirectS3Read": "ENABLED"}), "DirectS3Read ENABLED is not supported by lambdad"),
    ],
)
async def test_refusals(mounting: World, given: list[dict[str, Any]], message: str) -> None:
    """At creation and in updates alike, and nothing is changed."""
    await mounting.create(FileSystemConfigs=configs())
    before = await mounting.call("GetFunctionConfiguration", FunctionName="f")
    calls = [("UpdateFunctionConfiguration", {"FunctionName": "f"}), ("CreateFunction", function_request("g"))]
    for operation, request in calls:
        error = await refused(mounting.call(operation, **request, FileSystemConfigs=given))
        assert error.code == "InvalidParameterValueException"
        assert message in error.message
    assert await mounting.call("GetFunctionConfiguration", FunctionName="f") == before
    assert len((await mounting.call("ListFunctions"))["Functions"]) == 1


async def test_where_there_can_be_none(mounting: World) -> None:
    """On a backend that shows functions no folders the refusal says why; functions without one are made."""
    mounting.state.file_system_problem = "functions that are not isolated see all folders"
    error = await refused(mounting.create(FileSystemConfigs=configs()))
    assert error.message == (
        "FileSystemConfigs is not supported on this machine: functions that are not isolated see all folders."
    )
    await mounting.create(FileSystemConfigs=[])


async def test_no_snapshots_of_it(mounting: World) -> None:
    """SnapStart and a file system exclude each other, in whichever order they come."""
    snap_start = {"ApplyOn": "PublishedVersions"}
    error = await refused(mounting.create(FileSystemConfigs=configs(), SnapStart=snap_start))
    assert error.message == "SnapStart does not support functions with a file system."
    await mounting.create(SnapStart=snap_start)
    error = await refused(mounting.call("UpdateFunctionConfiguration", FunctionName="f", FileSystemConfigs=configs()))
    assert error.message == "SnapStart does not support functions with a file system."
