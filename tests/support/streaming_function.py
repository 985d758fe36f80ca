"""A function on a runtime of its own that answers as its event tells it: streamed, step by step, or whole."""

from __future__ import annotations

import json
from typing import Any

from support.server import ROLE, Server, zipped

GATE = "stream-gate"  #: the bucket of what functions wait for, and of what they leave to be found

BOOTSTRAP = r"""#!/usr/bin/python3
import base64, http.client, json, os, socket, sys, time, urllib.error, urllib.request

API = os.environ["AWS_LAMBDA_RUNTIME_API"]
ROOT = "/2018-06-01/runtime/invocation/"
HEAD = (
    "POST %s%s/response HTTP/1.1\r\nHost: x\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n"
    "Lambda-Runtime-Function-Response-Mode: streaming\r\n"
    "Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n\r\n"
)


def gate(method, key):
    request = urllib.request.Request("%s/stream-gate/%s" % (os.environ["AWS_ENDPOINT_URL"], key), method=method)
    try:
        urllib.request.urlopen(request).close()
    except urllib.error.HTTPError as error:
        return error.code
    return 200


class Response:
    def __init__(self, request_id):
        self.socket = socket.create_connection(API.split(":"))
        self.socket.sendall((HEAD % (ROOT, request_id)).encode())

    def write(self, text):
        self.send(text.encode())

    def fill(self, size):
        for start in range(0, size, 1 << 20):
            self.send(b"x" * min(1 << 20, size - start))

    def send(self, data):
        self.socket.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def wait(self, key):
        while gate("HEAD", key) != 200:
            time.sleep(0.01)

    def put(self, key):
        assert gate("PUT", key) == 200

    def print(self, text):
        print(text, flush=True)

    def exit(self, code):
        os._exit(code)

    def close(self):
        self.end(b"", read=False)

    def fail(self, error_type, body):
        encoded = base64.b64encode(body.encode()).decode()
        self.end(
            "0\r\nLambda-Runtime-Function-Error-Type: %s\r\nLambda-Runtime-Function-Error-Body: %s\r\n\r\n"
            % (error_type, encoded)
        )

    def done(self):
        self.end("0\r\n\r\n")

    def end(self, last, read=True):
        if read:
            self.socket.sendall(last.encode())
            self.socket.recv(65536)
        self.socket.close()
        self.socket = None


api = http.client.HTTPConnection(API)
while True:
    api.request("GET", ROOT + "next")
    answer = api.getresponse()
    event = json.loads(answer.read())
    request_id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
    if "whole" in event:
        api.request("POST", ROOT + request_id + "/response", event["whole"].encode(), {"Content-Type": "text/plain"})
        api.getresponse().read()
        continue
    response = Response(request_id)
    for verb, *arguments in event["steps"]:
        getattr(response, verb)(*arguments)
    if response.socket is not None:
        response.done()
"""


class Streams:
    """Streaming functions of a server, what they wait for, and what they leave."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.lambda_ = server.client("lambda")
        self._s3 = server.client("s3")
        self._s3.create_bucket(Bucket=GATE)

    def create(self, name: str, **settings: Any) -> None:
        """A function that takes events made by `steps`, or `{"whole": text}` for an answer that is not streamed."""
        settings = {"Timeout": 30, "MemorySize": 256, "Runtime": "provided.al2023", "Handler": "none", "Role": ROLE, **settings}
        self.lambda_.create_function(FunctionName=name, Code={"ZipFile": zipped({"bootstrap": BOOTSTRAP})}, **settings)
        self.server.wait_active(name)

    def invoke(self, name: str, payload: bytes = b"{}", **options: Any) -> dict[str, Any]:
        return dict(self.lambda_.invoke_with_response_stream(FunctionName=name, Payload=payload, **options))

    def open_gate(self, key: str) -> None:
        self._s3.put_object(Bucket=GATE, Key=key, Body=b"")

    def left(self, key: str) -> bool:
        """Whether a function has put it there."""
        return "Contents" in self._s3.list_objects_v2(Bucket=GATE, Prefix=key)


def steps(*each: tuple[Any, ...]) -> bytes:
    """An event: methods of the bootstrap's Response with their arguments; in the end the response is done."""
    return json.dumps({"steps": each}).encode()
