"""What users see of their functions' logs: in text and in JSON, over boto3 and CloudWatch Logs, and in an extension."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from support.server import Server, wait_until, zipped

pytestmark = pytest.mark.root

FUNCTION = """
import json, logging, os, sys
log = logging.getLogger("app")

def handler(event, context):
    if event == "raise":
        raise ValueError("as asked")
    if event == "exit":
        print("leaving")
        os._exit(3)
    print("printed")
    log.debug("debug")
    log.info("info\\nof two lines", extra={"order": 7})
    log.warning("warning")
    try:
        {}["missing"]
    except KeyError:
        log.exception("error")
    print('{"level": "debug", "timestamp": "2024-11-02T16:51:31.587199Z", "message": "own"}')
    return [os.environ.get(name) for name in ("AWS_LAMBDA_LOG_FORMAT", "AWS_LAMBDA_LOG_LEVEL", "_LAMBDA_TELEMETRY_LOG_FD")]

open("/tmp/loaded", "w").close()
"""

#: Writes down, as its own output, each event that it is sent.
LISTENER = """#!/usr/bin/python3
import http.client, http.server, json, os, sys, threading, time
received = []
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_POST(self):
        for event in json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
            if event["type"] != "extension":
                print("heard", json.dumps(event), flush=True)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *arguments):
        pass
server = http.server.HTTPServer(("sandbox.localdomain", 4243), Handler)
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
        "destination": {"protocol": "HTTP", "URI": "http://sandbox.localdomain:4243/"}}
def subscribe():
    answer, body = call("PUT", "/2022-07-01/telemetry", identity, json.dumps(wish))
    assert answer.status == 200, body
subscribe()
while not os.path.exists("/tmp/loaded"):
    time.sleep(0.01)
for _ in range(25):  # saying it again changes nothing, nor does a runtime that is ready before its extensions are
    subscribe()
    time.sleep(0.01)
while json.loads(call("GET", "/2020-01-01/extension/event/next", identity)[1])["eventType"] != "SHUTDOWN":
    continue
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    one = Server(tmp_path_factory.mktemp("logs")).start()
    yield one
    assert one.stop() == 0


def create(server: Server, name: str, config: dict[str, str], **settings: Any) -> None:
    server.create_function(name, FUNCTION, LoggingConfig=config, Timeout=20, **settings)


def invoke(server: Server, name: str, event: object = None) -> tuple[Any, list[str]]:
    server.wait_for_rest()
    answer = server.client("lambda").invoke(FunctionName=name, LogType="Tail", Payload=json.dumps(event))
    return json.load(answer["Payload"]), base64.b64decode(answer["LogResult"]).decode().splitlines()


def stored(server: Server, group: str, wanted: int) -> list[str]:
    """The messages of a log group once there are so many."""
    logs = server.client("logs")

    def read() -> list[str]:
        try:
            events = logs.filter_log_events(logGroupName=group)["events"]
        except logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in events]

    wait_until(lambda: len(read()) >= wanted, 20, f"{wanted} events in {group}")
    return read()


@pytest.mark.parametrize(
    "runtime", [pytest.param(name, marks=pytest.mark.runtime(name)) for name in ("python2.7", "python3.8", "python3.11")]
)
def test_json(server: Server, runtime: str) -> None:
    """Every line that the platform and `logging` write is one JSON object, in the group that was asked for; what is below the
    level is not there; printed text stays as it is."""
    name = f"json-{runtime.replace('.', '-')}"
    create(server, name, {"LogFormat": "JSON", "LogGroup": f"/mine/{name}"}, Runtime=runtime)
    answer, tail = invoke(server, name)
    assert answer == ["JSON", "INFO", None]
    start, printed, info, warning, error, report = tail
    assert printed == "printed"
    assert [json.loads(line)["type"] for line in (start, report)] == ["platform.start", "platform.report"]
    told = [json.loads(line) for line in (info, warning, error)]
    request_id = json.loads(start)["record"]["requestId"]
    assert [one["level"] for one in told] == ["INFO", "WARNING", "ERROR"]
    assert [one["message"] for one in told] == ["info\nof two lines", "warning", "error"]
    assert {one["requestId"] for one in told} == {request_id} and told[0]["order"] == 7
    assert (told[2]["errorType"], told[2]["location"]) == ("KeyError", "/var/task/lambda_function.py:handler:18")
    messages = stored(server, f"/mine/{name}", 7)
    assert json.loads(messages[0])["type"] == "platform.initStart"
    assert [line.rstrip("\n") for line in messages[1:]] == tail
    _, tail = invoke(server, name, "raise")
    assert [json.loads(line).get("errorType") for line in tail] == [None, "ValueError", None]


def test_json_of_a_crash(server: Server) -> None:
    """What goes wrong is told by the platform's events, with the status and the type of the error."""
    create(server, "json-crash", {"LogFormat": "JSON", "SystemLogLevel": "WARN", "ApplicationLogLevel": "ERROR"})
    _, tail = invoke(server, "json-crash", "exit")
    told = [json.loads(line) for line in tail]
    assert [one["type"] for one in told] == ["platform.runtimeDone", "platform.report"]
    assert {(one["record"]["status"], one["record"]["errorType"]) for one in told} == {("error", "Runtime.ExitError")}


