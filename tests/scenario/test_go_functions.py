"""Functions for go1.x on a running server."""

from __future__ import annotations

from typing import Any

import pytest

from support.go import built
from support.go_function import FUNCTION
from support.go_rpc import RPC
from support.server import ROLE, Server, zipped

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return built(FUNCTION, tmp_path_factory.mktemp("go"), rpc=RPC)


def create(server: Server, name: str, program: bytes, **settings: Any) -> None:
    settings = {"Handler": "hello", "Timeout": 10, "MemorySize": 256, **settings}
    code = {"ZipFile": zipped({"hello": program}, ("hello",))}
    server.client("lambda").create_function(FunctionName=name, Runtime="go1.x", Role=ROLE, Code=code, **settings)
    server.wait_active(name)


def test_a_go_program_is_a_function(server: Server, program: bytes) -> None:
    """It finds AWS's variables, answers, fails in its own words, and goes on in a new environment after it has exited."""
    create(server, "go-function", program)
    answer = server.invoke("go-function", {"k": "v"})
    variables = dict(entry.split("=", 1) for entry in answer["environment"])
    assert answer["event"] == {"k": "v"}
    assert variables["AWS_EXECUTION_ENV"] == "AWS_Lambda_go1.x"
    assert variables["PATH"] == "/usr/local/bin:/usr/bin/:/bin:/opt/bin"
    assert variables["LD_LIBRARY_PATH"] == "/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib"
    assert variables["AWS_SECURITY_TOKEN"] == variables["AWS_SESSION_TOKEN"]
    assert variables["AWS_ACCESS_KEY"] == variables["AWS_ACCESS_KEY_ID"]
    assert not [name for name in variables if name.startswith("_LAMBDAD")] and "PYTHONPATH" not in variables
    assert server.fail_again("go-function", "fail") == {"errorMessage": "as asked é", "errorType": "errorString"}
    assert server.invoke_again("go-function", 1)["count"] == 3
    exited = server.failure("go-function", "exit")
    assert exited["errorType"] == "Runtime.ExitError"
    assert exited["errorMessage"].endswith("Error: Runtime exited with error: exit status 3")
    assert server.failure("go-function", "panic")["stackTrace"][0] == {"path": "main.go", "line": 7, "label": "main.handler"}
    assert server.failure("go-function", "huge")["errorType"] == "Function.ResponseSizeTooLarge"
    assert server.invoke("go-function", 2)["event"] == 2
    assert "said map[k:v]\n" in server.messages("/aws/lambda/go-function")


def test_a_go_program_that_is_not_there_or_never_answers_is_told_so(server: Server, program: bytes) -> None:
    """Go's own words for a handler without a program; and a program that sleeps is killed with its client."""
    create(server, "go-absent", program, Handler="main")
    text = "fork/exec /var/task/main: no such file or directory"
    for _ in range(2):
        assert server.failure("go-absent") == {"errorMessage": text, "errorType": "PathError"}
    create(server, "go-sleeps", program, Timeout=3)
    assert "Task timed out after 3.00 seconds" in server.failure("go-sleeps", "sleep")["errorMessage"]
    assert server.invoke("go-sleeps", 1)["count"] == 1
