"""An account with one of everything that the Lambda API keeps, sound values for all members, and what the store has of it."""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Mapping
from typing import Any

import botocore.loaders
import botocore.model

from lambdad.services.lambda_ import SERVICE
from lambdad.wire.pattern import satisfies
from support.model_request import request_of
from support.server import RUNTIME, Server, wait_until, zipped
from support.wire_client import WireAnswer, WireClient

MODEL = botocore.model.ServiceModel(botocore.loaders.Loader().load_service_model("lambda", "service-2"), "lambda")
SERVED = sorted(set(SERVICE.operations) & set(MODEL.operation_names))

CODE = base64.b64encode(zipped({"app.py": "def handler(event, context):\n    return event\n"})).decode()
OTHER_CODE = base64.b64encode(zipped({"app.py": "def handler(event, context):\n    return 2\n"})).decode()
FUNCTION, ALIAS, LAYER, STATEMENT, PROVIDER, NEW = "attacked", "live", "attacked-layer", "s1", "attacked-provider", "fresh"

PUBLISHERS = {"SigningProfileVersionArns": ["arn:aws:signer:us-east-1:123456789012:/signing-profiles/a/0123456789"]}

#: Members' values with which an operation does what it is for, on what `furnish` makes.
_SOUND: Mapping[str, Any] = {
    "FunctionName": FUNCTION, "Name": ALIAS, "FunctionVersion": "1", "Qualifier": ALIAS, "StatementId": STATEMENT,
    "LayerName": LAYER, "VersionNumber": 1, "Role": "arn:aws:iam::000000000000:role/r", "Runtime": RUNTIME,
    "Handler": "app.handler", "Code": {"ZipFile": CODE}, "Content": {"ZipFile": CODE}, "ZipFile": OTHER_CODE,
    "Action": "lambda:InvokeFunction", "Principal": "123456789012", "AuthType": "NONE", "Tags": {"k": "v"}, "TagKeys": ["k"],
    "ReservedConcurrentExecutions": 2, "ProvisionedConcurrentExecutions": 1, "RecursiveLoop": "Allow",
    "CapacityProviderName": PROVIDER, "VpcConfig": {"SubnetIds": ["subnet-local"], "SecurityGroupIds": []},
    "PermissionsConfig": {"CapacityProviderOperatorRoleArn": "arn:aws:iam::000000000000:role/r"},
    "AllowedPublishers": PUBLISHERS,
    "UpdateRuntimeOn": "Auto", "MaximumRetryAttempts": 1, "InvokeArgs": b"{}", "Payload": b"{}", "InvocationType": "DryRun",
}  # fmt: skip
_SOUND_FOR: Mapping[str, Mapping[str, Any]] = {
    "CreateFunction": {"FunctionName": NEW},
    "CreateAlias": {"Name": NEW},
    "CreateCapacityProvider": {"CapacityProviderName": NEW},
    "GetFunctionScalingConfig": {"Qualifier": "1"},
    "PutFunctionScalingConfig": {"Qualifier": "1"},
    "CreateFunctionUrlConfig": {"Qualifier": ALIAS},
    "AddPermission": {"StatementId": NEW},
    "AddLayerVersionPermission": {"StatementId": NEW, "Action": "lambda:GetLayerVersion"},
    "ListFunctions": {"FunctionVersion": "ALL"},
}
_SOUND_PROVIDER: Mapping[str, Any] = {name: _SOUND[name] for name in ("VpcConfig", "PermissionsConfig")}
#: Members that are not required and are sent all the same, since the operation would do nothing without.
_SENT_TOO: Mapping[str, tuple[str, ...]] = {
    "CreateFunction": ("Runtime", "Handler"),
    "UpdateFunctionCode": ("ZipFile",),
    "PutFunctionEventInvokeConfig": ("MaximumRetryAttempts",),
    "UpdateFunctionEventInvokeConfig": ("MaximumRetryAttempts",),
    "CreateFunctionUrlConfig": ("Qualifier",),
    "Invoke": ("InvocationType", "Payload"),
    "InvokeWithResponseStream": ("InvocationType", "Payload"),
}
_CODE_SIGNING: dict[str, str] = {}  #: by account
#: They are about versions whose environments would be started for every account that is furnished.
_OF_MANAGED_INSTANCES = ("GetFunctionScalingConfig", "PutFunctionScalingConfig")
_BY_PATTERN = (
    "a", "1", "o-aaaaaaaaaaaa", "lambda:a", "123456789012", "*", "arn:aws:iam::123456789012:role/a",
    "arn:aws:lambda:us-east-1:123456789012:function:a", "arn:aws:sqs:us-east-1:123456789012:a",
    "arn:aws:lambda:us-east-1:123456789012:code-signing-config:csc-aaaaaaaaaaaaaaaaa",
    "arn:aws:lambda:us-east-1:123456789012:layer:a:1", "arn:aws:signer:us-east-1:123456789012:/signing-profiles/a/b",
    "arn:aws:lambda:us-east-1:123456789012:capacity-provider:a", "/mnt/a", "00000000-0000-4000-8000-000000000000",
    "sg-0123456789abcdef0", "subnet-0123456789abcdef0", "arn:aws:lambda:us-east-1::runtime:0a", "us-east-1",
    "arn:aws:lambda:us-east-1:123456789012:runtime/abcdefgh",
    "arn:aws:elasticfilesystem:us-east-1:123456789012:access-point/fsap-0123456789abcdef0", "https://a", "GET",
)  # fmt: skip


