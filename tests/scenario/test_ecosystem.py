"""What users build functions with runs as it is: libraries and adapters of web frameworks, the real packages, from layers."""

from __future__ import annotations

import http.client
import json
from contextlib import closing
from typing import Any
from urllib.parse import urlsplit

import pytest

from support.ecosystem import node_layer, python_layer
from support.server import Server, wait_until, zipped

pytestmark = pytest.mark.root

Answer = tuple[int, list[tuple[str, str]], bytes]

POWERTOOLS = """
from aws_lambda_powertools import Logger, Metrics, Tracer
from aws_lambda_powertools.event_handler import LambdaFunctionUrlResolver, Response
from aws_lambda_powertools.event_handler.exceptions import NotFoundError
from aws_lambda_powertools.shared.cookies import Cookie
from aws_xray_sdk.core import xray_recorder

logger, tracer, metrics = Logger(), Tracer(), Metrics()
app = LambdaFunctionUrlResolver(enable_validation=True)

@app.post("/orders/<order_id>")
def order(order_id: int, urgent: bool = False) -> Response[dict]:
    work = xray_recorder.current_subsegment()
    logger.info("ordered", extra={"order": order_id, "subsegment": work.name})
    metrics.add_metric(name="Orders", unit="Count", value=1)
    cookies = [Cookie("a", "1"), Cookie("b", "2")]
    answer = {"order": order_id, "urgent": urgent, "sent": app.current_event.json_body}
    return Response(201, "application/json", answer, cookies=cookies)

@app.get("/orders/<order_id>")
def missing(order_id: str):
    raise NotFoundError(f"no order {order_id}")

@logger.inject_lambda_context(clear_state=True)
@tracer.capture_lambda_handler
@metrics.log_metrics(capture_cold_start_metric=True)
def handler(event, context):
    return app.resolve(event, context)
"""

FASTAPI = """
from contextlib import asynccontextmanager
from fastapi import Cookie, FastAPI, Request, Response
from mangum import Mangum
from pydantic import BaseModel

@asynccontextmanager
async def lifespan(app):
    app.state.is_started = True
    yield

app = FastAPI(lifespan=lifespan)

class Item(BaseModel):
    name: str
    price: float

@app.post("/items/{number}", status_code=201)
async def item(number: int, item: Item, request: Request, response: Response, session: str = Cookie()):
    response.set_cookie("one", "1")
    response.set_cookie("two", "2")
    return {"number": number, "price": item.price, "query": request.query_params.multi_items(), "session": session,
            "started": app.state.is_started, "id": request.scope["aws.context"].aws_request_id}

@app.get("/binary/{name:path}")
def binary(name: str):
    return Response(bytes(range(256)), media_type="application/octet-stream", headers={"X-Name": name})

handler = Mangum(app)
"""

FLASK = """
import serverless_wsgi
from flask import Flask, jsonify, make_response, request, session

app = Flask(__name__)
app.secret_key = "secret"

@app.post("/form/<name>")
def form(name):
    session["seen"] = session.get("seen", 0) + 1
    answer = jsonify(name=name, form=request.form.to_dict(), query=request.args.to_dict(flat=False), seen=session["seen"],
                     address=request.remote_addr, url=request.base_url)
    answer.set_cookie("plain", "yes")
    return answer, 202

@app.put("/mirror")
def mirror():
    return make_response(request.get_data()[::-1], {"Content-Type": "application/octet-stream"})

def handler(event, context):
    return serverless_wsgi.handle_request(app, event, context)
"""

