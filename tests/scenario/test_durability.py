"""`kill -9` of the server at any moment loses nothing that it acknowledged, and leaves nothing behind."""

from __future__ import annotations

import gc
import json
import os
import signal
import threading
import uuid
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from bench.memory import descendants

from support.function_sources import PUT
from support.processes import cgroups_named, children, command_line, is_running
from support.server import Server, wait_until

pytestmark = [pytest.mark.root, pytest.mark.slow]

RECORDER = f"""{PUT}
def handler(event, context):
    put("seen", event["id"])
"""


#: What a killed server was about to run is seen again when its leases are over: the clock goes forward, and nobody waits.
LEASE_SECONDS = 61
SLOW = "import time\ndef handler(event, context):\n    time.sleep(2)\n    return 'done'\n"


@pytest.fixture
def own_server(tmp_path: Path) -> Any:
    server = Server(tmp_path).start()
    yield server
    if server.process.poll() is None:
        server.stop()


def test_functions_and_objects_are_there_after_kill_9(own_server: Server) -> None:
    """What answered 2xx before the kill is served after the restart, byte for byte, and the function runs."""
    s3 = own_server.client("s3")
    s3.create_bucket(Bucket="kept")
    body = os.urandom(3 << 20)
    s3.put_object(Bucket="kept", Key="a/b c.bin", Body=body, Metadata={"colour": "blue"})
    own_server.create_function("kept", "def handler(event, context):\n    return event\n")
    assert own_server.invoke("kept", 1) == 1

    own_server.kill()
    own_server.start()

    read = own_server.client("s3").get_object(Bucket="kept", Key="a/b c.bin")
    assert read["Body"].read() == body
    assert read["Metadata"] == {"colour": "blue"}
    assert own_server.invoke("kept", {"still": "here"}) == {"still": "here"}


# urllib3 leaves the sockets of requests that the kill cut off to the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_every_acknowledged_event_runs_though_the_server_is_killed(own_server: Server) -> None:
    """Events that were answered 202 while the server was killed three times all reach the function in the end."""
    own_server.client("s3").create_bucket(Bucket="seen")
    own_server.create_function("recorder", RECORDER, MemorySize=256, Timeout=30)
    acknowledged: list[str] = []
    for _ in range(3):
        sending = threading.Thread(target=send_until_refused, args=(own_server, acknowledged))
        before = len(acknowledged)
        sending.start()
        wait_until(lambda before=before: len(acknowledged) >= before + 40, 60, "acknowledged events")
        own_server.kill()
        sending.join()
        own_server.clock_offset_seconds += LEASE_SECONDS
        own_server.start()

    def missing() -> set[str]:
        pages = own_server.client("s3").get_paginator("list_objects_v2").paginate(Bucket="seen")
        return set(acknowledged) - {entry["Key"] for page in pages for entry in page.get("Contents", [])}

    wait_until(lambda: not missing(), 120, "every acknowledged event to have run")
    gc.collect()


def send_until_refused(server: Server, acknowledged: list[str]) -> None:
    lambda_ = server.client("lambda")
    while True:
        event_id = str(uuid.uuid4())
        try:
            answer = lambda_.invoke(
                FunctionName="recorder", InvocationType="Event", Payload=json.dumps({"id": event_id}).encode()
            )
        except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            return
        assert answer["StatusCode"] == 202
        acknowledged.append(event_id)


def test_an_object_put_before_the_kill_still_triggers_its_function(own_server: Server) -> None:
    """The notification of an acknowledged PutObject survives the kill with the object."""
    s3, lambda_ = own_server.client("s3"), own_server.client("lambda")
    s3.create_bucket(Bucket="seen")
    s3.create_bucket(Bucket="inbox")
    source = RECORDER.replace('event["id"]', 'event["Records"][0]["s3"]["object"]["key"]')
    arn = own_server.create_function("on-put", source, MemorySize=256, Timeout=30)
    lambda_.add_permission(
        FunctionName="on-put", StatementId="s3", Action="lambda:InvokeFunction", Principal="s3.amazonaws.com",
        SourceArn="arn:aws:s3:::inbox",
    )  # fmt: skip
    s3.put_bucket_notification_configuration(
        Bucket="inbox",
        NotificationConfiguration={
            "LambdaFunctionConfigurations": [{"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}]
        },
    )
    for number in range(5):
        s3.put_object(Bucket="inbox", Key=f"item-{number}", Body=b"x")
    own_server.kill()
    own_server.clock_offset_seconds = LEASE_SECONDS
    own_server.start()

    def seen() -> set[str]:
        return {entry["Key"] for entry in own_server.client("s3").list_objects_v2(Bucket="seen").get("Contents", [])}

    wait_until(lambda: seen() == {f"item-{number}" for number in range(5)}, 60, "the five notifications")


def test_nothing_is_left_behind_by_a_killed_server(own_server: Server) -> None:
    """After kill -9 its environments end, and the next server has removed their cgroups."""
    own_server.create_function("idle", "def handler(event, context):\n    return 1\n")
    own_server.invoke("idle")
    family = descendants(own_server.process.pid)
    groups = {group for pid in family for group in cgroups_named(pid, "lambdad-")}
    assert family
    assert groups

    own_server.kill()

    wait_until(lambda: not any(is_running(pid) for pid in family), 30, "the environments to end")
    own_server.start()
    own_server.create_function("after", "def handler(event, context):\n    return 2\n")
    assert own_server.invoke("after") == 2
    own_server.stop()
    wait_until(lambda: not any(group.exists() for group in groups), 30, "the cgroups to be removed")


def test_ctrl_c_lets_the_running_invocation_finish(own_server: Server) -> None:
    """An invocation that runs when Ctrl-C comes gets its answer; then the server exits with 0 and leaves no process."""
    own_server.create_function(
        "slow", "import time\ndef handler(event, context):\n    time.sleep(2)\n    return 'done'\n", Timeout=10
    )
    own_server.create_function("ready", "def handler(event, context):\n    return 1\n")
    own_server.invoke("ready")
    answers: list[Any] = []
    calling = threading.Thread(target=lambda: answers.append(own_server.invoke("slow")))
    calling.start()
    wait_until(lambda: own_server.health()["environments"]["busy"] == 1, 20, "the invocation to run")
    family = descendants(own_server.process.pid)

    assert own_server.stop() == 0

    calling.join()
    assert answers == ["done"]
    assert not any(is_running(pid) for pid in family)


def test_a_server_that_lost_its_launcher_ends(own_server: Server) -> None:
    """Without the launcher no function can run: the server says so and exits with 1, for its supervisor to see."""
    own_server.create_function("orphan", "def handler(event, context):\n    return 1\n")
    assert own_server.invoke("orphan") == 1
    [launcher] = [pid for pid in children(own_server.process.pid) if "lambdad.sandbox.launcher" in command_line(pid)]
    os.kill(launcher, signal.SIGKILL)
    assert own_server.process.wait(timeout=60) == 1
    assert "launcher" in own_server.log().splitlines()[-1]
    own_server.start()
    assert own_server.invoke("orphan") == 1
