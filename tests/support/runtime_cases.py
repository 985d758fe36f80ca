"""What every runtime client keeps: a table of cases, each a function by name, what is sent to it, and what is to come.

The functions themselves are in `runtime_functions`, by family, with what differs between languages: `expected`.
"""

from __future__ import annotations

import base64
import json
import platform
import re
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from support.runtime_api import ARN, REQUEST_ID, RuntimeProcess, Told

TRACE = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1"
CLIENT_CONTEXT = {"custom": {"one": "1"}, "client": {"installation_id": "i-1"}, "env": {"locale": "de"}}
IDENTITY = {"cognitoIdentityId": "us-east-1:id", "cognitoIdentityPoolId": "us-east-1:pool"}
LETTERS = 'こ ä 😀 \u2028 " \\ / \t\x00\x7f'
NUMBERS = [2**53 + 1, 12345678901234567890, 1.5, 0.1, 1e22, 123456789.125, 1e-7, -7]
LINES = 5000
_MEGABYTES = 6 * 1024 * 1024


@dataclass(frozen=True)
class Case:
    """`check` gets the process and what `Functions.expected` says of the case, else the case's own `expected`.

    One that `is_alone` has a process for itself, since it is about a start, an end or a log. The others may share one, whose
    function does what the one does whose name is the qualifier of the ARN that it is invoked by.
    """

    name: str
    claim: str
    check: Callable[[RuntimeProcess, Any], None]
    expected: Any = None
    is_alone: bool = False
    function: str = ""  #: whose the function is, if it is another case's
    environment: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)  #: beside the function's own

    @property
    def source(self) -> str:
        return self.function or self.name


@dataclass(frozen=True)
class Answer:
    """What an invocation ends with: a response of this content, or an error."""

    content: bytes = b""
    content_type: str = "application/json"
    error_type: str | None = None


@dataclass(frozen=True)
class Refusal:
    """Of a function that cannot be run: `kind` is "init/error", or "error" where each invocation fails instead."""

    kind: str
    error_type: str | None
    message: str  #: a regular expression


def _echo(process: RuntimeProcess, _: object) -> None:
    deep: Any = "inside"
    for _level in range(60):
        deep = [deep]
    for event in ({"k": [1.5, None, True, "こ"]}, "", 0, [], "x" * 100_000, deep):
        told = process.invoke(json.dumps(event).encode())
        assert told.kind == "response", told.body
        assert told.path.split("/")[-2] == REQUEST_ID
        assert told.headers["content-type"] == "application/json"
        assert json.loads(told.body) == event


def _letters(process: RuntimeProcess, is_escaped: bool) -> None:
    told = process.invoke(json.dumps(LETTERS).encode())
    assert json.loads(told.body) == LETTERS
    assert told.body.isascii() == bool(is_escaped)


def _numbers(process: RuntimeProcess, has_doubles_alone: bool) -> None:
    answer = _answer(process, NUMBERS)
    if has_doubles_alone:
        assert [float(number) for number in answer] == [float(number) for number in NUMBERS]
    else:
        assert answer == NUMBERS


def _big_event(process: RuntimeProcess, _: object) -> None:
    event = "x" * (_MEGABYTES - 2)
    assert _answer(process, event) == event


def _deep(process: RuntimeProcess, error_type: str | None) -> None:
    event = b"[" * 500_000 + b"]" * 500_000
    told = process.invoke(event)
    if error_type is None:
        assert (told.kind, told.body) == ("response", event)
    else:
        _is_error(told, "error", error_type)
    assert _answer(process, "go") == "go"


def _state(process: RuntimeProcess, _: object) -> None:
    assert [_answer(process, number) for number in range(3)] == [[0], [0, 1], [0, 1, 2]]


def _nothing(process: RuntimeProcess, _: object) -> None:
    assert process.invoke().body == b"null"


def _context(process: RuntimeProcess, _: object) -> None:
    *fields, remaining = _answer(process, {})
    stream = "2026/11/23/[$LATEST]0123456789abcdef0123456789abcdef"
    assert fields == [REQUEST_ID, "hello", "$LATEST", process.api.arn, 128, "/aws/lambda/hello", stream]
    assert process.api.arn.startswith(ARN)
    assert 0 < remaining <= 30_000


