"""SnapStart: a version is initialised once, when it is published, and every environment goes on from there."""

from __future__ import annotations

import json
import os
import platform
import re
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from support.processes import descendants, is_running
from support.server import Server, running, wait_until

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="snapshots are made on x86_64 only"),
]

SNAP_START = {"ApplyOn": "PublishedVersions"}

FUNCTION = """
import os, random, tempfile, time, uuid, secrets, ssl, threading
import boto3
from snapshot_restore_py import register_before_snapshot, register_after_restore

calls = []
with open("/tmp/cache", "w") as cache:
    cache.write("made by init")
initialised = secrets.token_hex(8)
random.random()
client = boto3.client("s3")
client.list_buckets()

register_before_snapshot(calls.append, "before 1")
register_before_snapshot(calls.append, "before 2")

@register_after_restore
def restored():
    calls.append("after 1")
    print("hook ran")

register_after_restore(lambda name: calls.append(name), name="after 2")

def handler(event, context):
    if "meet" in event:  # until so many have come
        client.put_object(Bucket="snap-ten", Key=secrets.token_hex(8))
        while client.list_objects_v2(Bucket="snap-ten")["KeyCount"] < event["meet"]:
            time.sleep(0.05)
    key = boto3.Session().get_credentials()
    return {
        "initialised": initialised,
        "cache": open("/tmp/cache").read(),
        "calls": calls,
        "random": [random.random(), str(uuid.uuid4()), secrets.token_hex(8), ssl.RAND_bytes(8).hex(), tempfile.mktemp()],
        "numbers": [os.getpid() != 1, threading.active_count()],
        "type": os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"],
        "key variables": [name for name in os.environ if name.startswith("AWS_ACCESS") or name.startswith("AWS_SE")],
        "log variables": [name for name in os.environ if name.startswith("AWS_LAMBDA_LOG")],
        "key": key.access_key,
        "method": key.method,
        "buckets": client.list_buckets()["ResponseMetadata"]["HTTPStatusCode"],
        "version": context.function_version,
        "stream": context.log_stream_name,
    }
"""

FAILING = {
    "raises": ("raise RuntimeError('as asked')", "FunctionError.RuntimeInitError", "RuntimeError: as asked"),
    "exits": ("import os; os._exit(3)", "FunctionError.RuntimeInitError", "Runtime exited with error: exit status 3"),
    "thread": (
        "import threading, signal; threading.Thread(target=signal.pause, daemon=True).start()",
        "FunctionError",
        "SnapStart cannot be applied: the function's init left threads running (1), which a clone would not have.",
    ),
    "daemons": (
        "import os, signal\n"
        "for _ in range(5):\n"
        "    if os.fork() == 0:\n"
        "        if os.fork() == 0:\n"
        "            os.setsid(); signal.pause()\n"
        "        os._exit(0)\n"
        "    os.wait()",
        "FunctionError",
        "SnapStart cannot be applied: the function's init left processes running, which a clone would not have.",
    ),
    "pipe": (
        "import os; os.mkfifo('/tmp/pipe')",
        "FunctionError",
        "SnapStart cannot be applied: the function's init left a socket, a pipe or a device in /tmp, which",
    ),
    "hook": (
        "import snapshot_restore_py\n@snapshot_restore_py.register_before_snapshot\ndef fail(): raise ValueError('not now')",
        "FunctionError.RuntimeInitError",
        "ValueError: not now",
    ),
    "memory": ("x = bytearray(1 << 29)", "FunctionError.InitResourceExhausted", "signal: killed"),
    "asks": (
        "import http.client, os\n"
        "connection = http.client.HTTPConnection(os.environ['AWS_LAMBDA_RUNTIME_API'])\n"
        "connection.request('GET', '/2018-06-01/runtime/invocation/next')\n"
        "import time; time.sleep(1)",
        "FunctionError",
        "SnapStart cannot be applied: the function asked for an invocation during its init",
    ),
    "kills itself": ("import os; os.kill(os.getpid(), 9)", "FunctionError.RuntimeInitError", "signal: killed"),
    "dies in the fork": (
        "import os\npid = os.getpid()\nos.register_at_fork(before=lambda: os._exit(3) if os.getpid() == pid else None)",
        "FunctionError",
        "SnapStart cannot be applied: the function's process ended before it could be cloned.",
    ),
}
HANDLER = "\ndef handler(event, context):\n    return event\n"


