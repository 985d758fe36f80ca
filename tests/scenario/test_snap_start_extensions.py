"""Extensions beside a function with SnapStart: started in every environment, with the events that they get on AWS."""

from __future__ import annotations

import json
import platform
from typing import Any

import pytest

from support.server import Server, wait_until, zipped

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="snapshots are made on x86_64 only"),
]

#: Prints its events, and what the Telemetry API tells it: one JSON document a line.
EXTENSION = """#!/usr/bin/python3
import http.client, http.server, json, os, threading
name = os.path.basename(__file__)
class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        for event in json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
            print("told " + json.dumps(event), flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *words):
        pass
server = http.server.ThreadingHTTPServer(("sandbox.localdomain", 4250), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
def call(method, path, headers, body=None):
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.request(method, path, body and json.dumps(body), headers)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == 200, body
    return answer.headers, body
headers, _ = call("POST", "/2020-01-01/extension/register", {"Lambda-Extension-Name": name}, {"events": ["INVOKE", "SHUTDOWN"]})
identity = {"Lambda-Extension-Identifier": headers["Lambda-Extension-Identifier"]}
call("PUT", "/2022-07-01/telemetry", identity, {
    "schemaVersion": "2022-12-13", "types": ["platform"], "buffering": {"timeoutMs": 25, "maxItems": 1000, "maxBytes": 262144},
    "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:4250"}})
while True:
    event = json.loads(call("GET", "/2020-01-01/extension/event/next", identity)[1])
    print("event " + json.dumps(event), flush=True)
    if event["eventType"] == "SHUTDOWN":
        break
"""

FUNCTION = """
import secrets
initialised = secrets.token_hex(8)
def handler(event, context):
    return [initialised, context.aws_request_id]
"""

#: As a library inside the function's process does it: register in Init, and ask for events in a thread.
INTERNAL = """
import http.client, json, os, threading
connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
wanted = json.dumps({"events": ["INVOKE"]})
connection.request("POST", "/2020-01-01/extension/register", wanted, {"Lambda-Extension-Name": "in"})
answer = connection.getresponse()
answer.read()
identity = {"Lambda-Extension-Identifier": answer.headers["Lambda-Extension-Identifier"]}
def serve():
    while True:
        connection.request("GET", "/2020-01-01/extension/event/next", headers=identity)
        connection.getresponse().read()
threading.Thread(target=serve, daemon=True).start()
def handler(event, context):
    return 1
"""

CRASHING = "#!/bin/bash\nexit 3\n"


def layer(server: Server, name: str, program: str) -> str:
    content = {f"extensions/{name}": program}
    bundle = {"ZipFile": zipped(content, executable=list(content))}
    return str(server.client("lambda").publish_layer_version(LayerName=name, Content=bundle)["LayerVersionArn"])


def publish(server: Server, name: str, source: str, **settings: Any) -> dict[str, Any]:
    """The version, when it is known what has become of it."""
    server.create_function(name, source, SnapStart={"ApplyOn": "PublishedVersions"}, MemorySize=256, **settings)
    lambda_ = server.client("lambda")
    lambda_.publish_version(FunctionName=name)

    def published() -> dict[str, Any] | None:
        version = lambda_.get_function_configuration(FunctionName=name, Qualifier="1")
        return None if version["State"] == "Pending" else version

    return wait_until(published, 60, "the version")


def lines(server: Server, name: str) -> list[str]:
    events = server.client("logs").filter_log_events(logGroupName=f"/aws/lambda/{name}")["events"]
    return [event["message"].rstrip("\n") for event in events]


def test_an_external_extension_works_beside_every_clone(server: Server) -> None:
    """It registers, hears of the restore in the shapes of the Telemetry API's schema, of each invocation, and of the end."""
    arn = layer(server, "snap-agent", EXTENSION)
    assert publish(server, "snap-extended", FUNCTION, Layers=[arn], Timeout=10)["State"] == "Active"
    lambda_ = server.client("lambda")
    results = []
    for _ in range(2):
        server.wait_for_rest()
        answer = lambda_.invoke(FunctionName="snap-extended", Qualifier="1")
        assert "FunctionError" not in answer
        results.append(json.loads(answer["Payload"].read()))
    assert results[0][0] == results[1][0]

    lambda_.delete_function(FunctionName="snap-extended", Qualifier="1")
    wait_until(lambda: any("spindown" in line for line in lines(server, "snap-extended")), 20, "its end")
    said = lines(server, "snap-extended")
    events = [json.loads(line.removeprefix("event ")) for line in said if line.startswith("event ")]
    invoked = [event["requestId"] for event in events if event["eventType"] == "INVOKE"]
    assert invoked == [request_id for _, request_id in results]
    told = [json.loads(line.removeprefix("told ")) for line in said if line.startswith("told ")]
    restored = [event for event in told if event["type"].startswith("platform.restore")]
    assert [event["type"] for event in restored] == [
        "platform.restoreStart",
        "platform.restoreRuntimeDone",
        "platform.restoreReport",
    ]
    start, done, report = [event["record"] for event in restored]
    assert (start["functionName"], start["functionVersion"]) == ("snap-extended", "1")
    assert start["runtimeVersion"].startswith("python:")
    assert start["runtimeVersionArn"].startswith("arn:aws:lambda:")
    assert done == {"status": "success"}
    assert list(report["metrics"]) == ["durationMs"]
    assert report["status"] == "success"
    begun = [event["record"] for event in told if event["type"] == "platform.initStart"]
    assert [event["initializationType"] for event in begun] == ["snap-start"]
    assert "EXTENSION\tName: snap-agent\tState: Ready\tEvents: [INVOKE, SHUTDOWN]" in said


def test_what_cannot_be_cloned_of_an_extension_is_named(server: Server) -> None:
    """One inside the function's process, and an external one that does not live to see the snapshot."""
    inside = publish(server, "snap-internal", INTERNAL)
    assert (inside["State"], inside["StateReasonCode"]) == ("Failed", "FunctionError")
    assert inside["StateReason"] == (
        "SnapStart cannot be applied: the function's init registered an internal extension, which a clone would not have."
    )
    arn = layer(server, "snap-crashing", CRASHING)
    crashed = publish(server, "snap-crashed", FUNCTION, Layers=[arn])
    assert (crashed["State"], crashed["StateReasonCode"]) == ("Failed", "FunctionError.ExtensionInitError")
    assert "exit status 3" in crashed["StateReason"]