def _client(process: RuntimeProcess, _: object) -> None:
    told = process.invoke(client_context=json.dumps(CLIENT_CONTEXT), cognito_identity=json.dumps(IDENTITY))
    assert json.loads(told.body) == ["us-east-1:id", "us-east-1:pool", "1", "i-1", "de"]


def _trace(process: RuntimeProcess, _: object) -> None:
    for trace in (TRACE, TRACE.replace("Sampled=1", "Sampled=0")):
        assert json.loads(process.invoke(trace_id=trace).body) == trace


def _fails(process: RuntimeProcess, error_type: str) -> None:
    assert _answer(process, "go") == "fine"
    told = process.invoke(b'"fail"')
    _is_error(told, "error", error_type)
    assert json.loads(told.body)["errorMessage"] == "broken: ä"
    assert _answer(process, "go") == "fine"


def _payload(process: RuntimeProcess, members: str) -> None:
    payload = json.loads(process.invoke(b'"fail"').body)
    assert " ".join(payload) == members
    trace = payload.get("stackTrace", payload.get("trace"))
    assert trace is None or (trace and all(isinstance(frame, str) for frame in trace))


def _recovers(process: RuntimeProcess, error_type: str) -> None:
    _is_error(process.invoke(b'"fail"'), "error", error_type)
    assert _answer(process, "go") == "fine"


def _ends_as(process: RuntimeProcess, expected: Answer) -> None:
    told = process.invoke(b'"go"')
    if expected.error_type is not None:
        _is_error(told, "error", expected.error_type)
    else:
        assert (told.kind, told.headers["content-type"], told.body) == ("response", expected.content_type, expected.content)
    assert process.invoke(b'"go"').kind == told.kind


def _huge(process: RuntimeProcess, _: object) -> None:
    told = process.invoke(b'"fail"')
    assert (told.kind, int(told.headers["content-length"])) == ("response", 6_291_602)
    assert _answer(process, "go") == "xxxx"


def _long_error(process: RuntimeProcess, _: object) -> None:
    told = process.invoke(b"200000")
    assert json.loads(told.body)["errorMessage"] == "x" * 200_000
    told = process.invoke(b"7000000")
    assert told.kind == "error"
    assert told.body == b"" or len(told.body) <= _MEGABYTES, "it was too long, or the client has made it shorter"
    assert _answer(process, 0) == "fine"


def _bad_event(process: RuntimeProcess, error_type: str) -> None:
    _is_error(process.invoke(b'{"not": json'), "error", error_type)
    assert process.invoke(b'"\xff\xed\xa0\x80"').kind in ("error", "response"), "letters that are none"
    assert _answer(process, "go") == "go"


def _recursion(process: RuntimeProcess, expected: tuple[str | None, int | None]) -> None:
    error_type, status = expected
    if error_type is None:
        process.api.give(b'"fail"')
    else:
        _is_error(process.invoke(b'"fail"'), "error", error_type)
    if status is None:
        assert _answer(process, "go") == "fine"
    else:
        assert process.wait() == status


def _late(process: RuntimeProcess, status: int | None) -> None:
    assert _answer(process, "fail") == "fine"
    process.wait_for_log("too late")
    if status is None:
        assert _answer(process, "go") == "fine"
    else:
        assert process.wait() == status
    assert process.api.told.empty()


def _cannot_run(process: RuntimeProcess, expected: Refusal) -> None:
    told = process.invoke()
    error_type = told.headers["lambda-runtime-function-error-type"]
    assert error_type
    body = {"errorType": error_type, "errorMessage": told.body.decode()}  # of what starts a runtime, and cannot
    if told.headers["content-type"] == "application/json":
        body = json.loads(told.body)
    assert (told.kind, body.get("errorType")) == (expected.kind, expected.error_type), told
    assert re.search(expected.message, body["errorMessage"], re.DOTALL), body
    if told.kind == "init/error":
        assert process.wait() != 0


def _import_hangs(process: RuntimeProcess, _: object) -> None:
    process.wait_for_log("begun")
    assert process.is_alive()
    assert process.api.told.empty() and process.api.asked.empty()


