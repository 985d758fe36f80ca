"""AWS Chalice, which deploys by the APIs of Lambda, IAM, S3 and Logs themselves, against a running server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.server import Server, wait_until
from support.tool_environment import tool_command

pytestmark = [pytest.mark.root, pytest.mark.long]  # fetching the tool takes a while, and each start of it seconds

ACCOUNT = "700400000004"
APPLICATION = """
from chalice import Chalice

app = Chalice(app_name="shop")

@app.lambda_function(name="greet")
def greet(event, context):
    return {"hello": event["name"], "stage": "one"}

@app.on_s3_event(bucket="chalice-inbox", events=["s3:ObjectCreated:*"], suffix=".txt")
def arrived(event):
    print("arrived", event.bucket, event.key)
"""


@pytest.fixture
def project(server: Server, tmp_path: Path) -> Path:
    (tmp_path / ".chalice").mkdir()
    configuration = {"version": "2.0", "app_name": "shop", "stages": {"dev": {}}}
    (tmp_path / ".chalice" / "config.json").write_text(json.dumps(configuration))
    (tmp_path / "requirements.txt").touch()
    (tmp_path / "app.py").write_text(APPLICATION)
    return tmp_path


def test_an_application_is_deployed_changed_and_deleted(server: Server, project: Path) -> None:
    """Its functions answer and get a bucket's events; deployed once more they have the new code; at the end they are gone."""

    def chalice(*arguments: str, sent: str = "") -> str:
        environment = {**server.environment(), "AWS_ACCESS_KEY_ID": ACCOUNT}
        command = [tool_command("chalice", "1.34.0", "chalice"), *arguments]
        done = subprocess.run(
            command, cwd=project, env=environment, input=sent, capture_output=True, text=True, timeout=300
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def client(service: str) -> Any:
        return server.client(service, aws_access_key_id=ACCOUNT)

    client("s3").create_bucket(Bucket="chalice-inbox")
    deployed = chalice("deploy")
    assert "function:shop-dev-greet" in deployed and "function:shop-dev-arrived" in deployed
    assert json.loads(chalice("invoke", "-n", "greet", sent='{"name": "Ada"}')) == {"hello": "Ada", "stage": "one"}
    client("s3").put_object(Bucket="chalice-inbox", Key="order.txt", Body=b"1")
    wait_until(lambda: "arrived chalice-inbox order.txt" in chalice("logs", "-n", "arrived"), 60, "the bucket's event")
    (project / "app.py").write_text(APPLICATION.replace('"one"', '"two"'))
    chalice("deploy")
    assert json.loads(chalice("invoke", "-n", "greet", sent='{"name": "Ada"}'))["stage"] == "two"
    chalice("delete")
    assert client("lambda").list_functions()["Functions"] == client("iam").list_roles()["Roles"] == []
    assert "LambdaFunctionConfigurations" not in client("s3").get_bucket_notification_configuration(Bucket="chalice-inbox")
