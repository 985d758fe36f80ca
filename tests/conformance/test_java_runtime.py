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
from typing import Any

import pytest

from lambdad.runtimes.java.jar import JAR
from support.java_runtime import Java, compile_java, compiled, do, javac, table
from support.runtime_api import ARN, LIMIT, REQUEST_ID, RuntimeApi

pytestmark = pytest.mark.skipif(javac() is None, reason="no javac to compile the tests' functions with")

Outcomes = dict[tuple[str, str], dict[str, Any]]
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


def feature(executable: Path) -> int:
    said = subprocess.run(
        [executable, "-XshowSettings:properties", "-version"], capture_output=True, text=True, check=True
    ).stderr
    version = re.search(r"java.specification.version = (?:1\.)?(\d+)", said)
    assert version is not None, said
    return int(version[1])


@pytest.fixture(scope="module")
def machine() -> Path:
    found = shutil.which("java")
    if found is None:
        pytest.skip("no java on PATH")
    return Path(found)


@pytest.fixture
def java(machine: Path, tmp_path: Path) -> Iterator[Java]:
    with RuntimeApi() as api:
        yield Java(machine, feature(machine), compiled(), api)


@pytest.fixture(scope="module")
def outcomes(machine: Path) -> Outcomes:
    """What each handler of the tables below made of each event. One process runs them all."""
    rows = [("Methods::" + name, event) for name, (event, _) in METHODS.items()]
    rows += [(handler, event) for handler, event, _ in [*MISMATCHES, *OTHERS]]
    rows += [("Orders$Echo", json.dumps(event)) for _, event, _ in ECHOES]
    rows += [("Orders::" + name, '""') for name in UNWRITABLE]
    rows += [("Methods::fails", '"x"'), ("Methods::recurses", '"x"')]
    rows = [("example." + handler, event) for handler, event in rows] + [(handler, "{}") for handler in FAULTS]
    rows += [(EVENT_CLASS + name, event) for name, event, _ in EVENTS]
    return dict(zip(rows, table(machine, rows), strict=True))


METHODS = {
    "text": ('"a"', '"text a"'),
    "number": ("41", "42"),
    "primitive": ("21", "42"),
    "half": ("1", "0.5"),
    "not": ("true", "false"),
    "boxedNot": ("false", "true"),
    "large": ("9007199254740993", "9007199254740993"),
    "letter": ('"x"', '"x"'),
    "sum": ("[1,2,39]", "42"),
    "length": ("[1,2]", "2"),
    "first": ('{"a":1.5}', '"java.lang.Double"'),
    "any": ('{"a":[1,2.5,null,true,"x",{}]}', '{"a":[1,2.5,null,true,"x",{}]}'),
    "nothing": ('{"not":"read"}', '"nothing"'),
    "onlyContext": ("{}", '"context"'),
    "empty": ('"x"', "null"),
    "emptyToo": ('"x"', "null"),
    "fixed": ('"a"', '"static a"'),
    "copy": ("{ }", "{ }"),
    "copyWithContext": ("1", "1!"),
    "reads": ("1", ""),
    "readsWithContext": ("1", ""),
    "writes": ("1", "[7]"),
    "writesWithContext": ("1", "[8]"),
    "several": ('"x"', '"with context"'),
}


def test_methods_of_every_signature_are_handlers(outcomes: Outcomes) -> None:
    """Any type in and out, with a Context or without, static or not, streams in every combination; of several methods of one
    name the one with the most parameters, a Context counting double."""
    for name, (event, result) in METHODS.items():
        assert outcomes[f"example.Methods::{name}", event] == {"result": result}, name


MISMATCHES = [
    ("Methods::number", '"x"', "java.lang.Integer"),
    ("Methods::number", "2147483648", "out of range of `java.lang.Integer`"),
    ("Methods::number", "1" * 2000, "Number value length (2000) exceeds"),
    ("Methods::number", "1e999999999", "magnitude exceeds"),
    ("Methods::number", "{}", "from Object value"),
    ("Methods::sum", '{"a":1}', "Cannot deserialize value of type `java.lang.Integer`"),
    ("Methods::text", "{}", "Cannot deserialize value of type `java.lang.String` from Object value"),
    ("Methods::text", "", "No content to map due to end-of-input"),
    ("Methods::text", '"a" 1', "expected the end"),
    ("Methods::any", "[" * 100_000, "Document nesting depth (1001) exceeds the maximum allowed (1000)"),
    ("Orders$Echo", '{"items":[{"count":"many"}]}', 'Orders$Item["count"]'),
    ("Orders$Echo", '{"day":"yesterday"}', "java.time.LocalDate"),
    ("Orders::noObject", "{}", "Cannot deserialize value of type `java.lang.Runnable`"),
]


def test_an_event_that_does_not_fit_the_type_fails_its_invocation(outcomes: Outcomes) -> None:
    """The error is AWS's, its cause says what did not fit and where."""
    for handler, event, text in MISMATCHES:
        error = outcomes["example." + handler, event]["error"]
        assert error["errorMessage"] == "An error occurred during JSON parsing", (handler, event)
        assert error["errorType"] == "java.lang.RuntimeException"
        assert text in error["cause"]["errorMessage"]


