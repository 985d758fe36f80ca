"""The service through the front and boto3: routes, statuses and error shapes are those that clients expect."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from lambdad.model.invocation import InvocationResult
from lambdad.model.service import BoundService
from lambdad.services.lambda_ import SERVICE
from lambdad.wire.body import BodyLimit, BodyLimits
from lambdad.wire.front import Front
from lambdad.wire.listener import HttpListener
from support import clients
from support.lambda_service import ACCOUNT, CODE, REGION, World, function_request, zip_of

ARN = f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:f"
ACCESS_POINT = f"arn:aws:elasticfilesystem:{REGION}:{ACCOUNT}:access-point/fsap-0123456789abcdef0"
Call = Callable[..., Awaitable[dict[str, Any]]]


@pytest.fixture
async def call(world: World) -> AsyncIterator[Call]:
    """Calls an operation with boto3 over a socket; the answer's streams are read."""
    limits = BodyLimits(world.state.quotas.create_request_bytes, {("lambda", "Invoke"): BodyLimit(7_340_032, "InvokeFunction")})
    front = Front([BoundService(SERVICE, world.state)], lookup=lambda _: None, auth_required=False, limits=limits)

    async def application(scope: Any, receive: Any, send: Any) -> None:
        is_code = scope["type"] == "http" and scope["path"].startswith("/_lambdad/code/")
        await (world.state.code_locations if is_code else front)(scope, receive, send)

    with socket.create_server(("127.0.0.1", 0)) as sock:
        listener = HttpListener(application)
        listening = await listener.listen(sock)
        client = clients.client(
            "lambda",
            endpoint_url=f"http://127.0.0.1:{sock.getsockname()[1]}",
            region_name=REGION,
            aws_access_key_id=ACCOUNT,
            aws_secret_access_key="x",
            config=Config(retries={"total_max_attempts": 1}),
        )

        def call_and_read(operation: str, request: dict[str, Any]) -> dict[str, Any]:
            answered: dict[str, Any] = getattr(client, operation)(**request)
            if hasattr(answered.get("Payload"), "read"):
                answered["Payload"] = answered["Payload"].read()
            return answered

        async def call_in_thread(operation: str, **request: Any) -> dict[str, Any]:
            return await asyncio.to_thread(call_and_read, operation, request)

        yield call_in_thread
        client.close()
        await listener.drain([listening], grace_seconds=1)


async def test_life_of_a_function(world: World, call: Call) -> None:
    """Created, read, downloaded, invoked in each way, updated, published and deleted with AWS's statuses."""
    created = await call("create_function", **function_request(), Environment={"Variables": {"KEY": "x"}}, Tags={"a": "b"})
    assert (created["ResponseMetadata"]["HTTPStatusCode"], created["State"]) == (201, "Pending")
    await world.settled()
    shown = await call("get_function", FunctionName=ARN)
    assert (shown["Configuration"]["State"], shown["Tags"]) == ("Active", {"a": "b"})
    link = shown["Code"]["Location"]
    assert await asyncio.to_thread(lambda: urllib.request.urlopen(link).read()) == CODE

    world.invoker.result = InvocationResult(b'{"n":1}', "", "Handled", b"START")
    answered = await call("invoke", FunctionName="f", Payload=b"[1]", LogType="Tail")
    headers = answered["ResponseMetadata"]["HTTPHeaders"]
    assert (answered["StatusCode"], answered["Payload"], answered["ExecutedVersion"]) == (200, b'{"n":1}', "$LATEST")
    assert (answered["FunctionError"], base64.b64decode(answered["LogResult"])) == ("Handled", b"START")
    assert headers["content-type"] == "application/json"
    assert headers["x-amzn-trace-id"].startswith("Root=1-")
    assert world.invoker.invocations[-1].request_id == headers["x-amzn-requestid"]
    assert (await call("invoke", FunctionName="f", InvocationType="Event"))["StatusCode"] == 202
    assert (await call("invoke", FunctionName="f", InvocationType="DryRun"))["StatusCode"] == 204

    await call("update_function_code", FunctionName="f", ZipFile=zip_of({"app.py": "x"}))
    await world.settled()
    published = await call("publish_version", FunctionName="f")
    assert (published["ResponseMetadata"]["HTTPStatusCode"], published["Version"]) == (201, "1")
    await call("create_alias", FunctionName="f", Name="live", FunctionVersion="1")
    assert (await call("invoke", FunctionName="f", Qualifier="live"))["ExecutedVersion"] == "1"
    added = await call("add_permission", FunctionName="f", StatementId="s", Action="lambda:InvokeFunction", Principal="*")
    assert json.loads(added["Statement"])["Resource"] == ARN
    await call("untag_resource", Resource=ARN, TagKeys=["a"])
    deleted = await call("delete_function", FunctionName="f")
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204
    assert (await call("list_functions"))["Functions"] == []


async def test_layers(call: Call) -> None:
    """A layer is published, found by ARN and deleted."""
    published = await call("publish_layer_version", LayerName="l", Content={"ZipFile": zip_of({"python/a.py": ""})})
    assert (published["ResponseMetadata"]["HTTPStatusCode"], published["Version"]) == (201, 1)
    assert (await call("get_layer_version_by_arn", Arn=published["LayerVersionArn"]))["Version"] == 1
    assert len((await call("list_layers"))["Layers"]) == 1
    deleted = await call("delete_layer_version", LayerName="l", VersionNumber=1)
    assert deleted["ResponseMetadata"]["HTTPStatusCode"] == 204


