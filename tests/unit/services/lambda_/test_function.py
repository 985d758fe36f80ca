"""Functions: made, looked at, listed and deleted."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any

import pytest

from lambdad.services.lambda_.record_keys import FUNCTIONS, UNSETTLED
from lambdad.store.base import REFERENCES
from support.lambda_service import (
    ACCOUNT,
    CODE,
    OTHER_ACCOUNT,
    REGION,
    ROLE,
    World,
    digest_of,
    function_request,
    refused,
    zip_of,
)

INVALID = "InvalidParameterValueException"
ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"


async def test_create_answers_pending_and_becomes_active(world: World) -> None:
    """A new function is Pending in the answer, and Active with a new revision id once it is ready."""
    created = await world.call("CreateFunction", **function_request())
    sha256 = base64.b64encode(hashlib.sha256(CODE).digest()).decode()
    assert created == {
        "FunctionName": "f",
        "FunctionArn": ARN,
        "Runtime": "python3.12",
        "Role": ROLE,
        "Handler": "app.handler",
        "CodeSize": len(CODE),
        "Description": "",
        "Timeout": 3,
        "MemorySize": 128,
        "LastModified": "2021-02-04T12:50:07.629+0000",
        "CodeSha256": sha256,
        "Version": "$LATEST",
        "TracingConfig": {"Mode": "PassThrough"},
        "RevisionId": created["RevisionId"],
        "PackageType": "Zip",
        "Architectures": ["x86_64"],
        "EphemeralStorage": {"Size": 512},
        "SnapStart": {"ApplyOn": "None", "OptimizationStatus": "Off"},
        "LoggingConfig": {"LogFormat": "Text", "LogGroup": "/aws/lambda/f"},
        "RuntimeVersionConfig": created["RuntimeVersionConfig"],
        "State": "Pending",
        "StateReason": "The function is being created.",
        "StateReasonCode": "Creating",
    }
    await world.settled()
    shown = (await world.call("GetFunction", FunctionName="f"))["Configuration"]
    assert (shown["State"], shown["LastUpdateStatus"]) == ("Active", "Successful")
    assert "StateReason" not in shown
    assert shown["RevisionId"] != created["RevisionId"]
    assert world.runtimes.prepared == ["python3.12"]


async def test_create_keeps_every_setting(world: World) -> None:
    """What CreateFunction is given, GetFunctionConfiguration prints."""
    layer = await world.call("PublishLayerVersion", LayerName="l", Content={"ZipFile": zip_of({"python/a.py": "1"})})
    await world.create(
        Timeout=900,
        MemorySize=10240,
        Description="what it does",
        Environment={"Variables": {"KEY": "välue"}},
        EphemeralStorage={"Size": 10240},
        LoggingConfig={"LogFormat": "Text", "LogGroup": "mine"},
        Layers=[layer["LayerVersionArn"]],
        Tags={"team": "a"},
        TracingConfig={"Mode": "PassThrough"},
        SnapStart={"ApplyOn": "None"},
        VpcConfig={"SubnetIds": [], "SecurityGroupIds": []},
        PackageType="Zip",
        Architectures=["x86_64"],
        DeadLetterConfig={"TargetArn": ""},
    )
    shown = await world.call("GetFunctionConfiguration", FunctionName="f")
    assert shown["Timeout"] == 900
    assert shown["MemorySize"] == 10240
    assert shown["Environment"] == {"Variables": {"KEY": "välue"}}
    assert shown["EphemeralStorage"] == {"Size": 10240}
    assert shown["LoggingConfig"] == {"LogFormat": "Text", "LogGroup": "mine"}
    assert shown["Layers"] == [{"Arn": layer["LayerVersionArn"], "CodeSize": layer["Content"]["CodeSize"]}]
    assert (await world.call("GetFunction", FunctionName="f"))["Tags"] == {"team": "a"}


ENVIRONMENT = "Lambda was unable to configure your environment variables because the environment variables you have provided "

LEVELS_NEED_JSON = (
    'LogLevel is not supported when LogFormat is set to "Text". '
    'Remove LogLevel from your request or change the LogFormat to "JSON" and try again.'
)
REFUSED_CREATIONS: list[tuple[dict[str, Any], str, str]] = [
    (
        {"Code": {"ZipFile": b"no zip"}},
        INVALID,
        "Could not unzip uploaded file. Please check your file",
    ),
    ({"Code": {"ZipFile": b""}}, INVALID, "Could not unzip uploaded file."),
    ({"Code": {}}, INVALID, "Please provide a source for function code."),
    ({"Code": {"S3Bucket": "bucket"}}, INVALID, "Please provide both S3Bucket and S3Key."),
    (
        {"Code": {"S3Bucket": "bucket", "S3Key": "none"}},
        INVALID,
        "Error occurred while GetObject. S3 Error Code: NoSuchKey. S3 Error Message: The specified key does not exist.",
    ),
    (
        {"Code": {"ZipFile": b"x", "S3Key": "k"}},
        INVALID,
        "Please do not provide other FunctionCode parameters when providing a ZipFile.",
    ),
    ({"Handler": "two words"}, INVALID, "Value 'two words' at 'handler' failed"),
    ({"Role": "worker"}, INVALID, "Value 'worker' at 'role' failed to satisfy constraint"),
    ({"Timeout": 901}, INVALID, "Member must have value less than or equal to 900"),
    ({"Timeout": 0}, INVALID, "Member must have value greater than or equal to 1"),
    ({"MemorySize": 10241}, INVALID, "'MemorySize' value failed to satisfy constraint"),
    ({"EphemeralStorage": {}}, INVALID, "Value null at 'ephemeralStorage.size'"),
    ({"EphemeralStorage": {"Size": 10241}}, INVALID, "less than or equal to 10240"),
    ({"Runtime": "python9"}, INVALID, "Value python9 at 'runtime' failed to satisfy constraint"),
    ({"Runtime": "python3.7"}, INVALID, "python3.7"),
    ({"Runtime": "nodejs22.x"}, INVALID, "nodejs22.x"),
    (
        {"Environment": {"Variables": {"AWS_REGION": "x", "A1": "y"}}},
        INVALID,
        f"{ENVIRONMENT}contains reserved keys that are currently not supported for modification. "
        "Reserved keys used in this request: AWS_REGION",
    ),
    (
        {"Environment": {"Variables": {"BIG": "x" * 4087}}},
        INVALID,
        f'{ENVIRONMENT}exceeded the 4KB limit. String measured: {{"BIG":"xxx',
    ),
    ({"Environment": {"Variables": {"NUL": "a\0b"}}}, INVALID, "null character"),
    ({"Handler": "a\0.b"}, INVALID, "'handler' failed to satisfy constraint"),
    (
        {"VpcConfig": {"SubnetIds": ["subnet-1"], "SecurityGroupIds": ["sg-1"]}},
        INVALID,
        "VpcConfig is not supported by lambdad: functions have no VPC here.",
    ),
    ({"VpcConfig": {"SubnetIds": ["subnet-1"]}}, INVALID, "SubnetIds and SecurityIds must coexist or be both empty list."),
    (
        {"VpcConfig": {"SubnetIds": [], "SecurityGroupIds": ["sg-1"]}},
        INVALID,
        "SubnetIds and SecurityIds must coexist or be both empty list.",
    ),
    ({"VpcConfig": {"Ipv6AllowedForDualStack": True}}, INVALID, "VpcConfig is not supported"),
    ({"DeadLetterConfig": {"TargetArn": "arn:aws:sqs:us-east-1:1:q"}}, INVALID, "there is no SQS here"),
    ({"TracingConfig": {"Mode": "Active"}}, INVALID, "TracingConfig Mode Active is not supported"),
    (
        {"SnapStart": {"ApplyOn": "PublishedVersions"}, "EphemeralStorage": {"Size": 513}},
        INVALID,
        "SnapStart does not support ephemeral storage of more than 512 MB",
    ),
    (
        {"Code": {"ImageUri": "r.example/f:1"}},
        INVALID,
        "Please don't provide ImageUri when creating a function with packageType Zip.",
    ),
    ({"PackageType": "Image"}, INVALID, "Please provide ImageUri when creating a function with packageType Image"),
    ({"Architectures": ["arm64"]}, INVALID, "Architecture arm64 is not supported"),
    *(
        ({"LoggingConfig": config}, INVALID, LEVELS_NEED_JSON)
        for config in ({"SystemLogLevel": "INFO"}, {"LogFormat": "Text", "ApplicationLogLevel": "INFO"})
    ),
    (
        {"Tags": {f"k{n}": "" for n in range(51)}},
        INVALID,
        "Number of tags exceeds resource tag limit.",
    ),
    ({"Tags": {"aws:x": ""}}, INVALID, "aws:"),
    ({"FunctionName": "f:1"}, INVALID, "qualifier"),
    (
        {"Layers": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:1"]},
        INVALID,
        "Layer version ARN does not exist.",
    ),
    (
        {"Layers": [f"arn:aws:lambda:eu-west-1:{ACCOUNT}:layer:l:1"]},
        INVALID,
        "Layers are expected to be in region us-east-1.",
    ),
    (
        {"Layers": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l{n}:1" for n in range(6)]},
        INVALID,
        "Cannot reference more than 5 layers.",
    ),
    (
        {"Layers": [f"arn:aws:lambda:{REGION}:{ACCOUNT}:layer:l:{n}" for n in (1, 2)]},
        INVALID,
        "Two different versions of the same layer are not allowed to be referenced in the same function.",
    ),
    ({"Layers": [f"arn:aws:lambda:{REGION}:{OTHER_ACCOUNT}:layer:l:1"]}, "AccessDeniedException", "lambda:GetLayerVersion"),
]


@pytest.mark.parametrize(("change", "code", "message"), REFUSED_CREATIONS, ids=lambda value: str(value)[:50])
async def test_create_refuses(world: World, change: dict[str, Any], code: str, message: str) -> None:
    """A refused creation says why in AWS's words and leaves nothing behind."""
    error = await refused(world.call("CreateFunction", **{**function_request(), **change}))
    assert (error.code, message in error.message) == (code, True), error.message
    assert not await world.store.list(FUNCTIONS)
    assert not await world.store.list(REFERENCES)
    assert not await world.store.list(UNSETTLED)
    assert not list((world.blobs._directory).glob("??/??/*"))


