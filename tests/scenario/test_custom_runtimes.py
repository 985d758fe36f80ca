"""Functions that bring their own runtime: `bootstrap` files in shell, Python, JavaScript, Go, C and Rust."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from support.go import built
from support.probe_program import probe_program
from support.server import ROLE, Server, zipped

pytestmark = pytest.mark.root

SHELL = r"""#!/bin/sh
set -e
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
while true; do
    event=$(curl -sS -D /tmp/headers "$api/invocation/next")
    id=$(grep -i '^lambda-runtime-aws-request-id:' /tmp/headers | tr -d '\r' | cut -d' ' -f2)
    echo "event: $event" >&2
    if [ "$event" = '"fail"' ]; then
        curl -sS -o /dev/null -H 'Lambda-Runtime-Function-Error-Type: Function.Asked' \
            -d '{"errorType": "Function.Asked", "errorMessage": "as asked"}' "$api/invocation/$id/error"
    else
        answer="{\"handler\": \"$_HANDLER\", \"pwd\": \"$PWD\", \"event\": $event}"
        curl -sS -o /dev/null -d "$answer" "$api/invocation/$id/response"
    fi
done
"""

#: A shell first: an interpreter ignores signals of its own accord, so it could not tell what was handed down to it.
STATE = """#!/bin/sh
grep SigIgn /proc/self/status > /tmp/signals
ls /proc/self/fd > /tmp/descriptors
exec /usr/bin/python3 /var/task/state.py
"""

STATE_SERVER = """
import http.client, json, os
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
while True:
    api.request("GET", "/2018-06-01/runtime/invocation/next")
    answer = api.getresponse()
    answer.read()
    state = [open("/tmp/" + name).read().split() for name in ("signals", "descriptors")]
    body = json.dumps({"environment": dict(os.environ), "signals": state[0], "descriptors": state[1]})
    api.request("POST", "/2018-06-01/runtime/invocation/%s/response" % answer.headers["Lambda-Runtime-Aws-Request-Id"], body)
    api.getresponse().read()
"""

#: What AWS's guide shows: a shell script that starts a Node.js of the package's own.
NODE_BOOTSTRAP = """#!/bin/sh
cd $LAMBDA_TASK_ROOT
./bin/node runtime.js
"""

NODE_RUNTIME = """
const http = require('http');
const api = 'http://' + process.env.AWS_LAMBDA_RUNTIME_API + '/2018-06-01/runtime';
const [file, name] = process.env._HANDLER.split('.');
const handler = require(process.env.LAMBDA_TASK_ROOT + '/' + file)[name];

function ask(method, path, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(api + path, { method }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => resolve([response, Buffer.concat(parts)]));
    });
    request.on('error', reject);
    request.end(body);
  });
}

async function main() {
  for (;;) {
    const [response, event] = await ask('GET', '/invocation/next');
    const invocation = '/invocation/' + response.headers['lambda-runtime-aws-request-id'];
    try {
      await ask('POST', invocation + '/response', JSON.stringify(await handler(JSON.parse(event))));
    } catch (error) {
      await ask('POST', invocation + '/error', JSON.stringify({ errorMessage: error.message, errorType: error.name }));
    }
  }
}
main();
"""

NODE_FUNCTION = """
exports.handler = async (event) => {
  if (event === 'fail') throw new RangeError('as asked');
  return { event, node: process.execPath, wrapped: process.env.WRAPPED || null };
};
"""

GO_RUNTIME = r"""
package main

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
		answer := append(append([]byte(`["go",`), event...), ']')
		id := next.Header.Get("Lambda-Runtime-Aws-Request-Id")
		sent, err := http.Post(api+id+"/response", "application/json", bytes.NewReader(answer))
		if err != nil {
			panic(err)
		}
		sent.Body.Close()
	}
}
"""


RUST_RUNTIME = r"""
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

