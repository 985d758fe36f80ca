"""Extensions in shell, Python and Go, written as AWS's samples and as vendors write them, beside a Python function."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from support.extensions import create_extended, layer, lines, wait_for_line
from support.go import built
from support.processes import command_line, descendants
from support.server import Server, wait_until

pytestmark = pytest.mark.root

#: As the shell sample of AWS's extensions repository goes about it.
SHELL = r"""#!/bin/bash
set -euo pipefail
api="http://$AWS_LAMBDA_RUNTIME_API/2020-01-01/extension"
name=$(basename "$0")
headers=$(mktemp)
trap 'echo "$name: got TERM"; exit 0' TERM
curl -sS -o /dev/null -D "$headers" -H "Lambda-Extension-Name: $name" -d '{"events": ["INVOKE", "SHUTDOWN"]}' "$api/register"
id=$(grep -i '^lambda-extension-identifier:' "$headers" | tr -d '[:space:]' | cut -d: -f2)
while true; do
    event=$(curl -sS -H "Lambda-Extension-Identifier: $id" "$api/event/next")
    echo "$name: $event"
    if [[ "$event" == *SHUTDOWN* ]]; then exit 0; fi
done
"""

PYTHON = """#!/usr/bin/python3
import http.client, json, os, sys, threading, time
name = os.path.basename(__file__)
def call(method, path, headers, body=None):
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.request(method, "/2020-01-01/extension/" + path, body, headers)
    answer = connection.getresponse()
    return answer, answer.read()
answer, body = call("POST", "register", {"Lambda-Extension-Name": name, "Lambda-Extension-Accept-Feature": "accountId"},
                    json.dumps({"events": ["INVOKE", "SHUTDOWN"]}))
assert answer.status == 200, body
print(name, "registered for", json.loads(body)["functionName"], json.loads(body)["accountId"], flush=True)
print(name, "sees", sorted(key for key in os.environ if "LAMBDA" in key), flush=True)
identity = {"Lambda-Extension-Identifier": answer.headers["Lambda-Extension-Identifier"]}
while True:
    _, body = call("GET", "event/next", identity)
    event = json.loads(body)
    print(name, event["eventType"], event.get("requestId") or event["shutdownReason"], flush=True)
    time.sleep(float(os.environ.get("AFTER", "0")))
    if event["eventType"] == "SHUTDOWN":
        sys.exit(0)
"""

#: One binary without libc, as agents of observability vendors are.
GO = """package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
)

func main() {
	name := filepath.Base(os.Args[0])
	api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2020-01-01/extension/"
	request, _ := http.NewRequest("POST", api+"register", bytes.NewBufferString(`{"events":["INVOKE","SHUTDOWN"]}`))
	request.Header.Set("Lambda-Extension-Name", name)
	answer, err := http.DefaultClient.Do(request)
	if err != nil || answer.StatusCode != 200 {
		fmt.Println("cannot register", err)
		os.Exit(1)
	}
	id := answer.Header.Get("Lambda-Extension-Identifier")
	for {
		request, _ = http.NewRequest("GET", api+"event/next", nil)
		request.Header.Set("Lambda-Extension-Identifier", id)
		answer, err = http.DefaultClient.Do(request)
		if err != nil {
			os.Exit(2)
		}
		body, _ := io.ReadAll(answer.Body)
		var event struct{ EventType, RequestId, ShutdownReason string }
		json.Unmarshal(body, &event)
		fmt.Println(name, event.EventType, event.RequestId, event.ShutdownReason)
		if event.EventType == "SHUTDOWN" {
			return
		}
	}
}
"""

FUNCTION = """
import os, sys, time
def handler(event, context):
    if event == "crash":
        os._exit(1)
    if event == "sleep":
        time.sleep(30)
    return context.aws_request_id
"""


#: A telemetry extension as AWS's samples are: a server of its own, a subscription, and what it hears kept for later.
TELEMETRY = """#!/usr/bin/python3
import http.client, http.server, json, os, threading
heard = []
class Receiver(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        heard.extend(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *words): pass
server = http.server.ThreadingHTTPServer(("sandbox.localdomain", 8080), Receiver)
threading.Thread(target=server.serve_forever, daemon=True).start()
def call(method, path, headers, body=None):
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    return answer, answer.read()
answer, _ = call("POST", "/2020-01-01/extension/register", {"Lambda-Extension-Name": os.path.basename(__file__)},
                 json.dumps({"events": ["INVOKE", "SHUTDOWN"]}))
identity = {"Lambda-Extension-Identifier": answer.headers["Lambda-Extension-Identifier"]}
wish = {"schemaVersion": "2022-12-13", "types": ["platform", "function"], "buffering": {"timeoutMs": 25},
        "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:8080"}}