async def test_create_needs_runtime_and_handler(world: World) -> None:
    """A package without a runtime or a handler is refused."""
    request = function_request()
    del request["Handler"]
    error = await refused(world.call("CreateFunction", **request))
    assert error.message.startswith("Runtime and Handler are mandatory parameters")


async def test_create_from_s3(world: World) -> None:
    """The package may be an S3 object."""
    world.objects["bucket", "key"] = CODE
    created = await world.create(Code={"S3Bucket": "bucket", "S3Key": "key"})
    assert created["CodeSize"] == len(CODE)


async def test_create_twice(world: World) -> None:
    """A name that is taken is a conflict, and the first function stays."""
    await world.create()
    error = await refused(world.call("CreateFunction", **function_request()))
    assert (error.code, error.message) == ("ResourceConflictException", "Function already exist: f")


async def test_concurrent_creations(world: World) -> None:
    """Of two creations of one name at once, one is made and the other refused."""
    calls = [world.call("CreateFunction", **function_request()) for _ in range(2)]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["ServiceError", "dict"]


async def test_sizes(world: World) -> None:
    """Packages above the zip limit, above the request limit and above the unzipped limit have three answers."""
    error = await refused(world.call("CreateFunction", **{**function_request(), "Code": {"ZipFile": bytes(52_428_801)}}))
    assert (error.status, error.message) == (413, "Zipped size must be smaller than 52428800 bytes")
    error = await refused(world.call("CreateFunction", **{**function_request(), "Code": {"ZipFile": bytes(52_700_000)}}))
    assert error.message == "Request must be smaller than 70167211 bytes for the CreateFunction operation"
    bomb = zip_of({"zeros": bytes(262_144_001)})
    error = await refused(world.call("CreateFunction", **{**function_request(), "Code": {"ZipFile": bomb}}))
    assert error.message == "Unzipped size must be smaller than 262144000 bytes"


