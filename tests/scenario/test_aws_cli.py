"""The real AWS command line client against a running server."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from support.awscli import aws_command
from support.server import RUNTIME, Server, wait_until, zipped

pytestmark = [pytest.mark.root, pytest.mark.awscli]

GREET = "def handler(event, context):\n    print('greeting', event['name'])\n    return {'hello': event['name']}\n"


def aws(server: Server, *arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [aws_command(), *arguments], env=server.environment(), cwd=cwd, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_function_is_made_and_invoked_in_all_three_types(server: Server, tmp_path: Path) -> None:
    """create-function, wait, and invoke as RequestResponse, Event and DryRun with what each answers."""
    (tmp_path / "app.zip").write_bytes(zipped({"app.py": GREET}))
    made = aws(
        server, "lambda", "create-function", "--function-name", "cli-greet", "--runtime", RUNTIME, "--handler", "app.handler",
        "--role", "arn:aws:iam::000000000000:role/r", "--zip-file", "fileb://app.zip", cwd=tmp_path,
    )  # fmt: skip
    assert json.loads(made)["State"] == "Pending"
    aws(server, "lambda", "wait", "function-active-v2", "--function-name", "cli-greet", cwd=tmp_path)
    invoke = ["lambda", "invoke", "--function-name", "cli-greet", "--payload", '{"name": "Ada"}', "out.json"]

    answer = json.loads(aws(server, *invoke, "--log-type", "Tail", cwd=tmp_path))
    assert answer["StatusCode"] == 200
    assert answer["ExecutedVersion"] == "$LATEST"
    assert json.loads((tmp_path / "out.json").read_text()) == {"hello": "Ada"}

    answer = json.loads(aws(server, *invoke, "--invocation-type", "Event", cwd=tmp_path))
    assert answer["StatusCode"] == 202
    answer = json.loads(aws(server, *invoke, "--invocation-type", "DryRun", cwd=tmp_path))
    assert answer["StatusCode"] == 204
    wait_until(
        lambda: sum("greeting Ada" in line for line in server.messages("/aws/lambda/cli-greet")) == 2,
        20,
        "the log of the synchronous and the asynchronous invocation",
    )


def logged(server: Server, group: str) -> None:
    wait_until(lambda: any(line.startswith("REPORT") for line in server.messages(group)), 20, "the REPORT line")


def test_the_log_is_read_with_the_logs_commands(server: Server, tmp_path: Path) -> None:
    """describe-log-streams, get-log-events and filter-log-events show START, the output, END and REPORT."""
    server.create_function("cli-logs", GREET)
    server.invoke("cli-logs", {"name": "Grace"})
    group = "/aws/lambda/cli-logs"
    logged(server, group)
    [stream] = json.loads(aws(server, "logs", "describe-log-streams", "--log-group-name", group, cwd=tmp_path))["logStreams"]
    named = ["--log-group-name", group, "--log-stream-name", stream["logStreamName"]]
    got = json.loads(aws(server, "logs", "get-log-events", *named, cwd=tmp_path))["events"]
    starts = [event["message"].split(" ")[0].split("\n")[0] for event in got]
    assert starts == ["INIT_START", "START", "greeting", "END", "REPORT"]
    pattern = ["--filter-pattern", "greeting -Ada"]
    found = json.loads(aws(server, "logs", "filter-log-events", "--log-group-name", group, *pattern, cwd=tmp_path))["events"]
    assert [event["message"] for event in found] == ["greeting Grace\n"]


def test_logs_tail_shows_what_the_function_printed(server: Server, tmp_path: Path) -> None:
    """aws logs tail, which only version 2 of the client has, prints START, the output, END and REPORT."""
    known = subprocess.run([aws_command(), "logs", "tail", "help"], capture_output=True, text=True, env=server.environment())
    if "Invalid choice" in known.stderr:
        pytest.skip("this version of the AWS command line client has no logs tail")
    server.create_function("cli-tail", GREET)
    server.invoke("cli-tail", {"name": "Grace"})
    logged(server, "/aws/lambda/cli-tail")
    shown = aws(server, "logs", "tail", "/aws/lambda/cli-tail", "--since", "1h", cwd=tmp_path)
    for expected in ("START RequestId:", "greeting Grace", "END RequestId:", "REPORT RequestId:"):
        assert expected in shown


def test_s3_cp_carries_200_mb_both_ways(server: Server, tmp_path: Path) -> None:
    """A 200 MB file goes up in parts with checksums and comes back the same."""
    content = os.urandom(1 << 20) * 200
    (tmp_path / "big.bin").write_bytes(content)
    aws(server, "s3", "mb", "s3://cli-big", cwd=tmp_path)
    aws(server, "s3", "cp", "big.bin", "s3://cli-big/folder/big.bin", cwd=tmp_path)
    assert "folder/big.bin" in aws(server, "s3", "ls", "--recursive", "s3://cli-big", cwd=tmp_path)
    aws(server, "s3", "cp", "s3://cli-big/folder/big.bin", "back.bin", cwd=tmp_path)
    assert hashlib.sha256((tmp_path / "back.bin").read_bytes()).digest() == hashlib.sha256(content).digest()
    aws(server, "s3", "rb", "--force", "s3://cli-big", cwd=tmp_path)
