"""What a function's configuration decides, seen from outside: weighted aliases, runtime versions, listings, code storage; with
boto3 against full isolation."""

from __future__ import annotations

import json
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import botocore.exceptions
import pytest
from botocore.config import Config

from support.server import RUNTIME, Server, wait_until, zipped

pytestmark = pytest.mark.root

WHO = """
import os
def handler(event, context):
    return [os.environ["AWS_LAMBDA_FUNCTION_VERSION"], context.invoked_function_arn]
"""


@pytest.fixture
def lambda_(server: Server) -> Any:
    return server.client("lambda")


@pytest.fixture
def name() -> str:
    return "configured-" + uuid.uuid4().hex[:8]


def refusal(call: Any, **request: Any) -> tuple[str, str]:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**request)
    return caught.value.response["Error"]["Code"], caught.value.response["Error"]["Message"]


def publish(server: Server, lambda_: Any, name: str) -> str:
    lambda_.update_function_configuration(FunctionName=name, Description=uuid.uuid4().hex)
    lambda_.get_waiter("function_updated_v2").wait(FunctionName=name, WaiterConfig={"Delay": 1})
    return str(lambda_.publish_version(FunctionName=name)["Version"])


def test_a_weighted_alias_splits_what_comes(server: Server, lambda_: Any, name: str) -> None:
    """Both versions get about their share, however many callers there are; each answer names who ran. Seven standard deviations
    are a chance of one in hundreds of thousands of millions."""
    server.create_function(name, WHO)
    first, second = publish(server, lambda_, name), publish(server, lambda_, name)
    routing = {"AdditionalVersionWeights": {second: 0.4}}
    alias = lambda_.create_alias(FunctionName=name, Name="live", FunctionVersion=first, RoutingConfig=routing)
    executed: Counter[str] = Counter()
    invocations = 300

    def invoke(number: int) -> str:
        target = {"FunctionName": alias["AliasArn"]} if number % 2 else {"FunctionName": name, "Qualifier": "live"}
        answered = lambda_.invoke(**target)
        version, arn = json.load(answered["Payload"])
        assert answered["ExecutedVersion"] == version
        assert arn == alias["AliasArn"]
        return str(version)

    with ThreadPoolExecutor(4) as callers:
        executed.update(callers.map(invoke, range(invocations)))
    expected, deviation = invocations * 0.4, (invocations * 0.4 * 0.6) ** 0.5
    assert abs(executed[second] - expected) < 7 * deviation, executed
    assert executed[first] + executed[second] == invocations
    lambda_.update_alias(FunctionName=name, Name="live", RoutingConfig={"AdditionalVersionWeights": {second: 1.0}})
    assert {lambda_.invoke(FunctionName=f"{name}:live")["ExecutedVersion"] for _ in range(20)} == {second}
    lambda_.update_alias(FunctionName=name, Name="live", RoutingConfig={})
    assert {lambda_.invoke(FunctionName=f"{name}:live")["ExecutedVersion"] for _ in range(20)} == {first}


def test_a_function_that_is_held_to_a_runtime_version(server: Server, lambda_: Any, name: str) -> None:
    """The version that the answers name is the one that INIT_START names; a function that is held to it runs, and cannot be
    held to another."""
    server.create_function(name, WHO)
    arn = lambda_.get_function_configuration(FunctionName=name)["RuntimeVersionConfig"]["RuntimeVersionArn"]
    assert lambda_.get_runtime_management_config(FunctionName=name)["UpdateRuntimeOn"] == "Auto"
    held = lambda_.put_runtime_management_config(FunctionName=name, UpdateRuntimeOn="Manual", RuntimeVersionArn=arn)
    assert (held["UpdateRuntimeOn"], held["RuntimeVersionArn"]) == ("Manual", arn)
    assert lambda_.invoke(FunctionName=name)["StatusCode"] == 200
    logs = server.client("logs")

    def began() -> list[str]:
        try:
            events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}", filterPattern="INIT_START")["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in events]

    wait_until(began, 30, "the log of the environment's start")
    patch = RUNTIME.replace("python", "python:")
    assert all(f"Runtime Version: {patch}.v" in line and line.rstrip().endswith(arn) for line in began())
    code, message = refusal(
        lambda_.put_runtime_management_config,
        FunctionName=name,
        UpdateRuntimeOn="Manual",
        RuntimeVersionArn=arn[:-1] + ("0" if arn[-1] != "0" else "1"),
    )
    assert code == "InvalidParameterValueException"
    assert arn in message
    assert (
        refusal(lambda_.put_runtime_management_config, FunctionName=name, UpdateRuntimeOn="Never")[0] == "ValidationException"
    )
    assert lambda_.get_runtime_management_config(FunctionName=name)["RuntimeVersionArn"] == arn


def test_paginators_find_everything_once(server: Server, lambda_: Any, name: str) -> None:
    """boto3's paginators, with any page size, go through functions, versions, aliases and layers."""
    server.create_function(name, WHO)
    versions = {publish(server, lambda_, name) for _ in range(2)}
    for number in range(3):
        lambda_.create_alias(FunctionName=name, Name=f"a{number}", FunctionVersion="1")
        lambda_.publish_layer_version(LayerName=name, Content={"ZipFile": zipped({"a": "1"})}, CompatibleRuntimes=[RUNTIME])

    def listed(operation: str, member: str, identity: str, **request: Any) -> list[str]:
        pages = lambda_.get_paginator(operation).paginate(**request, PaginationConfig={"PageSize": 1})
        return [str(each[identity]) for page in pages for each in page[member]]

    assert listed("list_versions_by_function", "Versions", "Version", FunctionName=name) == ["$LATEST", *sorted(versions)]
    assert listed("list_aliases", "Aliases", "Name", FunctionName=name) == ["a0", "a1", "a2"]
    assert listed("list_aliases", "Aliases", "Name", FunctionName=name, FunctionVersion="2") == []
    assert listed("list_layer_versions", "LayerVersions", "Version", LayerName=name) == ["3", "2", "1"]
    assert listed("list_layer_versions", "LayerVersions", "Version", LayerName=name, CompatibleRuntime="python2.7") == []
    everything = listed("list_functions", "Functions", "FunctionArn", FunctionVersion="ALL")
    assert len(everything) == len(set(everything))
    assert {arn.rpartition(":")[2] for arn in everything if f":{name}:" in arn} == {"$LATEST", *versions}
    unchecked = server.client("lambda", config=Config(parameter_validation=False, retries={"max_attempts": 0}))
    for size in (0, 10_001):
        assert refusal(unchecked.list_functions, MaxItems=size)[0] == "ValidationException"
    assert refusal(lambda_.list_aliases, FunctionName=name, Marker="nowhere")[0] == "InvalidParameterValueException"
