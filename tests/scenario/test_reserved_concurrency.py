"""A function with a reserve, as its callers see it; with boto3 against full isolation."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from support.server import Server, running, wait_until

pytestmark = pytest.mark.root

HOLDS = """
import boto3, time

def handler(event, context):
    s3 = boto3.client("s3")
    s3.put_object(Bucket="gate", Key="entered")
    while "Contents" not in s3.list_objects_v2(Bucket="gate", Prefix="go-on"):
        time.sleep(0.05)
    return "went on"
"""


def throttled(server: Server, name: str) -> dict[str, Any]:
    lambda_ = server.client("lambda")
    with pytest.raises(lambda_.exceptions.TooManyRequestsException) as refused:
        lambda_.invoke(FunctionName=name)
    return refused.value.response


def test_a_full_reserve_throttles_until_it_is_free(server: Server) -> None:
    """While the one reserved invocation runs another is refused with AWS's reason; after it the function runs again."""
    s3, lambda_ = server.client("s3"), server.client("lambda")
    s3.create_bucket(Bucket="gate")
    server.create_function("holds", HOLDS, Timeout=60)
    lambda_.put_function_concurrency(FunctionName="holds", ReservedConcurrentExecutions=1)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(server.invoke, "holds")
        s3.get_waiter("object_exists").wait(Bucket="gate", Key="entered", WaiterConfig={"Delay": 1, "MaxAttempts": 30})
        refused = throttled(server, "holds")
        assert refused["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert refused["ResponseMetadata"]["HTTPStatusCode"] == 429
        assert int(refused["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) >= 1
        s3.put_object(Bucket="gate", Key="go-on")
        assert first.result() == "went on"
    assert server.invoke("holds") == "went on"


def test_zero_stops_a_function_also_after_a_restart(tmp_path: Path) -> None:
    """A reserve of 0 is durable, and holds until it is taken away."""
    with running(tmp_path) as server:
        server.create_function("stopped", "def handler(event, context): return event")
        server.client("lambda").put_function_concurrency(FunctionName="stopped", ReservedConcurrentExecutions=0)
        assert throttled(server, "stopped")["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
    with running(tmp_path) as server:
        assert throttled(server, "stopped")["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        server.client("lambda").delete_function_concurrency(FunctionName="stopped")
        assert server.invoke("stopped", 1) == 1


def test_rates_throttle_with_their_reasons(tmp_path: Path) -> None:
    """With AWS's rates made small: a function that is called faster than ten times its concurrency, here once a second, and one
    that would need more environments than it may gain, get 429 with the reason; events wait instead, and health counts."""
    overrides = "requests_per_environment=1,scaling_burst=1,scaling_per_minute=1"
    with running(tmp_path, "--quota-overrides", overrides) as server:
        lambda_ = server.client("lambda")
        server.create_function("rated", "def handler(event, context): return event")
        lambda_.put_function_concurrency(FunctionName="rated", ReservedConcurrentExecutions=1)
        assert server.invoke("rated", 1) == 1
        reasons = []
        for _ in range(20):
            try:
                lambda_.invoke(FunctionName="rated")
            except lambda_.exceptions.TooManyRequestsException as error:
                reasons.append(error.response["Reason"])
                assert int(error.response["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) >= 1
        assert set(reasons) == {"ReservedFunctionInvocationRateLimitExceeded"}
        server.create_function("grows", "def handler(event, context): return event")
        assert server.invoke("grows", 2) == 2
        lambda_.update_function_configuration(FunctionName="grows", Timeout=9)
        lambda_.get_waiter("function_updated_v2").wait(FunctionName="grows", WaiterConfig={"Delay": 1})
        assert throttled(server, "grows")["Reason"] == "ConcurrentInvocationLimitExceeded"
        assert lambda_.invoke(FunctionName="rated", InvocationType="Event")["StatusCode"] == 202
        wait_until(lambda: server.health()["events"]["succeeded"] == 1, 30, "the event to run")
        concurrency, quotas = server.health()["concurrency"], server.health()["quotas"]
        assert quotas == "current, " + overrides.replace(",", ", ")
        assert concurrency["throttles"] == {
            "ReservedFunctionInvocationRateLimitExceeded": len(reasons),
            "ConcurrentInvocationLimitExceeded": 1,
        }
        wait_until(lambda: not any(server.health()["concurrency"]["in_use"].values()), 10, "all units to be given back")