ECHOES: list[tuple[str, Any, Any]] = [
    (
        "a class's properties",
        {"head": {"name": "a", "count": 12, "unknown": 1}},
        {"name": "a", "count": 12, "heavy": True, "URL": "/a"},
    ),
    ("a name's case counts", {"head": {"Name": "a"}}, {"count": 1, "heavy": False}),
    ("absent members keep the default", {"head": {}}, {"count": 1, "heavy": False}),
    ("null for a primitive is 0", {"head": {"count": None}}, {"count": 0, "heavy": False}),
    ("an empty string is no object", {"head": ""}, None),
    ("text is a number", {"head": {"count": "7"}}, {"count": 7, "heavy": False}),
    ("a fraction is cut off", {"head": {"count": 7.9}}, {"count": 7, "heavy": False}),
    ("an enumeration's name", {"head": {"size": "LARGE"}}, {"count": 1, "size": "LARGE", "heavy": False}),
    ("an unknown name is null", {"head": {"size": "HUGE"}}, {"count": 1, "heavy": False}),
    ("a getter called getIs", {"head": {"isGift": True}}, {"count": 1, "isGift": True, "heavy": False}),
    ("one value for a list", {"tags": "x"}, ["x"]),
    ("a list of one for a value", {"head": [{"count": 2}]}, {"count": 2, "heavy": False}),
    ("numbers keep their digits", {"prices": {"SMALL": [1.10, 2]}}, {"SMALL": [1.1, 2]}),
    ("an Optional", {"note": "n"}, "n"),
    ("a long text", {"note": "😀" * 9000}, "😀" * 9000),
    ("a long text whose characters lie otherwise", {"note": "x" + '"😀' * 9000}, "x" + '"😀' * 9000),
    ("a date", {"date": "1970-01-01T00:00:01.500Z"}, 1500),
    ("an instant", {"instant": 1.5}, 1.5),
    ("a day", {"day": "2026-01-02"}, [2026, 1, 2]),
    ("an id", {"id": REQUEST_ID}, REQUEST_ID),
    ("bytes", {"bytes": "AQID"}, "AQID"),
    ("a buffer", {"buffer": "AQID"}, "AQID"),
    ("an array of primitives", {"numbers": [1, 2]}, [1, 2]),
    ("an array of objects", {"array": [{"count": 3}]}, [{"count": 3, "heavy": False}]),
    ("any object", {"anything": {"a": [1, 2.5]}}, {"a": [1, 2.5]}),
    ("a list of objects", {"items": [{"name": "b"}]}, [{"name": "b", "count": 1, "heavy": False, "URL": "/b"}]),
]


def test_json_becomes_objects_and_objects_json(outcomes: Outcomes) -> None:
    """Getters, setters, public fields and type parameters, as lenient as AWS's reader; members without a value are left out."""
    for claim, event, expected in ECHOES:
        outcome = outcomes["example.Orders$Echo", json.dumps(event)]
        assert "result" in outcome, (claim, outcome)
        result = json.loads(outcome["result"])
        assert result.get(next(iter(event))) == expected, claim
        assert "secret" not in result


OTHERS = [
    ("Orders$Items", '[{"name":"a"},{}]', '{"class":"Item","count":2}'),
    ("Orders$Items", "[]", '{"count":0}'),
    ("Orders::generic", '{"head":1,"items":["2"]}', '"Integer[2]"'),
    ("Orders::sizes", '{"LARGE":1}', '{"LARGE":1.0}'),
    ("Orders::size", '"SMALL"', '"SMALL"'),
    ("Orders::empty", '""', "{}"),
    (
        "Orders::times",
        '""',
        '{"date":1500,"instant":1.500000000,"day":[2026,1,2],"none":null,"nan":"NaN","decimal":1.10,'
        '"text":"\\"\\\\\\n\\u0001é\u3053\\uD83D\\uDE00"}',
    ),
]


def test_type_parameters_are_found_and_values_written_as_aws_does(outcomes: Outcomes) -> None:
    """Through generic classes between, for generic arguments, and for times, numbers and every letter."""
    for handler, event, result in OTHERS:
        assert outcomes["example." + handler, event] == {"result": result}, handler


EVENT_CLASS = "com.amazonaws.services.lambda.runtime.events.Events::"
EVENTS = [
    (
        "storage",
        '{"Records":[{"awsRegion":"r","eventTime":"2026-01-02T03:04:05.000Z","size":7,"x-amz-request-id":"i","other":1}]}',
        '"[r 2026-01-02T03:04:05Z 7 i]"',
    ),
    (
        "message",
        '{"Sns":"s","eventSourceARN":"a","detail-type":"d","Time":1.5,"data":"AQI=","NULL":true,"M":{"k":{"SNS":"t"}}}',
        '"s a d 1500 2 true {k=t null null 0 0 null null}"',
    ),
    ("message", '{"detailType":"d","Time":0}', '"null null d 0 0 null null"'),
    ("response", '{"isBase64Encoded":true}', '{"statusCode":200,"isBase64Encoded":true}'),
]


