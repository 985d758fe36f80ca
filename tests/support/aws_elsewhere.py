"""A small real server that speaks the protocols of SQS, SNS and EventBridge, and lets nobody in whose signature is wrong."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCESS_KEY, SECRET = "AKIDELSEWHERE", "secret/elsewhere+1"


class AwsElsewhere(ThreadingHTTPServer):
    """`requests` keeps (service, region, operation, parameters) of what was let in. `refuse` names operations to be refused."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[tuple[str, str, str, dict[str, Any]]] = []
        self.refuse: dict[str, tuple[int, str]] = {}
        self.trace_headers: dict[str, str | None] = {}  #: of the last request for each operation
        self.bad_signatures = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def sent(self, operation: str) -> list[dict[str, Any]]:
        return [parameters for _, _, name, parameters in self.requests if name == operation]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: AwsElsewhere

    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        authorization = self.headers.get("Authorization", "")
        _, _, scope = authorization.partition("Credential=")
        key, _, region, service, _ = (scope.split(",")[0].split("/") + [""] * 5)[:5]
        if key != ACCESS_KEY or authorization != self._expected(authorization, body, service, region):
            self.server.bad_signatures += 1
            return self._answer(403, {"__type": "InvalidSignatureException", "message": "The signature is wrong."})
        target = self.headers.get("X-Amz-Target", "")
        if target:
            operation, parameters = target.rpartition(".")[2], json.loads(body)
        else:
            parameters = dict(parse_qsl(body.decode(), keep_blank_values=True))
            operation = parameters["Action"]
        self.server.trace_headers[operation] = self.headers.get("X-Amzn-Trace-Id")
        self.server.requests.append((service, region, operation, parameters))  # last: tests wait for this
        if operation in self.server.refuse:
            status, code = self.server.refuse[operation]
            return self._refuse(status, code, is_json=bool(target))
        return self._serve(operation, parameters)

    def _expected(self, authorization: str, body: bytes, service: str, region: str) -> str:
        """The header that whoever has the secret would send with this request."""
        signed = authorization.partition("SignedHeaders=")[2].split(",")[0].split(";")
        request = AWSRequest(self.command, self.server.url + self.path, {n: self.headers[n] for n in signed}, body)
        request.context["timestamp"] = self.headers["X-Amz-Date"]
        auth = SigV4Auth(Credentials(ACCESS_KEY, SECRET), service, region)
        auth_text = auth.string_to_sign(request, auth.canonical_request(request))
        names = auth.signed_headers(auth.headers_to_sign(request))
        return (
            f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, SignedHeaders={names}, "
            f"Signature={auth.signature(auth_text, request)}"
        )

    def _serve(self, operation: str, parameters: Mapping[str, Any]) -> None:
        match operation:
            case "GetQueueUrl":
                url = f"{self.server.url}/{parameters['QueueOwnerAWSAccountId']}/{parameters['QueueName']}"
                self._answer(200, {"QueueUrl": url})
            case "SendMessage":
                self._answer(200, {"MessageId": "m"})
            case "DescribeEventBus":
                self._answer(200, {"Arn": parameters["Name"]})
            case "PutEvents":
                self._answer(200, {"FailedEntryCount": 0, "Entries": [{"EventId": "e"}]})
            case "GetTopicAttributes" | "Publish":
                result = "<MessageId>m</MessageId>" if operation == "Publish" else "<Attributes/>"
                self._answer(200, f"<{operation}Response><{operation}Result>{result}</{operation}Result></{operation}Response>")
            case _:
                self._answer(400, {"__type": "UnknownOperationException", "message": operation})

    def _refuse(self, status: int, code: str, *, is_json: bool) -> None:
        if is_json:
            self._answer(status, {"__type": code, "message": "There is no such thing."})
        else:
            error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>There is no such thing.</Message></Error>"
            self._answer(status, f"<ErrorResponse>{error}<RequestId>r</RequestId></ErrorResponse>")

    def _answer(self, status: int, content: Any) -> None:
        body = content.encode() if isinstance(content, str) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/xml" if isinstance(content, str) else "application/x-amz-json-1.0")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def aws_elsewhere() -> Iterator[AwsElsewhere]:
    server = AwsElsewhere()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
