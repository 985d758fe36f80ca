"""AWS's own runtime interface clients as bootstraps of custom runtimes: what functions in them see, and what their callers get.

They are AWS's word on how the Runtime API behaves: awslambdaric from PyPI and aws-lambda-ric from npm, both unmodified.
"""

from __future__ import annotations

import base64
import http.client
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.interface_clients import Files, node_client, python_client
from support.server import ROLE, Server, zipped

pytestmark = [pytest.mark.root, pytest.mark.slow]

PYTHON = """
import os, time
calls = 0
def handler(event, context):
    global calls
    calls += 1
    how = event.get("how") if isinstance(event, dict) else None
    if how == "context":
        client = context.client_context
        return {
            "requestId": context.aws_request_id, "arn": context.invoked_function_arn, "name": context.function_name,
            "version": context.function_version, "memory": context.memory_limit_in_mb, "group": context.log_group_name,
            "stream": context.log_stream_name, "left": context.get_remaining_time_in_millis(),
            "custom": client and client.custom, "trace": os.environ.get("_X_AMZN_TRACE_ID"),
        }
    if how == "fail":
        raise ValueError("as asked")
    if how == "exit":
        os._exit(7)
    if how == "sleep":
        time.sleep(60)
    if how == "print":
        print("one line\\nand another")
    if how == "unserialisable":
        return object()
    return {"event": event, "calls": calls}
"""
NODE = """
let calls = 0;
exports.handler = async (event, context) => {
  calls += 1;
  const how = event && event.how;
  if (how === 'context') {
    return {
      requestId: context.awsRequestId, arn: context.invokedFunctionArn, name: context.functionName,
      version: context.functionVersion, memory: context.memoryLimitInMB, group: context.logGroupName,
      stream: context.logStreamName, left: context.getRemainingTimeInMillis(),
      custom: context.clientContext ? context.clientContext.custom : null, trace: process.env._X_AMZN_TRACE_ID,
    };
  }
  if (how === 'fail') throw new RangeError('as asked');
  if (how === 'exit') process.exit(7);
  if (how === 'sleep') await new Promise(() => setInterval(() => {}, 1000));
  if (how === 'print') console.log('one line\\nand another');
  if (how === 'unserialisable') { const circle = {}; circle.self = circle; return circle; }
  return {event, calls};
};
exports.streaming = awslambda.streamifyResponse(async (event, stream, context) => {
  if (event.rawPath) {
    stream = awslambda.HttpResponseStream.from(stream, {
      statusCode: 201, headers: {'x-colour': 'red', 'content-type': 'text/x'}, cookies: ['a=1', 'b=2'],
    });
    event = {pieces: Number(event.rawPath.slice(1)), how: event.rawQueryString};
  } else {
    stream.setContentType('text/plain');
  }
  for (let number = 0; number < event.pieces; number++) {
    stream.write(`piece ${number}\\n`);
    if (event.how === 'fail' && number === 2) throw new RangeError('in the middle');
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  stream.end();
});
"""


@dataclass(frozen=True)
class Client:
    """What differs between the two languages."""

    language: str
    files: Callable[[], Files]
    module: str  #: file name of the function's code
    source: str
    broken: str  #: source that cannot be loaded
    broken_type: str
    missing_type: str  #: of a module that is not there
    error_type: str
    unserialisable_type: str


CLIENTS = [
    Client(
        *("python", python_client, "app.py", PYTHON, "def handler(:\n"),
        *("Runtime.UserCodeSyntaxError", "Runtime.ImportModuleError", "ValueError", "Runtime.MarshalError"),
    ),
    Client(
        *("node", node_client, "app.js", NODE, "exports.handler = (;\n"),
        *("Runtime.UserCodeSyntaxError", "Runtime.ImportModuleError", "RangeError", "Error"),
    ),
]


@pytest.fixture(scope="module", params=CLIENTS, ids=lambda client: client.language)
def client(request: pytest.FixtureRequest) -> Client:
    request.param.files()  # or skipped
    return request.param


