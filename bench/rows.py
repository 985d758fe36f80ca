"""One function a row of docs/reference/speed.md: it measures on a running server and returns what it saw."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from bench import client, memory
from bench.server import RUNTIME, Server, zipped
from lambdad.runtimes.families import FAMILY_OF
from lambdad.runtimes.java.jar import JAR

ECHO = "def handler(event, context):\n    return event\n"
SLOW = "import time\n\ndef handler(event, context):\n    time.sleep(0.2)\n    return event\n"
FLOOD = """import os, time

def handler(event, context):
    end = time.time() + 8
    while time.time() < end:
        os.write(1, b"short\\n" * 10000)
"""
EXAMPLE = Path(__file__).parents[1] / "examples" / "xls_to_csv"
#: An event without `Records` ends the environment.
ENDING = """

def handler(event, context):
    if "Records" not in event:
        os._exit(3)
    return lambda_handler(event, context)
"""
HELD = "import time\n\ndef handler(event, context):\n    time.sleep(8)\n"


SHELL = """#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while event=$(curl -sS -D /tmp/headers "$api/next"); do
    id=$(sed -n 's/^lambda-runtime-aws-request-id: \\(.*\\)\r$/\\1/ip' /tmp/headers)
    curl -sS -o /dev/null -d "$event" "$api/$id/response"
done
"""


#: The shortest loop over the Runtime API that Node can run.
NODE = """#!/usr/bin/env node
const http = require('http');
const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const agent = new http.Agent({keepAlive: true});
const call = (method, path, body, done) => {
  const request = http.request({host, port, method, path: '/2018-06-01/runtime/invocation/' + path, agent}, (answer) => {
    let text = '';
    answer.on('data', (piece) => { text += piece; });
    answer.on('end', () => done(answer.headers, text));
  });
  request.end(body);
};
const next = () => call('GET', 'next', undefined, (headers, event) =>
  call('POST', headers['lambda-runtime-aws-request-id'] + '/response', event, next));
next();
"""


JAVA = """
import com.amazonaws.services.lambda.runtime.Context;
import com.amazonaws.services.lambda.runtime.RequestHandler;
import java.util.Map;

public class Hello implements RequestHandler<Map<String, Object>, Map<String, Object>> {
    public Map<String, Object> handleRequest(Map<String, Object> event, Context context) { return event; }
}
"""


NODE_ECHO = "exports.handler = async (event) => event;\n"

RUBY = "def handler(event:, context:)\n  event\nend\n"

GO = """package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
)