def sound_values(operation: str, account_id: str) -> dict[str, Any]:
    """The members to send: those that are required, and some that the operation needs besides."""
    shape = MODEL.operation_model(operation).input_shape
    if shape is None:
        return {}
    wanted = (*shape.required_members, *_SENT_TOO.get(operation, ()))
    return {name: sound_for(operation, name, shape.members[name], account_id) for name in wanted}


def sound_for(operation: str, member: str, shape: Any, account_id: str) -> Any:
    if member in ("Resource", "ResourceArn"):
        return f"arn:aws:lambda:us-east-1:{account_id}:function:{FUNCTION}"
    if member == "Arn":
        return f"arn:aws:lambda:us-east-1:{account_id}:layer:{LAYER}:1"
    if member == "CodeSigningConfigArn":
        return code_signing_config(account_id)
    if member == "Policy":
        return _policy(f"arn:aws:lambda:us-east-1:{account_id}:function:{FUNCTION}")
    return {**_SOUND, **_SOUND_FOR.get(operation, {})}.get(member) or sound_value(member, shape)


def code_signing_config(account_id: str) -> str:
    """The ARN of the account's, of which only the server knows the id; before it is made, one of that form."""
    nobodys = f"arn:aws:lambda:us-east-1:{account_id}:code-signing-config:csc-00000000000000000"
    return _CODE_SIGNING.get(account_id, nobodys)


def is_known(operation: str) -> bool:
    """Whether all members that the operation requires have a value here that is meant for them, not only for their shape."""
    shape = MODEL.operation_model(operation).input_shape
    if operation in _OF_MANAGED_INSTANCES:
        return False
    return shape is None or set(shape.required_members) <= _SOUND.keys() | {
        "Resource",
        "ResourceArn",
        "Arn",
        "Policy",
        "CodeSigningConfigArn",
    }


def _policy(resource: str) -> str:
    allowed = {"Effect": "Allow", "Principal": {"AWS": "123456789012"}, "Action": "lambda:InvokeFunction", "Resource": resource}
    return json.dumps({"Version": "2012-10-17", "Statement": [{"Sid": STATEMENT, **allowed}]})


