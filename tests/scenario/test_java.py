"""Functions in Java on a running server: from a jar to answers, logs and failures, as a user sees them."""

from __future__ import annotations

import base64
import io
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.called_function import CalledFunction
from support.java_runtime import compiled, javac
from support.server import Server, running, wait_until

pytestmark = [
    pytest.mark.root,
    pytest.mark.slow,
    pytest.mark.skipif(javac() is None, reason="no javac to compile the tests' functions with"),
]

RUNTIMES = ("java17", "java21", "java25", "java11")  #: the first that is ready is the one of these tests


def jar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            entry = zipfile.ZipInfo(name)
            entry.external_attr = 0o755 << 16
            archive.writestr(entry, data)
    return buffer.getvalue()


def package() -> bytes:
    classes = compiled()
    return jar({file.relative_to(classes).as_posix(): file.read_bytes() for file in classes.rglob("*.class")})


def create(
    server: Server, name: str, handler: str = "example.Process", code: bytes | None = None, **settings: Any
) -> CalledFunction:
    settings = {"MemorySize": 256, **settings}
    return CalledFunction(server, name, RUNTIMES, package() if code is None else code, handler, **settings)


@pytest.fixture(scope="module")
def function(server: Server) -> Iterator[CalledFunction]:
    made = create(server, "java-function")
    yield made
    made.client.delete_function(**made.named)


def test_a_function_in_java_finds_what_it_finds_on_aws(function: CalledFunction) -> None:
    """Its context, variables, folders and machine: keys under their old names too, a heap in proportion to its memory, an empty
    /tmp, and classes shared from the archive."""
    client = base64.b64encode(b'{"custom":{"k":"v"}}').decode()
    told, error, _ = function.invoke({"do": "context"}, ClientContext=client)
    assert error == ""
    assert told["function"] == "java-function"
    assert told["arn"].endswith(":function:java-function")
    assert told["memory"] == 256
    assert 0 < told["remaining"] <= 30_000
    assert told["custom"] == {"k": "v"}
    assert told["trace"] == told["traceProperty"]
    found, _, _ = function.do("surroundings")
    variables = found["environment"]
    assert variables["AWS_ACCESS_KEY"] == variables["AWS_ACCESS_KEY_ID"]
    assert variables["AWS_SECRET_KEY"] == variables["AWS_SECRET_ACCESS_KEY"]
    assert variables["AWS_EXECUTION_ENV"].startswith("AWS_Lambda_java")
    assert variables["_HANDLER"] == "example.Process"
    assert found["folder"] == "/var/task"
    assert found["temporary"] == []
    assert 180 << 20 < found["heap"] <= 192 << 20
    assert "sharing" in found["machine"]
    first, second = (function.do("calls")[0] for _ in range(2))
    assert second == first + 1


def test_letters_of_every_alphabet_are_in_variables_and_names_of_files(server: Server) -> None:
    """Whether or not this machine has the locale that LANG names, without which Java knows none but ASCII's."""
    word = "grün€こ"
    function = create(server, "java-letters", Environment={"Variables": {"WORD": word}})
    try:
        assert function.do("letters")[0] == [word, word]
    finally:
        function.client.delete_function(**function.named)


def test_what_it_logs_are_events_of_the_log(server: Server, function: CalledFunction) -> None:
    """A message with several lines is one event, however it was written; an exception is one with its stack."""
    function.do("log")
    function.do("nonsense")
    logs = server.client("logs")

    def messages() -> list[str]:
        found = logs.filter_log_events(logGroupName="/aws/lambda/java-function")["events"]
        return [event["message"] for event in found]

    wait_until(lambda: any("nonsense" in message for message in messages()), 30, "the log")
    told = messages()
    assert {"two\nlines", "[WARN] a warning", "printed \u3053", "no line end"} <= {message.rstrip("\n") for message in told}
    (fault,) = [message for message in told if message.startswith("what is nonsense?: java.lang.IllegalArgumentException\n")]
    assert "\tat example.Process.handleRequest(Process.java:" in fault


FAILURES: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"do": "nonsense"}, {"errorType": "java.lang.IllegalArgumentException", "errorMessage": "what is nonsense?"}),
    ({"do": "stack"}, {"errorType": "java.lang.StackOverflowError"}),
    ({"do": "memory"}, {"errorType": "java.lang.OutOfMemoryError", "errorMessage": "Java heap space"}),
    ({"do": "exit", "status": 3}, {"errorType": "Runtime.ExitError"}),
    ({"do": "large", "size": 7_000_000}, {"errorType": "Function.ResponseSizeTooLarge"}),
]


def test_no_failure_outlives_its_invocation(function: CalledFunction) -> None:
    """An exception, a stack or heap at its end, an exit and a result that is too large each have AWS's payload, and the next
    invocation finds an environment that works."""
    for event, expected in FAILURES:
        payload, error, log = function.invoke(event)
        assert error == "Unhandled", event
        assert expected.items() <= payload.items(), log
        calls, error, log = function.do("calls")
        assert (type(calls), error) == (int, ""), (event, log)


def test_a_function_that_never_returns_is_ended(server: Server) -> None:
    """By its timeout; then its next invocation starts anew."""
    function = create(server, "java-sleeps", Timeout=3)
    try:
        assert function.do("calls")[0] == 1
        payload, error, _ = function.do("sleep")
        assert error == "Unhandled"
        assert "Task timed out after 3.00 seconds" in payload["errorMessage"]
        assert function.do("calls")[0] == 1
    finally:
        function.client.delete_function(**function.named)


WRAPPER = b'#!/bin/sh\nprogram="$1"; shift\nexec "$program" -Dwrapped=yes "$@"\n'


def test_layers_bring_jars_and_a_wrapper(server: Server) -> None:
    """Jars of `java/lib` come after the package's own; a script that AWS_LAMBDA_EXEC_WRAPPER names gets the command line."""
    client = server.client("lambda")
    layer = {"java/lib/text.jar": jar({"of-layer": b"layer", "text": b"layer"}), "wrap": WRAPPER}
    made = client.publish_layer_version(LayerName="java-layer", Content={"ZipFile": jar(layer)})
    classes = {f"example/{file.name}": file.read_bytes() for file in (compiled() / "example").glob("*.class")}
    function = create(
        server,
        "java-layered",
        "example.Resources",
        jar({"lib/classes.jar": jar(classes), "text": b"package"}),
        Layers=[made["LayerVersionArn"]],
        Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrap"}},
    )
    try:
        assert [function.invoke(name)[0] for name in ("text", "of-layer")] == ["package", "layer"]
        client.update_function_configuration(**function.named, Handler="example.Process")
        client.get_waiter("function_updated_v2").wait(**function.named, WaiterConfig={"Delay": 1})
        assert function.do("surroundings")[0]["wrapped"] == "yes"
    finally:
        client.delete_function(**function.named)


@pytest.mark.long
@pytest.mark.parametrize("isolation", ["process", "oci"])
def test_other_backends_run_it_too(tmp_path: Path, isolation: str) -> None:
    """Paths of the command line are those of the backend; without isolation there are no limits, but the same
    answers; and no archive of classes, which wants the paths that are inside."""
    with running(tmp_path, isolation=isolation) as server:
        function = create(server, "java-elsewhere")
        assert function.do("context")[0]["function"] == "java-elsewhere"
        assert ("sharing" in function.do("surroundings")[0]["machine"]) == (isolation == "oci")
        for event, expected in FAILURES:
            payload, error, log = function.invoke(event)
            assert error == "Unhandled", event
            assert expected.items() <= payload.items(), log
            assert function.do("calls")[1] == ""