def _hangs(process: RuntimeProcess, _: object) -> None:
    process.api.give(b"{}")
    process.wait_for_log("begun")
    assert process.is_alive()
    assert process.api.told.empty()


def _exit_at_import(process: RuntimeProcess, _: object) -> None:
    assert process.wait() == 3
    assert process.api.told.empty()


def _exit(process: RuntimeProcess, _: object) -> None:
    process.api.give(b"{}")
    assert process.wait() == 3
    assert process.api.told.empty()


def _log(process: RuntimeProcess, _: object) -> None:
    process.invoke()
    line = next(line for line in process.ended_log().split("\n") if "one" in line)
    assert "two 3" in line, "a message of several lines is one entry"
    assert REQUEST_ID in line
    assert "INFO" in line.upper()


def _many_lines(process: RuntimeProcess, _: object) -> None:
    assert _answer(process, LINES) == "fine"
    numbers = re.findall(r"line (\d+)\n", process.ended_log())
    assert numbers == [str(number) for number in range(LINES)]


def _error_log(process: RuntimeProcess, error_type: str) -> None:
    process.invoke(b'"fail"')
    log = process.ended_log()
    assert "broken: ä" in log
    assert error_type in log


def _json_log(process: RuntimeProcess, _: object) -> None:
    process.invoke()
    entries = [json.loads(line) for line in process.ended_log().split("\n") if line.startswith("{")]
    assert [(entry["level"].upper().replace("WARNING", "WARN"), entry["message"]) for entry in entries] == [("WARN", "this")]
    assert entries[0].get("requestId", entries[0].get("AWSRequestId")) == REQUEST_ID  # AWS's name for it in Java
    assert entries[0]["timestamp"].endswith("Z")


def _wrapper(process: RuntimeProcess, is_honoured: bool) -> None:
    assert _answer(process, {}) == ("yes" if is_honoured else None)


def _no_wrapper(process: RuntimeProcess, is_honoured: bool) -> None:
    if is_honoured:
        assert process.wait() == 127
        assert process.api.told.empty()
    else:
        assert _answer(process, {}) is None


def _stream(process: RuntimeProcess, error_type: str | None) -> None:
    told = process.invoke(b'"go"')
    assert (told.kind, told.body) == ("response", b"one two")
    assert told.headers["lambda-runtime-function-response-mode"] == "streaming"
    assert "lambda-runtime-function-error-type" not in told.headers
    if error_type is None:
        return
    told = process.invoke(b'"fail"')
    assert told.body == b"one "
    assert told.headers["lambda-runtime-function-error-type"]
    error = json.loads(base64.b64decode(told.headers["lambda-runtime-function-error-body"]))
    assert (error["errorType"], error["errorMessage"]) == (error_type, "broken: ä")
    assert process.invoke(b'"go"').body == b"one two"


def _is_error(told: Told, kind: str, error_type: str) -> None:
    assert told.kind == kind, told
    assert json.loads(told.body)["errorType"] == error_type
    assert told.headers["lambda-runtime-function-error-type"]


def _answer(process: RuntimeProcess, event: Any) -> Any:
    told = process.invoke(json.dumps(event).encode())
    assert told.kind == "response", told.body
    return json.loads(told.body)


def _foreign_program() -> bytes:
    """The head of an ELF file for a processor that this machine has not: a library or a program, as one takes it."""
    other = {"x86_64": 183, "aarch64": 62}.get(platform.machine(), 183)
    return struct.pack("<4s5B7xHHIQQQIHHHHHH", b"\x7fELF", 2, 1, 1, 0, 0, 3, other, 1, 0, 64, 0, 0, 64, 56, 0, 64, 0, 0)


