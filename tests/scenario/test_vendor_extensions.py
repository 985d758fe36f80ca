"""Extensions as vendors build them: what they do at registration, at invocations, when they fail, and at the end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from support.extensions import create_extended, layer, lines, wait_for_line
from support.go import built
from support.server import Server, wait_until

pytestmark = pytest.mark.root

EXAMPLE = Path(__file__).parents[2] / "examples" / "telemetry_extension" / "extension.py"

#: An agent in one binary: a server for telemetry, a buffer, a flush after each invocation and a last one at the end.
GO = """package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
)

var api = "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API")
var mutex sync.Mutex
var buffer []string

type entry struct {
	Type   string
	Record json.RawMessage
}

func call(method string, path string, headers map[string]string, body string) *http.Response {
	request, _ := http.NewRequest(method, api+path, bytes.NewBufferString(body))
	for name, value := range headers {
		request.Header.Set(name, value)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil || answer.StatusCode != 200 {
		fmt.Println("agent: cannot go on:", path, err, answer)
		os.Exit(1)
	}
	return answer
}

func receive(response http.ResponseWriter, request *http.Request) {
	var batch []entry
	body, _ := io.ReadAll(request.Body)
	json.Unmarshal(body, &batch)
	mutex.Lock()
	defer mutex.Unlock()
	for _, one := range batch {
		text := strings.TrimSpace(string(one.Record))
		if one.Type == "function" {
			buffer = append(buffer, "line "+text)
		} else if one.Type == "platform.report" {
			var report struct{ RequestId, Status string }
			json.Unmarshal(one.Record, &report)
			buffer = append(buffer, "report "+report.RequestId+" "+report.Status)
		}
	}
}

func flush(when string) {
	mutex.Lock()
	defer mutex.Unlock()
	sort.Strings(buffer)
	for _, text := range buffer {
		fmt.Println("agent:", when, text)
	}
	buffer = nil
}

func main() {
	go http.ListenAndServe("sandbox.localdomain:8124", http.HandlerFunc(receive))
	name := map[string]string{"Lambda-Extension-Name": filepath.Base(os.Args[0])}
	answer := call("POST", "/2020-01-01/extension/register", name, `{"events":["INVOKE","SHUTDOWN"]}`)
	identity := map[string]string{"Lambda-Extension-Identifier": answer.Header.Get("Lambda-Extension-Identifier")}
	call("PUT", "/2022-07-01/telemetry", identity, `{"schemaVersion":"2022-07-01","types":["platform","function"],
		"buffering":{"maxItems":1000,"maxBytes":262144,"timeoutMs":25},
		"destination":{"protocol":"HTTP","URI":"http://sandbox.localdomain:8124"}}`)
	for {
		answer = call("GET", "/2020-01-01/extension/event/next", identity, "")
		var event struct{ EventType string }
		json.NewDecoder(answer.Body).Decode(&event)
		if event.EventType == "SHUTDOWN" {
			flush("last")
			return
		}
		flush("flush")
	}
}
"""

#: Without a program but bash itself: its own TCP.
BASH = r"""#!/bin/bash
api=${AWS_LAMBDA_RUNTIME_API/:/\/}
call() {  # method, path, header, body
    exec 9<>"/dev/tcp/$api" || exit 1
    head='%s /2020-01-01/extension/%s HTTP/1.1\r\nHost: x\r\n%s\r\nContent-Length: %d\r\n\r\n'
    printf "$head%s" "$1" "$2" "$3" "${#4}" "$4" >&9
    length=0 id=
    while IFS= read -r line <&9; do
        line=${line%$'\r'}
        [ -z "$line" ] && break
        name=${line%%:*} value=${line#*: }
        case "${name,,}" in content-length) length=$value ;; lambda-extension-identifier) id=$value ;; esac
    done
    IFS= read -r -N "$length" body <&9
    exec 9>&-
}
call POST register "Lambda-Extension-Name: ${0##*/}" '{"events": ["INVOKE", "SHUTDOWN"]}'
mine=$id
while true; do
    call GET event/next "Lambda-Extension-Identifier: $mine" ""
    echo "bash: $body"
    case "$body" in *SHUTDOWN*) exit 0 ;; esac
done
"""

#: What `BEHAVIOUR` says, at the first invocation that it hears of.
TROUBLED = """#!/usr/bin/python3
import http.client, json, os, signal, sys, time
name = os.path.basename(__file__)
behaviour = os.environ.get("BEHAVIOUR")
def call(method, path, headers, body=None):
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.request(method, "/2020-01-01/extension/" + path, body, headers)
    answer = connection.getresponse()
    return answer, answer.read()
answer, body = call("POST", "register", {"Lambda-Extension-Name": name}, json.dumps({"events": ["INVOKE", "SHUTDOWN"]}))
if answer.status != 200:
    print(name, "was refused:", body.decode(), flush=True)
    sys.exit(1)
