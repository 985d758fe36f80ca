"""A folder of the machine as a function's file system; with boto3 against full isolation, and where there is none."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from support.image_layers import Entry, folder
from support.images import image, write_layout
from support.probe_program import probe_program
from support.server import ROLE, Server, wait_until

pytestmark = pytest.mark.root

ARN = "arn:aws:elasticfilesystem:us-east-1:000000000000:access-point/fsap-0123456789abcdef0"
S3_ARN = "arn:aws:s3files:us-east-1:000000000000:file-system/fs-0123456789abcdef0/access-point/fsap-0123456789abcdef0"
OWNER = 33_456

NOTES = """
import os
def handler(event, context):
    if event["do"] == "write":
        with open("/mnt/data/" + event["name"], "w") as file:
            file.write(event["text"])
    if event["do"] == "read":
        return open("/mnt/data/" + event["name"]).read()
    if event["do"] == "leave":
        os._exit(1)
    return sorted(os.listdir("/mnt/data")) if os.path.isdir("/mnt/data") else None
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    shared = tmp_path / "shared"
    shared.mkdir(mode=0o770)
    os.chown(shared, OWNER, OWNER)
    return shared


@pytest.fixture
def server(tmp_path: Path, data: Path) -> Iterator[Server]:
    (tmp_path / "lambdad.toml").write_text(f'[file_systems]\n"{ARN}" = "{data}"\n"{S3_ARN}" = "{data}"\n')
    options = ["--image-folders", str(tmp_path / "images")]
    started = Server(tmp_path, *options, environment={"LAMBDAD_CONFIG": str(tmp_path / "lambdad.toml")}).start()
    yield started
    if started.process.poll() is None:
        assert started.stop() == 0, started.log()


def mounted(arn: str = ARN) -> list[dict[str, str]]:
    return [{"Arn": arn, "LocalMountPath": "/mnt/data"}]


def run(lambda_: Any, function: str, **event: Any) -> Any:
    answered = lambda_.invoke(FunctionName=function, Payload=json.dumps(event))
    payload = json.load(answered["Payload"])
    assert "FunctionError" not in answered or event["do"] == "leave", payload
    return payload


def refusal(call: Any, **request: Any) -> tuple[str, int, str]:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**request)
    answer = caught.value.response
    return answer["Error"]["Code"], answer["ResponseMetadata"]["HTTPStatusCode"], answer["Error"]["Message"]


