"""Layer versions and their permissions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from lambdad.errors import ServiceError
from lambdad.services.lambda_.record_keys import LAYER_POLICIES
from lambdad.store.base import Change
from support.lambda_service import ACCOUNT, OTHER_ACCOUNT, REGION, World, digest_of, function_request, refused, zip_of

CONTENT = zip_of({"python/shared.py": "x = 1"})
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l"


async def publish(world: World, name: str = "l", **request: Any) -> dict[str, Any]:
    published: dict[str, Any] = await world.call(
        "PublishLayerVersion", LayerName=name, **{"Content": {"ZipFile": CONTENT}, **request}
    )
    return published


async def test_publish_and_read(world: World) -> None:
    """A version prints what it was given; reading it by name and by ARN gives the same."""
    published = await publish(
        world, Description="d", CompatibleRuntimes=["python3.8"], CompatibleArchitectures=["x86_64"], LicenseInfo="MIT"
    )
    location = published["Content"].pop("Location")
    assert location.startswith("http://127.0.0.1:4566/_lambdad/code/")
    assert published == {
        "Content": {"CodeSha256": published["Content"]["CodeSha256"], "CodeSize": len(CONTENT)},
        "LayerArn": ARN,
        "LayerVersionArn": f"{ARN}:1",
        "Version": 1,
        "Description": "d",
        "CreatedDate": "2021-02-04T12:50:07.629+0000",
        "CompatibleRuntimes": ["python3.8"],
        "CompatibleArchitectures": ["x86_64"],
        "LicenseInfo": "MIT",
    }
    by_name = await world.call("GetLayerVersion", LayerName="l", VersionNumber=1)
    by_arn = await world.call("GetLayerVersionByArn", Arn=f"{ARN}:1")
    assert by_name == by_arn
    assert by_name["LayerVersionArn"] == f"{ARN}:1"


async def test_numbers_are_never_used_twice(world: World) -> None:
    """Identical content makes a new version, and deleting the newest does not free its number."""
    await asyncio.gather(*(publish(world) for _ in range(3)))
    await world.call("DeleteLayerVersion", LayerName="l", VersionNumber=3)
    await world.call("DeleteLayerVersion", LayerName="l", VersionNumber=3)
    assert (await publish(world))["Version"] == 4
    listed = await world.call("ListLayerVersions", LayerName="l")
    assert [each["Version"] for each in listed["LayerVersions"]] == [4, 2, 1]


async def test_lists(world: World) -> None:
    """Layers are listed by their newest suiting version; versions newest first, page by page."""
    await publish(world, "a", CompatibleRuntimes=["python3.8"])
    await publish(world, "a")
    await publish(world, "b")
    layers = (await world.call("ListLayers"))["Layers"]
    assert [(each["LayerName"], each["LatestMatchingVersion"]["Version"]) for each in layers] == [("a", 2), ("b", 1)]
    layers = (await world.call("ListLayers", CompatibleRuntime="python3.8"))["Layers"]
    assert [(each["LayerName"], each["LatestMatchingVersion"]["Version"]) for each in layers] == [("a", 1)]
    page = await world.call("ListLayerVersions", LayerName="a", MaxItems=1)
    assert [each["Version"] for each in page["LayerVersions"]] == [2]
    page = await world.call("ListLayerVersions", LayerName="a", MaxItems=1, Marker=page["NextMarker"])
    assert [each["Version"] for each in page["LayerVersions"]] == [1]
    assert "NextMarker" not in page


async def test_functions_keep_a_copy(world: World) -> None:
    """A deleted layer version stays in place for the functions that use it, and goes with the last of them."""
    await publish(world)
    await world.create(Layers=[f"{ARN}:1"])
    await world.call("DeleteLayerVersion", LayerName="l", VersionNumber=1)
    assert world.blobs.path(digest_of(CONTENT)).is_file()
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=5)
    await world.settled()
    assert (await world.call("GetFunctionConfiguration", FunctionName="f"))["Layers"][0]["Arn"] == f"{ARN}:1"
    await world.call("DeleteFunction", FunctionName="f")
    with pytest.raises(KeyError):
        world.blobs.path(digest_of(CONTENT))


@pytest.mark.parametrize(
    ("operation", "request_", "code", "message"),
    [
        ("GetLayerVersion", {"LayerName": "l", "VersionNumber": 0}, "InvalidParameterValueException", "Cannot be less than 1"),
        ("GetLayerVersion", {"LayerName": "l", "VersionNumber": 9}, "ResourceNotFoundException", "does not exist"),
        ("DeleteLayerVersion", {"LayerName": "l", "VersionNumber": 0}, "InvalidParameterValueException", "less than 1"),
        ("GetLayerVersion", {"LayerName": "a/b", "VersionNumber": 1}, "InvalidParameterValueException", "layerName"),
        (
            "PublishLayerVersion",
            {"LayerName": "l", "Content": {"ZipFile": b"x"}},
            "InvalidParameterValueException",
            "Could not unzip",
        ),
        (
            "PublishLayerVersion",
            {"LayerName": "l", "Content": {"ZipFile": CONTENT}, "CompatibleRuntimes": ["perl"]},
            "InvalidParameterValueException",
            "perl",
        ),
        (
            "PublishLayerVersion",
            {"LayerName": ARN.replace(ACCOUNT, OTHER_ACCOUNT), "Content": {"ZipFile": CONTENT}},
            "AccessDeniedException",
            "lambda:PublishLayerVersion",
        ),
        (
            "GetLayerVersionByArn",
            {"Arn": f"{ARN.replace(ACCOUNT, OTHER_ACCOUNT)}:1"},
            "AccessDeniedException",
            "lambda:GetLayerVersion",
        ),
    ],
)
async def test_refusals(world: World, operation: str, request_: dict[str, Any], code: str, message: str) -> None:
    """Numbers start at 1, names have a form, another account's layers are closed."""
    error = await refused(world.call(operation, **request_))
    assert error.code == code
    assert message in error.message


