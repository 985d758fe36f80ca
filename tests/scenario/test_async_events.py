"""Asynchronous invocations, end to end: retries, destinations, dead letters, through deaths of the server."""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import re
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from support.aws_elsewhere import ACCESS_KEY, SECRET, AwsElsewhere, aws_elsewhere
from support.function_sources import PUT
from support.server import Server, wait_until

pytestmark = [pytest.mark.root, pytest.mark.slow]

FLAKY = f"""{PUT}
import time

def handler(event, context):
    put("runs", event["id"] + "/" + context.aws_request_id + "/" + str(time.time_ns()))
    if event["fails"]:
        raise ValueError("no, " + event["id"])
    return event
"""
QUEUE = "arn:aws:sqs:us-east-1:000000000000:letters"
TOPIC = "arn:aws:sns:us-east-1:000000000000:letters"


@pytest.fixture
def elsewhere() -> Iterator[AwsElsewhere]:
    with aws_elsewhere() as server:
        yield server


@pytest.fixture
def own_server(tmp_path: Path, elsewhere: AwsElsewhere) -> Any:
    options = [f"--endpoint-{service}={elsewhere.url}" for service in ("sqs", "sns")]
    keys = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET}
    server = Server(tmp_path, *options, environment=keys).start()
    yield server
    if server.process.poll() is None:
        server.stop()


def send(server: Server, function: str, event: dict[str, Any]) -> None:
    answer = server.client("lambda").invoke(FunctionName=function, InvocationType="Event", Payload=json.dumps(event).encode())
    assert answer["StatusCode"] == 202


def keys_of(s3: Any, bucket: str) -> list[str]:
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", [])]


def records_of(s3: Any, bucket: str) -> list[dict[str, Any]]:
    return [json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read()) for key in keys_of(s3, bucket)]


def restart_later(server: Server, seconds: float) -> None:
    server.kill()
    server.clock_offset_seconds += seconds
    server.start()


def test_retries_and_where_they_end(own_server: Server, elsewhere: AwsElsewhere) -> None:
    """A failed event is tried three times, the server killed in between; then a bucket has its record, a queue the event."""
    lambda_, s3 = own_server.client("lambda"), own_server.client("s3")
    for bucket in ("runs", "failed"):
        s3.create_bucket(Bucket=bucket)
    arn = own_server.create_function("flaky", FLAKY, Timeout=30, DeadLetterConfig={"TargetArn": QUEUE})
    lambda_.put_function_event_invoke_config(
        FunctionName="flaky", DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::failed"}}
    )
    send(own_server, "flaky", {"id": "one", "fails": True})
    for tries, wait in ((1, 60), (2, 120), (3, 0)):
        counted = "retried" if tries < 3 else "failed"
        wait_until(lambda counted=counted: own_server.health()["events"][counted] == 1, 60, f"the end of try {tries}")
        if wait:
            restart_later(own_server, wait + 1)
    s3 = own_server.client("s3")
    wait_until(lambda: keys_of(s3, "failed") and elsewhere.sent("SendMessage"), 60, "the record and the letter")

    (record,) = records_of(s3, "failed")
    assert len(keys_of(s3, "runs")) == 3
    request_ids = {key.split("/")[1] for key in keys_of(s3, "runs")}
    assert record["requestContext"] == {
        "requestId": request_ids.pop(), "functionArn": f"{arn}:$LATEST",
        "condition": "RetriesExhausted", "approximateInvokeCount": 3,
    }  # fmt: skip
    assert not request_ids
    assert record["requestPayload"] == {"id": "one", "fails": True}
    assert record["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"}
    assert record["responsePayload"]["errorMessage"] == "no, one"
    (letter,) = elsewhere.sent("SendMessage")
    assert json.loads(letter["MessageBody"]) == {"id": "one", "fails": True}
    attributes = {name: each["StringValue"] for name, each in letter["MessageAttributes"].items()}
    assert attributes == {
        "RequestID": record["requestContext"]["requestId"], "ErrorCode": "200", "ErrorMessage": "no, one",
    }  # fmt: skip