def publish(server: Server, name: str, source: str, **settings: Any) -> str:
    """The number of a version that is Active."""
    server.create_function(name, source, SnapStart=SNAP_START, **settings)
    lambda_ = server.client("lambda")
    version = str(lambda_.publish_version(FunctionName=name)["Version"])
    waiter = lambda_.get_waiter("published_version_active")
    waiter.wait(FunctionName=name, Qualifier=version, WaiterConfig={"Delay": 1})
    return version


def invoke(server: Server, name: str, version: str, event: object = None) -> Any:
    """The answer; in the environment that there is, if there is one."""
    if event is None:
        server.wait_for_rest()
    answer = server.client("lambda").invoke(FunctionName=name, Qualifier=version, Payload=json.dumps(event or {}))
    payload = json.loads(answer["Payload"].read())
    assert "FunctionError" not in answer, payload
    return payload


def log_of(server: Server, name: str) -> dict[str, list[str]]:
    """The lines of each stream."""
    logs = server.client("logs")
    events = logs.filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    streams: dict[str, list[str]] = {}
    for event in events:
        streams.setdefault(event["logStreamName"], []).append(event["message"].rstrip("\n"))
    return streams


def test_every_environment_goes_on_from_the_snapshot(server: Server) -> None:
    """Ten at once: initialised once, with hooks, randomness and credentials of their own."""
    version = publish(server, "snap-ten", FUNCTION, Timeout=60)
    server.client("s3").create_bucket(Bucket="snap-ten")
    with ThreadPoolExecutor(10) as pool:
        results = list(pool.map(lambda _: invoke(server, "snap-ten", version, {"meet": 10}), range(10)))
    assert len({result["initialised"] for result in results}) == 1
    for result in results:
        assert result["calls"] == ["before 2", "before 1", "after 1", "after 2"]
        assert result["numbers"] == [True, 1]
        assert result["cache"] == "made by init"
        assert result["type"] == "snap-start"
        assert result["method"] == "container-role"
        assert result["key variables"] == result["log variables"] == []
        assert result["buckets"] == 200
        assert result["version"] == version
        assert result["stream"] is None
    for source in zip(*(result["random"] for result in results), strict=True):
        assert len(set(source)) == 10
    assert len({result["key"] for result in results}) == 10


def test_restores_are_in_the_log(server: Server) -> None:
    """Init in a stream of its own, at publishing; RESTORE_START and RESTORE_REPORT where INIT_START would be."""
    version = publish(server, "snap-log", FUNCTION)
    invoke(server, "snap-log", version)
    invoke(server, "snap-log", version)
    wait_until(lambda: sum(map(len, log_of(server, "snap-log").values())) >= 11, 20, "the log")
    template, environment = log_of(server, "snap-log").values()
    assert template[0].startswith("INIT_START Runtime Version: python:")
    assert re.fullmatch(r"INIT_REPORT Init Duration: [\d.]+ ms\tPhase: init\tStatus: success", template[1])
    assert environment[0].startswith("RESTORE_START Runtime Version: python:")
    assert environment[1] == "hook ran"
    assert re.fullmatch(r"RESTORE_REPORT Restore Duration: [\d.]+ ms", environment[2])
    first, second = [line for line in environment if line.startswith("REPORT")]
    assert re.search(r"\tRestore Duration: [\d.]+ ms\tBilled Restore Duration: \d+ ms\t$", first)
    assert "Init Duration" not in first
    assert "Restore" not in second


