"""Functions that set themselves off again, by the SDK and by way of a bucket: stopped after sixteen times, unless allowed."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from support.server import Server, wait_until

pytestmark = [pytest.mark.root, pytest.mark.slow]

#: Its own bound is far beyond the sixteen, so that a loop that is not stopped ends all the same, and is seen.
SPIRAL = """
import json
import boto3

client = boto3.client("lambda")

def handler(event, context):
    hop = event["hop"]
    print("hop", hop)
    if hop >= event["last"]:
        return hop
    kind = "RequestResponse" if hop == event.get("waits_at") else "Event"
    try:
        client.invoke(
            FunctionName=context.function_name, InvocationType=kind, Payload=json.dumps({**event, "hop": hop + 1}).encode()
        )
    except client.exceptions.RecursiveInvocationException as error:
        print("refused", error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Message"])
"""
WRITER = """
import boto3

s3 = boto3.client("s3")

def handler(event, context):
    entry = event["Records"][0]["s3"]
    number = int(entry["object"]["key"])
    if number < 40:
        s3.put_object(Bucket=entry["bucket"]["name"], Key=str(number + 1))
"""


def keys_of(s3: Any, bucket: str) -> list[str]:
    return [entry["Key"] for entry in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def failures_to(server: Server, function: str, bucket: str) -> None:
    server.client("s3").create_bucket(Bucket=bucket)
    server.client("lambda").put_function_event_invoke_config(
        FunctionName=function, DestinationConfig={"OnFailure": {"Destination": f"arn:aws:s3:::{bucket}"}}
    )


def record_of_failure(server: Server, bucket: str) -> dict[str, Any]:
    s3 = server.client("s3")
    wait_until(lambda: keys_of(s3, bucket), 60, "the record of the event that was not run")
    (key,) = keys_of(s3, bucket)
    record: dict[str, Any] = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    return record


def test_a_function_that_invokes_itself(server: Server) -> None:
    """The seventeenth event is in the failure destination; a caller who waits gets the error; with Allow the loop goes on."""
    lambda_ = server.client("lambda")
    arn = server.create_function("spiral", SPIRAL, Timeout=30, MemorySize=256)
    failures_to(server, "spiral", "spiral-failed")
    dropped = server.health()["events"]["recursive_invocations_dropped"]

    def spin(**event: Any) -> None:
        lambda_.invoke(FunctionName="spiral", InvocationType="Event", Payload=json.dumps({"hop": 1, **event}).encode())

    def said(word: str) -> list[str]:
        return [message.strip() for message in server.messages("/aws/lambda/spiral") if message.startswith(word)]

    spin(last=40)
    record = record_of_failure(server, "spiral-failed")
    context = record["requestContext"]
    assert (context["condition"], context["approximateInvokeCount"]) == ("RecursiveInvocation", 0)
    assert context["functionArn"] == f"{arn}:$LATEST"
    assert record["requestPayload"] == {"hop": 17, "last": 40}
    assert server.health()["events"]["recursive_invocations_dropped"] == dropped + 1
    wait_until(lambda: len(said("hop")) == 16, 60, "the log of sixteen invocations")
    assert said("hop")[-1] == "hop 16"

    spin(last=40, waits_at=16)
    wait_until(lambda: said("refused"), 60, "the refusal of the seventeenth")
    (refusal,) = said("refused")
    assert refusal.startswith("refused 400 Lambda has detected your function being invoked in a recursive loop")
    assert server.health()["events"]["recursive_invocations_dropped"] == dropped + 2

    lambda_.put_function_recursion_config(FunctionName="spiral", RecursiveLoop="Allow")
    assert lambda_.get_function_recursion_config(FunctionName="spiral")["RecursiveLoop"] == "Allow"
    spin(last=18)
    wait_until(lambda: "hop 18" in said("hop"), 60, "the loop's own end")
    assert len(said("hop")) == 16 + 16 + 18
    lambda_.delete_function(FunctionName="spiral")


def test_functions_that_are_each_other_s_destination(server: Server) -> None:
    """Each success is told to the other, until one has run sixteen times; its next event is in its failure destination."""
    lambda_ = server.client("lambda")
    arns = {name: server.create_function(name, "def handler(event, context):\n    pass\n") for name in ("ping", "pong")}
    failures_to(server, "ping", "ping-failed")
    for name, other, more in (
        ("ping", "pong", {"OnFailure": {"Destination": "arn:aws:s3:::ping-failed"}}),
        ("pong", "ping", {}),
    ):
        destinations = {"OnSuccess": {"Destination": arns[other]}, **more}
        lambda_.put_function_event_invoke_config(FunctionName=name, DestinationConfig=destinations)
    lambda_.invoke(FunctionName="ping", InvocationType="Event", Payload=b'"first"')
    record = record_of_failure(server, "ping-failed")
    assert record["requestContext"]["condition"] == "RecursiveInvocation"
    conditions, event = [], record["requestPayload"]
    while isinstance(event, dict):
        conditions.append(event["requestContext"]["condition"])
        event = event["requestPayload"]
    assert (event, conditions) == ("first", ["Success"] * 32)
    for name in arns:
        lambda_.delete_function(FunctionName=name)


def test_trace_headers_of_anybody(server: Server) -> None:
    """Headers that are no trace start a new one, a forged count stops its own request, and the next one runs."""
    server.create_function("traced", "import os\ndef handler(event, context):\n    return os.environ['_X_AMZN_TRACE_ID']\n")
    header = ""

    def add_header(params: dict[str, Any], **_: Any) -> None:
        params["headers"]["X-Amzn-Trace-Id"] = header

    lambda_ = server.client("lambda")
    lambda_.meta.events.register("before-call", add_header)

    def trace() -> str:
        return str(json.loads(lambda_.invoke(FunctionName="traced")["Payload"].read()))

    new = r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0;Lineage=[0-9a-f]{8}:1"
    for header in ("Lineage=", "Root=1-x;Lineage=00000000:16", "%7C" * 2000, "Root=1-5759e988-" + "0" * 24 + ";A=b" * 500):
        first = trace()
        assert re.fullmatch(new, first), header
    header = first[:-1] + "16"
    with pytest.raises(lambda_.exceptions.RecursiveInvocationException):
        trace()
    header = first[:-1] + "15"
    assert trace() == first[:-1] + "16"
    header = ""
    assert re.fullmatch(new, trace())
    lambda_.delete_function(FunctionName="traced")


def test_a_function_that_writes_into_the_bucket_that_triggers_it(server: Server) -> None:
    """Sixteen objects are written behind the first one, and the event of the last is in the failure destination."""
    lambda_, s3 = server.client("lambda"), server.client("s3")
    s3.create_bucket(Bucket="eddy")
    arn = server.create_function("eddy", WRITER, Timeout=30, MemorySize=256)
    failures_to(server, "eddy", "eddy-failed")
    lambda_.add_permission(
        FunctionName="eddy", StatementId="s3", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com",
        SourceArn="arn:aws:s3:::eddy",
    )  # fmt: skip
    s3.put_bucket_notification_configuration(
        Bucket="eddy",
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [{"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}]
        },
    )
    s3.put_object(Bucket="eddy", Key="1")
    record = record_of_failure(server, "eddy-failed")
    assert record["requestContext"]["condition"] == "RecursiveInvocation"
    assert record["requestPayload"]["Records"][0]["s3"]["object"]["key"] == "17"
    assert sorted(map(int, keys_of(s3, "eddy"))) == list(range(1, 18))
    lambda_.delete_function(FunctionName="eddy")