def test_functions_share_a_folder(server: Server, data: Path) -> None:
    """Two functions, and new environments of theirs, find in it what the others wrote; so does the machine, as the folder's
    owner's. It is detached and attached by updates, and gone is refused by name, also after a restart that forgot it."""
    lambda_ = server.client("lambda")
    server.create_function("writer", NOTES, FileSystemConfigs=mounted())
    server.create_function("reader", NOTES, FileSystemConfigs=mounted(S3_ARN))
    server.create_function("none", NOTES)
    assert lambda_.get_function_configuration(FunctionName="writer")["FileSystemConfigs"] == mounted()
    run(lambda_, "writer", do="write", name="note", text="from a function")
    assert run(lambda_, "reader", do="read", name="note") == "from a function"
    assert run(lambda_, "none", do="list") is None
    assert ((data / "note").read_text(), (data / "note").stat().st_uid) == ("from a function", OWNER)
    (data / "more").write_text("from the machine")
    os.chown(data / "more", OWNER, OWNER)
    run(lambda_, "reader", do="leave")  # what follows is another start in the same sandbox, or another sandbox
    assert run(lambda_, "reader", do="list") == ["more", "note"]
    run(lambda_, "reader", do="write", name="more", text="changed")
    assert (data / "more").read_text() == "changed"

    update = {"FunctionName": "reader", "FileSystemConfigs": []}
    lambda_.update_function_configuration(**update)
    lambda_.get_waiter("function_updated_v2").wait(FunctionName="reader", WaiterConfig={"Delay": 1})
    assert run(lambda_, "reader", do="list") is None

    data.rename(data.with_name("moved"))
    lambda_.update_function_configuration(FunctionName="writer", Description="new environments")
    lambda_.get_waiter("function_updated_v2").wait(FunctionName="writer", WaiterConfig={"Delay": 1})
    code, status, message = refusal(lambda_.invoke, FunctionName="writer", Payload='{"do": "list"}')
    assert (code, status) == ("EFSMountConnectivityException", 408)
    assert f"there is no folder {data}" in message
    data.with_name("moved").rename(data)
    assert run(lambda_, "writer", do="list") == ["more", "note"]

    data.chmod(0o777)
    os.chown(data, 0, 0)
    data.chmod(0o755)
    lambda_.update_function_configuration(FunctionName="writer", Description="newer environments")
    lambda_.get_waiter("function_updated_v2").wait(FunctionName="writer", WaiterConfig={"Delay": 1})
    code, status, message = refusal(lambda_.invoke, FunctionName="writer", Payload='{"do": "list"}')
    assert (code, status) == ("EFSMountFailureException", 403)
    assert f"chmod o+rwx {data}" in message

    assert server.stop() == 0
    del server.variables["LAMBDAD_CONFIG"]
    server.start()
    lambda_ = server.client("lambda")
    code, status, message = refusal(lambda_.invoke, FunctionName="writer", Payload='{"do": "list"}')
    assert (code, status) == ("EFSMountConnectivityException", 408)
    assert "the settings name no folder" in message
    lambda_.invoke(FunctionName="writer", InvocationType="Event", Payload='{"do": "list"}')
    wait_until(lambda: "put back" in server.log(), 30, "the event's first attempt")
    code, _, message = refusal(lambda_.update_function_configuration, FunctionName="none", FileSystemConfigs=mounted())
    assert code == "InvalidParameterValueException"
    assert "--file-systems" in message


@pytest.mark.long
def test_a_function_from_an_image_has_one_too(server: Server, data: Path, tmp_path: Path) -> None:
    """At the same place, over whatever the image has there, and as the folder's owner."""
    (data / "note").write_text("from the machine")
    os.chown(data / "note", OWNER, OWNER)
    content = [
        folder("app"),
        folder("mnt/data", mode=0o700),
        Entry("mnt/hidden"),
        Entry("app/probe", probe_program(), mode=0o755),
    ]
    write_layout(tmp_path / "images/probe", {"v1": image(content, Entrypoint=["/app/probe"])})
    server.client("lambda").create_function(
        FunctionName="image",
        Role=ROLE,
        PackageType="Image",
        Code={"ImageUri": f"oci:{tmp_path}/images/probe:v1"},
        FileSystemConfigs=mounted(),
    )
    server.wait_active("image")
    assert server.invoke("image", "list /mnt") == ["data"]
    assert server.invoke("image", "list /mnt/data") == ["note"]
    assert server.invoke("image", "read /mnt/data/note") == "from the machine"
    assert "errno" not in str(server.invoke("image", "write /mnt/data/made"))
    assert (data / "made").stat().st_uid == OWNER
    assert server.invoke("image", "write /mnt/beside") in ("errno Read-only file system", "errno Permission denied")


def test_without_isolation_there_are_none(tmp_path: Path, data: Path) -> None:
    """The process backend refuses them by name; functions without one run."""
    server = Server(tmp_path, "--file-systems", f"{ARN}={data}", isolation="process").start()
    try:
        server.create_function("none", NOTES)
        update = {"FunctionName": "none", "FileSystemConfigs": mounted()}
        code, status, message = refusal(server.client("lambda").update_function_configuration, **update)
        assert (code, status) == ("InvalidParameterValueException", 400)
        assert "functions that are not isolated" in message
        assert run(server.client("lambda"), "none", do="list") is None
    finally:
        assert server.stop() == 0, server.log()