identity = {"Lambda-Extension-Identifier": answer.headers["Lambda-Extension-Identifier"]}
is_first = not os.path.exists("/tmp/seen-" + name)
while True:
    _, body = call("GET", "event/next", identity)
    event = json.loads(body)
    print(name, event["eventType"], event.get("shutdownReason", ""), flush=True)
    if event["eventType"] == "SHUTDOWN":
        if behaviour == "flush":
            time.sleep(1)
            print(name, "flushed", event["deadlineMs"] - int(time.time() * 1000) > 0, flush=True)
        sys.exit(0)
    if is_first and behaviour in ("crash", "exit", "give-up", "hang"):
        open("/tmp/seen-" + name, "w").close()
        is_first = False
        if behaviour == "crash":
            os.kill(os.getpid(), signal.SIGSEGV)
        if behaviour == "exit":
            sys.exit(9)
        if behaviour == "give-up":
            call("POST", "exit/error", {**identity, "Lambda-Extension-Function-Error-Type": "Extension.NoMoney"})
        time.sleep(60)
"""

FUNCTION = """
import os, signal, sys, time
def end(number, frame):
    if os.environ.get("DEAF"):
        print("deaf", flush=True)
        return
    print("runtime ends", flush=True)
    sys.exit(0)
signal.signal(signal.SIGTERM, end)
def handler(event, context):
    print("said", event, flush=True)
    time.sleep((event or {}).get("seconds", 0))
    return context.aws_request_id
"""

#: In the runtime's own process, as an instrumentation library does it.
INTERNAL = """
import http.client, json, os, threading
heard = []
def call(method, path, headers, body=None):
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.request(method, "/2020-01-01/extension/" + path, body, headers)
    answer = connection.getresponse()
    return answer, answer.read()
refused, why = call("POST", "register", {"Lambda-Extension-Name": "inside"}, '{"events": ["SHUTDOWN"]}')
answer, _ = call("POST", "register", {"Lambda-Extension-Name": "inside"}, '{"events": ["INVOKE"]}')
identity = {"Lambda-Extension-Identifier": answer.headers["Lambda-Extension-Identifier"]}
def listen():
    while True:
        _, body = call("GET", "event/next", identity)
        heard.append(json.loads(body)["requestId"])
threading.Thread(target=listen, daemon=True).start()
def handler(event, context):
    return [refused.status, json.loads(why)["errorType"], answer.status, heard, context.aws_request_id]
"""

WRAPPER = """#!/bin/bash
/usr/bin/python3 /opt/companion.py &
while [ ! -e /tmp/registered ]; do read -t 0.01 <> <(:); done
exec "$@"
"""
COMPANION = TROUBLED.replace('"INVOKE", "SHUTDOWN"', '"INVOKE"').replace(
    "is_first = not", 'open("/tmp/registered", "w").close()\nis_first = not'
)


def error_of(server: Server, name: str, event: Any = None) -> tuple[str, str]:
    payload = server.failure(name, event)
    return payload["errorType"], payload["errorMessage"].partition(" Error: ")[2]


@pytest.fixture(scope="module")
def agent(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return built(GO, tmp_path_factory.mktemp("agent"))


def test_the_example_counts_what_invocations_cost(server: Server) -> None:
    """The extension of docs/how-to/extensions.md hears of every invocation, and tells its sum at the end."""
    create_extended(server, "with-example", FUNCTION, {"cost": EXAMPLE.read_bytes()})
    for _ in range(3):
        server.invoke_again("with-example", {})
    server.client("lambda").delete_function(FunctionName="with-example")
    said = wait_for_line(server, "with-example", "cost: ")
    sums = json.loads(said.removeprefix("cost: ").partition(", shut")[0])
    assert sums["invocations"] == 3
    assert sums["billed_ms"] >= 3
    assert 0 < sums["most_memory_mb"] <= 512
    assert said.endswith("shut down for spindown")


def test_an_agent_in_go_flushes_all_that_it_heard(server: Server, agent: bytes) -> None:
    """Every line and every report reaches it once: with the next invocation, or at the end."""
    create_extended(server, "with-agent", FUNCTION, {"agent": agent})
    ids = [server.invoke_again("with-agent", {"number": number}) for number in range(4)]
    server.client("lambda").delete_function(FunctionName="with-agent")
    wait_for_line(server, "with-agent", f"agent: last report {ids[-1]} success")
    flushed = [line.split(" ", 2)[2] for line in lines(server, "with-agent") if line.startswith("agent: ")]
    assert sorted(text for text in flushed if text.startswith("report")) == sorted(f"report {one} success" for one in ids)
    assert [text for text in flushed if "said" in text] == [f"line \"said {{'number': {number}}}\"" for number in range(4)]


def test_an_extension_in_nothing_but_bash(server: Server) -> None:
    """With bash's own TCP, where there is no curl."""
    create_extended(server, "with-bash", FUNCTION, {"plain": BASH})
    ids = [server.invoke_again("with-bash", {}) for _ in range(2)]
    server.client("lambda").delete_function(FunctionName="with-bash")
    wait_for_line(server, "with-bash", '"eventType":"SHUTDOWN"')
    events = [json.loads(line.removeprefix("bash: ")) for line in lines(server, "with-bash") if line.startswith("bash: ")]
    assert [event["eventType"] for event in events] == ["INVOKE", "INVOKE", "SHUTDOWN"]
    assert [event["requestId"] for event in events[:2]] == ids


