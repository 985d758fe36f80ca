"""Node.js functions in a real server: what the clients' own suite cannot show."""

from __future__ import annotations

import http.client
import json
import shutil
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.server import ROLE, Server, zipped

pytestmark = [pytest.mark.root, pytest.mark.runtime("nodejs20.x")]

SOURCE = """
exports.hello = async (event, context) => {
  if (event === 'sleep') await new Promise((done) => setTimeout(done, 60000));
  console.log('hello\\nthere');
  return [process.env.AWS_EXECUTION_ENV, process.env.WRAPPED || null, require('shared'), process.cwd(), process.pid > 1];
};
exports.stream = awslambda.streamifyResponse(async (event, stream, context) => {
  if (event === 'early') throw new RangeError('before the first byte');
  stream.setContentType('text/plain');
  stream.write('one,');
  if (event === 'late') throw new RangeError('too late');
  for (let i = 0; i < 3; i++) stream.write(`${i},`.repeat(20000));
  stream.end('end');
});
exports.url = awslambda.streamifyResponse(async (event, stream) => {
  const answer = awslambda.HttpResponseStream.from(stream, { statusCode: 418, headers: { 'X-Kind': 'pot' }, cookies: ['a=b'] });
  answer.write('<p>short and stout</p>');
  answer.end();
});
exports.unfinished = awslambda.streamifyResponse(async (event, stream) => { stream.write('x'); });
exports.notAsync = awslambda.streamifyResponse((event, stream) => { stream.end('x'); });
"""
WRAPPER = '#!/bin/sh\nexport WRAPPED=yes\nexec "$@"\n'


@pytest.fixture(autouse=True)
def needs_node(server: Server) -> None:
    if "nodejs20.x" not in server.health()["runtimes"]["available"]:
        pytest.skip("no interpreter for nodejs20.x")


def create(server: Server, name: str, handler: str, **settings: Any) -> Any:
    client = server.client("lambda")
    settings = {"Runtime": "nodejs20.x", "Timeout": 15, "MemorySize": 256, **settings}
    code = {"ZipFile": zipped({"app.js": SOURCE, "wrap": WRAPPER}, ("wrap",))}
    client.create_function(FunctionName=name, Role=ROLE, Code=code, Handler=f"app.{handler}", **settings)
    server.wait_active(name)
    return client


def streamed(client: Any, name: str, event: str) -> tuple[bytes, dict[str, Any]]:
    stream = client.invoke_with_response_stream(FunctionName=name, Payload=json.dumps(event).encode())["EventStream"]
    body, end = b"", {}
    for each in stream:
        body += each.get("PayloadChunk", {}).get("Payload", b"")
        end = each.get("InvokeComplete", end)
    return body, end


def test_a_function_with_a_layer_and_a_wrapper(server: Server) -> None:
    """A layer's modules are found, AWS_LAMBDA_EXEC_WRAPPER starts the runtime, and a timeout leaves the next invocation as
    the first."""
    client = server.client("lambda")
    layer = client.publish_layer_version(
        LayerName="node-shared",
        Content={"ZipFile": zipped({"nodejs/node_modules/shared/index.js": "module.exports = 'layer';"})},
    )["LayerVersionArn"]
    variables = {"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/var/task/wrap"}}
    create(server, "node-hello", "hello", Layers=[layer], Environment=variables, Timeout=4)
    expected = ["AWS_Lambda_nodejs20.x", "yes", "layer", "/var/task", True]
    assert server.invoke("node-hello", 1) == expected
    answer = client.invoke(FunctionName="node-hello", Payload=b'"sleep"')
    assert "Task timed out after 4.00 seconds" in json.loads(answer["Payload"].read())["errorMessage"]
    assert server.invoke("node-hello", 2) == expected
    messages = server.messages("/aws/lambda/node-hello")
    assert any("\tINFO\thello\nthere" in message for message in messages), "a message of two lines is one event"


def test_an_answer_can_be_streamed(server: Server) -> None:
    """Whole; with an error before the first byte; with one after it; and the environment goes on."""
    client = create(server, "node-stream", "stream")
    whole = "one," + "".join(f"{number}," * 20000 for number in range(3)) + "end"
    for event, body, error in (
        ("go", whole, None),
        ("late", "one,", "RangeError"),
        ("early", None, "RangeError"),
        ("go", whole, None),
    ):
        seen, end = streamed(client, "node-stream", event)
        assert body is None or seen.decode() == body
        assert (end.get("ErrorCode") is None) == (error is None), end
        if error is not None:
            assert error in end["ErrorCode"] + end.get("ErrorDetails", "") + seen.decode()


@pytest.mark.parametrize("handler, reason", [("unfinished", "not finished"), ("notAsync", "non-async")])
def test_a_stream_that_is_misused_is_an_error(server: Server, handler: str, reason: str) -> None:
    """Not ended, or from a handler that is not asynchronous."""
    client = create(server, f"node-{handler.lower()}", handler)
    seen, end = streamed(client, f"node-{handler.lower()}", "go")
    assert reason in end.get("ErrorDetails", "") + seen.decode(), end


def test_a_stream_can_have_a_status_and_headers(server: Server) -> None:
    """What HttpResponseStream.from is given is what a function URL answers with."""
    client = create(server, "node-url", "url")
    settings = {"AuthType": "NONE", "InvokeMode": "RESPONSE_STREAM"}
    host = urlsplit(client.create_function_url_config(FunctionName="node-url", **settings)["FunctionUrl"]).netloc
    everybody = {"FunctionName": "node-url", "Principal": "*"}
    public = {"Action": "lambda:InvokeFunctionUrl", "FunctionUrlAuthType": "NONE"}
    client.add_permission(**everybody, StatementId="url", **public)
    client.add_permission(**everybody, StatementId="via", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True)
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection:
        connection.request("GET", "/", headers={"Host": host})
        answer = connection.getresponse()
        assert (answer.status, answer.headers["X-Kind"], answer.headers["Set-Cookie"]) == (418, "pot", "a=b")
        assert answer.read() == b"<p>short and stout</p>"


def test_a_runtime_that_is_missing_is_refused_with_what_to_do(server: Server) -> None:
    """CreateFunction names the command that installs it."""
    missing = [name for name in ("nodejs10.x", "nodejs12.x") if name not in server.health()["runtimes"]["available"]]
    if not missing or shutil.which("npm") is None:
        pytest.skip("every Node.js is installed here" if not missing else "npm is not installed")
    client = server.client("lambda")
    with pytest.raises(client.exceptions.InvalidParameterValueException, match=f"lambdad runtime install {missing[0]}"):
        create(server, "node-missing", "hello", Runtime=missing[0])