async def test_permissions_open_a_layer_to_others(world: World) -> None:
    """Another account may use a layer version once its policy says so, and no longer when the statement is removed."""
    await publish(world)
    request = {**function_request("theirs"), "Layers": [f"{ARN}:1"]}
    assert (await refused(world.call("CreateFunction", account=OTHER_ACCOUNT, **request))).code == "AccessDeniedException"
    target = {"LayerName": "l", "VersionNumber": 1}
    added = await world.call(
        "AddLayerVersionPermission",
        **target,
        StatementId="share",
        Action="lambda:GetLayerVersion",
        Principal=OTHER_ACCOUNT,
    )
    assert json.loads(added["Statement"]) == {
        "Sid": "share",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{OTHER_ACCOUNT}:root"},
        "Action": "lambda:GetLayerVersion",
        "Resource": f"{ARN}:1",
    }
    policy = await world.call("GetLayerVersionPolicy", **target)
    assert policy["RevisionId"] == added["RevisionId"]
    await world.call("CreateFunction", account=OTHER_ACCOUNT, **request)
    await world.call("RemoveLayerVersionPermission", **target, StatementId="share")
    assert (await refused(world.call("GetLayerVersionPolicy", **target))).code == "ResourceNotFoundException"
    again = {**request, "FunctionName": "again"}
    assert (await refused(world.call("CreateFunction", account=OTHER_ACCOUNT, **again))).code == "AccessDeniedException"
    error = await refused(world.call("RemoveLayerVersionPermission", **target, StatementId="share"))
    assert error.message == "No policy is associated with the given resource."


async def test_every_layer_is_on_some_page(world: World) -> None:
    """Pages go by the layers' names, also where one name is the beginning of another."""
    for name in ("a", "a-b", "a_c", "b"):
        await publish(world, name)
    names: list[str] = []
    page: dict[str, Any] = {"NextMarker": None}
    while "NextMarker" in page:
        page = await world.call("ListLayers", MaxItems=1, Marker=page["NextMarker"])
        names += [each["LayerName"] for each in page["Layers"]]
    assert names == ["a", "a-b", "a_c", "b"]


