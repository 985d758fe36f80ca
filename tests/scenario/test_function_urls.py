"""Function URLs as their users have them: configured with boto3, called with curl and http.client, against full isolation."""

from __future__ import annotations

import http.client
import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.server import ROLE, Server, zipped

pytestmark = pytest.mark.root

WEB = """
import base64

def handler(event, context):
    path = event["rawPath"]
    if path == "/fail":
        raise ValueError("secret")
    if path == "/echo":
        body = event.get("body", "")
        return {"statusCode": 201, "headers": {"Content-Type": "application/octet-stream"}, "isBase64Encoded": True,
                "body": body if event["isBase64Encoded"] else base64.b64encode(body.encode()).decode(),
                "cookies": ["a=1; HttpOnly", "b=2"]}
    if path == "/id":
        return context.aws_request_id
    return event
"""

#: A runtime that streams: what it writes next waits until its caller says so by another call of the function's URL.
STREAMS = """#!/usr/bin/python3
import http.client, json, os, socket, time, urllib.request

host, _, port = os.environ["AWS_LAMBDA_RUNTIME_API"].partition(":")
url = os.environ["AWS_ENDPOINT_URL"] + "/gate/"

def chunk(data):
    return b"%x\\r\\n%s\\r\\n" % (len(data), data)

def wait_for_leave(name):
    while True:
        try:
            return urllib.request.urlopen(url + name).read()
        except urllib.error.HTTPError:
            time.sleep(0.02)

while True:
    api = http.client.HTTPConnection(host, int(port))
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = api.getresponse()
    event = json.loads(answer.read())
    request_id = answer.headers["Lambda-Runtime-Aws-Request-Id"]
    out = socket.create_connection((host, int(port)))
    kind = "text/event-stream" if event["rawPath"] == "/plain" else "application/vnd.awslambda.http-integration-response"
    out.sendall((
        "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\\r\\nHost: x\\r\\nContent-Type: %s\\r\\n"
        "Lambda-Runtime-Function-Response-Mode: streaming\\r\\nTransfer-Encoding: chunked\\r\\n"
        "Trailer: Lambda-Runtime-Function-Error-Type\\r\\n\\r\\n" % (request_id, kind)).encode())
    if event["rawPath"] == "/bad":
        out.sendall(chunk(b"no head") + b"0\\r\\n\\r\\n")
    else:
        if event["rawPath"] != "/plain":
            head = json.dumps({"statusCode": 206, "headers": {"content-type": "text/x"}, "cookies": ["a=1", "b=2"]}).encode()
            out.sendall(chunk(head[:10]) + chunk(head[10:] + bytes(3)) + chunk(bytes(5)))
        out.sendall(chunk(b"first"))
        wait_for_leave(event["rawQueryString"])
        out.sendall(chunk(b"second"))
        if event["rawPath"] == "/break":
            out.sendall(b"0\\r\\nLambda-Runtime-Function-Error-Type: Function.Broke\\r\\n\\r\\n")
        else:
            out.sendall(b"0\\r\\n\\r\\n")
    out.makefile("rb").readline()
    out.close()
"""

needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


def make_public(server: Server, name: str, **settings: Any) -> str:
    """The function's URL, open to everybody as AWS's console would open it."""
    lambda_ = server.client("lambda")
    made = lambda_.create_function_url_config(FunctionName=name, AuthType="NONE", **settings)
    everybody = {"FunctionName": name, "Principal": "*"}
    lambda_.add_permission(
        **everybody, StatementId="url", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE"
    )  # fmt: skip
    lambda_.add_permission(**everybody, StatementId="via", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True)
    return str(made["FunctionUrl"])


def curl(*arguments: str) -> tuple[list[str], bytes]:
    """The head's lines and the body."""
    ran = subprocess.run(["curl", "--silent", "--show-error", "--include", "--max-time", "60", *arguments], capture_output=True)
    assert ran.returncode == 0, ran.stderr
    head, _, body = ran.stdout.partition(b"\r\n\r\n")
    return head.decode().split("\r\n"), body


