"""The Java runtime client as a real process, against a Runtime API that writes everything down."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import struct
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdad.runtimes.java.family import LIBRARY_MACHINES
from lambdad.runtimes.java.jar import JAR
from lambdad.runtimes.java.native_library import library
from support.java_runtime import Java, compile_java, compiled, do, javac
from support.runtime_api import ARN, LIMIT, REQUEST_ID, RuntimeApi

pytestmark = pytest.mark.skipif(javac() is None, reason="no javac to compile the tests' functions with")

TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def feature(executable: Path) -> int:
    said = subprocess.run(
        [executable, "-XshowSettings:properties", "-version"], capture_output=True, text=True, check=True
    ).stderr
    version = re.search(r"java.specification.version = (?:1\.)?(\d+)", said)
    assert version is not None, said
    return int(version[1])


@pytest.fixture
def java(java_machine: Path, tmp_path: Path) -> Iterator[Java]:
    with RuntimeApi() as api:
        yield Java(java_machine, feature(java_machine), compiled(), api)


def test_the_context_has_all_fields(java: Java) -> None:
    """Function, invocation, identity, client, tenant, trace, and the time that remains; the next invocation has its own."""
    client = {
        "client": {
            "installation_id": "i",
            "app_title": "t",
            "app_version_name": "n",
            "app_version_code": "c",
            "app_package_name": "p",
        },
        "custom": {"k": "v"},
        "env": {"locale": "de"},
    }
    with java.run() as process:
        java.api.give(
            b'{"do":"context"}',
            client_context=json.dumps(client),
            cognito_identity='{"cognitoIdentityId":"one","cognitoIdentityPoolId":"pool"}',
            aws_tenant_id="blue",
        )
        told = json.loads(java.api.told.get(timeout=100).body)
        plain = json.loads(do(process, "context").body)
        bare = json.loads(process.invoke(b'{"do":"context"}', trace_id=None, client_context="[1]").body)
    trace = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1"
    assert 0 < told.pop("remaining") <= 30_000
    assert told.pop("traceVariable", trace) == trace
    assert told == {
        "request": REQUEST_ID,
        "group": "/aws/lambda/hello",
        "stream": "2026/11/23/[$LATEST]0123456789abcdef0123456789abcdef",
        "function": "hello",
        "version": "$LATEST",
        "arn": ARN,
        "memory": 128,
        "tenant": "blue",
        "trace": trace,
        "traceProperty": trace,
        "identity": ["one", "pool"],
        "custom": {"k": "v"},
        "environment": {"locale": "de"},
        "client": ["i", "t", "n", "c", "p"],
    }
    assert not {"identity", "custom", "environment", "client", "tenant"} & plain.keys()
    assert not {"trace", "traceProperty", "custom"} & bare.keys()


def frames(log: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The messages in frames, continued ones put together, and what was printed between them."""
    messages: dict[int, tuple[int, bytes]] = {}
    rest = b""
    while log:
        if log[:3] == b"\xa5Z\x00":
            kind, length, moment = struct.unpack(">IIQ", log[:16])
            messages[moment] = (kind & ~0x40, messages.get(moment, (0, b""))[1] + log[16 : 16 + length])
            log = log[16 + length :]
        else:
            rest, log = rest + log[:1], log[1:]
    return list(messages.values()), rest


def test_what_a_function_logs_is_one_event_a_message(java: Java) -> None:
    """In frames whatever lines it has and however long it is; what is printed is UTF-8 and in its place between them."""
    with java.run(_LAMBDA_TELEMETRY_LOG_FD="1", LANG="C") as process:
        assert do(process, "log").body == b"null"
        do(process, "nonsense")
        messages, printed = frames(process.ended_log().encode("utf-8", "surrogateescape"))
    assert printed == "printed \u3053\nno line end".encode()
    plain = [(0xA55A0003, b"two\nlines"), (0xA55A0013, b"[WARN] a warning"), (0xA55A000B, b"[DEBUG] a detail")]
    assert messages[:5] == [*plain, (0xA55A0003, b"bytes"), (0xA55A0003, b"by the runtime")]
    assert messages[5] == (0xA55A0003, b"long " + b"12345" * 2000)
    kind, block = messages[6]
    assert kind == 0xA55A0003
    lines = block.decode().splitlines()
    assert lines[0] == "what is nonsense?: java.lang.IllegalArgumentException"
    assert lines[1] == "java.lang.IllegalArgumentException: what is nonsense?"
    assert lines[2].startswith("\tat example.Process.handleRequest(Process.java:")


