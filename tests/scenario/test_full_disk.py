"""A full disk: requests that write are refused with the reason, nothing is half done, and all goes on when there is room."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from support.server import ROLE, RUNTIME, Server, zipped

pytestmark = pytest.mark.root

DISK_BYTES = 48 * 1024 * 1024
FULL = "disk is full"


@pytest.fixture
def server_on_a_small_disk(tmp_path: Path) -> Iterator[Server]:
    data_dir = tmp_path / "data"
    data_dir.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES},mode=755", "tmpfs", data_dir], check=True)
    try:
        server = Server(tmp_path).start()
        try:
            yield server
        finally:
            assert server.stop() == 0, server.log()
    finally:
        subprocess.run(["umount", data_dir], check=True)


def fill(data_dir: Path) -> Path:
    """A file that leaves no byte."""
    filler = data_dir / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(4096))  # what the disk has not, it refuses: the loop ends
    return filler


def refused(call: Callable[..., Any], **parameters: Any) -> tuple[str, int]:
    """The error's code and status."""
    with pytest.raises(ClientError, match=FULL) as caught:
        call(**parameters)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"]


def test_a_full_disk(server_on_a_small_disk: Server) -> None:
    """Writers are told, in errors that their clients retry; readers and invocations go on; nothing half done is found."""
    server = server_on_a_small_disk
    s3, lambda_, logs = server.client("s3"), server.client("lambda"), server.client("logs")
    s3.create_bucket(Bucket="kept")
    s3.put_object(Bucket="kept", Key="before", Body=b"before")
    server.create_function("before", "def handler(event, context):\n    print(event)\n    return event\n")
    assert server.invoke("before", 1) == 1

    filler = fill(server.data_dir)
    large = os.urandom(5 << 20)
    assert refused(s3.put_object, Bucket="kept", Key="before", Body=large) == ("ServiceUnavailable", 503)
    refused(s3.put_object, Bucket="kept", Key="small", Body=b"")
    refused(s3.create_bucket, Bucket="another")
    code = zipped({"lambda_function.py": "def handler(event, context):\n    return event\n"})
    settings = {"Runtime": RUNTIME, "Handler": "lambda_function.handler", "Role": ROLE}
    created = refused(lambda_.create_function, FunctionName="new", Code={"ZipFile": code}, **settings)
    assert created == ("ServiceException", 500)
    refused(lambda_.update_function_configuration, FunctionName="before", Description="changed")
    refused(lambda_.invoke, FunctionName="before", InvocationType="Event", Payload=b"{}")
    assert refused(logs.create_log_group, logGroupName="new") == ("ServiceUnavailableException", 503)

    assert s3.get_object(Bucket="kept", Key="before")["Body"].read() == b"before"
    assert [each["Key"] for each in s3.list_objects_v2(Bucket="kept")["Contents"]] == ["before"]
    assert [each["FunctionName"] for each in lambda_.list_functions()["Functions"]] == ["before"]
    assert lambda_.get_function_configuration(FunctionName="before")["Description"] == ""
    assert server.invoke("before", 2) == 2
    warnings = [line for line in server.log().splitlines() if '"logger": "lambdad.wire.front"' in line]
    assert 1 <= len(warnings) < 7, warnings  # one in a minute, however many were refused
    assert "Traceback" not in server.log()

    filler.unlink()
    s3.put_object(Bucket="kept", Key="after", Body=os.urandom(5 << 20))
    server.create_function("after", "def handler(event, context):\n    return event\n")
    assert server.invoke("after", 3) == 3
    s3.delete_object(Bucket="kept", Key="after")
    assert list((server.data_dir / "blobs" / "tmp").iterdir()) == []
