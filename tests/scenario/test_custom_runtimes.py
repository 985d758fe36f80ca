"""Functions that bring their own runtime: `bootstrap` files in shell and Python, and AWS's own runtime interface clients."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from support.server import CACHE_DIR, ROLE, Server, zipped

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

INTERFACE_CLIENT = """#!/bin/sh
exec /usr/bin/env {command} "$_HANDLER"
"""


def create(server: Server, name: str, files: dict[str, str | bytes], *executable: str, **settings: Any) -> None:
    settings = {"Runtime": "provided.al2023", "Handler": "app.handler", "Timeout": 15, "MemorySize": 256, **settings}
    code = {"ZipFile": zipped(files, executable or ("bootstrap",))}
    server.client("lambda").create_function(FunctionName=name, Role=ROLE, Code=code, **settings)
    server.wait_active(name)


def failed(server: Server, name: str, event: Any = None) -> dict[str, Any]:
    answer = server.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode())
    assert answer["FunctionError"] == "Unhandled"
    return dict(json.loads(answer["Payload"].read()))


@pytest.mark.parametrize("runtime", ["provided", "provided.al2", "provided.al2023"])
def test_a_shell_script_is_a_runtime(server: Server, runtime: str) -> None:
    """The loop of AWS's tutorial in shell and curl answers, fails, and answers again, in one and the same environment."""
    if shutil.which("curl", path="/usr/bin:/bin") is None:
        pytest.skip("needs curl in /usr/bin")
    name = "shell-" + runtime.replace(".", "-")
    create(server, name, {"bootstrap": SHELL}, Runtime=runtime)
    for event in (1, {"k": "v"}, "fail", 2):
        if event == "fail":
            assert failed(server, name, event) == {"errorType": "Function.Asked", "errorMessage": "as asked"}
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
        ({"bootstrap": SHELL}, ("nothing",), "Couldn't find valid bootstrap(s): [/var/task/bootstrap /opt/bootstrap]"),
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
    answer = failed(server, name)
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


def test_aws_python_interface_client_runs_a_function(server: Server) -> None:
    """awslambdaric, unmodified, as the bootstrap of a custom runtime: answers, raises, logs with the request's id."""
    found = importlib.util.find_spec("awslambdaric")
    if found is None or found.origin is None:
        pytest.skip("needs awslambdaric")
    version = subprocess.run(["/usr/bin/python3", "-V"], capture_output=True, text=True).stdout.split()[-1]
    if not version.startswith(f"{sys.version_info[0]}.{sys.version_info[1]}."):
        pytest.skip("awslambdaric's compiled part is for the tests' Python, and /usr/bin/python3 is another")
    packages = Path(found.origin).parents[1]
    files: dict[str, str | bytes] = {
        f"{path.relative_to(packages)}": path.read_bytes()
        for pattern in ("awslambdaric/*.py", "runtime_client*.so", "simplejson/*.py", "snapshot_restore_py/*.py")
        for path in packages.glob(pattern)
    }
    files["bootstrap"] = INTERFACE_CLIENT.format(command="python3 -m awslambdaric")
    files["app.py"] = (
        "import logging\ndef handler(event, context):\n    logging.getLogger().error('seen %s', event)\n"
        "    if event == 'raise': raise ValueError('as asked')\n    return {'id': context.aws_request_id, 'event': event}\n"
    )
    create(server, "awslambdaric", files, MemorySize=512)
    for event in ("grüße", {"k": [1]}):
        assert server.invoke("awslambdaric", event)["event"] == event
    error = failed(server, "awslambdaric", "raise")
    assert (error["errorType"], error["errorMessage"]) == ("ValueError", "as asked")
    assert server.invoke("awslambdaric", "again")["event"] == "again"
    lines = server.messages("/aws/lambda/awslambdaric")
    assert any(line.startswith("[ERROR]") and "seen again" in line for line in lines), lines


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_aws_node_interface_client_runs_a_function(server: Server) -> None:
    """aws-lambda-ric, unmodified, as the bootstrap of a custom runtime: answers and throws."""
    client = node_interface_client()
    files: dict[str, str | bytes] = {
        f"ric/{path.relative_to(client)}": path.read_bytes()
        for path in [client / "package.json", *(client / "bin").iterdir(), *(client / "dist").iterdir()]
        if path.is_file()
    }
    files["bootstrap"] = INTERFACE_CLIENT.format(command="node /var/task/ric/bin/index.mjs")
    files["app.js"] = (
        "exports.handler = async (event, context) => {\n"
        "  if (event === 'throw') throw new RangeError('as asked');\n"
        "  return {id: context.awsRequestId, event, left: context.getRemainingTimeInMillis() > 0};\n};\n"
    )
    create(server, "aws-lambda-ric", files, MemorySize=512)
    for event in ("grüße", {"k": [1]}):
        answer = server.invoke("aws-lambda-ric", event)
        assert (answer["event"], answer["left"]) == (event, True)
    error = failed(server, "aws-lambda-ric", "throw")
    assert (error["errorType"], error["errorMessage"]) == ("RangeError", "as asked")
    assert server.invoke("aws-lambda-ric", "again")["event"] == "again"


def node_interface_client() -> Path:
    """The package with its compiled part, fetched and built once for all runs of the tests."""
    if shutil.which("node", path="/usr/bin:/bin") is None or shutil.which("npm") is None:
        pytest.skip("needs node in /usr/bin, and npm")
    folder = CACHE_DIR.parent / "aws-lambda-ric"
    package = folder / "node_modules" / "aws-lambda-ric"
    if not (package / "dist" / "rapid-client.node").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--prefix", str(folder), "--no-audit", "--no-fund", "aws-lambda-ric@3"]
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "npm_config_ignore_scripts": "false"})
        if done.returncode:
            missing = "autoreconf" if "autoreconf" in done.stderr else "a compiler or the package"
            pytest.skip(f"aws-lambda-ric could not be built: {missing} is missing")
    return package