def request(
    server: Server, url: str, method: str = "GET", path: str = "/", body: Any = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """By the server's address with the URL's host in the header: a name below localhost needs no resolver so."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    host = {"Host": urlsplit(url).netloc} if url else {}
    connection.request(method, path, body, {**host, **{name.replace("_", "-"): value for name, value in headers.items()}})
    answer = connection.getresponse()
    result = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return result


@needs_curl
def test_curl_calls_a_function_by_its_url(server: Server) -> None:
    """As it was given, with paths, queries, cookies and bodies of every kind; HEAD has no body, a failure tells nothing."""
    server.create_function("url-web", WEB)
    url = make_public(server, "url-web")
    head, body = curl("--path-as-is", "-b", "c=1; d=2", f"{url}a%2Fb//../%00?q=1&q=2&e=%ff")
    event = json.loads(body)
    assert head[0] == "HTTP/1.1 200 OK"
    assert event["rawPath"] == "/a%2Fb//../%00"
    assert event["queryStringParameters"] == {"q": "1,2", "e": "\ufffd"}
    assert event["cookies"] == ["c=1", "d=2"]
    assert event["headers"]["host"] == urlsplit(url).netloc
    assert f"x-amzn-requestid: {event['requestContext']['requestId']}" in head
    for content_type in ("application/json", "image/png"):
        head, body = curl(
            "-H", f"Content-Type: {content_type}", "-H", "Transfer-Encoding: chunked", "-d", '{"a": 1}', f"{url}echo"
        )
        assert (head[0], body) == ("HTTP/1.1 201 Created", b'{"a": 1}')
        assert [line for line in head if line.startswith("set-cookie")] == ["set-cookie: a=1; HttpOnly", "set-cookie: b=2"]
    head, body = curl("--head", f"{url}id")
    assert (head[0], body) == ("HTTP/1.1 200 OK", b"")
    assert curl(f"{url}fail")[1] == b"Internal Server Error"
    assert curl(f"{url}_lambdad/health")[1] != curl(f"{server.endpoint}/_lambdad/health")[1]


def test_clients_without_a_resolver_use_the_path(server: Server) -> None:
    """The same URL below the API's own address, and from inside a function too; what is not there is not found."""
    server.create_function("by-path", WEB)
    url_id = urlsplit(make_public(server, "by-path")).netloc.partition(".")[0]
    status, headers, body = request(server, "", "GET", f"/_lambdad/url/{url_id}/id?x=1")
    assert (status, body.decode()) == (200, headers["x-amzn-requestid"])
    assert headers["content-security-policy"].startswith("sandbox")
    for path in ("/_lambdad/url", "/_lambdad/url/", f"/_lambdad/url/{'a' * 32}/", "/_lambdad/url/../health"):
        assert request(server, "", "GET", path)[0] == 404
    caller = """
import boto3, os, urllib.request
def handler(event, context):
    url = boto3.client("lambda").get_function_url_config(FunctionName="by-path")["FunctionUrl"]
    return url, urllib.request.urlopen(url + "id").read().decode()
"""
    server.create_function("calls-by-path", caller, Timeout=30)
    inside_url, request_id = server.invoke("calls-by-path")
    assert inside_url.endswith(f"/_lambdad/url/{url_id}/")
    assert len(request_id) == 36


def test_a_stopped_function_throttles_its_url(server: Server) -> None:
    """The same leases hold for a URL: with a reserve of nothing the answer is 429, and afterwards 200 again."""
    lambda_ = server.client("lambda")
    server.create_function("url-stopped", WEB)
    url = make_public(server, "url-stopped")
    lambda_.put_function_concurrency(FunctionName="url-stopped", ReservedConcurrentExecutions=0)
    status, headers, body = request(server, url)
    assert (status, body) == (429, b'{"Message":"Too Many Requests"}')
    assert "retry-after" in headers
    lambda_.delete_function_concurrency(FunctionName="url-stopped")
    assert request(server, url, "GET", "/id")[0] == 200


def test_a_body_of_six_megabytes(server: Server) -> None:
    """Just below the limit it comes back whole; above it the answer is 413."""
    server.create_function("url-large", WEB, Timeout=60, MemorySize=512)
    url = make_public(server, "url-large")
    fits = b"x" * (4 * 1024 * 1024)
    status, _, body = request(server, url, "POST", "/echo", fits, content_type="text/plain")
    assert (status, body == fits) == (201, True)
    too_much = b"x" * (6 * 1024 * 1024 + 1)
    assert request(server, url, "POST", "/echo", too_much, content_type="text/plain")[0] == 413


def test_many_callers_at_once_get_their_own_answers(server: Server) -> None:
    """A URL is as good as Invoke under load: each of 100 requests by 8 threads gets what it sent."""
    server.create_function("url-busy", WEB)
    url = make_public(server, "url-busy")

    def ask(number: int) -> bool:
        text = f"body {number}".encode()
        return request(server, url, "POST", "/echo", text, content_type="text/plain")[2] == text

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(100)))