@pytest.fixture(scope="module")
def name(server: Server, client: Client) -> str:
    return create(server, client, f"ric-{client.language}")


def create(server: Server, client: Client, name: str, source: str | None = None, **settings: Any) -> str:
    files = {**client.files(), client.module: client.source if source is None else source}
    settings = {"Handler": "app.handler", "Timeout": 5, "MemorySize": 512, **settings}
    code = {"ZipFile": zipped(files, ("bootstrap",))}
    server.client("lambda").create_function(FunctionName=name, Role=ROLE, Runtime="provided.al2023", Code=code, **settings)
    server.wait_active(name)
    return name


@pytest.mark.parametrize(
    "event", ["grüße", {"k": [1, None, 2.5]}, None, "x" * 3_000_000], ids=["text", "object", "null", "3-mb"]
)
def test_what_goes_in_comes_out(server: Server, name: str, event: Any) -> None:
    """Any JSON, large ones too."""
    assert server.invoke(name, event)["event"] == event


def test_environments_are_used_again(server: Server, name: str) -> None:
    """One process serves one call after the other, also after one that failed."""
    first = server.invoke_again(name)["calls"]
    server.fail_again(name, {"how": "fail"})
    assert server.invoke_again(name)["calls"] == first + 2


def test_the_context_is_true(server: Server, name: str) -> None:
    """Every field that the client fills from the Runtime API's headers and the environment."""
    custom = base64.b64encode(json.dumps({"custom": {"k": "v"}}).encode()).decode()
    answer = server.client("lambda").invoke(FunctionName=name, Payload=b'{"how": "context"}', ClientContext=custom)
    seen = json.loads(answer["Payload"].read())
    assert seen["requestId"] == answer["ResponseMetadata"]["RequestId"]
    assert seen["arn"] == f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    assert (seen["name"], seen["version"], str(seen["memory"])) == (name, "$LATEST", "512")
    assert seen["group"] == f"/aws/lambda/{name}"
    assert "[$LATEST]" in seen["stream"]
    assert 0 < seen["left"] <= 5000
    assert seen["custom"] == {"k": "v"}
    assert seen["trace"].startswith("Root=")


def test_an_error_of_the_function_is_told_as_it_is(server: Server, client: Client, name: str) -> None:
    """With its type, its message and its trace."""
    error = server.failure(name, {"how": "fail"})
    assert (error["errorType"], error["errorMessage"]) == (client.error_type, "as asked")
    assert error.get("stackTrace") or error.get("trace")


def test_a_result_that_is_no_json_is_an_error(server: Server, client: Client, name: str) -> None:
    """The client's own words for it, and the environment goes on."""
    calls = server.invoke_again(name)["calls"]
    assert server.fail_again(name, {"how": "unserialisable"})["errorType"] == client.unserialisable_type
    assert server.invoke_again(name)["calls"] == calls + 2


def test_a_process_that_ends_and_a_call_that_takes_too_long(server: Server, name: str) -> None:
    """Both are told in AWS's words; then the client is started again in the same environment."""
    error = server.failure(name, {"how": "exit"})
    assert error["errorType"] == "Runtime.ExitError"
    assert error["errorMessage"].endswith("Error: Runtime exited with error: exit status 7")
    assert server.invoke(name)["calls"] == 1
    error = server.failure(name, {"how": "sleep"})
    assert error["errorType"] == "Sandbox.Timedout"
    assert error["errorMessage"].endswith("Task timed out after 5.00 seconds")
    assert server.invoke(name)["calls"] == 1


def test_what_it_prints_is_in_the_log(server: Server, client: Client, name: str) -> None:
    """Between START and END of its invocation, line by line."""
    answer = server.client("lambda").invoke(FunctionName=name, Payload=b'{"how": "print"}', LogType="Tail")
    request_id = answer["ResponseMetadata"]["RequestId"]
    tail = base64.b64decode(answer["LogResult"]).decode()
    said = tail.partition(f"START RequestId: {request_id} Version: $LATEST\n")[2].partition(f"END RequestId: {request_id}\n")[0]
    assert "one line" in said
    assert said.endswith("and another\n")