answer, body = call("PUT", "/2022-07-01/telemetry", identity, json.dumps(wish))
assert (answer.status, body) == (200, b'"OK"'), body
while True:
    _, body = call("GET", "/2020-01-01/extension/event/next", identity)
    if json.loads(body)["eventType"] == "SHUTDOWN":
        print("HEARD " + json.dumps(heard), flush=True)
        break
"""


@pytest.fixture(scope="module")
def go_extension(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return built(GO, tmp_path_factory.mktemp("go"))


def test_a_shell_extension_hears_of_every_invocation(server: Server) -> None:
    """It is told of each invocation with AWS's event, and its lines are in the function's log beside the function's own."""
    if shutil.which("curl", path="/usr/bin:/bin") is None:
        pytest.skip("needs curl in /usr/bin")
    create_extended(server, "with-shell", FUNCTION, {"shell-logger": SHELL})
    ids = [server.invoke_again("with-shell") for _ in range(3)]
    for request_id in ids:
        wait_for_line(server, "with-shell", f'"requestId":"{request_id}"')
    said = lines(server, "with-shell")
    assert "EXTENSION\tName: shell-logger\tState: Ready\tEvents: [INVOKE, SHUTDOWN]" in said
    events = [json.loads(line.split(": ", 1)[1]) for line in said if line.startswith("shell-logger: {")]
    assert [event["requestId"] for event in events] == ids
    assert all(event["invokedFunctionArn"].endswith(":function:with-shell") for event in events)
    server.client("lambda").delete_function(FunctionName="with-shell")
    wait_for_line(server, "with-shell", '"shutdownReason":"spindown"')


def test_three_languages_at_once(server: Server, go_extension: bytes) -> None:
    """Extensions of a layer all start before the function, and all are told of its end."""
    create_extended(server, "with-three", FUNCTION, {"a-python": PYTHON, "b-go": go_extension, "c-shell": SHELL})
    request_id = server.invoke("with-three")
    for text in (f"a-python INVOKE {request_id}", f"b-go INVOKE {request_id}", 'c-shell: {"eventType":"INVOKE"'):
        wait_for_line(server, "with-three", text)
    assert any("a-python registered for with-three 000000000000" in line for line in lines(server, "with-three"))
    server.client("lambda").delete_function(FunctionName="with-three")
    for text in ("a-python SHUTDOWN spindown", "b-go SHUTDOWN  spindown", '"shutdownReason":"spindown"'):
        wait_for_line(server, "with-three", text)


def test_an_extensions_environment_lacks_what_is_the_runtimes(server: Server) -> None:
    """As on AWS: names with an underscore first and the runtime's own folders and log names are not there."""
    create_extended(server, "with-view", FUNCTION, {"view": PYTHON})
    server.invoke("with-view")
    wait_for_line(server, "with-view", "view sees")
    seen = next(line for line in lines(server, "with-view") if "view sees" in line)
    assert "'AWS_LAMBDA_RUNTIME_API'" in seen and "'AWS_LAMBDA_FUNCTION_NAME'" in seen
    for name in ("LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR", "AWS_LAMBDA_LOG_GROUP_NAME", "_HANDLER"):
        assert f"'{name}'" not in seen


def test_the_caller_does_not_wait_for_extensions(server: Server) -> None:
    """The answer comes when the function has given it; the environment is free when its extensions are done, too."""
    create_extended(server, "with-slow", FUNCTION, {"slow": PYTHON}, Environment={"Variables": {"AFTER": "1"}})
    answer = server.client("lambda").invoke(FunctionName="with-slow", Payload=b"1", LogType="Tail")
    duration = float(_report(server, "with-slow").split("Duration: ")[1].split(" ")[0])
    assert answer["StatusCode"] == 200
    assert duration >= 1000, "an invocation lasts until its extensions have asked for the next event"


def test_a_timeout_and_a_crash_are_told_to_extensions(server: Server) -> None:
    """With AWS's reasons; then the extensions are started anew with the runtime."""
    create_extended(server, "with-trouble", FUNCTION, {"witness": PYTHON}, Timeout=4)
    lambda_ = server.client("lambda")
    assert b"Runtime.ExitError" in lambda_.invoke(FunctionName="with-trouble", Payload=b'"crash"')["Payload"].read()
    wait_for_line(server, "with-trouble", "witness SHUTDOWN failure")
    assert (
        b"Task timed out after 4.00 seconds"
        in lambda_.invoke(FunctionName="with-trouble", Payload=b'"sleep"')["Payload"].read()
    )
    wait_for_line(server, "with-trouble", "witness SHUTDOWN timeout")
    request_id = server.invoke("with-trouble", "fine")
    wait_for_line(server, "with-trouble", f"witness INVOKE {request_id}")
    assert sum("witness registered" in line for line in lines(server, "with-trouble")) == 3