async def test_layers_count_with_the_package(world: World) -> None:
    """Package and layers together must stay below the unzipped limit."""
    half = zip_of({"zeros": bytes(140_000_000)})
    layer = await world.call("PublishLayerVersion", LayerName="l", Content={"ZipFile": half})
    request = {**function_request(), "Code": {"ZipFile": half}, "Layers": [layer["LayerVersionArn"]]}
    error = await refused(world.call("CreateFunction", **request))
    assert error.message == "Unzipped size must be smaller than 262144000 bytes"


async def test_create_with_publish(world: World) -> None:
    """Publish makes version 1 of the new function and answers with it, under the function's own ARN."""
    created = await world.create(Publish=True)
    assert (created["Version"], created["FunctionArn"], created["State"]) == ("1", ARN, "Pending")
    shown = await world.call("GetFunctionConfiguration", FunctionName="f", Qualifier="1")
    assert (shown["State"], shown["RevisionId"]) == ("Active", created["RevisionId"])


@pytest.mark.parametrize(
    ("name", "qualifier", "arn", "version"),
    [
        ("f", None, ARN, "$LATEST"),
        ("f", "$LATEST", f"{ARN}:$LATEST", "$LATEST"),
        ("f:1", None, f"{ARN}:1", "1"),
        (f"{ACCOUNT}:function:f:live", None, f"{ARN}:live", "1"),
        (ARN, "live", f"{ARN}:live", "1"),
    ],
)
async def test_get_by_every_name(world: World, name: str, qualifier: str | None, arn: str, version: str) -> None:
    """The answer's ARN carries the qualifier that was asked with, the version is the one it means."""
    await world.create(Publish=True)
    await world.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    request = {"FunctionName": name, **({"Qualifier": qualifier} if qualifier else {})}
    shown = (await world.call("GetFunction", **request))["Configuration"]
    assert (shown["FunctionArn"], shown["Version"]) == (arn, version)