REFUSALS: list[tuple[str, dict[str, Any], int, str, str]] = [
    ("invoke", {"FunctionName": "none"}, 404, "ResourceNotFoundException", f"Function not found: {ARN[:-1]}none:$LATEST"),
    (
        "invoke",
        {"FunctionName": "f", "Payload": b"value"},
        400,
        "InvalidRequestContentException",
        "Could not parse request body",
    ),
    (
        "invoke",
        {"FunctionName": "f", "Payload": bytes(6_291_500)},
        413,
        "RequestEntityTooLargeException",
        "6291500 byte payload",
    ),
    ("invoke", {"FunctionName": "f", "Payload": bytes(9_000_000)}, 413, "RequestEntityTooLargeException", "Request must be"),
    ("invoke", {"FunctionName": "f", "TenantId": "t"}, 400, "InvalidParameterValueException", "Remove the tenant ID"),
    ("invoke", {"FunctionName": "f", "TenantId": "a,b"}, 400, "ValidationException", "tenantId"),
    ("invoke", {"FunctionName": "f", "TenantId": "x" * 257}, 400, "ValidationException", "tenantId"),
    (
        "put_function_scaling_config",
        {"FunctionName": "f", "Qualifier": "live"},
        400,
        "ValidationException",
        "qualifier",
    ),
    (
        "publish_version",
        {"FunctionName": "f", "PublishTo": "LATEST_PUBLISHED"},
        400,
        "InvalidParameterValueException",
        "Lambda Managed Instances only",
    ),
    ("create_function", function_request(), 409, "ResourceConflictException", "Function already exist: f"),
    (
        "create_function",
        {**function_request("g"), "Code": {"ZipFile": b"x"}},
        400,
        "InvalidParameterValueException",
        "Could not unzip uploaded file. Please check your file, then try to upload again.",
    ),
    (
        "create_function",
        {**function_request("g"), "Runtime": "python9"},
        400,
        "InvalidParameterValueException",
        "Value python9 at 'runtime' failed to satisfy constraint",
    ),
    (
        "create_function",
        {**function_request("g"), "MemorySize": 20_000},
        400,
        "InvalidParameterValueException",
        "less than or equal to 10240",
    ),
    (
        "create_function",
        {**function_request("g"), "FileSystemConfigs": [{"Arn": ACCESS_POINT, "LocalMountPath": "/mnt/a"}]},
        400,
        "InvalidParameterValueException",
        f"Access point {ACCESS_POINT} does not exist",
    ),
    (
        "update_function_code",
        {"FunctionName": "f", "ZipFile": CODE, "RevisionId": "stale"},
        412,
        "PreconditionFailedException",
        "The Revision Id provided does not match the latest Revision Id.",
    ),
    (
        "put_provisioned_concurrency_config",
        {"FunctionName": "f", "Qualifier": "1", "ProvisionedConcurrentExecutions": 1},
        404,
        "ResourceNotFoundException",
        "Function not found: arn:aws:lambda:us-east-1:123456789012:function:f:1",
    ),
    (
        "put_provisioned_concurrency_config",
        {"FunctionName": "f", "Qualifier": "$LATEST", "ProvisionedConcurrentExecutions": 1},
        400,
        "InvalidParameterValueException",
        "Provisioned Concurrency Configs cannot be applied to unpublished function versions.",
    ),
    (
        "get_capacity_provider",
        {"CapacityProviderName": "p"},
        404,
        "ResourceNotFoundException",
        "Capacity provider not found: p",
    ),
    ("get_policy", {"FunctionName": "f"}, 404, "ResourceNotFoundException", "The resource you requested does not exist."),
]


@pytest.mark.parametrize(("operation", "request_", "status", "code", "message"), REFUSALS, ids=lambda value: str(value)[:30])
async def test_refusals(
    world: World, call: Call, operation: str, request_: dict[str, Any], status: int, code: str, message: str
) -> None:
    """Clients see AWS's status, error name and message."""
    await world.create()
    with pytest.raises(ClientError) as caught:
        await call(operation, **request_)
    answer = caught.value.response
    assert (answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Code"]) == (status, code)
    assert message in answer["Error"]["Message"]


async def test_harmless_defaults_pass(world: World, call: Call) -> None:
    """What deployment tools send without meaning anything is accepted."""
    await call(
        "create_function",
        **function_request(),
        VpcConfig={"SubnetIds": [], "SecurityGroupIds": []},
        TracingConfig={"Mode": "PassThrough"},
        SnapStart={"ApplyOn": "None"},
        PackageType="Zip",
        Architectures=["x86_64"],
        LoggingConfig={"LogFormat": "Text"},
        EphemeralStorage={"Size": 512},
        DeadLetterConfig={"TargetArn": ""},
        KMSKeyArn="",
        FileSystemConfigs=[],
        Layers=[],
    )
    await world.settled()
    await call("update_function_configuration", FunctionName="f", KMSKeyArn="", Timeout=5, ImageConfig={})
    await world.settled()
    configuration = await call("get_function_configuration", FunctionName="f")
    assert (configuration["Timeout"], configuration["LastUpdateStatus"]) == (5, "Successful")
    assert not {"KMSKeyArn", "FileSystemConfigs", "Layers", "ImageConfigResponse"} & configuration.keys()


async def test_expired_link(world: World, call: Call) -> None:
    """A link older than ten minutes answers 403."""
    await world.create()
    link = (await call("get_function", FunctionName="f"))["Code"]["Location"]
    world.now[0] += 601
    with pytest.raises(urllib.error.HTTPError) as caught:
        await asyncio.to_thread(urllib.request.urlopen, link)
    assert caught.value.code == 403
    caught.value.close()