def test_functions_and_topics_as_destinations(own_server: Server, elsewhere: AwsElsewhere) -> None:
    """A success is told to another function, a failure to a topic; the events of an alias go by its own settings."""
    own_server.client("s3").create_bucket(Bucket="runs")
    lambda_ = own_server.client("lambda")
    own_server.create_function("flaky", FLAKY, Timeout=30, Publish=True)
    next_arn = own_server.create_function("next", "import json\ndef handler(event, context):\n    print(json.dumps(event))\n")
    lambda_.create_alias(FunctionName="flaky", Name="live", FunctionVersion="1")
    lambda_.put_function_event_invoke_config(
        FunctionName="flaky", Qualifier="live", MaximumRetryAttempts=0,
        DestinationConfig={"OnSuccess": {"Destination": next_arn}, "OnFailure": {"Destination": TOPIC}},
    )  # fmt: skip
    send(own_server, "flaky:live", {"id": "good", "fails": False})
    send(own_server, "flaky:live", {"id": "bad", "fails": True})

    def heard() -> list[dict[str, Any]]:
        messages = own_server.messages("/aws/lambda/next") if own_server.health()["events"]["succeeded"] >= 2 else []
        return [json.loads(message) for message in messages if message.startswith("{")]

    wait_until(lambda: heard() and elsewhere.sent("Publish"), 60, "the function and the topic to be told")
    (success,) = heard()
    assert success["requestContext"]["condition"] == "Success"
    assert success["requestContext"]["functionArn"].endswith(":function:flaky:live")
    assert success["responsePayload"] == {"id": "good", "fails": False}
    assert success["responseContext"] == {"statusCode": 200, "executedVersion": "1"}
    failure = json.loads(elsewhere.sent("Publish")[0]["Message"])
    assert failure["requestContext"]["condition"] == "RetriesExhausted"
    assert failure["requestContext"]["approximateInvokeCount"] == 1
    shown = lambda_.list_function_event_invoke_configs(FunctionName="flaky")["FunctionEventInvokeConfigs"]
    assert [config["MaximumRetryAttempts"] for config in shown] == [0]


def test_the_events_of_a_deleted_function(own_server: Server, elsewhere: AwsElsewhere) -> None:
    """One that waits for its retry meanwhile is told to the bucket and the queue that the function had, after a restart too."""
    lambda_, s3 = own_server.client("lambda"), own_server.client("s3")
    s3.create_bucket(Bucket="failed")
    failing = "def handler(event, context):\n    raise ValueError('no')\n"
    arn = own_server.create_function("short-lived", failing, DeadLetterConfig={"TargetArn": QUEUE})
    lambda_.put_function_event_invoke_config(
        FunctionName="short-lived", DestinationConfig={"OnFailure": {"Destination": "arn:aws:s3:::failed"}}
    )
    send(own_server, "short-lived", {"id": "one"})
    wait_until(lambda: own_server.health()["events"]["retried"] == 1, 60, "the first try")
    lambda_.delete_function(FunctionName="short-lived")
    restart_later(own_server, 61)
    s3 = own_server.client("s3")
    wait_until(lambda: keys_of(s3, "failed") and elsewhere.sent("SendMessage"), 60, "the record and the letter")

    (record,) = records_of(s3, "failed")
    assert record["requestContext"]["condition"] == "FunctionNotFound"
    assert record["requestContext"]["approximateInvokeCount"] == 1
    assert record["requestPayload"] == {"id": "one"}
    (letter,) = elsewhere.sent("SendMessage")
    assert json.loads(letter["MessageBody"]) == {"id": "one"}
    attributes = {name: each["StringValue"] for name, each in letter["MessageAttributes"].items()}
    assert (attributes["ErrorCode"], attributes["ErrorMessage"]) == ("404", f"Function not found: {arn}:$LATEST")
    assert re.fullmatch(r"Root=1-.*;Lineage=[0-9a-f]{8}:1", elsewhere.trace_headers["SendMessage"] or "")
    events = own_server.health()["events"]
    assert (events["failed"], events["dropped"]) == (1, 0)


