"""What Terraform's AWS provider and tools like it call around each function, in their order, with boto3 for them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.server import ROLE, RUNTIME, Server, zipped

pytestmark = pytest.mark.root

NAME = "planned"


@pytest.fixture
def lambda_(server: Server) -> Any:
    return server.client("lambda", aws_access_key_id="700400000001")


def package(answer: str) -> bytes:
    return zipped({"app.py": f"def handler(event, context):\n    return {answer!r}\n"})


def refresh(lambda_: Any) -> dict[str, Any]:
    """The reads that follow each change; what differs in them from what was written makes a plan without end."""
    function = lambda_.get_function(FunctionName=NAME)
    seen = {name: value for name, value in function["Configuration"].items() if not name.startswith(("State", "LastUpdate"))}
    pages = lambda_.get_paginator("list_versions_by_function").paginate(
        FunctionName=NAME, PaginationConfig={"PageSize": 10_000}
    )
    seen["versions"] = [version["Version"] for page in pages for version in page["Versions"]]
    seen["concurrency"] = lambda_.get_function_concurrency(FunctionName=NAME).get("ReservedConcurrentExecutions", -1)
    seen["signing"] = lambda_.get_function_code_signing_config(FunctionName=NAME)["CodeSigningConfigArn"]
    seen["runtime updates"] = lambda_.get_runtime_management_config(FunctionName=NAME)["UpdateRuntimeOn"]
    seen["recursion"] = lambda_.get_function_recursion_config(FunctionName=NAME)["RecursiveLoop"]
    seen["tags"] = lambda_.list_tags(Resource=function["Configuration"]["FunctionArn"])["Tags"]
    seen["reachable"] = not missing(lambda_.get_policy, FunctionName=NAME)
    return {name: value for name, value in seen.items() if name not in ("RevisionId", "LastModified")}


def missing(call: Any, **parameters: Any) -> bool:
    """Whether the thing is reported as gone, by the one code that these tools take for it."""
    try:
        call(**parameters)
    except ClientError as error:
        assert error.response["Error"]["Code"] == "ResourceNotFoundException"
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] == 404
        return True
    return False


def test_a_plan_is_applied_found_unchanged_changed_and_destroyed(lambda_: Any) -> None:
    """Nothing differs between two refreshes; a change shows in the next one and nothing else does; at the end all is gone."""
    assert missing(lambda_.get_function, FunctionName=NAME)
    lambda_.create_function(
        FunctionName=NAME, Runtime=RUNTIME, Handler="app.handler", Role=ROLE, Code={"ZipFile": package("one")}, Timeout=30,
        MemorySize=128, PackageType="Zip", Architectures=["x86_64"], EphemeralStorage={"Size": 512}, Publish=True,
        Tags={"stage": "a"}, TracingConfig={"Mode": "PassThrough"},
        LoggingConfig={"LogFormat": "Text", "LogGroup": f"/aws/lambda/{NAME}"},
        Environment={"Variables": {"MODE": "one"}}, VpcConfig={"SubnetIds": [], "SecurityGroupIds": []},
    )  # fmt: skip
    lambda_.get_waiter("function_active_v2").wait(FunctionName=NAME)
    lambda_.add_permission(FunctionName=NAME, StatementId="s3", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com")
    alias = lambda_.create_alias(FunctionName=NAME, Name="live", FunctionVersion="1", Description="")
    applied = refresh(lambda_)
    assert applied == refresh(lambda_)
    assert applied["versions"] == ["$LATEST", "1"]
    assert lambda_.get_alias(FunctionName=NAME, Name="live")["RevisionId"] == alias["RevisionId"]

    lambda_.update_function_configuration(FunctionName=NAME, Timeout=50, Environment={"Variables": {"MODE": "two"}})
    lambda_.get_waiter("function_updated_v2").wait(FunctionName=NAME)
    lambda_.update_function_code(FunctionName=NAME, ZipFile=package("two"), Publish=False)
    lambda_.get_waiter("function_updated_v2").wait(FunctionName=NAME)
    published = lambda_.publish_version(FunctionName=NAME)
    lambda_.get_waiter("published_version_active").wait(FunctionName=NAME, Qualifier=published["Version"])
    lambda_.update_alias(FunctionName=NAME, Name="live", FunctionVersion=published["Version"])
    lambda_.put_function_concurrency(FunctionName=NAME, ReservedConcurrentExecutions=2)
    changed = refresh(lambda_)
    differing = {name for name in applied | changed if applied.get(name) != changed.get(name)}
    assert differing == {"Timeout", "Environment", "CodeSha256", "CodeSize", "versions", "concurrency"} - (
        {"CodeSize"} if applied["CodeSize"] == changed["CodeSize"] else set()
    )
    assert json.loads(lambda_.invoke(FunctionName=NAME, Qualifier="live")["Payload"].read()) == "two"

    lambda_.remove_permission(FunctionName=NAME, StatementId="s3")
    lambda_.delete_alias(FunctionName=NAME, Name="live")
    lambda_.delete_function_concurrency(FunctionName=NAME)
    assert not refresh(lambda_)["reachable"]
    lambda_.delete_function(FunctionName=NAME)
    for call in (
        lambda_.get_function,
        lambda_.get_policy,
        lambda_.get_function_concurrency,
        lambda_.get_function_recursion_config,
    ):
        assert missing(call, FunctionName=NAME)
    assert missing(lambda_.get_alias, FunctionName=NAME, Name="live")