X_RAY = """
import logging, os, threading
import boto3
from aws_xray_sdk.core import patch_all, xray_recorder
from aws_xray_sdk.core.async_context import AsyncContext
from aws_xray_sdk.core.recorder import AWSXRayRecorder

heard = []
class Heard(logging.Handler):
    def emit(self, record):
        heard.append((record.levelname, record.getMessage()))
logging.getLogger("aws_xray_sdk").addHandler(Heard())

patch_all()
sent, send = [], xray_recorder.emitter.send_entity
def send_entity(entity):
    sent.append((entity.name, entity.id, entity.parent_id))
    send(entity)
xray_recorder.emitter.send_entity = send_entity
xray_recorder.begin_subsegment("at init")
xray_recorder.end_subsegment()
at_init = heard[:]
outside = AWSXRayRecorder()
outside.configure(context=AsyncContext())

def handler(event, context):
    heard.clear()
    if event.get("missing"):
        return [at_init, outside.begin_subsegment("without a segment"), heard]
    with xray_recorder.in_subsegment("work") as work:
        work.put_annotation("kind", "test")
        names = []
        thread = threading.Thread(target=lambda: names.append(xray_recorder.current_segment().trace_id))
        thread.start()
        thread.join()
        if "call" in event:
            answer = boto3.client("lambda").invoke(FunctionName=event["call"], Payload=b"{}")
            event = {"called": __import__("json").load(answer["Payload"])}
        return {"trace": work.trace_id, "parent": work.parent_id, "sampled": work.sampled, "thread": names, "heard": heard,
                "id": work.id, "sent": sent, **event}
"""

EXPRESS = """
const express = require('express');
const serverless = require('serverless-http');
const app = express();
app.use(express.json());
app.post('/orders/:number', (request, response) => {
  response.cookie('a', '1', { httpOnly: true }).cookie('b', '2').status(201);
  response.json({ number: request.params.number, query: request.query, body: request.body, cookie: request.headers.cookie,
    id: request.requestContext.requestId });
});
app.put('/mirror', express.raw({ type: '*/*' }), (request, response) => {
  response.type('application/octet-stream').send(request.body.reverse());
});
app.get('/fail', () => { throw new Error('broken'); });
exports.handler = serverless(app, {
  binary: ['application/octet-stream'],
  request: (request, event) => { request.requestContext = event.requestContext; },
});
"""

NODE_TOOLS = """
const { S3Client, CreateBucketCommand, DeleteObjectCommand, GetObjectCommand, HeadObjectCommand, ListObjectsV2Command,
  PutObjectCommand } = require('@aws-sdk/client-s3');
const { Logger } = require('@aws-lambda-powertools/logger');
const logger = new Logger({ serviceName: 'shop', logLevel: 'DEBUG' });
const s3 = new S3Client({});

exports.handler = async (event, context) => {
  logger.addContext(context);
  logger.logEventIfEnabled(event);
  const Bucket = event.bucket, Key = 'a folder/\\u00fc+\\u65e5.bin', Body = Buffer.alloc(300000, 'lambda');
  await s3.send(new CreateBucketCommand({ Bucket }));
  await s3.send(new PutObjectCommand({ Bucket, Key, Body, Metadata: { kind: 'test' } }));
  const { Readable } = require('stream');
  await s3.send(new PutObjectCommand({ Bucket, Key: 'streamed', Body: Readable.from([Body]), ContentLength: Body.length }));
  const head = await s3.send(new HeadObjectCommand({ Bucket, Key }));
  const part = await s3.send(new GetObjectCommand({ Bucket, Key, Range: 'bytes=6-11' }));
  const whole = await s3.send(new GetObjectCommand({ Bucket, Key: 'streamed', ChecksumMode: 'ENABLED' }));
  const isSame = Buffer.from(await whole.Body.transformToByteArray()).equals(Body);
  const list = await s3.send(new ListObjectsV2Command({ Bucket }));
  await s3.send(new DeleteObjectCommand({ Bucket, Key: 'streamed' }));
  let failure = null;
  try { await s3.send(new GetObjectCommand({ Bucket, Key: 'streamed' })); } catch (error) {
    failure = [error.name, error.$metadata.httpStatusCode];
    logger.error('as expected', error);
  }
  const keys = list.Contents.map((each) => each.Key);
  return { kind: head.Metadata.kind, part: await part.Body.transformToString(), isSame, keys, failure };
};
"""