def test_an_extension_within_the_runtimes_process(server: Server) -> None:
    """It hears of invocations, and may not ask for the shutdown."""
    server.create_function("with-internal", INTERNAL, MemorySize=256)
    first = server.invoke("with-internal")
    status, refusal, accepted, _, request_id = first
    assert (status, refusal, accepted) == (403, "Extension.InvalidEventType", 200)
    assert server.invoke_again("with-internal")[3][:1] == [request_id]
    assert "EXTENSION\tName: inside\tState: Ready\tEvents: [INVOKE]" in lines(server, "with-internal")


def test_an_extension_that_a_wrapper_script_starts(server: Server) -> None:
    """A companion process beside the runtime registers as an internal one and hears of invocations."""
    arn = layer(server, "with-wrapper", {"wrapper": WRAPPER, "companion.py": COMPANION})
    variables = {"AWS_LAMBDA_EXEC_WRAPPER": "/opt/wrapper"}
    server.create_function(
        "with-wrapper", FUNCTION, Layers=[arn], MemorySize=512, Timeout=20, Environment={"Variables": variables}
    )
    server.invoke("with-wrapper", {})
    wait_for_line(server, "with-wrapper", "companion.py INVOKE")
    assert "EXTENSION\tName: companion.py\tState: Ready\tEvents: [INVOKE]" in lines(server, "with-wrapper")


def test_ten_at_most(server: Server) -> None:
    """Ten extensions work side by side; where there are eleven, the last one is refused, and with it the environment."""
    many = {f"extension-{number:02}": TROUBLED for number in range(11)}
    create_extended(server, "with-eleven", FUNCTION, many, MemorySize=1024)
    assert error_of(server, "with-eleven", {}) == ("Extension.Crash", "exit status 1")
    refused = [line for line in lines(server, "with-eleven") if "was refused" in line]
    assert refused
    assert all("Extension.TooManyExtensions" in line and "Extension limit (10) reached" in line for line in refused)
    del many["extension-10"]
    create_extended(server, "with-ten", FUNCTION, many, MemorySize=1024)
    server.invoke("with-ten", {})
    assert sum(line.startswith("EXTENSION\t") for line in lines(server, "with-ten")) == 10


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        ("crash", ("Extension.Crash", "signal: segmentation fault")),
        ("exit", ("Extension.Crash", "exit status 9")),
        ("give-up", ("Extension.ExitError", "Extension.NoMoney")),
        ("hang", None),
    ],
)
def test_an_extension_that_fails_during_an_invocation(server: Server, behaviour: str, error: tuple[str, str] | None) -> None:
    """Fails it, with AWS's words, or counts towards its timeout; the next one finds it started anew."""
    name = f"extension-{behaviour}"
    create_extended(
        server, name, FUNCTION, {"troubled": TROUBLED}, Timeout=5, Environment={"Variables": {"BEHAVIOUR": behaviour}}
    )
    if behaviour == "hang":  # the caller has the answer before
        request_id = server.invoke(name, {})
        report = wait_for_line(server, name, f"REPORT RequestId: {request_id}")
        assert "\tStatus: timeout" in report
    else:
        assert error_of(server, name, {"seconds": 2}) == error
    lambda_ = server.client("lambda")
    # An environment made while the first one is being reset begins with a /tmp, and so with a failure, of its own.
    wait_until(lambda: "FunctionError" not in lambda_.invoke(FunctionName=name, Payload=b'{"seconds": 2}'), 60, "a success")


def test_runtime_and_extension_have_their_time_at_the_end(server: Server) -> None:
    """SIGTERM for the runtime, then SHUTDOWN for an extension, which needs a second of its two; both are heard to the end."""
    create_extended(server, "with-flush", FUNCTION, {"flusher": TROUBLED}, Environment={"Variables": {"BEHAVIOUR": "flush"}})
    server.invoke("with-flush", {})
    server.client("lambda").delete_function(FunctionName="with-flush")
    wait_for_line(server, "with-flush", "flusher flushed True")
    said = [line for line in lines(server, "with-flush") if line.startswith(("runtime ends", "flusher SHUTDOWN"))]
    assert said == ["runtime ends", "flusher SHUTDOWN spindown"]


def test_a_runtime_deaf_to_sigterm_leaves_extensions_their_time(server: Server) -> None:
    """It is killed when its share is over, and the extension is told and heard as ever."""
    variables = {"BEHAVIOUR": "flush", "DEAF": "1"}
    create_extended(server, "with-deaf-runtime", FUNCTION, {"flusher": TROUBLED}, Environment={"Variables": variables})
    server.invoke("with-deaf-runtime", {})
    server.client("lambda").delete_function(FunctionName="with-deaf-runtime")
    wait_for_line(server, "with-deaf-runtime", "flusher flushed True")
    assert "deaf" in lines(server, "with-deaf-runtime")