def test_json_logs_have_time_level_and_request(java: Java) -> None:
    """A message below the function's level is left out, one without a level never; an exception is an ERROR."""
    environment = {"_LAMBDA_TELEMETRY_LOG_FD": "1", "AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
    with java.run(**environment) as process:
        do(process, "log")
        do(process, "nonsense")
        messages, _ = frames(process.ended_log().encode("utf-8", "surrogateescape"))
    assert messages[2] == (0xA55A0002, b"bytes")  # the function's own bytes are not touched
    records = [json.loads(data) for number, (_, data) in enumerate(messages) if number != 2]
    assert [record["level"] for record in records] == ["UNDEFINED", "WARN", "UNDEFINED", "UNDEFINED", "ERROR"]
    assert messages[1][0] == 0xA55A0012
    assert records[1]["message"] == "a warning"
    assert all(record["AWSRequestId"] == REQUEST_ID and re.fullmatch(TIMESTAMP, record["timestamp"]) for record in records)


def test_without_frames_a_message_is_a_line(java: Java) -> None:
    """Where the platform reads no frames, line ends inside a message become carriage returns."""
    with java.run() as process:
        do(process, "log")
        log = process.ended_log()
    assert log.startswith("printed \u3053\ntwo\rlines\n[WARN] a warning\n")


def test_one_process_serves_many_and_a_failure_is_one_invocations(java: Java) -> None:
    """Exceptions of every kind, one whose own methods throw too; events of megabytes; results of every size and too large."""
    with java.run() as process:
        assert do(process, "calls").body == b"1"
        hostile = json.loads(do(process, "hostile").body)
        assert hostile["errorType"] == "example.Process$Hostile"
        circular = json.loads(do(process, "circularCause").body)
        assert circular["cause"]["errorMessage"] == "two"
        assert "cause" not in circular["cause"]
        assert do(process, "interrupt").body == b'"interrupted"'
        assert do(process, "isInterrupted").body == b"false"
        assert do(process, "loader").body == b"[false,true]"
        assert do(process, "mute").body == b"null"
        for size in (1, 5_000_000, 1, LIMIT - 2):
            assert len(do(process, "large", size=size).body) == size + 2
        for size in (LIMIT - 1, 20_000_000):
            told = do(process, "large", size=size)
            assert told.kind == "response" and int(told.headers["content-length"]) == size + 2
        big = process.invoke(json.dumps({"do": "calls", "pad": "x" * 6_000_000}).encode())
        assert big.body == b"14"


@pytest.mark.parametrize("what, kind", [("stack", "java.lang.StackOverflowError"), ("memory", "java.lang.OutOfMemoryError")])
def test_a_virtual_machine_at_its_end_answers_and_leaves(java: Java, what: str, kind: str) -> None:
    """The invoker hears of it; the process, whose state nobody knows, ends without having asked for another invocation."""
    java.options.append("-Xmx24m")
    with java.run() as process:
        told = do(process, what)
        assert told.kind == "error"
        assert json.loads(told.body)["errorType"] == kind
        assert process.wait() == 1
    assert java.api.asked.qsize() == 1


def test_an_end_from_outside_is_not_in_the_log(java_machine: Path) -> None:
    """The platform takes an environment down by closing what the client waits on: nobody is to hear of that."""
    with contextlib.ExitStack() as platform:
        api = platform.enter_context(RuntimeApi())
        with Java(java_machine, feature(java_machine), compiled(), api).run() as process:
            assert do(process, "calls").body == b"1"
            platform.close()
            assert process.wait() == 1
            assert process.ended_log() == ""


def test_a_serializer_that_cannot_be_made_is_an_init_error(java: Java, tmp_path: Path) -> None:
    """A service file that names no class of the package's."""
    task = tmp_path / "task"
    shutil.copytree(compiled(), task)
    services = task / "META-INF" / "services"
    services.mkdir(parents=True)
    (services / "com.amazonaws.services.lambda.runtime.CustomPojoSerializer").write_text("example.Missing\n")
    java.task_root = task
    with java.start("example.Methods::text") as process:
        told = java.api.told.get(timeout=100)
        assert process.wait() == 1
    assert told.kind == "init/error"
    assert json.loads(told.body)["errorType"] == "java.util.ServiceConfigurationError"
    assert "example.Missing not found" in json.loads(told.body)["errorMessage"]


def test_a_function_ends_its_process(java: Java) -> None:
    """With the status it wants, in the handler or while it is loaded."""
    with java.run() as process:
        java.api.give(b'{"do":"exit","status":7}')
        assert process.wait() == 7
    with java.start("example.ExitsAtInit::handle") as process:
        assert process.wait() == 3
    assert java.api.told.empty()


@pytest.mark.parametrize("content", [b"no library", None])
def test_without_a_library_that_can_be_loaded_only_a_machine_that_waits_ends(
    java: Java, tmp_path: Path, content: bytes | None
) -> None:
    """One of another processor, say, or none at all; the log says which. Functions need it as little as the rehearsal does."""
    java.task_root = Path(shutil.copytree(compiled(), tmp_path / "task"))
    (tmp_path / "runtime").mkdir()
    for machine in LIBRARY_MACHINES if content is not None else ():
        (tmp_path / "runtime" / library(machine).name).write_bytes(content or b"")
    with java.run() as process:
        assert do(process, "calls").body == b"1"
    with java.run(_LAMBDAD_BOOT="0 1") as process:
        assert process.wait() == 1
        assert ("there is no library for this machine" if content is None else "UnsatisfiedLinkError") in process.ended_log()
    (tmp_path / "rehearsal").mkdir()
    subprocess.run([java.executable, "-cp", JAR, "lambdad.runtime.Rehearsal"], cwd=tmp_path / "rehearsal", check=True)


@pytest.mark.parametrize(
    ("name", "message", "kind"),
    [
        ("ConstructorThrows", "not today", "java.lang.IllegalStateException"),
        ("StaticThrows", "Error loading class example.Faulty$StaticThrows", "java.lang.ExceptionInInitializerError"),
    ],
)
def test_a_function_whose_own_code_fails_at_its_start_is_an_init_error(java: Java, name: str, message: str, kind: str) -> None:
    """Reported, logged with its stack, and the process exits 1; what is merely not there fails each invocation instead."""
    with java.start(f"example.Faulty${name}") as process:
        told = java.api.told.get(timeout=100)
        assert process.wait() == 1
        log = process.ended_log()
    assert told.kind == "init/error"
    assert told.headers["lambda-runtime-function-error-type"] == "Runtime.BadFunctionCode"
    assert json.loads(told.body) == {"errorMessage": message, "errorType": kind}
    assert log.startswith(f"{message}: {kind}\r{kind}")


def test_a_missing_class_fails_each_invocation(java: Java) -> None:
    """As on AWS the environment stays."""
    with java.start("example.Nothing") as process:
        for _ in range(2):
            told = process.invoke()
            assert told.kind == "error"
            assert told.headers["lambda-runtime-function-error-type"] == "Runtime.BadFunctionCode"
            assert json.loads(told.body)["errorMessage"] == "Class not found: example.Nothing"


def jar(target: Path, **files: bytes) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)