@pytest.mark.parametrize(
    ("name", "source", "error_type", "message"),
    [
        ("exits", "#!/bin/sh\nexit 3\n", "Extension.Crash", "exit status 3"),
        ("ends", "#!/bin/sh\nexit 0\n", "Extension.Crash", "exit code 0"),
        ("dies", "#!/bin/sh\nkill -9 $$\n", "Extension.Crash", "signal: killed"),
        (
            "nothing",
            "#!/no/such/program\n",
            "Extension.LaunchError",
            "fork/exec /opt/extensions/nothing: no such file or directory",
        ),
        (
            "gives-up",
            PYTHON.split("while True")[0] + 'identity["Lambda-Extension-Function-Error-Type"] = "Extension.NoLicence"\n'
            'call("POST", "init/error", identity)\ntime.sleep(60)\n',
            "Extension.InitError",
            "Extension.NoLicence",
        ),
    ],
)
def test_an_extension_that_fails_fails_the_invocation(
    server: Server, name: str, source: str, error_type: str, message: str
) -> None:
    """Init fails with AWS's error type, inside the invocation too, and nothing is left behind."""
    create_extended(server, f"ext-{name}", FUNCTION, {name: source})
    answer = server.client("lambda").invoke(FunctionName=f"ext-{name}", Payload=b"1")
    assert answer["FunctionError"] == "Unhandled"
    error = json.loads(answer["Payload"].read())
    assert (error["errorType"], error["errorMessage"].partition(" Error: ")[2]) == (error_type, message)
    reports = [line for line in lines(server, f"ext-{name}") if line.startswith("INIT_REPORT")]
    assert [line.split("\t")[1] for line in reports] == ["Phase: init", "Phase: invoke"]
    assert all(line.endswith(f"Status: error\tError Type: {error_type}") for line in reports)


def test_an_extension_deaf_to_shutdown_is_killed(server: Server, tmp_path: Path) -> None:
    """After its two seconds."""
    deaf = PYTHON.replace("    if event[", "    while event['eventType'] == 'SHUTDOWN': time.sleep(1)\n    if event[")
    create_extended(server, "with-deaf", FUNCTION, {"deaf": deaf})
    server.invoke("with-deaf")
    server.client("lambda").delete_function(FunctionName="with-deaf")
    wait_for_line(server, "with-deaf", "deaf SHUTDOWN spindown")
    wait_until(lambda: not _runs(server, "/opt/extensions/deaf"), 15, "the deaf extension to be killed")


def test_telemetry_is_delivered(server: Server) -> None:
    """A subscriber hears of Init from its start, of every invocation, and of every line, in AWS's shapes and in order."""
    source = FUNCTION.replace("    if event ==", "    print('said', event, flush=True)\n    if event ==", 1)
    arn = layer(server, "telemetry", {"extensions/listener": TELEMETRY})
    for attempt in range(3):
        name = f"with-telemetry-{attempt}"
        server.create_function(name, source, Layers=[arn], MemorySize=512, Timeout=10)
        ids = [server.invoke_again(name, number) for number in range(2)]
        server.client("lambda").delete_function(FunctionName=name)
        wait_for_line(server, name, "HEARD ")
        said = lines(server, name)
        heard = json.loads(next(line for line in said if line.startswith("HEARD ")).removeprefix("HEARD "))
        if heard[0]["record"]["phase"] == "init":
            break  # else the machine was too busy for AWS's ten seconds, and Init was run again by the invocation
    assert "TELEMETRY\tName: listener\tState: Subscribed\tTypes: [platform, function]" in said
    kinds = [event["type"] for event in heard]
    assert kinds[:2] == ["platform.initStart", "platform.telemetrySubscription"]
    assert kinds[2:5] == ["platform.extension", "platform.initRuntimeDone", "platform.initReport"]
    assert kinds[5:] == ["platform.start", "function", "platform.runtimeDone", "platform.report"] * 2
    records = {
        (event["type"], event["record"].get("requestId")): event["record"] for event in heard if event["type"] != "function"
    }
    assert records["platform.initStart", None]["functionName"] == name
    for request_id in ids:
        assert records["platform.runtimeDone", request_id]["status"] == "success"
        metrics = records["platform.report", request_id]["metrics"]
        assert metrics["memorySizeMB"] == 512
        assert ("initDurationMs" in metrics) == (request_id == ids[0])
    assert [event["record"] for event in heard if event["type"] == "function"] == ["said 0", "said 1"]


def _runs(server: Server, command: str) -> bool:
    return any(command in command_line(pid) for pid in descendants(server.process.pid))


def _report(server: Server, name: str) -> str:
    wait_for_line(server, name, "REPORT")
    return next(line for line in lines(server, name) if line.startswith("REPORT"))