@pytest.fixture(scope="module")
def python(server: Server) -> str:
    return published(server, "ecosystem-python", python_layer())


@pytest.fixture(scope="module")
def node(server: Server) -> str:
    if "nodejs20.x" not in server.health()["runtimes"]["available"]:
        pytest.skip("no interpreter for nodejs20.x")
    return published(server, "ecosystem-node", node_layer())


def published(server: Server, name: str, archive: bytes) -> str:
    return str(server.client("lambda").publish_layer_version(LayerName=name, Content={"ZipFile": archive})["LayerVersionArn"])


def create(server: Server, name: str, source: str, layer: str, **settings: Any) -> None:
    server.create_function(name, source, Layers=[layer], **{"MemorySize": 512, "Timeout": 30, **settings})


def create_node(server: Server, name: str, source: str, layer: str, **settings: Any) -> None:
    code = {"ZipFile": zipped({"app.js": source})}
    create(server, name, "", layer, runtime="nodejs20.x", Handler="app.handler", Code=code, **settings)


def public_url(server: Server, name: str) -> str:
    lambda_ = server.client("lambda")
    made = lambda_.create_function_url_config(FunctionName=name, AuthType="NONE")
    everybody = {"FunctionName": name, "Principal": "*"}
    lambda_.add_permission(
        **everybody, StatementId="url", Action="lambda:InvokeFunctionUrl", FunctionUrlAuthType="NONE"
    )  # fmt: skip
    lambda_.add_permission(**everybody, StatementId="via", Action="lambda:InvokeFunction", InvokedViaFunctionUrl=True)
    return str(made["FunctionUrl"])


def request(server: Server, url: str, method: str, path: str, body: bytes | str = b"", **headers: str) -> Answer:
    with closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)) as connection:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(method, path, body, {"Host": urlsplit(url).netloc, **sent})
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()


def cookies(headers: list[tuple[str, str]]) -> list[str]:
    return [value.partition(";")[0] for name, value in headers if name.lower() == "set-cookie"]


def wait_for_json(server: Server, name: str, member: str) -> dict[str, Any]:
    """The first line of the function's log that is an object and has the member."""

    def found() -> dict[str, Any] | None:
        lines = [line for line in server.messages(f"/aws/lambda/{name}") if line.startswith("{")]
        return next((each for each in map(json.loads, lines) if member in each), None)

    return wait_until(found, 30, f"{member} in the log of {name}")


@pytest.mark.parametrize("tracing", ["off", "on"])
def test_powertools_for_python(server: Server, python: str, tracing: str) -> None:
    """Its resolver serves a function URL, its logger and its metrics write their lines, with its tracer off and on."""
    name = f"powertools-{tracing}"
    variables = {"POWERTOOLS_SERVICE_NAME": "shop", "POWERTOOLS_METRICS_NAMESPACE": "Shop"}
    if tracing == "off":
        variables["POWERTOOLS_TRACE_DISABLED"] = "true"
    create(server, name, POWERTOOLS, python, Environment={"Variables": variables})
    url = public_url(server, name)
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1"
    sent = {"Content_Type": "application/json", "X_Amzn_Trace_Id": trace}
    status, headers, body = request(server, url, "POST", "/orders/17?urgent=true", '{"x": "\u65e5"}'.encode(), **sent)
    assert status == 201, (body, server.messages(f"/aws/lambda/{name}"))
    assert json.loads(body) == {"order": 17, "urgent": True, "sent": {"x": "\u65e5"}}
    assert cookies(headers) == ["a=1", "b=2"]
    assert request(server, url, "GET", "/orders/18")[::2] == (404, b'{"statusCode":404,"message":"no order 18"}')
    assert request(server, url, "POST", "/orders/none")[0] == 422
    said = wait_for_json(server, name, "order")
    assert (said["message"], said["order"], said["service"], said["level"]) == ("ordered", 17, "shop", "INFO")
    assert (said["function_name"], said["function_memory_size"], said["cold_start"]) == (name, "512", True)
    assert said["xray_trace_id"] == "1-5759e988-bd862e3fe1be46a994272793"
    assert said["subsegment"] == {"off": "dummy", "on": "## handler"}[tracing]
    metric = wait_for_json(server, name, "Orders")
    assert (metric["Orders"], metric["_aws"]["CloudWatchMetrics"][0]["Namespace"]) == ([1.0], "Shop")
    assert wait_for_json(server, name, "ColdStart")["function_name"] == name

    def all_lines() -> list[str]:
        lines = server.messages(f"/aws/lambda/{name}")
        return lines if sum(line.startswith("REPORT ") for line in lines) == 3 else []

    lines = wait_until(all_lines, 30, "three reports")
    assert not [line for line in lines if "Daemon" in line]  # the SDK's "Failed to send entity to Daemon."


