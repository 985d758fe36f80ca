"""What every runtime client keeps: a table of cases, each a function by name, what is sent to it, and what is to come.

The functions themselves are in `runtime_functions`, by family.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from support.runtime_api import ARN, REQUEST_ID, RuntimeProcess, Told

TRACE = "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700;Parent=9a9197af755a6419;Sampled=1"
CLIENT_CONTEXT = {"custom": {"one": "1"}, "client": {"installation_id": "i-1"}, "env": {"locale": "de"}}
IDENTITY = {"cognitoIdentityId": "us-east-1:id", "cognitoIdentityPoolId": "us-east-1:pool"}


@dataclass(frozen=True)
class Case:
    name: str
    claim: str
    check: Callable[[RuntimeProcess, str], None]  #: with the process, and the error type that is expected
    error_type: str = ""  #: where it is the same in every language
    environment: Mapping[str, str] = field(default_factory=dict)


def _echo(process: RuntimeProcess, _: str) -> None:
    for event in ({"k": [1.5, None, True, "こ"]}, "", 0, [], "x" * 100_000):
        told = process.invoke(json.dumps(event).encode())
        assert told.kind == "response"
        assert told.path.split("/")[-2] == REQUEST_ID
        assert told.headers["content-type"] == "application/json"
        assert json.loads(told.body) == event


def _state(process: RuntimeProcess, _: str) -> None:
    assert [_answer(process, number) for number in range(3)] == [[0], [0, 1], [0, 1, 2]]


def _nothing(process: RuntimeProcess, _: str) -> None:
    assert process.invoke().body == b"null"


def _context(process: RuntimeProcess, _: str) -> None:
    *fields, remaining = _answer(process, {})
    stream = "2026/11/23/[$LATEST]0123456789abcdef0123456789abcdef"
    assert fields == [REQUEST_ID, "hello", "$LATEST", ARN, 128, "/aws/lambda/hello", stream]
    assert 0 < remaining <= 30_000


def _client(process: RuntimeProcess, _: str) -> None:
    told = process.invoke(client_context=json.dumps(CLIENT_CONTEXT), cognito_identity=json.dumps(IDENTITY))
    assert json.loads(told.body) == ["us-east-1:id", "us-east-1:pool", "1", "i-1", "de"]


def _trace(process: RuntimeProcess, _: str) -> None:
    for trace in (TRACE, TRACE.replace("Sampled=1", "Sampled=0")):
        assert json.loads(process.invoke(trace_id=trace).body) == trace


def _fails(process: RuntimeProcess, error_type: str) -> None:
    assert _answer(process, "go") == "fine"
    told = process.invoke(b'"fail"')
    _is_error(told, "error", error_type)
    assert json.loads(told.body)["errorMessage"] == "broken: ä"
    assert _answer(process, "go") == "fine"


def _recovers(process: RuntimeProcess, error_type: str) -> None:
    _is_error(process.invoke(b'"fail"'), "error", error_type)
    assert _answer(process, "go") == "fine"


def _huge(process: RuntimeProcess, _: str) -> None:
    told = process.invoke(b'"fail"')
    assert (told.kind, int(told.headers["content-length"])) == ("response", 6_291_602)
    assert _answer(process, "go") == "xxxx"


def _bad_event(process: RuntimeProcess, error_type: str) -> None:
    _is_error(process.invoke(b'{"not": json'), "error", error_type)
    assert _answer(process, "go") == "fine"


def _init_error(process: RuntimeProcess, error_type: str) -> None:
    _is_error(process.api.told.get(timeout=20), "init/error", error_type)
    assert process.wait() != 0


def _exit_at_import(process: RuntimeProcess, _: str) -> None:
    assert process.wait() == 3
    assert process.api.told.empty()


def _exit(process: RuntimeProcess, _: str) -> None:
    process.api.give(b"{}")
    assert process.wait() == 3
    assert process.api.told.empty()


def _log(process: RuntimeProcess, _: str) -> None:
    process.invoke()
    line = next(line for line in process.ended_log().split("\n") if "one" in line)
    assert "two 3" in line, "a message of several lines is one entry"
    assert REQUEST_ID in line
    assert "INFO" in line


def _json_log(process: RuntimeProcess, _: str) -> None:
    process.invoke()
    entries = [json.loads(line) for line in process.ended_log().split("\n") if line.startswith("{")]
    assert [(entry["level"].upper().replace("WARNING", "WARN"), entry["message"]) for entry in entries] == [("WARN", "this")]
    assert entries[0].get("requestId", entries[0].get("AWSRequestId")) == REQUEST_ID  # AWS's name for it in Java
    assert entries[0]["timestamp"].endswith("Z")


def _is_error(told: Told, kind: str, error_type: str) -> None:
    assert told.kind == kind, told
    assert json.loads(told.body)["errorType"] == error_type
    assert told.headers["lambda-runtime-function-error-type"]


def _answer(process: RuntimeProcess, event: Any) -> Any:
    told = process.invoke(json.dumps(event).encode())
    assert told.kind == "response", told.body
    return json.loads(told.body)


JSON_LOGS = {"AWS_LAMBDA_LOG_FORMAT": "JSON", "AWS_LAMBDA_LOG_LEVEL": "INFO"}

CASES = (
    Case("echo", "an event comes in, and a result goes out, as JSON", _echo),
    Case("state", "one process answers all invocations of an environment", _state),
    Case("nothing", "a handler without a result answers null", _nothing),
    Case("context", "the context has all fields and the remaining time", _context),
    Case("client", "the client context and the identity of the caller arrive", _client),
    Case("trace", "_X_AMZN_TRACE_ID is that of the invocation", _trace),
    Case("fails", "an error has its type and message, and the next invocation works", _fails),
    Case("unserializable", "a result that is no JSON is an error, and the next invocation works", _recovers),
    Case("huge", "a result beyond 6 MB is refused, and the next invocation works", _huge),
    Case("bad_event", "an event that is no JSON is an error, and the next invocation works", _bad_event),
    Case("no_handler", "a handler that does not exist is an error of Init", _init_error, "Runtime.HandlerNotFound"),
    Case("no_module", "a module that does not exist is an error of Init", _init_error, "Runtime.ImportModuleError"),
    Case("malformed", "a handler's name of the wrong form is an error of Init", _init_error, "Runtime.MalformedHandlerName"),
    Case("syntax", "a syntax error is an error of Init", _init_error, "Runtime.UserCodeSyntaxError"),
    Case("import_fails", "an exception while the code loads is an error of Init", _init_error),
    Case("exit_at_import", "an exit while the code loads ends the runtime with that status", _exit_at_import),
    Case("exit", "an exit in the handler ends the runtime with that status", _exit),
    Case("log", "a log entry of several lines is one, with level and request id", _log),
    Case("json_log", "with LogFormat JSON entries are objects, and the level is a filter", _json_log, environment=JSON_LOGS),
)
