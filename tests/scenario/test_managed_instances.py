"""Managed instances as their users see them: several invocations in one environment; with boto3 against full isolation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.server import Server, running, wait_until

pytestmark = pytest.mark.root

WORKS = """
import logging, os, time, boto3

SEEN = []
SAYS = [os.environ["AWS_LAMBDA_" + name] for name in ("INITIALIZATION_TYPE", "MAX_CONCURRENCY", "FUNCTION_VERSION")]
HOME = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]

def handler(event, context):
    SEEN.append(context.aws_request_id)
    logging.getLogger().warning("working")
    if event == "meet":
        s3 = boto3.client("s3")
        s3.put_object(Bucket="meeting", Key="in/" + context.aws_request_id)
        while len(s3.list_objects_v2(Bucket="meeting", Prefix="in/").get("Contents", ())) < 4:
            time.sleep(0.02)
    if event == "late":
        time.sleep(3)
    if event == "die":
        os._exit(3)
    return {"pid": os.getpid(), "home": HOME, "says": SAYS, "seen": len(SEEN)}
"""
ONE = {"MinExecutionEnvironments": 1, "MaxExecutionEnvironments": 1}


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that may be killed, and whose functions on managed instances may be small."""
    with running(tmp_path_factory.mktemp("managed"), "--quota-overrides", "managed_memory_min_mb=128") as server:
        yield server


@pytest.fixture(scope="module")
def provider(own: Server) -> str:
    made = own.client("lambda").create_capacity_provider(
        CapacityProviderName="machine",
        VpcConfig={"SubnetIds": ["subnet-local"], "SecurityGroupIds": []},
        PermissionsConfig={"CapacityProviderOperatorRoleArn": "arn:aws:iam::000000000000:role/operator"},
        Tags={"team": "blue"},
    )["CapacityProvider"]
    assert made["State"] == "Pending"
    return str(made["CapacityProviderArn"])


def create(server: Server, name: str, provider: str, concurrency: int, **settings: Any) -> Any:
    """A function whose `$LATEST.PUBLISHED` has one environment."""
    lambda_ = server.client("lambda")
    config = {"CapacityProviderArn": provider, "PerExecutionEnvironmentMaxConcurrency": concurrency}
    server.create_function(
        name,
        WORKS,
        MemorySize=1024,  # each process imports boto3 by itself, with the processors that the memory comes with
        CapacityProviderConfig={"LambdaManagedInstancesCapacityProviderConfig": config},
        **settings,
    )
    assert lambda_.get_function_configuration(FunctionName=name)["State"] == "ActiveNonInvocable"
    published = lambda_.publish_version(FunctionName=name, PublishTo="LATEST_PUBLISHED")
    assert (published["Version"], published["State"]) == ("$LATEST.PUBLISHED", "Pending")
    lambda_.put_function_scaling_config(FunctionName=name, Qualifier="$LATEST.PUBLISHED", FunctionScalingConfig=ONE)
    lambda_.get_waiter("published_version_active").wait(
        FunctionName=name, Qualifier="$LATEST.PUBLISHED", WaiterConfig={"Delay": 0.1, "MaxAttempts": 600}
    )
    return lambda_


def call(server: Server, name: str, event: Any = None, **options: Any) -> dict[str, Any]:
    answer = server.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode(), **options)
    return {"version": answer.get("ExecutedVersion"), "error": answer.get("FunctionError"), **json.load(answer["Payload"])}


def call_when_free(server: Server, name: str, event: Any = None) -> dict[str, Any]:
    """As soon as one of its places is."""

    def called() -> dict[str, Any] | None:
        try:
            return call(server, name, event)
        except ClientError as error:
            assert error.response["Error"]["Code"] == "TooManyRequestsException"
            return None

    answer: dict[str, Any] = wait_until(called, 30, "a place that is free")
    return answer