fn main() {
    let address = std::env::var("AWS_LAMBDA_RUNTIME_API").unwrap();
    let mut stream = TcpStream::connect(&address).unwrap();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    loop {
        write!(stream, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: {}\r\n\r\n", address).unwrap();
        let (id, event) = read(&mut reader);
        let answer = format!("[\"rust\",{}]", event);
        let head = format!("POST /2018-06-01/runtime/invocation/{}/response HTTP/1.1\r\nHost: {}", id, address);
        write!(stream, "{}\r\nContent-Length: {}\r\n\r\n{}", head, answer.len(), answer).unwrap();
        read(&mut reader);
    }
}

fn read(reader: &mut BufReader<TcpStream>) -> (String, String) {
    let (mut id, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim_end().is_empty() {
            break;
        }
        if let Some((name, value)) = line.trim_end().split_once(": ") {
            match name.to_lowercase().as_str() {
                "lambda-runtime-aws-request-id" => id = value.to_string(),
                "content-length" => length = value.parse().unwrap(),
                _ => (),
            }
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    (id, String::from_utf8(body).unwrap())
}
"""


def create(server: Server, name: str, files: dict[str, str | bytes], *executable: str, **settings: Any) -> None:
    settings = {"Runtime": "provided.al2023", "Handler": "app.handler", "Timeout": 15, "MemorySize": 256, **settings}
    code = {"ZipFile": zipped(files, executable or ("bootstrap",))}
    server.client("lambda").create_function(FunctionName=name, Role=ROLE, Code=code, **settings)
    server.wait_active(name)


@pytest.mark.parametrize("runtime", ["provided", "provided.al2", "provided.al2023"])
def test_a_shell_script_is_a_runtime(server: Server, runtime: str) -> None:
    """The loop of AWS's tutorial in shell and curl answers, fails, and answers again, in one and the same environment."""
    if shutil.which("curl", path="/usr/bin:/bin") is None:
        pytest.skip("needs curl in /usr/bin")
    name = "shell-" + runtime.replace(".", "-")
    create(server, name, {"bootstrap": SHELL}, Runtime=runtime)
    for event in (1, {"k": "v"}, "fail", 2):
        if event == "fail":
            assert server.failure(name, event) == {"errorType": "Function.Asked", "errorMessage": "as asked"}
        else:
            assert server.invoke(name, event) == {"handler": "app.handler", "pwd": "/var/task", "event": event}
    lines = server.messages(f"/aws/lambda/{name}")
    assert any(line.startswith(f"INIT_START Runtime Version: {runtime.replace('.', ':')}") for line in lines), lines


def test_a_layer_may_bring_the_runtime(server: Server) -> None:
    """/opt/bootstrap is run where the package has none."""
    if shutil.which("curl", path="/usr/bin:/bin") is None:
        pytest.skip("needs curl in /usr/bin")
    layer = server.client("lambda").publish_layer_version(
        LayerName="shell-runtime", Content={"ZipFile": zipped({"bootstrap": SHELL})}
    )
    create(server, "from-layer", {"data.txt": "x"}, Layers=[layer["LayerVersionArn"]])
    assert server.invoke("from-layer", "here")["event"] == "here"


@pytest.mark.parametrize(
    "files, executable, problem",
    [
        ({"other": "x"}, (), "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"),
        ({"bootstrap": SHELL}, ("nothing",), "fork/exec /var/task/bootstrap: permission denied"),
        ({"bootstrap/x": SHELL}, (), "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"),
        ({"bootstrap": "\x7fELF garbage"}, (), "fork/exec /var/task/bootstrap: exec format error"),
        ({"bootstrap": "#!/no/such/interpreter\n"}, (), "fork/exec /var/task/bootstrap: no such file or directory"),
    ],
    ids=["missing", "not-executable", "a-folder", "no-program", "no-interpreter"],
)
def test_a_bootstrap_that_cannot_be_run_is_an_invalid_entrypoint(
    server: Server, request: pytest.FixtureRequest, files: dict[str, str | bytes], executable: tuple[str, ...], problem: str
) -> None:
    """The invoker gets AWS's error type and text with the request id in it."""
    name = "entrypoint-" + request.node.callspec.id
    create(server, name, files, *executable)
    answer = server.failure(name)
    assert answer["errorType"] == "Runtime.InvalidEntrypoint"
    request_id, _, text = answer["errorMessage"].removeprefix("RequestId: ").partition(" Error: ")
    assert (len(request_id), text) == (36, problem)


def test_a_custom_runtime_starts_clean(server: Server) -> None:
    """It gets AWS's variables without those of a managed language, no descriptor but its three, and no ignored signal."""
    create(server, "clean-start", {"bootstrap": STATE, "state.py": STATE_SERVER})
    seen = server.invoke("clean-start")
    variables = seen["environment"]
    assert variables["PATH"] == "/usr/local/bin:/usr/bin/:/bin:/opt/bin"
    assert "AWS_EXECUTION_ENV" not in variables and "PYTHONPATH" not in variables
    assert not [name for name in variables if name.startswith("_LAMBDAD")]
    assert seen["signals"] == ["SigIgn:", "0000000000000000"]
    assert seen["descriptors"] == ["0", "1", "2", "3"], "3 is the listing's own"


def carried_node() -> Path:
    """A Node.js in one file that stands on the machine's C library alone, as the one that is downloaded does."""
    node = shutil.which("node")
    if node is None or Path(node).stat().st_size < 10_000_000:
        pytest.skip("needs a node that is one whole program")
    return Path(node)


def with_node(files: dict[str, str | bytes]) -> bytes:
    """A package with Node.js in it, which is not compressed: that would take most of the test's time."""
    buffer = io.BytesIO(zipped(files))
    with zipfile.ZipFile(buffer, "a") as bundle:
        entry = zipfile.ZipInfo("bin/node")
        entry.external_attr = 0o755 << 16
        bundle.writestr(entry, carried_node().read_bytes(), zipfile.ZIP_STORED)
    return buffer.getvalue()


def test_the_guides_example_runs_a_node_that_the_package_carries(server: Server) -> None:
    """`bootstrap` runs `node runtime.js` with the package's own Node.js: answers, fails, answers. A wrapper, which
    custom runtimes do not honour, is a variable like any other (AWS_LAMBDA_EXEC_WRAPPER)."""
    package = with_node({"bootstrap": NODE_BOOTSTRAP, "runtime.js": NODE_RUNTIME, "app.js": NODE_FUNCTION})
    server.client("s3").create_bucket(Bucket="carried-node")
    server.client("s3").put_object(Bucket="carried-node", Key="package.zip", Body=package)
    server.client("lambda").create_function(
        FunctionName="carried-node",
        Role=ROLE,
        Runtime="provided.al2023",
        Handler="app.handler",
        Timeout=30,
        MemorySize=512,
        Code={"S3Bucket": "carried-node", "S3Key": "package.zip"},
        Environment={"Variables": {"AWS_LAMBDA_EXEC_WRAPPER": "/no/such/wrapper"}},
    )
    server.wait_active("carried-node")
    expected = {"node": "/var/task/bin/node", "wrapped": None}
    assert server.invoke("carried-node", {"k": 1}) == {"event": {"k": 1}, **expected}
    assert server.failure("carried-node", "fail") == {"errorMessage": "as asked", "errorType": "RangeError"}
    assert server.invoke("carried-node", 2) == {"event": 2, **expected}


def test_a_static_binary_of_go_is_a_runtime(server: Server, tmp_path: Path) -> None:
    """A compiled `bootstrap` needs nothing beside it, from the package or from a layer."""
    _runs_from_package_and_layer(server, "go", built(GO_RUNTIME, tmp_path), {"1": ["go", 1], '{"k":"v"}': ["go", {"k": "v"}]})


def test_a_static_binary_of_c_is_a_runtime(server: Server) -> None:
    """As above; it sees the handler that it may have, and the folder that it was started in."""
    answers = {'"env _HANDLER"': "app.handler", '"env PWD"': "/var/task"}
    _runs_from_package_and_layer(server, "c", probe_program(), answers)


def test_a_binary_of_rust_is_a_runtime(server: Server, tmp_path: Path) -> None:
    """As above, with the machine's C library."""
    compiler = shutil.which("rustc")
    if compiler is None or subprocess.run([compiler, "--version"], capture_output=True, check=False).returncode:
        pytest.skip("needs rustc")  # one of rustup's is there without a compiler, until it is told which
    source, program = tmp_path / "main.rs", tmp_path / "bootstrap"
    source.write_text(RUST_RUNTIME)
    subprocess.run([compiler, "--edition", "2021", "-C", "strip=symbols", "-o", program, source], check=True)
    _runs_from_package_and_layer(server, "rust", program.read_bytes(), {"1": ["rust", 1], '{"k":"v"}': ["rust", {"k": "v"}]})


def _runs_from_package_and_layer(server: Server, language: str, program: bytes, answers: dict[str, Any]) -> None:
    events = [json.loads(event) for event in answers]
    create(server, f"binary-{language}", {"bootstrap": program})
    assert [server.invoke(f"binary-{language}", event) for event in events] == list(answers.values())
    layer = server.client("lambda").publish_layer_version(
        LayerName=f"binary-{language}", Content={"ZipFile": zipped({"bootstrap": program})}
    )
    create(server, f"binary-layer-{language}", {"data": "x"}, Layers=[layer["LayerVersionArn"]])
    assert [server.invoke(f"binary-layer-{language}", event) for event in events] == list(answers.values())
