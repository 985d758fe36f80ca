"""Provisioned concurrency and the counts of concurrency, as their users see them; with boto3 against full isolation."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from support.server import Server, running, wait_until, zipped

pytestmark = pytest.mark.root

TELLS = """
import os, sys, time, boto3

KIND = os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"]
VERSION = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]

def handler(event, context):
    if event == "exit":
        os._exit(3)
    if event == "error":
        raise ValueError("on purpose")
    if event == "sleep":
        time.sleep(60)
    if event == "hold":
        s3, own = boto3.client("s3"), context.function_name
        s3.put_object(Bucket="gate", Key=own + "/in/" + context.aws_request_id)
        while "Contents" not in s3.list_objects_v2(Bucket="gate", Prefix=own + "/go-on"):
            time.sleep(0.05)
    return [KIND, VERSION]
"""
BROKEN = "raise RuntimeError('never ready')"


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose counts are nobody else's, and that may be killed."""
    with running(tmp_path_factory.mktemp("provisioned")) as server:
        server.client("s3").create_bucket(Bucket="gate")
        yield server


@cache
def client_of(server: Server, pid: int) -> Any:
    """One for each life of the server: making a client takes longer than most calls."""
    return server.client("lambda")


def api(server: Server) -> Any:
    return client_of(server, server.process.pid)


def config(server: Server, name: str, qualifier: str) -> dict[str, Any]:
    return api(server).get_provisioned_concurrency_config(FunctionName=name, Qualifier=qualifier)


def call(server: Server, name: str, event: str = "") -> Any:
    return json.load(api(server).invoke(FunctionName=name, Payload=json.dumps(event).encode())["Payload"])


def held_of(server: Server, name: str) -> int:
    """How many calls of the function have been held."""
    return int(server.client("s3").list_objects_v2(Bucket="gate", Prefix=f"{name}/in/")["KeyCount"])


def put(server: Server, name: str, qualifier: str, count: int) -> dict[str, Any]:
    return api(server).put_provisioned_concurrency_config(
        FunctionName=name, Qualifier=qualifier, ProvisionedConcurrentExecutions=count
    )


def wait_for(server: Server, name: str, qualifier: str, status: str = "READY") -> dict[str, Any]:
    wait_until(lambda: config(server, name, qualifier)["Status"] == status, 60, f"{name}:{qualifier} to be {status}")
    return config(server, name, qualifier)


def counts(server: Server) -> tuple[int, ...]:
    concurrency = server.health()["concurrency"]
    return (*concurrency["in_use"].values(), concurrency["provisioned"]["requested"], concurrency["provisioned"]["allocated"])


def publish(server: Server, name: str, source: str) -> str:
    lambda_ = api(server)
    version = lambda_.update_function_code(FunctionName=name, ZipFile=zipped({"lambda_function.py": source}), Publish=True)
    lambda_.get_waiter("published_version_active").wait(FunctionName=name, Qualifier=version["Version"])
    return version["Version"]


def test_the_life_of_a_configuration(own: Server) -> None:
    """Environments are there before the first call, serve it, are replaced after a crash, follow their alias, survive
    `kill -9` in IN_PROGRESS, and end with their configuration; in the end every count is zero."""
    lambda_, s3 = api(own), own.client("s3")
    own.create_function("tells", TELLS, Publish=True, Timeout=60, MemorySize=256)
    lambda_.create_alias(FunctionName="tells", Name="live", FunctionVersion="1")
    told = put(own, "tells", "live", 2)
    assert (told["Status"], told["RequestedProvisionedConcurrentExecutions"]) == ("IN_PROGRESS", 2)
    own.kill()
    own.start()
    lambda_, s3 = api(own), own.client("s3")
    ready = wait_for(own, "tells", "live")
    assert ready["AllocatedProvisionedConcurrentExecutions"] == ready["AvailableProvisionedConcurrentExecutions"] == 2
    assert own.health()["environments"]["idle"] == 2
    assert call(own, "tells:live") == ["provisioned-concurrency", "1"]
    assert call(own, "tells") == ["on-demand", "$LATEST"]

    # Spill over: two provisioned, and a third on demand.
    with ThreadPoolExecutor(3) as pool:
        held = [pool.submit(call, own, "tells:live", "hold") for _ in range(2)]
        wait_until(lambda: held_of(own, "tells") == 2, 30, "two calls")
        assert counts(own) == (0, 0, 2, 2, 2)
        assert call(own, "tells:live") == ["on-demand", "1"]
        assert own.health()["concurrency"]["spilled_over"] == 1
        s3.put_object(Bucket="gate", Key="tells/go-on")
        assert [each.result() for each in held] == [["provisioned-concurrency", "1"]] * 2

    # A crash and an error.
    for event in ("exit", "error"):
        assert "FunctionError" in lambda_.invoke(FunctionName="tells:live", Payload=f'"{event}"'.encode())
        assert wait_for(own, "tells", "live")["AllocatedProvisionedConcurrentExecutions"] == 2
        assert call(own, "tells:live") == ["provisioned-concurrency", "1"]

    # Another version: the alias keeps its configuration, and old environments end.
    second = publish(own, "tells", TELLS + "\n")
    lambda_.update_alias(FunctionName="tells", Name="live", FunctionVersion=second)
    wait_for(own, "tells", "live")
    assert call(own, "tells:live") == ["provisioned-concurrency", "2"]

    # One that cannot be initialised.
    broken = publish(own, "tells", BROKEN)
    lambda_.update_alias(FunctionName="tells", Name="live", FunctionVersion=broken)
    failed = wait_for(own, "tells", "live", "FAILED")
    assert (failed["StatusReason"], failed["AvailableProvisionedConcurrentExecutions"]) == ("FUNCTION_ERROR_INIT_FAILURE", 0)
    lambda_.update_alias(FunctionName="tells", Name="live", FunctionVersion="1")
    wait_for(own, "tells", "live")

    # Restarted once more, and deleted.
    assert own.stop() == 0
    own.start()
    lambda_ = api(own)
    wait_for(own, "tells", "live")
    assert call(own, "tells:live") == ["provisioned-concurrency", "1"]
    [listed] = lambda_.list_provisioned_concurrency_configs(FunctionName="tells")["ProvisionedConcurrencyConfigs"]
    assert listed["FunctionArn"].endswith(":function:tells:live")
    lambda_.delete_provisioned_concurrency_config(FunctionName="tells", Qualifier="live")
    with pytest.raises(ClientError, match="ProvisionedConcurrencyConfigNotFoundException"):
        config(own, "tells", "live")
    assert call(own, "tells:live") == ["on-demand", "1"]
    lambda_.delete_function(FunctionName="tells")
    wait_until(lambda: sum(own.health()["environments"].values()) == 0, 30, "all environments to end")
    assert counts(own) == (0, 0, 0, 0, 0)