JSON_LOGS = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}
_WRAPPER = b'#!/bin/sh\nexport WRAPPED=yes\nexec "$@"\n'
_WRAPPED = {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrapper"}
_NATIVE = {name: _foreign_program() for name in ("native.so", "native.node")}

CASES = (
    Case("echo", "an event comes in, and a result goes out, as JSON", _echo),
    Case("letters", "letters of every kind come through, escaped or in UTF-8 as on AWS", _letters, function="echo"),
    Case("numbers", "numbers keep the digits that the language has for them", _numbers, function="echo"),
    Case("big_event", "an event of 6 MB comes in, and goes out", _big_event, function="echo"),
    Case("state", "one process answers all invocations of an environment", _state),
    Case("nothing", "a handler without a result answers null", _nothing),
    Case("context", "the context has all fields and the remaining time", _context),
    Case("client", "the client context and the identity of the caller arrive", _client),
    Case("trace", "_X_AMZN_TRACE_ID is that of the invocation", _trace),
    Case("binary", "bytes as a result are what the language makes of them, and the next invocation works", _ends_as),
    Case("surrogate", "so is a text with letters that are none", _ends_as),
    Case("fails", "an error has its type and message, and the next invocation works", _fails),
    Case("payload", "an error's payload has AWS's members in AWS's order", _payload, function="fails"),
    Case("long_error", "a message of 200 KB comes whole, one of 7 MB ends its invocation alone", _long_error),
    Case("unserializable", "a result that is no JSON is an error, and the next invocation works", _recovers),
    Case("circular", "a result that holds itself is an error, and the next invocation works", _recovers),
    Case("huge", "a result beyond 6 MB is refused, and the next invocation works", _huge),
    Case("bad_event", "an event that is no JSON is an error, and the next invocation works", _bad_event, function="echo"),
    Case(
        "deep",
        "an event too deep for the language, if there is one, is an error, and the next invocation works",
        _deep,
        function="echo",
    ),
    Case(
        "recursion", "an endless recursion is an error, and where it ends the process that ends too", _recursion, is_alone=True
    ),
    Case("late", "what fails after the answer is in the log and fails no invocation", _late, is_alone=True),
    Case("stream", "an answer can be streamed; an error in the middle comes behind it", _stream, is_alone=True),
    Case("no_handler", "a handler that does not exist is an error", _cannot_run, is_alone=True),
    Case("no_class", "a class that does not exist is an error", _cannot_run, is_alone=True),
    Case("no_module", "a module that does not exist is an error", _cannot_run, is_alone=True),
    Case("malformed", "a handler's name of the wrong form is an error", _cannot_run, is_alone=True),
    Case("signature", "a handler of the wrong signature is an error", _cannot_run, is_alone=True),
    Case("syntax", "a syntax error is an error of Init", _cannot_run, is_alone=True),
    Case(
        "import_error",
        "a module that the function's wants and that is not there is an error of Init",
        _cannot_run,
        is_alone=True,
    ),
    Case(
        "wrong_architecture",
        "a native library for another processor is an error of Init",
        _cannot_run,
        is_alone=True,
        files=_NATIVE,
    ),
    Case("import_fails", "an exception while the code loads is an error of Init", _cannot_run, is_alone=True),
    Case("import_hangs", "code that never has loaded keeps the runtime from asking for work", _import_hangs, is_alone=True),
    Case("exit_at_import", "an exit while the code loads ends the runtime with that status", _exit_at_import, is_alone=True),
    Case("exit", "an exit in the handler ends the runtime with that status", _exit, is_alone=True),
    Case("hang", "a handler that never returns has no answer, and goes on", _hangs, is_alone=True),
    Case("log", "a log entry of several lines is one, with level and request id", _log, is_alone=True),
    Case("many_lines", f"{LINES} lines are in the log, in their order", _many_lines, is_alone=True),
    Case("error_log", "an error is in the log", _error_log, is_alone=True, function="fails"),
    Case(
        "json_log",
        "with LogFormat JSON entries are objects, and the level is a filter",
        _json_log,
        is_alone=True,
        environment=JSON_LOGS,
    ),
    Case(
        "wrapper",
        "AWS_LAMBDA_EXEC_WRAPPER starts the runtimes that honour it",
        _wrapper,
        is_alone=True,
        environment=_WRAPPED,
        files={"wrapper": _WRAPPER},
    ),
    Case(
        "no_wrapper",
        "without the wrapper that it names they end as a shell does",
        _no_wrapper,
        is_alone=True,
        function="wrapper",
        environment=_WRAPPED,
    ),
)