@pytest.mark.parametrize(
    ("request_", "code", "message"),
    [
        ({"FunctionName": "none"}, "ResourceNotFoundException", f"Function not found: {ARN[:-1]}none"),
        ({"FunctionName": "f", "Qualifier": "9"}, "ResourceNotFoundException", f"Function not found: {ARN}:9"),
        ({"FunctionName": "f:1", "Qualifier": "2"}, INVALID, "The derived qualifier"),
        (
            {"FunctionName": f"arn:aws:lambda:ap-southeast-1:{ACCOUNT}:function:f"},
            "ResourceNotFoundException",
            "Functions from 'ap-southeast-1' are not reachable in this region ('us-east-1')",
        ),
        (
            {"FunctionName": f"arn:aws:lambda:{REGION}:{OTHER_ACCOUNT}:function:f"},
            "AccessDeniedException",
            "lambda:GetFunction",
        ),
        ({"FunctionName": "x" * 65}, INVALID, "less than or equal to 64"),
    ],
)
async def test_get_refuses(world: World, request_: dict[str, str], code: str, message: str) -> None:
    """What is not there, or not the caller's, is refused in AWS's words."""
    await world.create()
    error = await refused(world.call("GetFunction", **request_))
    assert error.code == code
    assert message in error.message


async def test_code_is_kept_once_and_goes_with_its_last_user(world: World) -> None:
    """Two functions share a package; it is removed when both are gone."""
    await world.create("a")
    await world.create("b")
    await world.call("DeleteFunction", FunctionName="a")
    assert world.blobs.path(digest_of(CODE)).is_file()
    assert world.code_store.path((digest_of(CODE),)).is_dir()
    await world.call("DeleteFunction", FunctionName="b")
    with pytest.raises(KeyError):
        world.blobs.path(digest_of(CODE))
    assert not world.code_store.path((digest_of(CODE),)).exists()