def test_states_and_settings_are_awss(server: Server) -> None:
    """A version is Pending until its snapshot is there; $LATEST, which has none, is not held up."""
    lambda_ = server.client("lambda")
    source = "import time; time.sleep(2)" + HANDLER
    server.create_function("snap-states", source, SnapStart=SNAP_START)
    latest = lambda_.get_function_configuration(FunctionName="snap-states")
    assert latest["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
    published = lambda_.publish_version(FunctionName="snap-states")
    assert (published["State"], published["StateReasonCode"]) == ("Pending", "Creating")
    assert published["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"}
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        lambda_.invoke(FunctionName="snap-states", Qualifier="1")
    assert refused.value.response["Error"]["Code"] == "SnapStartNotReadyException"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 409
    assert json.loads(lambda_.invoke(FunctionName="snap-states", Payload=b"1")["Payload"].read()) == 1
    lambda_.update_function_configuration(FunctionName="snap-states", Description="not held up by the snapshot")
    lambda_.get_waiter("published_version_active").wait(FunctionName="snap-states", Qualifier="1", WaiterConfig={"Delay": 1})
    assert invoke(server, "snap-states", "1", 5) == 5


@pytest.mark.parametrize("how", FAILING)
def test_a_version_that_cannot_be_had_has_failed(server: Server, how: str) -> None:
    """And says why."""
    source, code, reason = FAILING[how]
    name = "snap-fails-" + how.replace(" ", "-")
    server.create_function(name, source + HANDLER, SnapStart=SNAP_START)
    lambda_ = server.client("lambda")
    lambda_.publish_version(FunctionName=name)
    wait_until(
        lambda: lambda_.get_function_configuration(FunctionName=name, Qualifier="1")["State"] != "Pending", 60, "the version"
    )
    version = lambda_.get_function_configuration(FunctionName=name, Qualifier="1")
    assert (version["State"], version["StateReasonCode"]) == ("Failed", code)
    assert reason in version["StateReason"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"Runtime": "provided.al2023"}, "provided.al2023 is not supported for SnapStart enabled functions."),
        ({"EphemeralStorage": {"Size": 513}}, "ephemeral storage"),
    ],
)
def test_what_cannot_have_snap_start_is_refused(server: Server, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(botocore.exceptions.ClientError, match=message) as refused:
        server.create_function("snap-refused", HANDLER, SnapStart=SNAP_START, **settings)
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValueException"


@pytest.mark.parametrize(
    ("hook", "code", "status", "line"),
    [
        ("raise ValueError('no')", "SnapStartException", 400, "Status: error\tError Type: Runtime.AfterRestoreError"),
        ("__import__('os')._exit(3)", "SnapStartException", 400, "Status: error\tError Type: Runtime.ExitError"),
        (
            "__import__('time').sleep(60)",
            "SnapStartTimeoutException",
            408,
            "Status: timeout\tError Type: Runtime.RestoreHookUserTimeout",
        ),
    ],
    ids=["raises", "exits", "hangs"],
)
def test_a_restore_that_fails_is_told_to_the_caller(server: Server, hook: str, code: str, status: int, line: str) -> None:
    """Nothing of it is left."""
    name = "snap-hook-" + re.sub(r"\W+", "-", code + hook)[:40]
    source = f"import snapshot_restore_py\n@snapshot_restore_py.register_after_restore\ndef fail():\n    {hook}\n" + HANDLER
    version = publish(server, name, source)
    with pytest.raises(botocore.exceptions.ClientError) as refused:
        server.client("lambda").invoke(FunctionName=name, Qualifier=version)
    assert refused.value.response["Error"]["Code"] == code
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    wait_until(lambda: any(line in each for lines in log_of(server, name).values() for each in lines), 20, "the log")


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    with running(tmp_path, "--spares", "1") as started:
        yield started


COUNTED = """
import os, secrets

me = secrets.token_hex(8)

def handler(event, context):
    if event == "die":
        os._exit(3)
    return me
"""


def test_a_snapshot_is_made_again_when_it_is_gone(own_server: Server) -> None:
    """After a restart of the server, after `kill -9` of the process that holds it or of the one that clones it; a crash of an
    environment does not touch it. Deleting the version leaves nothing."""
    version = publish(own_server, "f", COUNTED)
    first = invoke(own_server, "f", version)
    crashed = own_server.client("lambda").invoke(FunctionName="f", Qualifier=version, Payload=b'"die"')
    assert json.loads(crashed["Payload"].read())["errorType"] == "Runtime.ExitError"
    assert invoke(own_server, "f", version) == first

    own_server.stop()
    own_server.start()
    second = invoke(own_server, "f", version)
    assert second != first

    for which in (0, 1):
        before = invoke(own_server, "f", version)
        end(traced(own_server)[which])
        wait_until(lambda: not traced(own_server), 20, "the end of the snapshot")
        assert invoke(own_server, "f", version) == before  # the environment lives on
        own_server.client("lambda").invoke(FunctionName="f", Qualifier=version, Payload=b'"die"')
        assert invoke(own_server, "f", version) != before

    own_server.client("lambda").delete_function(FunctionName="f", Qualifier=version)
    wait_until(lambda: not traced(own_server), 20, "the end of the snapshot")


def end(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_running(pid), 20, "its end")


def traced(server: Server) -> list[int]:
    """The process that holds the one snapshot, and the one that clones it."""
    assert server.process is not None
    for pid in descendants(server.process.pid):
        try:
            tracer = int((Path("/proc") / str(pid) / "status").read_text().split("TracerPid:")[1].split()[0])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if tracer and is_running(pid):
            return [pid, tracer]
    return []