@pytest.mark.parametrize("how", ["broken", "missing"])
def test_code_that_cannot_be_loaded_is_told_at_every_call(server: Server, client: Client, how: str) -> None:
    """The client's own error from init/error; Init is tried once more inside the call, and both attempts are in the log."""
    name = f"ric-{client.language}-{how}"
    if how == "broken":
        create(server, client, name, client.broken)
    else:
        create(server, client, name, Handler="nowhere.handler")
    expected = client.broken_type if how == "broken" else client.missing_type
    for _ in range(2):
        assert server.failure(name)["errorType"] == expected
        server.wait_for_rest()
    reports = [line.split("\t") for line in server.messages(f"/aws/lambda/{name}") if line.startswith("INIT_REPORT")]
    assert [line[1] for line in reports] == ["Phase: init", "Phase: invoke", "Phase: invoke"]
    assert {line[2].strip() for line in reports} == {"Status: error"}


@pytest.fixture(scope="module")
def streaming(server: Server) -> str:
    client = next(client for client in CLIENTS if client.language == "node")
    return create(server, client, "ric-node-streaming", Handler="app.streaming")


def test_a_streamed_response_is_whole_for_a_caller_who_wants_no_stream(server: Server, streaming: str) -> None:
    """What the function wrote piece by piece is the payload of Invoke, byte for byte, one call after the other."""
    for pieces in (1, 20):
        answer = server.client("lambda").invoke(
            FunctionName=streaming, Payload=json.dumps({"how": "plain", "pieces": pieces}).encode()
        )
        assert "FunctionError" not in answer
        assert answer["Payload"].read() == b"".join(b"piece %d\n" % number for number in range(pieces))


def test_a_url_gives_what_awss_client_streams_as_http(server: Server, streaming: str) -> None:
    """`awslambda.HttpResponseStream.from` decides the head; an error in the middle cuts the answer off."""
    lambda_ = server.client("lambda")
    made = lambda_.create_function_url_config(FunctionName=streaming, AuthType="NONE", InvokeMode="RESPONSE_STREAM")
    everybody = {"FunctionName": streaming, "Principal": "*"}
    lambda_.add_permission(**everybody, StatementId="a", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE")
    lambda_.add_permission(**everybody, StatementId="b", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True)

    def ask(target: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("GET", target, headers={"Host": urlsplit(made["FunctionUrl"]).netloc, "Connection": "close"})
        return connection.getresponse()

    with ask("/20") as answer:
        assert (answer.status, answer.headers["X-Colour"], answer.headers["Content-Type"]) == (201, "red", "text/x")
        assert answer.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
        assert answer.read() == b"".join(b"piece %d\n" % number for number in range(20))
    with ask("/20?fail") as answer, pytest.raises(http.client.IncompleteRead) as cut:
        assert answer.status == 201
        answer.read()
    assert cut.value.partial == b"piece 0\npiece 1\npiece 2\n"


def test_a_streamed_response_comes_in_pieces_for_a_caller_who_wants_a_stream(server: Server, streaming: str) -> None:
    """Pieces, the function's own content type, and at the end nothing or the error that the client puts into trailers."""

    def invoked(**event: Any) -> tuple[str, bytes, dict[str, Any]]:
        payload = json.dumps(event).encode()
        answer = server.client("lambda").invoke_with_response_stream(FunctionName=streaming, Payload=payload)
        *chunks, end = list(answer["EventStream"])
        written = b"".join(chunk["PayloadChunk"]["Payload"] for chunk in chunks)
        return answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-remapped-content-type"], written, end["InvokeComplete"]

    pieces = [b"piece %d\n" % number for number in range(5)]
    assert invoked(how="plain", pieces=5) == ("text/plain", b"".join(pieces), {})
    content_type, written, end = invoked(how="fail", pieces=5)
    assert (content_type, written) == ("text/plain", b"".join(pieces[:3]))
    error = json.loads(end["ErrorDetails"])
    assert (end["ErrorCode"], error["errorMessage"]) == ("RangeError", "in the middle")