async def test_delete_takes_everything(world: World) -> None:
    """Versions, aliases and policies go with the function, and a new one of the name starts at version 1."""
    await world.create(Publish=True)
    await world.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    await world.call("AddPermission", FunctionName="f", StatementId="s", Action="lambda:*", Principal="*", Qualifier="live")
    answered = await world.answer("DeleteFunction", FunctionName="f")
    assert answered.status == 204
    error = await refused(world.call("DeleteFunction", FunctionName="f"))
    assert error.message == f"Function not found: {ARN}"
    assert (ACCOUNT, REGION, "f", None) in world.invoker.retired
    again = await world.create(Publish=True)
    assert again["Version"] == "1"
    assert (await world.call("ListAliases", FunctionName="f"))["Aliases"] == []
    assert (await refused(world.call("GetPolicy", FunctionName="f", Qualifier="1"))).code == "ResourceNotFoundException"


async def test_delete_of_versions(world: World) -> None:
    """A version can be deleted unless an alias names it; $LATEST and aliases cannot; a missing number is as good as deleted."""
    await world.create(Publish=True)
    await world.call("CreateAlias", FunctionName="f", Name="live", FunctionVersion="1")
    error = await refused(world.call("DeleteFunction", FunctionName="f", Qualifier="1"))
    assert error.code == "ResourceConflictException"
    error = await refused(world.call("DeleteFunction", FunctionName="f", Qualifier="$LATEST"))
    assert error.message == "$LATEST version cannot be deleted without deleting the function."
    error = await refused(world.call("DeleteFunction", FunctionName="f", Qualifier="live"))
    assert error.message == "Deletion of aliases is not currently supported."
    await world.call("DeleteAlias", FunctionName="f", Name="live")
    await world.call("DeleteFunction", FunctionName="f", Qualifier="1")
    await world.call("DeleteFunction", FunctionName="f", Qualifier="7")
    assert [each["Version"] for each in (await world.call("ListVersionsByFunction", FunctionName="f"))["Versions"]] == [
        "$LATEST"
    ]


async def test_list_pages(world: World) -> None:
    """Functions come by name, at most fifty at once, without their states; the marker leads on."""
    for number in range(53):
        await world.create(f"f{number:02}")
    await world.call("CreateFunction", account=OTHER_ACCOUNT, **function_request("theirs"))
    first = await world.call("ListFunctions", MaxItems=10_000)
    second = await world.call("ListFunctions", Marker=first["NextMarker"])
    names = [each["FunctionName"] for each in first["Functions"] + second["Functions"]]
    assert names == [f"f{number:02}" for number in range(53)]
    assert len(first["Functions"]) == 50
    assert "NextMarker" not in second
    assert not {"State", "LastUpdateStatus", "RuntimeVersionConfig"} & set(first["Functions"][0])
    error = await refused(world.call("ListFunctions", Marker="*"))
    assert error.code == INVALID


async def test_list_all_versions(world: World) -> None:
    """FunctionVersion=ALL lists published versions behind their $LATEST, over any page size."""
    for name in ("a", "b"):
        await world.create(name, Publish=True)
        await world.call("UpdateFunctionConfiguration", FunctionName=name, Timeout=9)
        await world.settled(name)
        await world.call("PublishVersion", FunctionName=name)
    listed: list[str] = []
    request: dict[str, Any] = {}
    while True:
        page = await world.call("ListFunctions", FunctionVersion="ALL", MaxItems=2, **request)
        listed += [each["FunctionArn"].split(":function:")[1] for each in page["Functions"]]
        if "NextMarker" not in page:
            break
        request = {"Marker": page["NextMarker"]}
    assert listed == ["a:$LATEST", "a:1", "a:2", "b:$LATEST", "b:1", "b:2"]
