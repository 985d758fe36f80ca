"""AWS's SAM command line client against a running server: what needs no stack of CloudFormation works."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.sam import sam
from support.server import Server

pytestmark = [pytest.mark.root, pytest.mark.long]  # fetching the client takes minutes, and each start of it seconds

GREET = "def handler(event, context):\n    print('greeting', event['name'])\n    return {'hello': event['name']}\n"
TEMPLATE = """
AWSTemplateFormatVersion: '2010-09-09'
Transform: AWS::Serverless-2016-10-31
Resources:
  Hello:
    Type: AWS::Serverless::Function
    Properties: {Handler: app.handler, Runtime: python3.12, CodeUri: .}
"""


def test_a_function_is_invoked_by_its_arn(server: Server, tmp_path: Path) -> None:
    """`sam remote invoke ARN` shows the answer and the log, as Event and DryRun neither; `sam logs` has all of them."""
    arn = server.create_function("sam-hello", GREET, Timeout=60)
    invoke = ["remote", "invoke", arn, "--event", '{"name": "Ada"}']
    called = sam(server, tmp_path, *invoke)
    assert json.loads(called.stdout) == {"hello": "Ada"}
    assert "greeting Ada" in called.stderr
    whole = json.loads(sam(server, tmp_path, *invoke, "--output", "json").stdout)
    assert (whole["StatusCode"], whole["ExecutedVersion"]) == (200, "$LATEST")
    for invocation_type, status in (("DryRun", 204), ("Event", 202)):
        options = ["--parameter", f"InvocationType={invocation_type}", "--output", "json"]
        assert json.loads(sam(server, tmp_path, *invoke, *options).stdout)["StatusCode"] == status
    logged = sam(server, tmp_path, "logs", "--cw-log-group", "/aws/lambda/sam-hello")
    assert logged.returncode == 0
    assert "REPORT RequestId:" in logged.stdout


def test_what_fails_is_said(server: Server, tmp_path: Path) -> None:
    """A function's error is the answer; a function that is not there is refused in the API's words."""
    arn = server.create_function("sam-fails", "def handler(event, context):\n    raise ValueError('as asked')\n")
    assert json.loads(sam(server, tmp_path, "remote", "invoke", arn, "--event", "{}").stdout)["errorMessage"] == "as asked"
    missing = sam(server, tmp_path, "remote", "invoke", arn.replace("sam-fails", "sam-missing"), "--event", "{}")
    assert missing.returncode != 0
    assert "sam-missing" in missing.stderr


def test_a_template_is_listed_and_a_stack_refused(server: Server, tmp_path: Path) -> None:
    """`sam list` reads a local template; with a stack's name it asks CloudFormation, which is refused by name."""
    (tmp_path / "template.yaml").write_text(TEMPLATE)
    for what in ("resources", "endpoints"):
        listed = json.loads(sam(server, tmp_path, "list", what, "--output", "json").stdout)
        assert "Hello" in [each["LogicalResourceId"] for each in listed]
        stack = sam(server, tmp_path, "list", what, "--stack-name", "none", "--output", "json")
        assert stack.returncode != 0
        assert "The service 'cloudformation' is not served here" in stack.stderr