@pytest.fixture(scope="module")
def streams(server: Server) -> str:
    """The URL of a function that streams."""
    server.client("s3").create_bucket(Bucket="gate-of-urls")
    lambda_ = server.client("lambda")
    lambda_.create_function(
        FunctionName="url-streams",
        Runtime="provided.al2023",
        Handler="x",
        Role=ROLE,
        Timeout=30,
        Code={"ZipFile": zipped({"bootstrap": STREAMS.replace("/gate/", "/gate-of-urls/")})},
    )
    server.wait_active("url-streams")
    return make_public(server, "url-streams", InvokeMode="RESPONSE_STREAM", Cors={"AllowOrigins": ["*"]})


@pytest.mark.parametrize(("path", "status"), [("/plain", 200), ("/head", 206)])
def test_a_stream_arrives_while_it_is_written(server: Server, streams: str, path: str, status: int) -> None:
    """The client has the head and the first piece before the function writes the second, as chunks of one answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request(
        "GET", f"{path}?{path[1:]}", headers={"Host": urlsplit(streams).netloc, "Origin": "https://page.example"}
    )
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Transfer-Encoding"]) == (status, "chunked")
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    if status == 206:
        assert answer.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
        assert answer.headers["Content-Type"] == "text/x"
    assert answer.read(5) == b"first"
    server.client("s3").put_object(Bucket="gate-of-urls", Key=path[1:], Body=b"go on")
    assert answer.read() == b"second"
    connection.close()


def test_a_stream_that_breaks_is_cut_off(server: Server, streams: str) -> None:
    """The status is out already, so the connection ends without an end; one without a head is a plain 502."""
    server.client("s3").put_object(Bucket="gate-of-urls", Key="break", Body=b"go on")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("GET", "/break?break", headers={"Host": urlsplit(streams).netloc})
    answer = connection.getresponse()
    assert answer.status == 206
    with pytest.raises(http.client.IncompleteRead) as cut:
        answer.read()
    assert cut.value.partial == b"firstsecond"
    connection.close()
    assert "ASGI" not in server.log()
    assert request(server, streams, "GET", "/bad")[::2] == (502, b"Internal Server Error")


@needs_curl
def test_a_caller_who_leaves_a_stream_ends_nothing(server: Server, streams: str) -> None:
    """The function runs to its end, and its environment takes the next call."""
    caller = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    caller.request("GET", "/head?left", headers={"Host": urlsplit(streams).netloc})
    with caller.getresponse() as answer:
        assert answer.read(5) == b"first"
    caller.close()
    server.client("s3").put_object(Bucket="gate-of-urls", Key="left", Body=b"go on")
    assert curl(f"{streams}head?left")[1] == b"firstsecond"


def test_buffered_urls_give_a_stream_whole(server: Server, streams: str) -> None:
    """The same function behind a BUFFERED URL: what it wrote is the invocation's payload, and no HTTP head is read from it."""
    lambda_ = server.client("lambda")
    lambda_.update_function_url_config(FunctionName="url-streams", InvokeMode="BUFFERED")
    server.client("s3").put_object(Bucket="gate-of-urls", Key="whole", Body=b"go on")
    status, headers, body = request(server, streams, "GET", "/plain?whole")
    assert (status, headers["content-length"], body) == (200, "11", b"firstsecond")
    lambda_.update_function_url_config(FunctionName="url-streams", InvokeMode="RESPONSE_STREAM")