def test_fastapi_by_mangum(server: Server, python: str) -> None:
    """Paths, queries, cookies both ways, validation, lifespan and bytes of a FastAPI application behind a function URL."""
    create(server, "fastapi", FASTAPI, python)
    url = public_url(server, "fastapi")
    sent = {"Content_Type": "application/json", "Cookie": "session=s; other=o"}
    status, headers, body = request(server, url, "POST", "/items/7?q=a&q=b%20c", '{"name": "x", "price": 1.5}', **sent)
    assert status == 201, (body, server.messages("/aws/lambda/fastapi"))
    answer = json.loads(body)
    assert len(answer.pop("id")) == 36
    assert answer == {"number": 7, "price": 1.5, "query": [["q", "a"], ["q", "b c"]], "session": "s", "started": True}
    assert cookies(headers) == ["one=1", "two=2"]
    status, _, body = request(server, url, "POST", "/items/x", "{}", Content_Type="application/json")
    assert (status, {each["loc"][-1] for each in json.loads(body)["detail"]}) == (422, {"number", "name", "price", "session"})
    status, headers, body = request(server, url, "GET", "/binary/a%20b/c")
    assert (status, body, dict(headers)["x-name"]) == (200, bytes(range(256)), "a b/c")
    assert request(server, url, "GET", "/nowhere")[0] == 404
    assert json.loads(request(server, url, "GET", "/openapi.json")[2])["paths"].keys() == {"/items/{number}", "/binary/{name}"}


def test_flask_by_serverless_wsgi(server: Server, python: str) -> None:
    """Forms, queries, a session in a cookie, two cookies at once and bytes of a Flask application behind a function URL."""
    create(server, "flask", FLASK, python)
    url = public_url(server, "flask")
    form = {"Content_Type": "application/x-www-form-urlencoded"}
    status, headers, body = request(server, url, "POST", "/form/a%20b?q=1&q=2", "x=1&y=%C3%BC", **form)
    assert status == 202, body
    host = urlsplit(url).netloc
    expected = {"name": "a b", "form": {"x": "1", "y": "\u00fc"}, "query": {"q": ["1", "2"]}, "address": "127.0.0.1", "seen": 1}
    assert json.loads(body) == {**expected, "url": f"http://{host}/form/a%20b"}
    kept = cookies(headers)
    assert sorted(each.partition("=")[0] for each in kept) == ["plain", "session"]
    again = json.loads(request(server, url, "POST", "/form/c", "", Cookie="; ".join(kept), **form)[2])
    assert (again["name"], again["seen"]) == ("c", 2)
    content = bytes(range(256)) * 400
    assert request(server, url, "PUT", "/mirror", content)[::2] == (200, content[::-1])
    assert request(server, url, "GET", "/nowhere")[0] == 404


