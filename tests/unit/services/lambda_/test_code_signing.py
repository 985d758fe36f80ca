"""Code signing configurations, and the functions that use them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from lambdad.errors import ServiceError
from support.lambda_service import ACCOUNT, OTHER_ACCOUNT, REGION, World, refused

PROFILE = f"arn:aws:signer:{REGION}:{ACCOUNT}:/signing-profiles/p/0123456789"
NONE = f"arn:aws:lambda:{REGION}:{ACCOUNT}:code-signing-config:csc-0123456789abcdef0"
GONE = f"The code signing configuration cannot be found. Check that the provided configuration is not deleted: {NONE}."


async def made(world: World, policy: str = "Warn", *publishers: str, **more: Any) -> str:
    """Its ARN."""
    created = await world.call(
        "CreateCodeSigningConfig",
        AllowedPublishers={"SigningProfileVersionArns": list(publishers or (PROFILE,))},
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": policy},
        **more,
    )
    return str(created["CodeSigningConfig"]["CodeSigningConfigArn"])


async def test_a_configuration_is_made_changed_and_deleted(world: World) -> None:
    """It warns unless told to enforce; what a change does not give stays; it survives a restart."""
    created = await world.call("CreateCodeSigningConfig", AllowedPublishers={"SigningProfileVersionArns": [PROFILE, PROFILE]})
    config = created["CodeSigningConfig"]
    arn = config["CodeSigningConfigArn"]
    assert config == {
        "CodeSigningConfigId": arn.rpartition(":")[2],
        "CodeSigningConfigArn": arn,
        "AllowedPublishers": {"SigningProfileVersionArns": [PROFILE]},
        "CodeSigningPolicies": {"UntrustedArtifactOnDeployment": "Warn"},
        "LastModified": "2021-02-04T12:50:07.629+0000",
    }
    world.now[0] += 1
    world.state = world.restarted()
    changed = await world.call(
        "UpdateCodeSigningConfig",
        CodeSigningConfigArn=arn,
        Description="d",
        CodeSigningPolicies={"UntrustedArtifactOnDeployment": "Enforce"},
    )
    expected = {**config, "Description": "d", "LastModified": "2021-02-04T12:50:08.629+0000"}
    expected["CodeSigningPolicies"] = {"UntrustedArtifactOnDeployment": "Enforce"}
    assert changed == {"CodeSigningConfig": expected} == await world.call("GetCodeSigningConfig", CodeSigningConfigArn=arn)
    await world.call("DeleteCodeSigningConfig", CodeSigningConfigArn=arn)
    for operation in ("Get", "Update", "Delete"):
        error = await refused(world.call(f"{operation}CodeSigningConfig", CodeSigningConfigArn=arn))
        assert (error.code, arn in error.message) == ("ResourceNotFoundException", True)


async def test_configurations_are_an_account_s_own(world: World) -> None:
    """Another account neither sees nor uses them, nor another region."""
    arn = await made(world)
    for foreign in (arn.replace(REGION, "eu-west-1"), NONE):
        assert (
            await refused(world.call("GetCodeSigningConfig", CodeSigningConfigArn=foreign))
        ).code == "ResourceNotFoundException"
    error = await refused(world.call("GetCodeSigningConfig", account=OTHER_ACCOUNT, CodeSigningConfigArn=arn))
    assert error.code == "ResourceNotFoundException"
    assert (await world.call("ListCodeSigningConfigs", account=OTHER_ACCOUNT)) == {"CodeSigningConfigs": []}


@pytest.mark.parametrize("publisher", [PROFILE[:-11], PROFILE.replace("signer", "lambda"), "arn:aws:s3:::b"])
async def test_a_publisher_is_a_version_of_a_profile(world: World, publisher: str) -> None:
    """Anything else could never have signed a package."""
    given = {"SigningProfileVersionArns": [PROFILE, publisher]}
    error = await refused(world.call("CreateCodeSigningConfig", AllowedPublishers=given))
    assert (error.code, publisher in error.message) == ("InvalidParameterValueException", True)
    arn = await made(world)
    error = await refused(world.call("UpdateCodeSigningConfig", CodeSigningConfigArn=arn, AllowedPublishers=given))
    assert error.code == "InvalidParameterValueException"


async def test_a_function_has_one_or_none(world: World) -> None:
    """One without is answered for with an empty ARN, as AWS does; taking away what is not there is no error."""
    await world.create()
    none = {"CodeSigningConfigArn": "", "FunctionName": "f"}
    assert await world.call("GetFunctionCodeSigningConfig", FunctionName="f") == none
    arn = await made(world)
    has = {"CodeSigningConfigArn": arn, "FunctionName": "f"}
    assert await world.call("PutFunctionCodeSigningConfig", FunctionName="f", CodeSigningConfigArn=arn) == has
    world.state = world.restarted()
    assert await world.call("GetFunctionCodeSigningConfig", FunctionName="f") == has
    for _ in range(2):
        assert await world.call("DeleteFunctionCodeSigningConfig", FunctionName="f") == {}
    assert await world.call("GetFunctionCodeSigningConfig", FunctionName="f") == none
    assert await world.call("ListFunctionsByCodeSigningConfig", CodeSigningConfigArn=arn) == {"FunctionArns": []}


async def test_the_functions_of_a_configuration(world: World) -> None:
    """Whichever way they came to it, and no longer when they left it; one in use is not deleted."""
    arn, other = await made(world), await made(world)
    for name in ("a", "b", "c"):
        await world.create(name, CodeSigningConfigArn=arn)
    listed = await world.call("ListFunctionsByCodeSigningConfig", CodeSigningConfigArn=arn, MaxItems=2)
    prefix = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:"
    assert listed["FunctionArns"] == [f"{prefix}a", f"{prefix}b"]
    more = await world.call("ListFunctionsByCodeSigningConfig", CodeSigningConfigArn=arn, Marker=listed["NextMarker"])
    assert more == {"FunctionArns": [f"{prefix}c"]}
    error = await refused(world.call("DeleteCodeSigningConfig", CodeSigningConfigArn=arn))
    assert error.code == "ResourceConflictException"
    await world.call("PutFunctionCodeSigningConfig", FunctionName="a", CodeSigningConfigArn=other)
    await world.call("DeleteFunctionCodeSigningConfig", FunctionName="b")
    await world.call("DeleteFunction", FunctionName="c")
    assert await world.call("ListFunctionsByCodeSigningConfig", CodeSigningConfigArn=arn) == {"FunctionArns": []}
    assert await world.call("ListFunctionsByCodeSigningConfig", CodeSigningConfigArn=other) == {"FunctionArns": [f"{prefix}a"]}
    await world.call("DeleteCodeSigningConfig", CodeSigningConfigArn=arn)


async def test_what_is_not_there_is_refused(world: World) -> None:
    """Configurations and functions, and versions, which have none of their own; nothing is made."""
    arn = await made(world)
    error = await refused(world.create(CodeSigningConfigArn=NONE))
    assert (error.code, error.message) == ("CodeSigningConfigNotFoundException", GONE)
    await world.create()
    error = await refused(world.call("PutFunctionCodeSigningConfig", FunctionName="f", CodeSigningConfigArn=NONE))
    assert (error.code, error.message) == ("CodeSigningConfigNotFoundException", GONE)
    for operation, more in (("Put", {"CodeSigningConfigArn": arn}), ("Get", {}), ("Delete", {})):
        error = await refused(world.call(f"{operation}FunctionCodeSigningConfig", FunctionName="none", **more))
        assert error.code == "ResourceNotFoundException"
        error = await refused(world.call(f"{operation}FunctionCodeSigningConfig", FunctionName="f:1", **more))
        assert error.code == "InvalidParameterValueException"


async def test_a_deletion_and_a_use_at_once(world: World) -> None:
    """Either the function has it and it stays, or it is gone and the function has none."""
    await world.create()
    for _ in range(10):
        arn = await made(world)
        use = world.call("PutFunctionCodeSigningConfig", FunctionName="f", CodeSigningConfigArn=arn)
        delete = world.call("DeleteCodeSigningConfig", CodeSigningConfigArn=arn)
        outcomes = await asyncio.gather(*((use, delete) if _ % 2 else (delete, use)), return_exceptions=True)
        errors = [outcome.code for outcome in outcomes if isinstance(outcome, ServiceError)]
        has = (await world.call("GetFunctionCodeSigningConfig", FunctionName="f"))["CodeSigningConfigArn"]
        assert errors == (["ResourceConflictException"] if has == arn else ["CodeSigningConfigNotFoundException"])
        await world.call("DeleteFunctionCodeSigningConfig", FunctionName="f")


async def test_configurations_come_in_pages(world: World) -> None:
    """More at once than of other things."""
    arns = [await made(world) for _ in range(60)]
    listed = await world.call("ListCodeSigningConfigs")
    assert [config["CodeSigningConfigArn"] for config in listed["CodeSigningConfigs"]] == sorted(arns)
    first = await world.call("ListCodeSigningConfigs", MaxItems=59)
    rest = await world.call("ListCodeSigningConfigs", MaxItems=59, Marker=first["NextMarker"])
    assert [config["CodeSigningConfigArn"] for config in rest["CodeSigningConfigs"]] == sorted(arns)[59:]
    assert (await refused(world.call("ListCodeSigningConfigs", Marker="%"))).code == "InvalidParameterValueException"


async def test_tags(world: World, tmp_path: Path) -> None:
    """They are given, added, taken and kept; too many and reserved ones are refused."""
    arn = await made(world, Tags={"a": "1"})
    await world.call("TagResource", Resource=arn, Tags={"b": "2"})
    await world.call("UntagResource", Resource=arn, TagKeys=["a", "none"])
    world.state = world.restarted()
    assert await world.call("ListTags", Resource=arn) == {"Tags": {"b": "2"}}
    for tags in ({f"k{number}": "v" for number in range(50)}, {"aws:x": "y"}):
        assert (await refused(world.call("TagResource", Resource=arn, Tags=tags))).code == "InvalidParameterValueException"
    assert await world.call("ListTags", Resource=arn) == {"Tags": {"b": "2"}}
    for operation, more in (("TagResource", {"Tags": {"a": "b"}}), ("UntagResource", {"TagKeys": ["a"]}), ("ListTags", {})):
        assert (await refused(world.call(operation, Resource=NONE, **more))).code == "ResourceNotFoundException"
