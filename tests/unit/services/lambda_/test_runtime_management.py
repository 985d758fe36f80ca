"""Functions that follow the machine's interpreters, and functions that are held to a version of their runtime."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from lambdad.errors import ServiceError
from lambdad.model.runtime_version import runtime_version
from support.lambda_service import ACCOUNT, OTHER_CODE, REGION, World, function_request, refused

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
HERE = runtime_version("python3.12", 1).arn(REGION)
NEWER = runtime_version("python3.12", 2).arn(REGION)


async def put(world: World, mode: str, **request: Any) -> Any:
    return await world.call("PutRuntimeManagementConfig", FunctionName="f", UpdateRuntimeOn=mode, **request)


async def get(world: World, **request: Any) -> Any:
    return await world.call("GetRuntimeManagementConfig", FunctionName="f", **request)


async def runs(world: World, **request: Any) -> bool:
    """Whether an invocation is let through; if not, for want of the runtime's version."""
    try:
        await world.call("Invoke", FunctionName="f", **request)
    except ServiceError as error:
        assert (error.code, error.status) == ("RuntimeVersionDeletedException", 409)
        return False
    return True


async def shown(world: World, **request: Any) -> Any:
    return (await world.call("GetFunctionConfiguration", FunctionName="f", **request))["RuntimeVersionConfig"]


async def test_auto_follows_the_machine(world: World) -> None:
    """A new function is in mode Auto and runs on whatever version there is, which its answers name."""
    created = await world.create()
    assert created["RuntimeVersionConfig"] == {"RuntimeVersionArn": HERE}
    assert await get(world) == {"UpdateRuntimeOn": "Auto", "FunctionArn": f"{ARN}:$LATEST"}
    world.runtimes.patch = 2
    assert await shown(world) == {"RuntimeVersionArn": NEWER}
    assert await runs(world)


async def test_manual_holds_to_one_version(world: World) -> None:
    """Once the machine has another version the function is refused and says why, until another mode or version is put."""
    await world.create()
    before = await world.call("GetFunctionConfiguration", FunctionName="f")
    expected = {"UpdateRuntimeOn": "Manual", "FunctionArn": f"{ARN}:$LATEST", "RuntimeVersionArn": HERE}
    assert await put(world, "Manual", RuntimeVersionArn=HERE) == expected
    assert await get(world) == expected
    assert await world.call("GetFunctionConfiguration", FunctionName="f") == before
    assert await runs(world)
    world.runtimes.patch = 2
    for invocation_type in ("RequestResponse", "Event", "DryRun"):
        assert not await runs(world, InvocationType=invocation_type)
    assert not await world.events()
    config = await shown(world)
    assert config["RuntimeVersionArn"] == HERE
    assert config["Error"]["ErrorCode"] == "RuntimeVersionDeletedException"
    assert HERE in config["Error"]["Message"]
    await world.call("UpdateFunctionCode", FunctionName="f", ZipFile=OTHER_CODE)
    await world.settled()
    assert not await runs(world)
    await put(world, "Manual", RuntimeVersionArn=NEWER)
    assert await runs(world)
    world.runtimes.patch = 1
    assert not await runs(world)
    await put(world, "Auto")
    assert await runs(world)
    assert "Error" not in await shown(world)


async def test_function_update_takes_the_version_of_the_last_update(world: World) -> None:
    """The function stays on the version that it was put or updated on; its next update gives it the one there is."""
    await world.create()
    assert await put(world, "FunctionUpdate") == {"UpdateRuntimeOn": "FunctionUpdate", "FunctionArn": f"{ARN}:$LATEST"}
    assert await runs(world)
    world.runtimes.patch = 2
    assert not await runs(world)
    for operation, request in (
        ("UpdateFunctionConfiguration", {"Timeout": 9}),
        ("UpdateFunctionCode", {"ZipFile": OTHER_CODE}),
    ):
        await world.call(operation, FunctionName="f", **request)
        await world.settled()
        assert await runs(world), operation
        assert await shown(world) == {"RuntimeVersionArn": runtime_version("python3.12", world.runtimes.patch).arn(REGION)}
        world.runtimes.patch += 1
        assert not await runs(world), operation