def sound_value(member: str, shape: Any, depth: int = 0) -> Any:
    """From the shape alone, so that members which nobody has named above have a value too."""
    kind, least = shape.type_name, shape.metadata.get("min", 0)
    if kind == "structure":
        if depth > 6:
            return {}
        return {name: sound_value(name, shape.members[name], depth + 1) for name in shape.required_members}
    if kind == "list":
        return [sound_value("", shape.member, depth + 1)] * max(least, 1)
    if kind == "map":
        return {sound_value("", shape.key, depth + 1): sound_value("", shape.value, depth + 1)}
    if kind == "string":
        return _sound_text(shape, least)
    return {"boolean": True, "blob": "", "timestamp": 1_790_000_000}.get(kind, max(least, min(1, shape.metadata.get("max", 1))))


def _sound_text(shape: Any, least: int) -> str:
    if shape.enum:
        return str(shape.enum[0])
    pattern, most = shape.metadata.get("pattern"), shape.metadata.get("max", 10**6)
    for text in (*_BY_PATTERN, "a" * least, "1" * least):
        if least <= len(text) <= most and (pattern is None or satisfies(pattern, text)):
            return text
    return "a"


def call(client: WireClient, operation: str, **values: Any) -> WireAnswer:
    return client.send(request_of(MODEL.operation_model(operation), values))


def make_code_signing_config(client: WireClient) -> str:
    made = call(client, "CreateCodeSigningConfig", AllowedPublishers=PUBLISHERS)
    assert made.status == 201, made
    return str(made.json()["CodeSigningConfig"]["CodeSigningConfigArn"])


def furnish(server: Server, account_id: str) -> WireClient:
    """Makes the account's function with all that can hang on it, and a layer; a client for the account."""
    client = WireClient(server, account_id)
    _CODE_SIGNING[account_id] = make_code_signing_config(client)
    made = [
        call(
            client,
            "CreateFunction",
            **sound_values("CreateFunction", account_id) | {"FunctionName": FUNCTION, "Tags": {"k": "v"}},
        )
    ]
    wait_active(client, FUNCTION)
    made += [
        call(client, "PublishVersion", FunctionName=FUNCTION),
        call(client, "CreateAlias", FunctionName=FUNCTION, Name=ALIAS, FunctionVersion="1"),
        call(client, "AddPermission", **sound_values("AddPermission", account_id) | {"StatementId": STATEMENT}),
        call(client, "CreateFunctionUrlConfig", FunctionName=FUNCTION, AuthType="NONE"),
        call(client, "PutFunctionEventInvokeConfig", FunctionName=FUNCTION, MaximumRetryAttempts=1),
        call(client, "PutFunctionConcurrency", FunctionName=FUNCTION, ReservedConcurrentExecutions=3),
        call(client, "CreateCapacityProvider", **sound_values("GetCapacityProvider", account_id), **_SOUND_PROVIDER),
        call(client, "PublishLayerVersion", LayerName=LAYER, Content={"ZipFile": CODE}),
        call(
            client, "AddLayerVersionPermission", LayerName=LAYER, VersionNumber=1, StatementId=STATEMENT,
            Action="lambda:GetLayerVersion", Principal="*",
        ),
    ]  # fmt: skip
    assert all(answer.status in (200, 201, 202) for answer in made), made
    is_settled = lambda: not any(collection == "lambda-unsettled" for collection, _ in kept(server, account_id))  # noqa: E731
    wait_until(is_settled, 60, "the version to be active")
    return client


def wait_active(client: WireClient, name: str) -> None:
    def settled() -> bool:
        configuration = call(client, "GetFunctionConfiguration", FunctionName=name).json()
        assert configuration.get("State") in ("Pending", "Active"), configuration
        return configuration["State"] == "Active" and configuration.get("LastUpdateStatus") == "Successful"

    wait_until(settled, 120, f"function {name} to be active")


def kept(server: Server, account_id: str) -> dict[tuple[str, str], bytes]:
    """Every record of the store that has to do with the account, as it stands in the file."""
    with sqlite3.connect(f"file:{server.data_dir / 'lambdad.sqlite'}?mode=ro", uri=True) as database:
        found = database.execute(
            "select collection, key, value from record where instr(key, ?1) > 0 or instr(value, cast(?1 as blob)) > 0",
            (account_id,),
        ).fetchall()
    database.close()
    return {(collection, key): value for collection, key, value in found}