def test_time_outs_and_callers_that_go_away(own: Server) -> None:
    """A unit is given back when the function ends and not before, and an environment that timed out is replaced."""
    lambda_ = api(own)
    own.create_function("hasty", TELLS, Publish=True, Timeout=1)
    put(own, "hasty", "1", 1)
    wait_for(own, "hasty", "1")
    for _ in range(2):
        assert "FunctionError" in lambda_.invoke(FunctionName="hasty:1", Payload=b'"sleep"')
        wait_for(own, "hasty", "1")
    own.create_function("left", TELLS, Publish=True, Timeout=60, MemorySize=256)
    put(own, "left", "1", 1)
    wait_for(own, "left", "1")
    caller = http.client.HTTPConnection("127.0.0.1", own.port, timeout=60)
    caller.request("POST", "/2015-03-31/functions/left:1/invocations", b'"hold"')
    wait_until(lambda: held_of(own, "left") == 1, 30, "the function to begin")
    caller.close()
    assert counts(own) == (0, 0, 1, 2, 2)
    own.client("s3").put_object(Bucket="gate", Key="left/go-on")
    wait_until(lambda: counts(own)[:3] == (0, 0, 0), 30, "the function to end without its caller")
    for name in ("hasty", "left"):
        wait_for(own, name, "1")
        assert call(own, f"{name}:1") == ["provisioned-concurrency", "1"]
        lambda_.delete_function(FunctionName=name)
    wait_until(lambda: sum(own.health()["environments"].values()) == 0, 30, "all environments to end")
    assert counts(own) == (0, 0, 0, 0, 0)


def test_put_delete_and_invoke_at_once(own: Server) -> None:
    """Whatever order they are served in, each gets an answer that AWS has; in the end there is what was asked for last."""
    lambda_ = api(own)
    own.create_function("race", TELLS, Publish=True)

    def change(number: int) -> str:
        try:
            if number % 3 == 0:
                lambda_.delete_provisioned_concurrency_config(FunctionName="race", Qualifier="1")
            elif number % 3 == 1:
                put(own, "race", "1", 1 + number % 4)
            else:
                return str(call(own, "race:1")[1])
        except ClientError as error:
            return str(error.response["Error"]["Code"])
        return "done"

    with ThreadPoolExecutor(8) as pool:
        answers = set(pool.map(change, range(36)))
    assert answers <= {"done", "1", "ResourceConflictException"}
    put(own, "race", "1", 3)
    assert wait_for(own, "race", "1")["AllocatedProvisionedConcurrentExecutions"] == 3
    wait_until(lambda: counts(own) == (0, 0, 0, 3, 3), 30, "no more than three")
    lambda_.delete_function(FunctionName="race", Qualifier="1")
    lambda_.delete_function(FunctionName="race")
    wait_until(lambda: sum(own.health()["environments"].values()) == 0, 30, "all environments to end")
    assert counts(own) == (0, 0, 0, 0, 0)


@pytest.mark.parametrize("count", [0, -1, 2**31, "many"])
def test_counts_that_are_none(own: Server, count: object) -> None:
    """Refused before anything is looked at, as a wrong value."""
    lambda_ = own.client("lambda", config=Config(retries={"max_attempts": 0}, parameter_validation=False))
    with pytest.raises(ClientError) as refused:
        lambda_.put_provisioned_concurrency_config(FunctionName="nobody", Qualifier="1", ProvisionedConcurrentExecutions=count)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] in (400, 404)