def test_classes_of_awss_events_are_filled_in(outcomes: Outcomes) -> None:
    """Those that functions bring along from aws-lambda-java-events are not named after the letters of the events; dates in them
    are seconds, and some have no constructor but one that wants everything."""
    for name, event, result in EVENTS:
        assert outcomes[EVENT_CLASS + name, event] == {"result": result}, name


UNWRITABLE = {
    "self": 'Direct self-reference leading to cycle (through reference chain: example.Orders$Loop["next"])',
    "circle": "Document nesting depth (1001) exceeds the maximum allowed (1000): does an object hold itself?",
    "broken": 'no value (through reference chain: example.Orders$1["value"])',
}


def test_a_result_that_has_no_json_is_an_error(outcomes: Outcomes) -> None:
    """An object that holds itself, at once or by way of another, or whose getter throws."""
    for name, message in UNWRITABLE.items():
        outcome = outcomes[f"example.Orders::{name}", '""']
        assert outcome["error"]["errorMessage"] == "An error occurred during JSON serialization of response"
        assert outcome["error"]["errorType"] == "java.lang.RuntimeException"
        assert outcome["error"]["cause"]["errorMessage"] == message


FAULTS = {
    "example.Nothing": ("Class not found: example.Nothing", "java.lang.ClassNotFoundException"),
    "example.Nothing::handle": ("Class not found: example.Nothing", "java.lang.ClassNotFoundException"),
    "": ("Invalid handler: `'", None),
    "::handle": ("Invalid handler: `::handle'", None),
    "example.Methods::": ("Invalid handler: `example.Methods::'", None),
    "example.Methods::absent": (
        "No public method named absent with appropriate method signature found on class example.Methods",
        None,
    ),
    "example.Methods::wrong": (
        "No public method named wrong with appropriate method signature found on class example.Methods",
        None,
    ),
    "example.Methods::hidden": (
        "No public method named hidden with appropriate method signature found on class example.Methods",
        None,
    ),
    "example.Methods": ("Class does not implement an appropriate handler interface: example.Methods", None),
    "example.Faulty$NeedsMore": (
        "Class example.Faulty$NeedsMore has no public zero-argument constructor",
        "java.lang.NoSuchMethodException",
    ),
    "example.Faulty$Inner": (
        "Class example.Faulty$Inner cannot be instantiated because it is a non-static inner class",
        None,
    ),
    "example.Faulty$Abstract": ("java.lang.InstantiationException", "java.lang.InstantiationException"),
    "example.Orders$Raw": (
        "Class example.Orders$Raw does not implement RequestHandler with concrete type parameters:"
        " parameter X has no upper bound.",
        None,
    ),
    "example.Faulty$ConstructorThrows": ("not today", "java.lang.IllegalStateException"),
    "example.Faulty$StaticThrows": ("Error loading class example.Faulty$StaticThrows", "java.lang.ExceptionInInitializerError"),
}


def test_a_class_that_is_no_handler_says_why(outcomes: Outcomes) -> None:
    """AWS's sentences; the type is there where an exception is behind it."""
    for handler, (message, kind) in FAULTS.items():
        expected = {"errorMessage": message, "errorType": kind} if kind else {"errorMessage": message}
        assert outcomes[handler, "{}"] == {"error": expected}, handler


def test_exceptions_come_with_their_causes_and_without_the_client(outcomes: Outcomes) -> None:
    """The stack ends at the handler, as the author knows it; a stack that overflowed is an exception like others."""
    failed, recursed = outcomes["example.Methods::fails", '"x"'], outcomes["example.Methods::recurses", '"x"']
    assert failed["error"]["errorMessage"] == "checked x"
    assert failed["error"]["errorType"] == "java.io.IOException"
    assert re.match(r"example\.Methods\.fails\(Methods\.java:\d+\)$", failed["error"]["stackTrace"][0])
    assert not any("lambdad" in line for line in failed["error"]["stackTrace"])
    assert failed["error"]["cause"]["errorMessage"] == "inner"
    assert recursed["error"]["errorType"] == recursed["error"]["errorMessage"] == "java.lang.StackOverflowError"


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
    assert 20_000 < told.pop("remaining") <= 30_000
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


def test_an_end_from_outside_is_not_in_the_log(machine: Path) -> None:
    """The platform takes an environment down by closing what the client waits on: nobody is to hear of that."""
    with contextlib.ExitStack() as platform:
        api = platform.enter_context(RuntimeApi())
        with Java(machine, feature(machine), compiled(), api).run() as process:
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


@pytest.mark.parametrize("handler", ["example.Faulty$ConstructorThrows", "example.Faulty$StaticThrows"])
def test_a_function_whose_own_code_fails_at_its_start_is_an_init_error(java: Java, handler: str) -> None:
    """Reported, logged with its stack, and the process exits 1; what is merely not there fails each invocation instead."""
    message, kind = FAULTS[handler]
    with java.start(handler) as process:
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
