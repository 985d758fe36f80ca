"""The client of go1.x with a real Go program, against a Runtime API that writes everything down."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lambdad.runtimes.go.family import CLIENT, FAMILY
from support.go import built
from support.go_function import FUNCTION
from support.go_rpc import RPC
from support.runtime_api import ARN, REQUEST_ID, RuntimeApi, RuntimeProcess

Start = Callable[..., RuntimeProcess]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return built(FUNCTION, tmp_path_factory.mktemp("go"), rpc=RPC)


@pytest.fixture
def start(program: bytes, tmp_path: Path) -> Iterator[Start]:
    task = tmp_path / "task"
    task.mkdir()
    (task / "hello").write_bytes(program)
    (task / "hello").chmod(0o755)
    with RuntimeApi() as api:

        def begin(handler: str = "hello", **environment: str) -> RuntimeProcess:
            environment = {"PYTHONPATH": str(FAMILY.shared[0].parent), **environment}
            return RuntimeProcess([sys.executable, str(CLIENT / "bootstrap.py")], task, CLIENT, api, handler, environment)

        yield begin


def test_a_go_program_gets_the_whole_invocation(start: Start) -> None:
    """The event and everything about the invocation arrive by net/rpc; the answer goes back as it is; the process stays."""
    deadline = int(time.time() * 1000) + 20_123
    with start() as process:
        told = process.invoke(
            b'{"k": "\xe3\x81\x93"}',
            deadline_ms=str(deadline),
            client_context='{"custom":{"k":1}}',
            cognito_identity='{"cognitoIdentityId":"i","cognitoIdentityPoolId":"p"}',
        )
        second = json.loads(process.invoke(b"2").body)
        log = process.ended_log()
    answer = json.loads(told.body)
    request = answer["request"]
    assert told.path == f"/2018-06-01/runtime/invocation/{REQUEST_ID}/response"
    assert answer["event"] == {"k": "こ"}
    assert (request["RequestId"], request["InvokedFunctionArn"]) == (REQUEST_ID, ARN)
    assert request["Deadline"] == {"Seconds": deadline // 1000, "Nanos": deadline % 1000 * 1_000_000}
    assert request["XAmznTraceId"].startswith("Root=1-5bef4de7")
    assert (request["CognitoIdentityId"], request["CognitoIdentityPoolId"]) == ("i", "p")
    assert answer["client"] == '{"custom":{"k":1}}'
    assert (answer["count"], second["count"]) == (1, 2)
    assert log == "said map[k:こ]\nsaid 2\n"
    names = [entry.partition("=")[0] for entry in answer["environment"]]
    assert "_LAMBDA_SERVER_PORT" in names and "_LAMBDA_TELEMETRY_LOG_FD" not in names


def test_errors_of_go_reach_the_caller_in_its_words(start: Start) -> None:
    """An error has its message and Go type, what is no JSON is the program's error, and the next invocation works."""
    with start() as process:
        failed = process.invoke(b'"fail"')
        assert json.loads(failed.body) == {"errorMessage": "as asked é", "errorType": "errorString"}
        assert failed.headers["lambda-runtime-function-error-type"] == "errorString"
        assert json.loads(process.invoke(b"{").body)["errorType"] == "SyntaxError"
        refused = json.loads(process.invoke(b'"refuse"').body)
        assert refused == {"errorMessage": "not this one", "errorType": "ServerError"}
        assert process.invoke(b'"huge"').body == b""
        assert json.loads(process.invoke(b"1").body)["event"] == 1


def test_a_panic_is_told_with_its_stack_and_ends_the_process(start: Start) -> None:
    """The frames become objects of path, line and label."""
    with start() as process:
        told = process.invoke(b'"panic"')
        assert process.wait() == 1
    assert told.kind == "error"
    assert json.loads(told.body) == {
        "errorMessage": "at once",
        "errorType": "string",
        "stackTrace": [{"path": "main.go", "line": 7, "label": "main.handler"}, {"path": "", "line": 0, "label": ""}],
    }


def test_the_client_ends_as_the_program_does(start: Start) -> None:
    """A program that exits before it listens, or during an invocation, hands its status on."""
    with start(DIE="1") as process:
        assert process.wait() == 4
    with start() as process:
        process.api.give(b'"exit"')
        assert process.wait() == 3


def test_a_killed_program_kills_the_client_by_the_same_signal(start: Start, tmp_path: Path) -> None:
    """So that the platform can tell what happened."""
    (tmp_path / "task/killed").write_text("#!/bin/sh\nkill -9 $$\n")
    (tmp_path / "task/killed").chmod(0o755)
    with start("killed") as process:
        assert process.wait() == -9


@pytest.mark.parametrize(
    "handler, problem",
    [
        ("absent", "no such file or directory"),
        ("data", "permission denied"),
        ("folder", "permission denied"),
        ("garbage", "exec format error"),
    ],
)
def test_a_handler_that_names_no_program_is_a_path_error(start: Start, tmp_path: Path, handler: str, problem: str) -> None:
    """The init error has Go's words, and they are in the log."""
    task = tmp_path / "task"
    (task / "data").write_text("no program")
    (task / "folder").mkdir()
    (task / "garbage").write_bytes(b"\x7fELF")
    (task / "garbage").chmod(0o755)
    with start(handler) as process:
        told = process.api.told.get(timeout=100)
        assert process.wait() == 1
        log = process.ended_log()
    text = f"fork/exec {task}/{handler}: {problem}"
    assert told.path == "/2018-06-01/runtime/init/error"
    assert json.loads(told.body) == {"errorMessage": text, "errorType": "PathError"}
    assert log == f"{text}: PathError\n"


def test_a_program_without_the_service_cannot_be_a_function(start: Start) -> None:
    """net/rpc's own words say what is missing."""
    with start(STRANGE="1") as process:
        told = process.api.told.get(timeout=100)
        assert process.wait() == 1
    assert told.path == "/2018-06-01/runtime/init/error"
    assert json.loads(told.body) == {"errorMessage": "rpc: can't find service Function.Ping", "errorType": "ServerError"}


def test_what_speaks_no_gob_cannot_be_a_function(start: Start, tmp_path: Path) -> None:
    """A web server on the port is an init error, not a riddle."""
    server = tmp_path / "task/web"
    server.write_text(
        f"#!{sys.executable}\nimport os, socket\n"
        "listener = socket.create_server(('127.0.0.1', int(os.environ['_LAMBDA_SERVER_PORT'])))\n"
        "connection, _ = listener.accept()\nconnection.recv(100)\nconnection.sendall(b'HTTP/1.1 400 Bad' * 9)\n"
        "connection.recv(1)\n"
    )
    os.chmod(server, 0o755)
    with start("web") as process:
        told = process.api.told.get(timeout=100)
        assert process.wait() == 1
    assert json.loads(told.body)["errorType"] == "GobError"