async def test_versions_have_their_own(world: World) -> None:
    """A published version is held to what $LATEST was, and configured by itself; aliases are no versions."""
    await world.create()
    await put(world, "Manual", RuntimeVersionArn=HERE)
    await world.call("PublishVersion", FunctionName="f")
    await world.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    assert (await get(world, Qualifier="1"))["RuntimeVersionArn"] == HERE
    world.runtimes.patch = 2
    await put(world, "Auto", Qualifier="$LATEST")
    assert await runs(world)
    assert not await runs(world, Qualifier="1")
    assert not await runs(world, Qualifier="live")
    answered = await put(world, "Auto", Qualifier="1")
    assert answered == {"UpdateRuntimeOn": "Auto", "FunctionArn": f"{ARN}:1"}
    assert await runs(world, Qualifier="live")
    error = await refused(get(world, Qualifier="live"))
    assert error.code == "InvalidParameterValueException"
    error = await refused(put(world, "Auto", Qualifier="2"))
    assert (error.code, error.message) == ("ResourceNotFoundException", f"Function not found: {ARN}:2")


async def test_it_lasts(world: World) -> None:
    """A restarted server knows what functions are held to."""
    await world.create()
    await put(world, "Manual", RuntimeVersionArn=HERE)
    world.runtimes.patch = 2
    world.state = world.restarted()
    assert not await runs(world)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"UpdateRuntimeOn": "Manual"}, "RuntimeVersionArn is required when UpdateRuntimeOn is Manual."),
        ({"UpdateRuntimeOn": "Auto", "RuntimeVersionArn": HERE}, "not allowed when UpdateRuntimeOn is Auto"),
        (
            {"UpdateRuntimeOn": "FunctionUpdate", "RuntimeVersionArn": HERE},
            "not allowed when UpdateRuntimeOn is FunctionUpdate",
        ),
        ({"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": NEWER}, f"{NEWER} is not available: the one version"),
        ({"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": HERE.replace("us-east-1", "eu-west-1")}, "is not available"),
        (
            {"UpdateRuntimeOn": "Manual", "RuntimeVersionArn": runtime_version("python3.11", 1).arn(REGION)},
            "is not available",
        ),
    ],
)
async def test_put_refuses(world: World, request_: dict[str, Any], message: str) -> None:
    """A version is named in mode Manual and in no other, and it is the one that there is of the function's runtime."""
    await world.create()
    error = await refused(world.call("PutRuntimeManagementConfig", FunctionName="f", **request_))
    assert error.code == "InvalidParameterValueException"
    assert message in error.message
    assert (await get(world))["UpdateRuntimeOn"] == "Auto"


async def test_a_runtime_that_is_gone(world: World) -> None:
    """A function whose interpreter was removed names no version, and cannot be held to any."""
    await world.create()
    world.runtimes.names = ("python3.8",)
    config = await shown(world)
    assert config["Error"]["ErrorCode"] == "InvalidRuntimeException"
    assert "RuntimeVersionArn" not in config
    for mode, member in (("FunctionUpdate", {}), ("Manual", {"RuntimeVersionArn": HERE})):
        error = await refused(put(world, mode, **member))
        assert "on this machine is none" in error.message
    await put(world, "Auto")


async def test_another_runtime_is_held_to_nothing(world: World) -> None:
    """The runtime of a function in mode Manual stays; in mode FunctionUpdate the new one's version is taken."""
    await world.create()
    await put(world, "Manual", RuntimeVersionArn=HERE)
    error = await refused(world.call("UpdateFunctionConfiguration", FunctionName="f", Runtime="python3.11"))
    assert error.code == "InvalidParameterValueException"
    assert "held to a version of python3.12" in error.message
    await put(world, "FunctionUpdate")
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Runtime="python3.11")
    await world.settled()
    assert await shown(world) == {"RuntimeVersionArn": runtime_version("python3.11", 1).arn(REGION)}
    assert await runs(world)


async def test_while_a_function_changes(world: World) -> None:
    """Neither a function that is being made nor one that is being updated takes a new mode."""
    world.runtimes.gate = asyncio.Event()
    await world.call("CreateFunction", **function_request("f"))
    error = await refused(put(world, "FunctionUpdate"))
    assert error.code == "ResourceConflictException"
    world.runtimes.gate.set()
    await world.settled()
    world.runtimes.gate = asyncio.Event()
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    error = await refused(put(world, "FunctionUpdate"))
    assert error.code == "ResourceConflictException"
    world.runtimes.gate.set()
    await world.settled()
    assert (await get(world))["UpdateRuntimeOn"] == "Auto"


async def test_after_an_update_that_failed(world: World) -> None:
    """What runs then is what was before, and it is held to the version as well."""
    await world.create()
    world.runtimes.failure = "no room"
    await world.call("UpdateFunctionConfiguration", FunctionName="f", Timeout=9)
    await world.settled()
    await put(world, "Manual", RuntimeVersionArn=HERE)
    assert await runs(world)
    world.runtimes.patch = 2
    assert not await runs(world)