def test_jars_of_package_and_layers_are_found_whatever_they_bring(java: Java, tmp_path: Path) -> None:
    """`lib/*.jar` in the order of their names, `java/lib` of layers last; a copy of aws-lambda-java-core in the package is
    passed over, as on AWS, so that the function's RequestHandler is the client's. JAVA_TOOL_OPTIONS are honoured."""
    task, layer = tmp_path / "task", tmp_path / "opt" / "java" / "lib"
    interface = "com/amazonaws/services/lambda/runtime/RequestHandler.class"
    with zipfile.ZipFile(JAR) as client:
        core = {interface: client.read(interface)}
    example = {f"example/{file.name}": file.read_bytes() for file in (compiled() / "example").glob("R*.class")}
    jar(task / "lib" / "a 100%#1.jar", **{"text": b"first", **core})
    jar(task / "lib" / "b.jar", **{"text": b"second", **example})
    jar(layer / "c.jar", **{"text": b"third", "of-layer": b"layer"})
    (task / "in-package").write_bytes(b"package")
    java.task_root = task
    with java.start("example.Resources", JAVA_TOOL_OPTIONS="-Dmine=1") as process:
        assert [process.invoke(name).body for name in (b'"text"', b'"of-layer"', b'"in-package"')] == [
            b'"first"',
            b'"layer"',
            b'"package"',
        ]
        assert "Picked up JAVA_TOOL_OPTIONS: -Dmine=1" in process.ended_log()


def test_a_functions_libraries_find_what_they_count_on(java: Java, tmp_path: Path) -> None:
    """A CustomPojoSerializer that the package offers as a service reads the event and writes the result; Log4j's appender for
    Lambda finds the request id in its ThreadContext."""
    task = tmp_path / "task"
    shutil.copytree(compiled(), task)
    services = task / "META-INF" / "services"
    services.mkdir(parents=True)
    (services / "com.amazonaws.services.lambda.runtime.CustomPojoSerializer").write_text("example.Libraries\n")
    java.task_root = task
    with java.start("example.Libraries::handle") as process:
        assert process.invoke(b"any {thing").body == f"<read as StringBuilder: any {{thing {REQUEST_ID}>".encode()


RECORD = """
import java.util.List;

public class Records {
    public record Line(String name, int count, List<Part> parts) {}
    public record Part(double weight, Line inside) {}
    public Line handle(Line line) { return line; }
}
"""


def test_records_are_read_and_written(java: Java, tmp_path: Path) -> None:
    """By their components, also inside one another; what is not in the event is null or 0."""
    if java.feature < 17:
        pytest.skip(f"Java {java.feature} has no records")
    (tmp_path / "Records.java").write_text(RECORD)
    task = tmp_path / "task"
    compile_java([tmp_path / "Records.java"], task, release="17")
    java.task_root = task
    with java.start("Records::handle") as process:
        event = {"name": "a", "parts": [{"weight": 1.5, "inside": {"count": 2}}, {}], "other": 1}
        assert json.loads(process.invoke(json.dumps(event).encode()).body) == {
            "name": "a",
            "count": 0,
            "parts": [{"weight": 1.5, "inside": {"count": 2}}, {"weight": 0.0}],
        }