async def test_publication_given_up_is_whole_or_not_at_all(world: World) -> None:
    """Who goes away while a layer version is being committed leaves a version that has its content."""
    commit, committing, go_on = world.store.commit, asyncio.Event(), asyncio.Event()

    async def slow(changes: Sequence[Change]) -> None:
        async def certain() -> None:  # as a store does: what was submitted is done, whoever still waits
            await go_on.wait()
            await commit(changes)

        task = asyncio.create_task(certain())
        committing.set()
        await asyncio.shield(task)

    world.store.commit = slow  # type: ignore[method-assign]
    publishing = asyncio.create_task(publish(world))
    await committing.wait()
    publishing.cancel()
    await asyncio.wait([publishing], timeout=0.05)
    go_on.set()
    await asyncio.wait([publishing])
    assert publishing.cancelled()
    assert (await world.call("GetLayerVersion", LayerName="l", VersionNumber=1))["Content"]["CodeSize"] == len(CONTENT)
    assert world.blobs.path(digest_of(CONTENT)).is_file()


async def test_permission_for_a_version_that_is_being_deleted(world: World) -> None:
    """A permission that meets the deletion of its version is refused, and no policy is left behind."""
    await publish(world)
    permission = {"StatementId": "s", "Action": "lambda:GetLayerVersion", "Principal": "*"}
    key = (ACCOUNT, REGION, "l")
    tasks = []
    async with world.state.layer_locks.hold(key):
        for operation, members in (("DeleteLayerVersion", {}), ("AddLayerVersionPermission", permission)):
            tasks.append(asyncio.create_task(world.call(operation, LayerName="l", VersionNumber=1, **members)))
            while world.state.layer_locks._locks[key][1] < 1 + len(tasks):
                await asyncio.sleep(0)  # until it waits
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[1], ServiceError)
    assert outcomes[1].code == "ResourceNotFoundException"
    assert not world.store._collections[LAYER_POLICIES].records


async def test_filters_of_listings(world: World) -> None:
    """By runtime, by architecture, or by both: a version suits that names what is asked for. One that names no runtime suits
    none, and one that names no architecture is for x86_64. A layer is listed by the newest that suits."""
    await publish(world, CompatibleRuntimes=["python3.8", "python3.12"], CompatibleArchitectures=["x86_64"])
    await publish(world, CompatibleRuntimes=["python3.12"], CompatibleArchitectures=["x86_64", "arm64"])
    await publish(world, CompatibleRuntimes=["python3.12"])
    await publish(world)
    for request, versions in (
        ({}, [4, 3, 2, 1]),
        ({"CompatibleRuntime": "python3.12"}, [3, 2, 1]),
        ({"CompatibleRuntime": "python3.8"}, [1]),
        ({"CompatibleArchitecture": "x86_64"}, [4, 3, 2, 1]),
        ({"CompatibleArchitecture": "arm64"}, [2]),
        ({"CompatibleArchitecture": "arm64", "CompatibleRuntime": "python3.8"}, []),
        ({"CompatibleArchitecture": "x86_64", "CompatibleRuntime": "python3.12"}, [3, 2, 1]),
    ):
        listed = await world.call("ListLayerVersions", LayerName="l", **request)
        assert [each["Version"] for each in listed["LayerVersions"]] == versions, request
        layers = (await world.call("ListLayers", **request))["Layers"]
        assert [each["LatestMatchingVersion"]["Version"] for each in layers] == versions[:1], request


async def test_versions_by_arn(world: World) -> None:
    """Only the ARN of a version that is there, in this Region, is answered."""
    await publish(world)
    for arn, code in (
        (f"{ARN}:2", "ResourceNotFoundException"),
        (f"{ARN}:0", "InvalidParameterValueException"),
        (ARN, "InvalidParameterValueException"),
        (f"{ARN}:1".replace(REGION, "eu-west-1"), "ResourceNotFoundException"),
        (f"{ARN}:1".replace(ACCOUNT, OTHER_ACCOUNT), "AccessDeniedException"),
        ("nonsense", "InvalidParameterValueException"),
    ):
        assert (await refused(world.call("GetLayerVersionByArn", Arn=arn))).code == code, arn