def test_targets_that_cannot_be_told_are_refused(own_server: Server, elsewhere: AwsElsewhere) -> None:
    """A service without an endpoint, and a queue that is not there, are refused when they are configured."""
    lambda_ = own_server.client("lambda")
    own_server.create_function("f", "def handler(event, context):\n    return event\n")
    bus = "arn:aws:events:us-east-1:000000000000:event-bus/default"
    with pytest.raises(botocore.exceptions.ClientError, match="there is no EventBridge here"):
        lambda_.put_function_event_invoke_config(FunctionName="f", DestinationConfig={"OnSuccess": {"Destination": bus}})
    elsewhere.refuse["GetQueueUrl"] = (400, "AWS.SimpleQueueService.NonExistentQueue")
    with pytest.raises(botocore.exceptions.ClientError, match="There is no such thing"):
        lambda_.update_function_configuration(FunctionName="f", DeadLetterConfig={"TargetArn": QUEUE})
    with pytest.raises(botocore.exceptions.ClientError, match=r"[mM]aximumRetryAttempts"):
        lambda_.put_function_event_invoke_config(FunctionName="f", MaximumRetryAttempts=3)


def storm(server: Server, elsewhere: AwsElsewhere, cycles: int, seed: int) -> None:
    """Events are accepted, retried and delivered while the server is killed at random moments; then each is accounted for."""
    chance = random.Random(seed)
    s3, lambda_ = server.client("s3"), server.client("lambda")
    for bucket in ("runs", "told"):
        s3.create_bucket(Bucket=bucket)
    server.create_function("flaky", FLAKY, MemorySize=256, Timeout=30, DeadLetterConfig={"TargetArn": QUEUE})
    target = {"Destination": "arn:aws:s3:::told"}
    lambda_.put_function_event_invoke_config(FunctionName="flaky", DestinationConfig={"OnFailure": target})
    acknowledged: dict[str, bool] = {}
    for cycle in range(cycles):
        sending = threading.Thread(target=send_until_refused, args=(server, acknowledged, chance.random()))
        sending.start()
        time.sleep(chance.uniform(0.05, 1.0))  # the moment of the kill is what is tried out
        server.kill()
        sending.join()
        server.clock_offset_seconds += chance.choice([0, 1, 61, 121]) if cycle < cycles - 1 else 400
        server.start()

    recorded: dict[str, str] = {}

    def missing() -> set[str]:
        s3 = server.client("s3")
        ran = {key.split("/")[0] for key in keys_of(s3, "runs")}
        letters = {json.loads(letter["MessageBody"])["id"] for letter in elsewhere.sent("SendMessage")}
        for key in keys_of(s3, "told"):
            if key not in recorded:
                recorded[key] = json.loads(s3.get_object(Bucket="told", Key=key)["Body"].read())["requestPayload"]["id"]
        told = letters & set(recorded.values())
        return {name for name, fails in acknowledged.items() if name not in ran or (fails and name not in told)}

    assert acknowledged
    for _ in range(12):  # far more than the retries that are still to come, of which a kill may undo one
        wait_until(lambda: is_quiet(server), 300, "the events that are due to have been tried")
        if not missing():
            break
        restart_later(server, 121)
    assert missing() == set(), "acknowledged events that did not run, or failed and nobody was told"
    gc.collect()


def is_quiet(server: Server) -> bool:
    """No function runs or is about to, and nothing has happened to any event, for two seconds."""
    before = server.health()
    for _ in range(20):
        now = server.health()
        if now["events"] != before["events"] or now["environments"]["busy"] or now["environments"]["starting"]:
            return False
        time.sleep(0.1)
    return True


def send_until_refused(server: Server, acknowledged: dict[str, bool], share_of_failures: float) -> None:
    lambda_ = server.client("lambda")
    chance = random.Random(share_of_failures)
    with contextlib.suppress(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
        while True:
            name, fails = str(uuid.uuid4()), chance.random() < share_of_failures
            lambda_.invoke(
                FunctionName="flaky", InvocationType="Event", Payload=json.dumps({"id": name, "fails": fails}).encode()
            )
            acknowledged[name] = fails
            time.sleep(0.02)  # what is tried out is the deaths, not the speed


# urllib3 leaves the sockets of requests that a kill cut off to the garbage collector.
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nothing_acknowledged_is_lost_in_a_storm_of_kills(own_server: Server, elsewhere: AwsElsewhere) -> None:
    """Three kills at random moments: every acknowledged event ran, and every failed one is in the bucket and the queue."""
    storm(own_server, elsewhere, 3, seed=1)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nothing_acknowledged_is_lost_in_a_long_storm_of_kills(own_server: Server, elsewhere: AwsElsewhere) -> None:
    """The same with 200 kills."""
    storm(own_server, elsewhere, 200, seed=int(os.environ.get("STORM_SEED", "2")))
