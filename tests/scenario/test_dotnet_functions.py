"""Functions in .NET on a running server: from a package to answers, logs and failures, as a user sees them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.called_function import CalledFunction
from support.dotnet_function import example
from support.server import Server, running, wait_until, zipped

pytestmark = [pytest.mark.root, pytest.mark.slow]

RUNTIME = "dotnetcore3.1"


def package() -> bytes:
    return zipped({file.name: file.read_bytes() for file in example().iterdir()})


def create(server: Server, name: str, handler: str = "Example::Example.Process::Handle", **settings: Any) -> CalledFunction:
    return CalledFunction(server, name, [RUNTIME], package(), handler, **{"MemorySize": 128, **settings})


@pytest.fixture(scope="module")
def function(server: Server) -> Iterator[CalledFunction]:
    made = create(server, "dotnet-function")
    yield made
    made.client.delete_function(**made.named)


def test_a_function_in_dotnet_finds_what_it_finds_on_aws(function: CalledFunction) -> None:
    """Its context, variables and folders, an empty /tmp, OpenSSL, and the cultures of the machine where that has them."""
    client = base64.b64encode(b'{"custom":{"k":"v"}}').decode()
    told, error, _ = function.invoke({"do": "context"}, ClientContext=client)
    assert error == ""
    assert told["function"] == "dotnet-function"
    assert told["arn"].endswith(":function:dotnet-function")
    assert told["memory"] == 128
    assert 0 < told["remaining"] <= 30_000
    assert told["custom"] == {"k": "v"}
    assert told["trace"].startswith("Root=1-")
    found, _, _ = function.do("surroundings")
    variables = found["environment"]
    assert variables["AWS_EXECUTION_ENV"] == f"AWS_Lambda_{RUNTIME}"
    assert variables["_HANDLER"] == "Example::Example.Process::Handle"
    assert variables["DOTNET_ROOT"] == "/var/lang/bin"
    assert found["folder"] == "/var/task"
    assert found["temporary"] == []
    assert found["framework"].startswith(".NET Core 3.1.")
    assert function.do("hash")[1] == ""
    has_cultures = "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT" not in variables
    assert function.do("month")[0] == ("März" if has_cultures else "March")
    first, second = (function.do("calls")[0] for _ in range(2))
    assert second == first + 1


def test_what_it_logs_are_events_of_the_log(server: Server, function: CalledFunction) -> None:
    """A message with several lines is one event, and so is an exception with its stack."""
    function.do("log")
    function.do("nonsense")
    logs = server.client("logs")

    def messages() -> list[str]:
        found = logs.filter_log_events(logGroupName="/aws/lambda/dotnet-function")["events"]
        return [event["message"].rstrip("\n") for event in found]

    wait_until(lambda: any("nonsense" in message for message in messages()), 30, "the log")
    told = messages()
    assert {"two\nlines", "static \u3053", "of the console", "of its other half", "y" * 10_000} <= set(told)
    (fault,) = [message for message in told if message.startswith("what is nonsense?: ArgumentException\n")]
    assert "   at Example.Process.Handle(" in fault


FAILURES: list[tuple[str, dict[str, int], dict[str, str]]] = [
    ("nonsense", {}, {"errorType": "ArgumentException", "errorMessage": "what is nonsense?"}),
    ("exit", {"status": 3}, {"errorType": "Runtime.ExitError"}),
    ("thread", {}, {"errorType": "Runtime.ExitError"}),
    ("large", {"size": 7_000_000}, {"errorType": "Function.ResponseSizeTooLarge"}),
]


def test_no_failure_outlives_its_invocation(function: CalledFunction) -> None:
    """An exception, an exit, the end of a thread and a result that is too large each have AWS's payload, and the next
    invocation finds an environment that works."""
    for what, more, expected in FAILURES:
        payload, error, log = function.do(what, **more)
        assert error == "Unhandled", what
        assert expected.items() <= payload.items(), log
        calls, error, log = function.do("calls")
        assert (type(calls), error) == (int, ""), (what, log)


def test_memory_is_the_functions_own(function: CalledFunction) -> None:
    """Of 128 MB the heap has 96: two gigabytes of garbage pass through, and so do 600 MB of which 60 are kept. What is
    kept beyond is an error, and the next invocation works."""
    assert function.do("garbage")[0] == 2_000_000_000
    assert function.do("replace", megabytes=60)[0] == 600
    payload, error, _ = function.do("memory")
    assert (error, payload["errorType"]) == ("Unhandled", "OutOfMemoryException")
    assert function.do("replace", megabytes=60)[0] == 600


def test_a_function_that_never_returns_is_ended(server: Server) -> None:
    """By its timeout; then its next invocation starts anew."""
    function = create(server, "dotnet-sleeps", Timeout=3)
    try:
        assert function.do("calls")[0] == 1
        payload, error, _ = function.do("sleep")
        assert error == "Unhandled"
        assert "Task timed out after 3.00 seconds" in payload["errorMessage"]
        assert function.do("calls")[0] == 1
    finally:
        function.client.delete_function(**function.named)


def test_a_handler_that_is_not_there_is_an_error_of_init(server: Server) -> None:
    """With AWS's words; another handler mends it."""
    function = create(server, "dotnet-absent", "Example::Example.Absent::Handle")
    try:
        payload, error, _ = function.do("calls")
        assert error == "Unhandled"
        assert payload["errorType"] == "LambdaException"
        assert payload["errorMessage"] == "Unable to load type 'Example.Absent' from assembly 'Example'."
        function.client.update_function_configuration(**function.named, Handler="Example::Example.Process::Handle")
        function.client.get_waiter("function_updated_v2").wait(**function.named, WaiterConfig={"Delay": 1})
        assert function.do("calls")[0] == 1
    finally:
        function.client.delete_function(**function.named)


@pytest.mark.long
@pytest.mark.parametrize("isolation", ["process", "oci"])
def test_other_backends_run_it_too(tmp_path: Path, isolation: str) -> None:
    """Paths of the command line are those of the backend; without isolation there are no limits, but the same answers."""
    with running(tmp_path, isolation=isolation) as server:
        function = create(server, "dotnet-elsewhere")
        assert function.do("context")[0]["function"] == "dotnet-elsewhere"
        assert function.do("hash")[1] == ""
        for what, more, expected in FAILURES:
            payload, error, log = function.do(what, **more)
            assert error == "Unhandled", what
            assert expected.items() <= payload.items(), log
            assert function.do("calls")[1] == ""