def test_several_at_once_in_one_environment(own: Server, provider: str) -> None:
    """Four invocations that wait for each other meet in one environment, each in a process of its own with its own memory."""
    own.client("s3").create_bucket(Bucket="meeting")
    create(own, "meets", provider, 4, Timeout=60)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: call_when_free(own, "meets", "meet"), range(4)))
    assert len({answer["pid"] for answer in answers}) == 4 and len({answer["home"] for answer in answers}) == 1
    assert [answer["seen"] for answer in answers] == [1] * 4
    assert answers[0]["version"] == "$LATEST.PUBLISHED"
    assert answers[0]["says"] == ["lambda-managed-instances", "4", "$LATEST.PUBLISHED"]
    with pytest.raises(ClientError) as refused:
        call(own, "meets", Qualifier="$LATEST")
    assert refused.value.response["Error"]["Code"] == "ResourceConflictException"

    def records() -> list[dict[str, Any]]:
        return [json.loads(line) for line in own.messages("/aws/lambda/meets") if line.startswith("{")]

    wait_until(lambda: sum(record.get("type") == "platform.report" for record in records()) == 4, 10, "all reports")
    ids = {record["record"]["requestId"] for record in records() if record.get("type") == "platform.report"}
    assert {record["requestId"] for record in records() if record.get("level") == "WARNING"} == ids and len(ids) == 4
    listed = own.client("lambda").list_function_versions_by_capacity_provider(CapacityProviderName="machine")
    assert [(each["FunctionArn"].split(":", 7)[-1], each["State"]) for each in listed["FunctionVersions"]] == [
        ("$LATEST", "ActiveNonInvocable"),
        ("$LATEST.PUBLISHED", "Active"),
    ]


def test_trouble_stays_with_its_invocation(own: Server, provider: str) -> None:
    """One that times out and one whose process dies fail alone; when no process is left another environment comes."""
    create(own, "fails", provider, 2, Timeout=2)
    late = call(own, "fails", "late")
    assert late["error"] == "Unhandled" and "Task timed out after 2.00 seconds" in late["errorMessage"]
    home = call_when_free(own, "fails")["home"]
    dead = call_when_free(own, "fails", "die")
    assert dead["errorType"] == "Runtime.ExitError" and dead["error"] == "Unhandled"
    wait_until(lambda: call_when_free(own, "fails")["home"] == home, 20, "the process of the late one")
    assert call_when_free(own, "fails", "die")["errorType"] == "Runtime.ExitError"
    wait_until(lambda: call_when_free(own, "fails")["home"] != home, 30, "another environment")


def test_what_was_made_is_there_after_a_kill(own: Server, provider: str) -> None:
    """Provider, tags, versions and scaling survive; the environments are started again before anybody asks."""
    create(own, "kept", provider, 2)
    own.kill()
    own.start()
    lambda_ = own.client("lambda")
    wait_until(lambda: own.health()["environments"]["idle"] >= 1, 60, "environments to be there again")
    assert call_when_free(own, "kept")["version"] == "$LATEST.PUBLISHED"
    assert lambda_.list_tags(Resource=provider)["Tags"] == {"team": "blue"}
    scaling = lambda_.get_function_scaling_config(FunctionName="kept", Qualifier="$LATEST.PUBLISHED")
    assert scaling["AppliedFunctionScalingConfig"] == scaling["RequestedFunctionScalingConfig"] == ONE
    with pytest.raises(ClientError) as refused:
        lambda_.delete_capacity_provider(CapacityProviderName="machine")
    assert refused.value.response["Error"]["Code"] == "ResourceConflictException"


def test_off_and_gone(own: Server, provider: str) -> None:
    """A version with a maximum of none is not invoked; a deleted function leaves its provider free and nothing running."""
    lambda_ = create(own, "off", provider, 1)
    none = {"MinExecutionEnvironments": 0, "MaxExecutionEnvironments": 0}
    put = lambda_.put_function_scaling_config(FunctionName="off", Qualifier="$LATEST.PUBLISHED", FunctionScalingConfig=none)
    assert put["FunctionState"] == "Deactivating"
    with pytest.raises(ClientError) as refused:
        call(own, "off")
    assert "Deactivated" in refused.value.response["Error"]["Message"]
    put = lambda_.put_function_scaling_config(FunctionName="off", Qualifier="$LATEST.PUBLISHED", FunctionScalingConfig=ONE)
    assert put["FunctionState"] == "Pending"
    lambda_.get_waiter("published_version_active").wait(
        FunctionName="off", Qualifier="$LATEST.PUBLISHED", WaiterConfig={"Delay": 0.1, "MaxAttempts": 600}
    )
    assert call(own, "off")["seen"] == 1
    for listed in lambda_.list_functions()["Functions"]:
        lambda_.delete_function(FunctionName=listed["FunctionName"])
    gone = lambda_.delete_capacity_provider(CapacityProviderName="machine")["CapacityProvider"]
    assert gone["State"] == "Deleting"
    with pytest.raises(lambda_.exceptions.ResourceNotFoundException):
        lambda_.get_capacity_provider(CapacityProviderName=provider)
    wait_until(lambda: sum(own.health()["environments"].values()) == 0, 20, "all environments to be gone")
