"""A disk that is full, or that fails: nothing is acknowledged that is not kept, and work goes on when the fault is over."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from support.server import Server, running, wait_until, zipped

pytestmark = [pytest.mark.root, pytest.mark.slow]

SOURCE = "def handler(event, context):\n    return event\n"
COUNTED = """
import boto3, json
s3 = boto3.client("s3")

def handler(event, context):
    s3.put_object(Bucket="seen", Key=event["id"], Body=b"")
"""


def refused(call: Any, **arguments: Any) -> botocore.exceptions.ClientError:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**arguments)
    return caught.value


def send(server: Server, event_id: str) -> int:
    answer = server.client("lambda").invoke(
        FunctionName="counted", InvocationType="Event", Payload=b'{"id": "%s"}' % event_id.encode()
    )
    return int(answer["StatusCode"])


def seen(server: Server) -> set[str]:
    return {entry["Key"] for entry in server.client("s3").list_objects_v2(Bucket="seen").get("Contents", [])}


def assert_that_changes_fail(server: Server, tried: list[str], *codes: int) -> None:
    """An event, an object, a function: each is refused by lambdad, in AWS's shape, and none is there afterwards."""
    lambda_, s3 = server.client("lambda"), server.client("s3")
    tried.append(f"refused-{len(tried)}")
    errors = [
        refused(send, server=server, event_id=tried[-1]),
        refused(s3.put_object, Bucket="seen", Key="object", Body=b"x" * 10_000),
        refused(
            lambda_.create_function,
            FunctionName="made",
            Runtime="python3.11",
            Handler="lambda_function.handler",
            Role="arn:aws:iam::000000000000:role/test",
            Code={"ZipFile": zipped({"lambda_function.py": SOURCE})},
        ),
    ]
    for error in errors:
        assert error.response["ResponseMetadata"]["HTTPStatusCode"] in codes, error
        assert error.response["Error"]["Message"]
    assert refused(lambda_.get_function, FunctionName="made").response["Error"]["Code"] == "ResourceNotFoundException"
    assert refused(s3.head_object, Bucket="seen", Key="object").response["Error"]["Code"] == "404"
    assert server.invoke("plain", 1) == 1  # what writes nothing goes on


def prepared(server: Server) -> None:
    server.client("s3").create_bucket(Bucket="seen")
    server.create_function("plain", SOURCE)
    server.create_function("counted", COUNTED, Timeout=30)
    assert server.invoke("plain", 1) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_full_disk_refuses_what_it_cannot_keep(small_disk: Path) -> None:
    """And takes it when there is room again, without a restart; what was acknowledged before and after has run."""
    with running(small_disk) as server:
        prepared(server)
        assert send(server, "before") == 202
        wait_until(lambda: seen(server) == {"before"}, 30, "the first event")
        filler, tried = small_disk / "filler", list[str]()
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 65536)
        with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0")
        fill_the_log_of_the_store(server, tried)
        assert_that_changes_fail(server, tried, 500, 503, 507)
        filler.unlink()
        assert send(server, "after") == 202
        wait_until(lambda: {"before", "after"} <= seen(server), 30, "the event after")
        assert "The disk is full" in server.log()
        server.kill()
        server.start()
        assert not set(tried) & seen(server)


def fill_the_log_of_the_store(server: Server, tried: list[str]) -> None:
    """What the store has written before it may write again: the first few changes still have room."""
    accepted = 0
    with contextlib.suppress(botocore.exceptions.ClientError):
        while True:
            send(server, f"room-{accepted}")
            accepted += 1
            assert accepted < 10_000


@contextlib.contextmanager
def failing_syncs(server: Server) -> Iterator[None]:
    """Every fsync and fdatasync of the server fails meanwhile."""
    inject = ["-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO"]
    tracing = subprocess.Popen(
        ["strace", "-f", "-p", str(server.process.pid), *inject, "-o", "/dev/null"], stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: all(traced(server.process.pid)), 20, "the server to be traced")
        yield
    finally:
        tracing.send_signal(signal.SIGINT)
        tracing.communicate(timeout=100)


def traced(pid: int) -> list[bool]:
    """Of each thread of the process."""
    found = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended
            status = Path(f"/proc/{pid}/task/{task}/status").read_text()
            found.append(status.split("TracerPid:")[1].split()[0] != "0")
    return found


@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_a_disk_that_does_not_sync_acknowledges_nothing(tmp_path: Path) -> None:
    """While no sync succeeds every change is refused; afterwards all goes on, and a killed server has lost nothing."""
    with running(tmp_path) as server:
        prepared(server)
        tried: list[str] = []
        for turn in range(2):
            assert send(server, f"before-{turn}") == 202
            with failing_syncs(server):
                assert_that_changes_fail(server, tried, 500, 503)
            assert send(server, f"after-{turn}") == 202
        server.kill()
        server.clock_offset_seconds = 300.0  # of events whose attempt met the fault, for their retries
        server.start()
        acknowledged = {f"{when}-{turn}" for when in ("before", "after") for turn in range(2)}
        wait_until(lambda: acknowledged <= seen(server), 60, "every acknowledged event to have run")
        assert not set(tried) & seen(server)