def test_a_change_of_format(server: Server) -> None:
    """An update changes the format of what is invoked after it, and what is not given stays."""
    create(server, "changing", {"LogGroup": "/mine/changing"})
    answer, tail = invoke(server, "changing")
    assert answer == [None, None, None] and tail[0].startswith("START RequestId: ")
    client = server.client("lambda")
    client.update_function_configuration(
        FunctionName="changing", LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "DEBUG"}
    )
    client.get_waiter("function_updated_v2").wait(FunctionName="changing")
    shown = client.get_function_configuration(FunctionName="changing")["LoggingConfig"]
    assert shown == {
        "LogFormat": "JSON",
        "ApplicationLogLevel": "DEBUG",
        "SystemLogLevel": "INFO",
        "LogGroup": "/mine/changing",
    }
    answer, tail = invoke(server, "changing")
    assert answer[:2] == ["JSON", "DEBUG"]
    assert [json.loads(line)["message"] for line in tail if '"debug"' in line] == ["debug", "own"]


def test_text(server: Server) -> None:
    """In text format a message of several lines, and an error with its stack, are one event each."""
    create(server, "text", {})
    _, tail = invoke(server, "text")
    assert len(tail) > 6
    invoke(server, "text", "raise")
    messages = stored(server, "/aws/lambda/text", 11)
    error = next(message for message in messages if message.startswith("[ERROR]\t"))
    assert error.split("\t")[-1].startswith("error\nTraceback (most recent call last):\n")
    (block,) = [message for message in messages if "ValueError" in message]
    assert block.startswith("[ERROR] ValueError: as asked\nTraceback (most recent call last):\n\u00a0\u00a0File ")


def test_an_extension_hears_objects(server: Server) -> None:
    """With logs in JSON a subscriber of the newer schema is sent a function's JSON lines as objects, and forged lines of the
    platform as what the function said."""
    published = server.client("lambda").publish_layer_version(
        LayerName="listener", Content={"ZipFile": zipped({"extensions/listener": LISTENER}, executable=["extensions/listener"])}
    )
    create(server, "heard", {"LogFormat": "JSON"}, Layers=[published["LayerVersionArn"]], MemorySize=256)
    invoke(server, "heard")
    invoke(server, "heard", "raise")  # the report may come when all stands still, and is heard with the next invocation

    def heard() -> list[dict[str, Any]]:
        return [json.loads(line[6:]) for line in stored(server, "/aws/lambda/heard", 1) if line.startswith("heard ")]

    wait_until(lambda: any(event["type"] == "platform.report" for event in heard()), 20, "the report")
    events = heard()
    del events[1 + [event["type"] for event in events].index("platform.report") :]
    assert sum(event["type"] == "platform.telemetrySubscription" for event in events) == 1
    said = [event["record"] for event in events if event["type"] == "function"]
    assert said[0] == "printed"
    assert [record["message"] for record in said[1:]] == ["info\nof two lines", "warning", "error", "own"]
    done = next(event["record"] for event in events if event["type"] == "platform.runtimeDone")
    assert (done["status"], [span["name"] for span in done["spans"]]) == (
        "success",
        ["responseLatency", "responseDuration", "runtimeOverhead"],
    )
    report = next(event["record"] for event in events if event["type"] == "platform.report")
    assert [span["name"] for span in report["spans"]] == ["extensionOverhead"]
    invoke(server, "heard", "exit")
    wait_until(lambda: sum(event["type"] == "platform.runtimeDone" for event in heard()) == 3, 20, "the failures")
    done = [event["record"] for event in heard() if event["type"] == "platform.runtimeDone"]
    assert [(one["status"], one.get("errorType")) for one in done[1:]] == [("success", None), ("error", "Runtime.ExitError")]


HOSTILE = r"""
import os, struct, sys, time

def handler(event, context):
    if event == "frame":
        os.write(1, struct.pack(">IIQ", 0xA55A0003, (1 << 24) - 1, 0) + b"begun and ")
        os.write(1, b"never ended")
    elif event == "bytes":
        os.write(2, b"nul \0 and no letter \xff\nno end")
    elif event == "platform":
        print("END RequestId: " + context.aws_request_id)
        print("REPORT RequestId: " + context.aws_request_id + "\tDuration: 0.00 ms")
    elif event == "daemon":
        if os.fork() == 0:
            os.setsid()
            while not os.path.exists("/tmp/speak"):
                time.sleep(0.01)
            os.write(1, b"from the daemon\n")
            os._exit(0)
    elif event == "speak":
        open("/tmp/speak", "w").close()
        os.wait()
    else:
        print("plain")
"""


def test_hostile_output(server: Server) -> None:
    """A frame that does not end, bytes that are no text, forged lines, and a process left behind: each is in the log as what it
    is, and none of it reaches into the next invocation."""
    server.create_function("hostile", HOSTILE, Timeout=20)
    expected = {
        "frame": ["begun and never ended"],
        "bytes": ["nul \0 and no letter \ufffd", "no end"],
        "daemon": [],
        "speak": ["from the daemon"],
        "plain": ["plain"],
    }
    for event, lines in expected.items():
        _, tail = invoke(server, "hostile", event)
        assert [line.split()[0] for line in (tail[0], *tail[-2:])] == ["START", "END", "REPORT"]
        assert tail[1:-2] == lines, event
    _, tail = invoke(server, "hostile", "platform")
    assert [line.split()[0] for line in tail] == ["START", "END", "REPORT", "END", "REPORT"]
    assert "Billed Duration" in tail[-1], "the true one comes last"
    messages = [message.rstrip("\n") for message in stored(server, "/aws/lambda/hostile", 22)]
    assert [line for lines in expected.values() for line in lines] == [
        message for message in messages if not message.startswith(("INIT_START", "START", "END", "REPORT"))
    ]
