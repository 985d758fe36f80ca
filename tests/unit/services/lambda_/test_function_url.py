"""The operations on function URLs' configurations."""

from __future__ import annotations

import re
from typing import Any

import pytest

from support.lambda_service import ACCOUNT, OTHER_ACCOUNT, REGION, World, refused

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
CORS = {
    "AllowCredentials": True,
    "AllowHeaders": ["x-a", "*"],
    "AllowMethods": ["GET", "*"],
    "AllowOrigins": ["https://a.example", "http://localhost:3000", "*"],
    "ExposeHeaders": ["x-b"],
    "MaxAge": 86400,
}


async def with_alias(world: World) -> None:
    await world.create(Publish=True)
    await world.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")


async def test_a_url_and_its_life(world: World) -> None:
    """Made, shown, changed member by member, deleted; times are AWS's."""
    await world.create()
    made = await world.call("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE", Cors=CORS)
    assert re.fullmatch(rf"http://[a-z0-9]{{32}}\.lambda-url\.{REGION}\.localhost:4566/", made["FunctionUrl"])
    assert made == {
        "FunctionUrl": made["FunctionUrl"],
        "FunctionArn": ARN,
        "AuthType": "NONE",
        "Cors": CORS,
        "CreationTime": "2021-02-04T12:50:07.629000Z",
        "InvokeMode": "BUFFERED",
    }
    world.now[0] += 60
    shown = {**made, "LastModifiedTime": made["CreationTime"]}
    assert await world.call("GetFunctionUrlConfig", FunctionName=ARN) == shown
    changed = await world.call("UpdateFunctionUrlConfig", FunctionName="f", AuthType="AWS_IAM")
    assert changed == {**shown, "AuthType": "AWS_IAM", "LastModifiedTime": "2021-02-04T12:51:07.629000Z"}
    without = await world.call("UpdateFunctionUrlConfig", FunctionName="f", Cors={})
    assert "Cors" not in without
    assert (await world.call("ListFunctionUrlConfigs", FunctionName="f")) == {"FunctionUrlConfigs": [without]}
    assert (await world.answer("DeleteFunctionUrlConfig", FunctionName="f")).status == 204
    assert (await world.call("ListFunctionUrlConfigs", FunctionName="f")) == {"FunctionUrlConfigs": []}


async def test_one_for_the_function_and_one_for_each_alias(world: World) -> None:
    """They are apart in everything; listings go by qualifier and in pages."""
    await with_alias(world)
    own = await world.call("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE")
    of_alias = await world.call("CreateFunctionUrlConfig", FunctionName="f:live", AuthType="AWS_IAM")
    assert of_alias["FunctionArn"] == f"{ARN}:live"
    assert of_alias["FunctionUrl"] != own["FunctionUrl"]
    first = await world.call("ListFunctionUrlConfigs", FunctionName="f", MaxItems=1)
    assert [each["FunctionArn"] for each in first["FunctionUrlConfigs"]] == [ARN]
    second = await world.call("ListFunctionUrlConfigs", FunctionName="f", Marker=first["NextMarker"])
    assert [each["FunctionArn"] for each in second["FunctionUrlConfigs"]] == [f"{ARN}:live"]
    assert "NextMarker" not in second
    await world.call("DeleteAlias", FunctionName="f", Name="live")
    assert (await refused(world.call("GetFunctionUrlConfig", FunctionName="f", Qualifier="live"))).code == (
        "ResourceNotFoundException"
    )
    assert await world.state.records.url_owner(of_alias["FunctionUrl"][7:39]) is None
    assert await world.state.records.url_owner(own["FunctionUrl"][7:39]) is not None


async def test_urls_survive_a_restart_and_die_with_their_function(world: World) -> None:
    """After a restart they are as before; a function made anew has the same address only when it gets one."""
    await world.create()
    made = await world.call("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE", Cors=CORS)
    world.state = world.restarted()
    await world.state.settler.start()
    assert (await world.call("GetFunctionUrlConfig", FunctionName="f"))["Cors"] == CORS
    await world.call("DeleteFunction", FunctionName="f")
    assert await world.state.records.url_owner(made["FunctionUrl"][7:39]) is None
    await world.create()
    assert (await refused(world.call("GetFunctionUrlConfig", FunctionName="f"))).code == "ResourceNotFoundException"
    again = await world.call("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE")
    assert again["FunctionUrl"] == made["FunctionUrl"]
    await world.state.settler.stop()


@pytest.mark.parametrize(
    ("operation", "request_", "code", "message"),
    [
        ("CreateFunctionUrlConfig", {"FunctionName": "g", "AuthType": "NONE"}, "NotFound", "Function does not exist"),
        (
            "CreateFunctionUrlConfig",
            {"FunctionName": "f", "Qualifier": "no", "AuthType": "NONE"},
            "NotFound",
            "Function does not exist",
        ),
        (
            "CreateFunctionUrlConfig",
            {"FunctionName": "f", "AuthType": "NONE"},
            "Conflict",
            f"Failed to create function url config for [functionArn = {ARN}]. "
            "Error message:  FunctionUrlConfig exists for this Lambda function",
        ),
        ("GetFunctionUrlConfig", {"FunctionName": "g"}, "NotFound", "The resource you requested does not exist."),
        ("GetFunctionUrlConfig", {"FunctionName": "f:live"}, "NotFound", "The resource you requested does not exist."),
        ("UpdateFunctionUrlConfig", {"FunctionName": "f:live"}, "NotFound", "The resource you requested does not exist."),
        ("DeleteFunctionUrlConfig", {"FunctionName": "f:live"}, "NotFound", "The resource you requested does not exist."),
        ("ListFunctionUrlConfigs", {"FunctionName": "g"}, "NotFound", "Function does not exist"),
    ],
)
async def test_refusals(world: World, operation: str, request_: dict[str, Any], code: str, message: str) -> None:
    """AWS's words for what is not there, and for what is there already."""
    await with_alias(world)
    await world.call("CreateFunctionUrlConfig", FunctionName="f", AuthType="NONE")
    error = await refused(world.call(operation, **request_))
    assert (error.code, error.message) == (f"Resource{code}Exception", message)


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("AllowMethods", "get"),
        ("AllowMethods", "TRACE"),
        ("AllowMethods", ""),
        ("AllowOrigins", "a.example"),
        ("AllowOrigins", "https://a.example/path"),
        ("AllowOrigins", "https://a.example\r\nx: y"),
        ("AllowHeaders", "x y"),
        ("AllowHeaders", "x\r\ny: z"),
        ("ExposeHeaders", ""),
    ],
)
async def test_cors_takes_only_what_can_stand_in_a_header(world: World, member: str, value: str) -> None:
    """The model lets any text pass; nothing is changed by what is refused."""
    await world.create()
    for operation in ("CreateFunctionUrlConfig", "UpdateFunctionUrlConfig"):
        error = await refused(world.call(operation, FunctionName="f", AuthType="NONE", Cors={member: [value]}))
        assert error.code == "InvalidParameterValueException"
        assert member in error.message
    assert (await world.call("ListFunctionUrlConfigs", FunctionName="f")) == {"FunctionUrlConfigs": []}


async def test_another_accounts_urls_are_not_to_be_seen(world: World) -> None:
    """An ARN of another account is refused."""
    await world.create()
    error = await refused(world.call("GetFunctionUrlConfig", account=OTHER_ACCOUNT, FunctionName=ARN))
    assert error.code == "AccessDeniedException"
