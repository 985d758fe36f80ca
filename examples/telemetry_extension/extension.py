#!/usr/bin/python3
"""An external extension that adds up what the invocations of its function cost, from the platform events of the Telemetry API.

Lambda starts it beside the function from /opt/extensions/. It registers, subscribes, and from then on asks for one event
after the other; in between, everything in the execution environment may stand still. It needs nothing but Python.
"""

import http.client
import http.server
import json
import os
import queue
import threading

NAME = os.path.basename(__file__)
API = os.environ["AWS_LAMBDA_RUNTIME_API"]
HOST, PORT = "sandbox.localdomain", 4243  # the only name under which Lambda delivers telemetry
SUBSCRIPTION = {
    "schemaVersion": "2022-12-13",
    "types": ["platform"],
    "buffering": {"timeoutMs": 25, "maxItems": 1000, "maxBytes": 262144},
    "destination": {"protocol": "HTTP", "URI": f"http://{HOST}:{PORT}/"},
}


class Receiver(http.server.BaseHTTPRequestHandler):
    """Takes what Lambda delivers; the work is done elsewhere, since Lambda waits for the answer."""

    protocol_version = "HTTP/1.1"
    reports: "queue.SimpleQueue[dict]" = queue.SimpleQueue()

    def do_POST(self) -> None:
        for event in json.loads(self.rfile.read(int(self.headers["Content-Length"]))):
            if event["type"] == "platform.report":
                self.reports.put(event["record"])
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *words: object) -> None:
        """Every line that it prints would be one in the function's log."""


class Totals:
    def __init__(self) -> None:
        self.invocations, self.billed_ms, self.most_memory_mb = 0, 0, 0

    def add_what_has_come(self) -> None:
        while not Receiver.reports.empty():
            metrics = Receiver.reports.get()["metrics"]
            self.invocations += 1
            self.billed_ms += metrics["billedDurationMs"]
            self.most_memory_mb = max(self.most_memory_mb, metrics.get("maxMemoryUsedMB", 0))


def call(method: str, path: str, headers: dict, body: object = None) -> http.client.HTTPResponse:
    """One request to Lambda's API; a refusal ends the extension, and with it the execution environment."""
    connection = http.client.HTTPConnection(API)
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    answer = connection.getresponse()
    answer.body = answer.read()
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{NAME}: {path} was answered with {answer.status}: {answer.body.decode()}")
    return answer


def main() -> None:
    server = http.server.ThreadingHTTPServer((HOST, PORT), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    registered = call(
        "POST", "/2020-01-01/extension/register", {"Lambda-Extension-Name": NAME}, {"events": ["INVOKE", "SHUTDOWN"]}
    )
    identity = {"Lambda-Extension-Identifier": registered.headers["Lambda-Extension-Identifier"]}
    call("PUT", "/2022-07-01/telemetry", identity, SUBSCRIPTION)
    totals = Totals()
    while True:
        event = json.loads(call("GET", "/2020-01-01/extension/event/next", identity).body)
        totals.add_what_has_come()  # of the invocations before this one
        if event["eventType"] == "SHUTDOWN":
            print(f"{NAME}: {json.dumps(vars(totals))}, shut down for {event['shutdownReason']}", flush=True)
            return


if __name__ == "__main__":
    main()