func main() {
	api := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		next, err := http.Get(api + "next")
		if err != nil {
			panic(err)
		}
		event, _ := io.ReadAll(next.Body)
		next.Body.Close()
		id := next.Header.Get("Lambda-Runtime-Aws-Request-Id")
		answer, err := http.Post(api+id+"/response", "application/json", bytes.NewReader(event))
		if err != nil {
			panic(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
}
"""


#: Streams one piece: the time at which it writes it.
STREAMING = """#!/usr/bin/python3
import http.client, os, socket, time
address = os.environ["AWS_LAMBDA_RUNTIME_API"]
api = http.client.HTTPConnection(address)
stream = socket.create_connection(address.split(":"))
stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = api.getresponse()
    answer.read()
    path = "/2018-06-01/runtime/invocation/%s/response" % answer.headers["Lambda-Runtime-Aws-Request-Id"]
    stream.sendall(
        b"POST %s HTTP/1.1\\r\\nHost: x\\r\\nTransfer-Encoding: chunked\\r\\n"
        b"Lambda-Runtime-Function-Response-Mode: streaming\\r\\n\\r\\n" % path.encode()
    )
    written = b"%d" % time.time_ns()
    stream.sendall(b"%x\\r\\n%s\\r\\n" % (len(written), written))
    stream.sendall(b"0\\r\\n\\r\\n")
    stream.recv(65536)
"""


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured number and what design asks of it. `at_least` says which way is better."""

    what: str
    measured: float
    unit: str
    must: float
    aim: float
    at_least: bool = False

    @property
    def is_met(self) -> bool:
        return self.measured >= self.must if self.at_least else self.measured <= self.must


def warm_invoke(server: Server) -> list[Figure]:
    server.create_function("warm", ECHO)
    request = client.invoke_request("warm")
    client.run(server.port, request, connections=1, requests=300, status=200)
    one = client.run(server.port, request, connections=1, requests=4000, status=200)
    client.run(server.port, request, connections=16, requests=2000, status=200)
    many = client.run(server.port, request, connections=16, requests=16000, status=200)
    client.run(server.port, request, connections=64, requests=2000, status=200)
    more = client.run(server.port, request, connections=64, requests=16000, status=200)
    return [
        Figure("warm sync invoke, Python echo, one client, p50", one.percentile(0.5) * 1e3, "ms", 0.6, 0.25),
        Figure("warm sync invoke, Python echo, one client, p99", one.percentile(0.99) * 1e3, "ms", 3, 1.5),
        Figure("warm invokes a second, one client", one.per_second, "/s", 1600, 4000, at_least=True),
        Figure("warm invokes a second, 16 clients", many.per_second, "/s", 4000, 8000, at_least=True),
        Figure("warm invokes a second, 64 clients", more.per_second, "/s", 4000, 8000, at_least=True),
    ]


def streamed_first_byte(server: Server) -> list[Figure]:
    """From the moment before a function writes its first piece to the moment at which the caller has it."""
    code = {"ZipFile": zipped(STREAMING, "bootstrap")}
    server.create_function("streaming", "", Runtime="provided.al2023", Code=code, MemorySize=512)
    client.first_bytes(server.port, "streaming", requests=100)
    timings = client.first_bytes(server.port, "streaming", requests=1000)
    what = "first byte of a streamed response after the function wrote it"
    return [
        Figure(f"{what}, p50", timings.percentile(0.5) * 1e3, "ms", 3, 1),
        Figure("the same, p99", timings.percentile(0.99) * 1e3, "ms", 10, 3),
    ]


def timeout(server: Server) -> list[Figure]:
    """How long after its time a function that never answers is given up, as its invoker sees it."""
    server.create_function("late", HELD, Timeout=1)
    request = client.invoke_request("late")
    timings = client.run(server.port, request, connections=2, requests=20, status=200, fails=True)
    late = [seconds - 1 for seconds in sorted(timings.each)[:-2]]  # two waited for their environments
    return [Figure("a function's timeout, how late, worst of 18", late[-1] * 1e3, "ms", 50, 10)]


def log_flood(server: Server) -> list[Figure]:
    """Warm invocations beside functions that write short lines without end."""
    server.create_function("warm", ECHO)
    request = client.invoke_request("warm")
    client.run(server.port, request, connections=1, requests=300, status=200)
    with ThreadPoolExecutor(2) as pool:
        floods = []
        for number in range(2):
            server.create_function(f"flood-{number}", FLOOD, Timeout=60)
            flood = client.invoke_request(f"flood-{number}")
            floods.append(pool.submit(client.run, server.port, flood, connections=1, requests=1, status=200))
        time.sleep(1)
        timings = client.run(server.port, request, connections=1, requests=2000, status=200)
        for each in floods:
            each.result()
    memory_mb = memory.resident_mb(server.pid)
    return [
        Figure("warm sync invoke beside two floods of output, p50", timings.percentile(0.5) * 1e3, "ms", 1.2, 0.6),
        Figure("the same, p99", timings.percentile(0.99) * 1e3, "ms", 20, 5),
        Figure("the server's memory afterwards", memory_mb, "MB", 200, 120),
    ]


def cold_start(server: Server) -> list[Figure]:
    """First invocations of functions that have no environment yet; the runtime itself is in use already."""
    server.create_function("cold-primer", ECHO)
    client.run(server.port, client.invoke_request("cold-primer"), connections=1, requests=1, status=200)
    seconds = []
    for number in range(30):
        name = f"cold-{number}"
        server.create_function(name, ECHO)
        timings = client.run(server.port, client.invoke_request(name), connections=1, requests=1, status=200)
        seconds.append(timings.each[0])
    return [Figure("cold start, Python hello, seen by the client, p50", sorted(seconds)[15] * 1e3, "ms", 25, 10)]


def cold_start_shell(server: Server) -> list[Figure]:
    """A custom runtime as AWS's tutorial writes it, in shell with curl; most of the time is theirs."""
    return [Figure("cold start, provided shell script, p50", _cold_start_provided(server, "shell", SHELL), "ms", 30, 15)]


def cold_start_node(server: Server) -> list[Figure]:
    """Node as a custom runtime: nearly all of it is what Node itself takes to start."""
    if shutil.which("node", path="/usr/bin:/bin") is None:
        return []
    return [Figure("cold start, Node hello (provided), p50", _cold_start_provided(server, "node", NODE), "ms", 60, 20)]


def node(server: Server) -> list[Figure]:
    """A function in Node.js 20: in an interpreter that waits for one, and in one of its own."""
    if "nodejs20.x" not in server.health()["runtimes"]["available"]:
        return []
    code = {"ZipFile": zipped(NODE_ECHO, "app.js")}
    settings = {"Runtime": "nodejs20.x", "Handler": "app.handler", "Code": code, "MemorySize": 512}
    cold, warm = cold_and_warm(server, "node", settings)
    own = _cold_start(server, "node-own", {**settings, "Environment": {"Variables": {"NODE_OPTIONS": "--no-warnings"}}})
    return [
        Figure("cold start, Node hello (nodejs20.x), p50", cold, "ms", 60, 20),
        Figure("the same with an interpreter of its own (NODE_OPTIONS), p50", own, "ms", 60, 20),
        Figure("warm sync invoke, Node echo, one client, p50", warm, "ms", 0.9, 0.4),
    ]


def java(server: Server) -> list[Figure]:
    """A function in Java, from a jar, in each release that is ready: in a machine that waits for one, and in one of its own,
    whose own start is nearly all of a cold start then."""
    ready = [
        name for name in ("java8", "java11", "java17", "java21", "java25") if name in server.health()["runtimes"]["available"]
    ]
    javac = shutil.which("javac")
    if not ready or javac is None:
        return []
    code = {"ZipFile": _java_package(javac)}
    figures = []
    for runtime in ready:
        settings = {"Runtime": runtime, "Handler": "Hello", "Code": code, "MemorySize": 512}
        cold = _cold_start(server, runtime, settings)
        variables = {"Environment": {"Variables": {"JAVA_TOOL_OPTIONS": "-Dhas.own=yes"}}}
        own = _cold_start(server, f"{runtime}-own", {**settings, **variables})
        figures.append(Figure(f"cold start, Java hello ({runtime}), p50", cold, "ms", 400, 150))
        figures.append(Figure("the same with a machine of its own (JAVA_TOOL_OPTIONS), p50", own, "ms", 400, 150))
    timings = client.run(server.port, client.invoke_request(f"{runtime}-30"), connections=1, requests=3000, status=200)
    warm = sorted(timings.each[1000:])
    return [*figures, Figure(f"warm sync invoke, Java echo ({runtime}), p50", warm[len(warm) // 2] * 1e3, "ms", 0.9, 0.4)]


def _java_package(javac: str) -> bytes:
    with tempfile.TemporaryDirectory(prefix="lambdad-bench-") as folder:
        Path(folder, "Hello.java").write_text(JAVA)
        command = [javac, "--release", "8", "-Xlint:-options", "-cp", str(JAR), "-d", folder, str(Path(folder, "Hello.java"))]
        subprocess.run(command, check=True)
        return zipped(Path(folder, "Hello.class").read_bytes(), "Hello.class")


def ruby(server: Server) -> list[Figure]:
    """The newest of AWS's Rubies that this machine has: in an interpreter that waits, and in one of its own, where nearly all
    of a cold start is what Ruby itself takes."""
    ready = [name for name in server.health()["runtimes"]["available"] if name.startswith("ruby")]
    if not ready:
        return []
    settings = {"Runtime": ready[-1], "Handler": "app.handler", "Code": {"ZipFile": zipped(RUBY, "app.rb")}, "MemorySize": 512}
    cold, warm = cold_and_warm(server, "ruby", settings)
    variables = {"RUBY_THREAD_VM_STACK_SIZE": "1048576"}  # as it is anyway
    own = _cold_start(server, "ruby-own", {**settings, "Environment": {"Variables": variables}})
    return [
        Figure(f"cold start, Ruby hello ({ready[-1]}), p50", cold, "ms", 100, 40),
        Figure("the same with an interpreter of its own (RUBY_THREAD_VM_STACK_SIZE), p50", own, "ms", 300, 100),
        Figure("warm sync invoke, Ruby echo, one client, p50", warm, "ms", 0.9, 0.4),
    ]


def go(server: Server) -> list[Figure]:
    """A program in Go as a custom runtime."""
    compiler = shutil.which("go")
    if compiler is None:
        return []
    with tempfile.TemporaryDirectory(prefix="lambdad-bench-") as folder:
        Path(folder, "main.go").write_text(GO)
        variables = {**os.environ, "CGO_ENABLED": "0", "GO111MODULE": "off", "GOCACHE": f"{folder}/cache"}
        subprocess.run([compiler, "build", "-o", "bootstrap", "main.go"], cwd=folder, env=variables, check=True)
        package = zipped(Path(folder, "bootstrap").read_bytes(), "bootstrap")
    cold, warm = cold_and_warm(server, "go", {"Runtime": "provided.al2023", "Code": {"ZipFile": package}, "MemorySize": 512})
    return [
        Figure("cold start, Go hello (provided), p50", cold, "ms", 30, 15),
        Figure("warm sync invoke, Go echo (provided), one client, p50", warm, "ms", 0.9, 0.4),
    ]


def cold_and_warm(server: Server, prefix: str, settings: dict[str, Any]) -> tuple[float, float]:
    """Medians in milliseconds."""
    cold = _cold_start(server, prefix, settings)
    request = client.invoke_request(f"{prefix}-0")
    client.run(server.port, request, connections=1, requests=200, status=200)
    warm = client.run(server.port, request, connections=1, requests=2000, status=200)
    return cold, warm.percentile(0.5) * 1e3


def cold_start_snap_start(server: Server) -> list[Figure]:
    """The example with pandas and xlrd, initialised when its version is published; each of its environments ends before the
    next invocation. An event without records: what is measured is the start."""
    recipe = _layer_recipe()
    with tempfile.TemporaryDirectory(prefix="lambdad-bench-") as folder:
        archive = recipe.build(RUNTIME, Path(folder))
        bucket, s3, lambda_ = "bench-snap-start", server.client("s3"), server.client("lambda")
        s3.create_bucket(Bucket=bucket)
        s3.upload_file(str(archive), bucket, "layer.zip")
    layer = lambda_.publish_layer_version(LayerName="pandas", Content={"S3Bucket": bucket, "S3Key": "layer.zip"})
    server.create_function(
        "snap-start",
        (EXAMPLE / "lambda_function.py").read_text() + ENDING,
        Layers=[layer["LayerVersionArn"]],
        MemorySize=512,
        Timeout=60,
        SnapStart={"ApplyOn": "PublishedVersions"},
    )
    version = lambda_.publish_version(FunctionName="snap-start")["Version"]
    named = {"FunctionName": "snap-start", "Qualifier": version}
    lambda_.get_waiter("published_version_active").wait(**named, WaiterConfig={"Delay": 1})
    seconds = []
    for _ in range(30):
        began = time.perf_counter()
        answer = lambda_.invoke(**named, Payload=b'{"Records": []}')
        seconds.append(time.perf_counter() - began)
        assert "FunctionError" not in answer, answer["Payload"].read()
        lambda_.invoke(**named, Payload=b"{}")
        time.sleep(0.3)  # for the environment that has just ended, and for a spare
    return [Figure("cold start, pandas and xlrd with SnapStart, p50", sorted(seconds)[15] * 1e3, "ms", 40, 20)]


def _layer_recipe() -> ModuleType:
    spec = importlib.util.spec_from_file_location("layer", EXAMPLE / "layer.py")
    assert spec is not None
    assert spec.loader is not None
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return recipe


def _cold_start_provided(server: Server, prefix: str, bootstrap: str) -> float:
    """The median in milliseconds."""
    settings = {"Runtime": "provided.al2023", "Code": {"ZipFile": zipped(bootstrap, "bootstrap")}, "MemorySize": 512}
    return _cold_start(server, prefix, settings)


def _cold_start(server: Server, prefix: str, settings: dict[str, Any]) -> float:
    """The median in milliseconds, once a runtime waits where any do. Leaves the functions {prefix}-0 to -30."""
    seconds = []
    for number in range(31):  # the first one prepares the runtime
        name = f"{prefix}-{number}"
        server.create_function(name, "", **settings)
        if number > 0 and FAMILY_OF[settings["Runtime"]].start_names() is not None:
            server.wait_for_pre_booted(settings["Runtime"])
        timings = client.run(server.port, client.invoke_request(name), connections=1, requests=1, status=200)
        seconds.append(timings.each[0])
    return sorted(seconds[1:])[15] * 1e3


def burst(server: Server) -> list[Figure]:
    figures = []
    for count, must, aim in ((100, 2, 1), (200, 4, 2)):
        server.create_function(f"burst-{count}", SLOW)
        timings = client.run(
            server.port, client.invoke_request(f"burst-{count}"), connections=count, requests=count, status=200
        )
        figures.append(Figure(f"{count} first calls at once of a 200 ms function", timings.total, "s", must, aim))
    return figures


def thaw(server: Server) -> list[Figure]:
    """A call after a pause in which the environment was frozen."""
    server.create_function("thaw", ECHO)
    request = client.invoke_request("thaw")
    client.run(server.port, request, connections=1, requests=300, status=200)
    timings = client.run(server.port, request, connections=1, requests=40, status=200, pause=0.25)
    return [Figure("the same after a pause, from a frozen environment, p50", timings.percentile(0.5) * 1e3, "ms", 3, 1.5)]


def events(server: Server) -> list[Figure]:
    server.create_function("events", ECHO)
    request = client.invoke_request("events", invocation_type="Event")
    timings = client.run(server.port, request, connections=16, requests=10000, status=202)
    began, already = time.monotonic(), server.events_succeeded()
    while server.events_succeeded() < 10000:
        time.sleep(0.05)
    run_per_second = (10000 - already) / (time.monotonic() - began)
    return [
        Figure("Event accepted and durable, a second", timings.per_second, "/s", 5000, 20000, at_least=True),
        Figure("Event accepted and durable, p99", timings.percentile(0.99) * 1e3, "ms", 15, 5),
        Figure("queued events run and ended, a second", run_per_second, "/s", 1000, 4000, at_least=True),
    ]


def idle_server_memory(server: Server) -> list[Figure]:
    return [Figure("idle server, resident memory", memory.resident_mb(server.pid), "MB", 90, 60)]


def idle_environments(server: Server) -> list[Figure]:
    """Of the newest Python here, and of the server's own: since 3.12 a use of what never ends is no longer a write to it."""
    return [_idle_environments(server, runtime) for runtime in dict.fromkeys((server.newest_python(), RUNTIME))]


def _idle_environments(server: Server, runtime: str, count: int = 200) -> Figure:
    """PSS of `count` idle environments, scaled to the thousand that the promise names.

    All invocations are held at once until the last has begun, so that each has an environment of its own.
    """
    idle, primer = f"idle-{runtime.replace('.', '-')}", f"primer-{runtime.replace('.', '-')}"
    server.create_function(idle, HELD, Timeout=60, Runtime=runtime)
    server.create_function(primer, ECHO, Runtime=runtime)
    client.run(server.port, client.invoke_request(primer), connections=1, requests=1, status=200)
    before = memory.proportional_mb(memory.descendants(server.pid))
    client.run(server.port, client.invoke_request(idle), connections=count, requests=count, status=200)
    after = memory.proportional_mb(memory.descendants(server.pid))
    per_thousand = (after - before) / count * 1000 / 1024
    return Figure(f"1,000 idle {runtime} environments, memory (from {count})", per_thousand, "GB", 4, 1.5)


def start_with_functions(count: int = 1000) -> list[Figure]:
    """Server start to the first answer with many functions stored; has servers of its own, one after the other."""
    with tempfile.TemporaryDirectory(prefix="lambdad-bench-") as folder:
        data_dir = Path(folder) / "data"
        with Server(data_dir) as first:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda n: first.create_function(f"stored-{n}", ECHO, wait=False), range(count)))
            first.client("lambda").get_waiter("function_active_v2").wait(FunctionName=f"stored-{count - 1}")
        with Server(data_dir) as second:
            ready = second.seconds_to_ready
            began = time.perf_counter()
            client.run(second.port, client.invoke_request("stored-7"), connections=1, requests=1, status=200)
            first_invoke = time.perf_counter() - began
    return [
        Figure(f"server start to first answer, {count:,} functions stored", ready, "s", 1, 0.4),
        Figure("the same to the end of a first invocation", ready + first_invoke, "s", 2, 1),
    ]
