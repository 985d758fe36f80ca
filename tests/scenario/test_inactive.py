"""Functions that were not called for weeks: Inactive, and ready again after the next call, whichever way that comes."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from support.image_layers import Entry, folder
from support.images import image, write_layout
from support.probe_program import probe_program
from support.server import ROLE, Server, running, wait_until

pytestmark = pytest.mark.root

DAY = 86400
PENDING = ("CodeArtifactUserPendingException", 409)
INACTIVE = ("Inactive", "Idle", "The function is currently idle.")

COUNTED = """
import secrets

me = secrets.token_hex(8)

def handler(event, context):
    print("told", event["Records"][0]["s3"]["object"]["key"] if "Records" in event else event)
    return me
"""


def state_of(server: Server, name: str, qualifier: str = "$LATEST") -> tuple[Any, ...]:
    read = server.client("lambda").get_function_configuration(FunctionName=name, Qualifier=qualifier)
    return read["State"], read.get("StateReasonCode"), read.get("StateReason")


def refused(call: Any, **parameters: Any) -> tuple[str, int]:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    return caught.value.response["Error"]["Code"], caught.value.response["ResponseMetadata"]["HTTPStatusCode"]


def restart_later(server: Server, days: float) -> None:
    server.stop()
    server.clock_offset_seconds += days * DAY
    server.start()


def trees(server: Server) -> int:
    """How many unpacked packages and images the server keeps."""
    return len(list((server.data_dir / "code").iterdir()))


def ready(server: Server, name: str) -> None:
    server.client("lambda").get_waiter("function_active_v2").wait(FunctionName=name)


def test_an_image_nobody_called_for_two_weeks(tmp_path: Path) -> None:
    """Its files are gone from the disk; a call is refused, and the next one runs what ran before. Also by its URL, and after
    the server was killed meanwhile."""
    layers = [[folder("app"), Entry("app/probe", probe_program(), mode=0o755)], [Entry("etc/version", b"one")]]
    layout = write_layout(tmp_path / "images", {"v": image(*layers, Entrypoint=["/app/probe"])})
    with running(tmp_path, "--image-folders", str(layout)) as server:
        lambda_ = server.client("lambda")
        code = {"ImageUri": f"oci:{layout}:v"}
        lambda_.create_function(FunctionName="rare", Role=ROLE, PackageType="Image", Code=code, Timeout=15)
        ready(server, "rare")
        assert server.invoke("rare", "read /etc/version") == "one"
        url = lambda_.create_function_url_config(FunctionName="rare", AuthType="NONE")["FunctionUrl"]
        everybody = {"FunctionName": "rare", "Principal": "*"}
        lambda_.add_permission(
            **everybody, StatementId="url", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE"
        )  # fmt: skip
        lambda_.add_permission(**everybody, StatementId="via", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True)
        assert trees(server) == 2

        restart_later(server, 13)
        assert server.invoke("rare", "read /etc/version") == "one"
        restart_later(server, 15)
        wait_until(lambda: state_of(server, "rare") == INACTIVE, 30, "the function to be Inactive")
        wait_until(lambda: trees(server) == 0, 30, "its files to be gone")

        lambda_ = server.client("lambda")
        assert refused(lambda_.invoke, FunctionName="rare", InvocationType="DryRun") == PENDING
        assert state_of(server, "rare") == INACTIVE
        server.kill()
        server.start()
        assert state_of(server, "rare") == INACTIVE
        assert refused(server.client("lambda").invoke, FunctionName="rare", Payload=b'""') == PENDING
        assert state_of(server, "rare")[0] in ("Pending", "Active")
        ready(server, "rare")
        assert server.invoke("rare", "read /etc/version") == "one"
        assert trees(server) == 2

        restart_later(server, 15)
        wait_until(lambda: trees(server) == 0, 30, "its files to be gone again")
        assert status_of(url) == "503"
        ready(server, "rare")
        assert status_of(url) == "200"
        server.client("lambda").delete_function(FunctionName="rare")
        wait_until(lambda: trees(server) == 0, 30, "nothing to be left")


def status_of(url: str) -> str:
    written = ["--output", "/dev/null", "--write-out", "%{http_code}"]
    ran = subprocess.run(["curl", "--silent", "--max-time", "60", *written, url], capture_output=True, text=True, check=True)
    return ran.stdout


@pytest.mark.skipif(platform.machine() != "x86_64", reason="snapshots are made on x86_64 only")
def test_a_version_with_snap_start_that_nobody_called_for_two_weeks(tmp_path: Path) -> None:
    """Only the version is Inactive. An event for it is kept, wakes it, and runs on its new snapshot."""
    with running(tmp_path, "--spares", "1") as server:
        arn = server.create_function("rare", COUNTED, SnapStart={"ApplyOn": "PublishedVersions"})
        lambda_, s3 = server.client("lambda"), server.client("s3")
        lambda_.publish_version(FunctionName="rare")
        lambda_.get_waiter("published_version_active").wait(FunctionName="rare", Qualifier="1", WaiterConfig={"Delay": 1})
        first = server.invoke("rare", "now", Qualifier="1")
        s3.create_bucket(Bucket="inbox")
        lambda_.add_permission(
            FunctionName="rare",
            Qualifier="1",
            StatementId="s3",
            Action="lambda:InvokeFunction",
            Principal="s3.amazonaws.com",
            SourceArn="arn:aws:s3:::inbox",
        )
        told = {"LambdaFunctionArn": f"{arn}:1", "Events": ["s3:ObjectCreated:*"]}
        s3.put_bucket_notification_configuration(
            Bucket="inbox", NotificationConfiguration={"LambdaFunctionConfigurations": [told]}
        )

        restart_later(server, 15)
        wait_until(lambda: state_of(server, "rare", "1") == INACTIVE, 30, "the version to be Inactive")
        assert state_of(server, "rare") == ("Active", None, None)
        server.client("s3").put_object(Bucket="inbox", Key="late", Body=b"x")
        wait_until(lambda: state_of(server, "rare", "1")[0] == "Active", 60, "the event to wake it")
        wait_until(lambda: "told late" in "".join(server.messages("/aws/lambda/rare")), 60, "the event to have run")
        assert server.health()["events"]["put_back"] > 0
        assert server.invoke("rare", "now", Qualifier="1") != first