def test_the_x_ray_sdk(server: Server, python: str) -> None:
    """Its segment is of the invocation's trace, which goes on with what a patched boto3 calls; a missing segment is a line in
    the log; and that there is no daemon at the address for it disturbs nothing."""
    for name in ("xray-caller", "xray-callee"):
        create(server, name, X_RAY, python)
    root, parent = "1-5759e988-bd862e3fe1be46a994272793", "53995c3f42cd8ad8"
    client = server.client("lambda")
    header = f"Root={root};Parent={parent};Sampled=1"
    client.meta.events.register(
        "before-sign.lambda.Invoke", lambda request, **_: request.headers.add_header("X-Amzn-Trace-Id", header)
    )
    outer = json.load(client.invoke(FunctionName="xray-caller", Payload=b'{"call": "xray-callee"}')["Payload"])
    inner = outer["called"]
    assert (outer["trace"], outer["sampled"], outer["thread"], outer["heard"]) == (root, True, [root], [])
    assert (inner["trace"], inner["sampled"], inner["thread"], inner["heard"]) == (root, True, [root], [])
    assert outer["parent"] == parent
    assert outer["sent"] == [["lambda", inner["parent"], outer["id"]], ["work", outer["id"], parent]]
    fresh = [server.invoke("xray-caller", {}) for _ in range(2)]
    assert len({root, *(each["trace"] for each in fresh)}) == 3
    assert [(each["sampled"], each["heard"]) for each in fresh] == [(False, [])] * 2
    at_init, begun, heard = server.invoke("xray-caller", {"missing": True})
    assert at_init[0] == ["WARNING", "Subsegment at init discarded due to Lambda worker still initializing"]
    assert begun is None
    assert [level for level, _ in heard] == ["ERROR", "WARNING"]
    assert "cannot find the current segment" in heard[0][1]
    assert heard[1][1] == "No segment found, cannot begin subsegment without a segment."


def test_express_by_serverless_http(server: Server, node: str) -> None:
    """Parameters, JSON, cookies both ways, bytes and a failure of an Express application behind a function URL."""
    create_node(server, "express", EXPRESS, node)
    url = public_url(server, "express")
    sent = {"Content_Type": "application/json", "Cookie": "c=1; d=2"}
    status, headers, body = request(server, url, "POST", "/orders/a%20b?q=1", '{"x": "\u65e5"}'.encode(), **sent)
    answer = json.loads(body)
    assert status == 201, body
    assert len(answer.pop("id")) == 36
    assert answer == {"number": "a b", "query": {"q": "1"}, "body": {"x": "\u65e5"}, "cookie": "c=1; d=2"}
    assert cookies(headers) == ["a=1", "b=2"]
    content = bytes(range(256)) * 400
    assert request(server, url, "PUT", "/mirror", content)[::2] == (200, content[::-1])
    status, _, body = request(server, url, "GET", "/fail")
    assert (status, b"broken" in body) == (500, True)
    assert request(server, url, "GET", "/nowhere")[0] == 404


def test_aws_sdk_and_powertools_for_javascript(server: Server, node: str) -> None:
    """The SDK's S3 client finds lambdad by AWS_ENDPOINT_URL, with checksums, streams, ranges and AWS's errors; the logger's
    lines are JSON with the invocation's context."""
    variables = {"POWERTOOLS_LOGGER_LOG_EVENT": "true"}
    create_node(server, "node-tools", NODE_TOOLS, node, Environment={"Variables": variables})
    answer = server.invoke("node-tools", {"bucket": "node-tools"})
    assert answer == {
        "kind": "test",
        "part": "lambda",
        "isSame": True,
        "keys": ["a folder/\u00fc+\u65e5.bin", "streamed"],
        "failure": ["NoSuchKey", 404],
    }
    said = wait_for_json(server, "node-tools", "event")
    assert (said["event"], said["service"], said["cold_start"]) == ({"bucket": "node-tools"}, "shop", True)
    assert (said["function_name"], said["function_memory_size"]) == ("node-tools", "512")
    failure = wait_for_json(server, "node-tools", "error")
    assert (failure["level"], failure["message"], failure["error"]["name"]) == ("ERROR", "as expected", "NoSuchKey")
    assert failure["function_request_id"] == said["function_request_id"]
