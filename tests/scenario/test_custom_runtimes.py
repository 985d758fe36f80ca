"""Functions that bring their own runtime: `bootstrap` files in shell and Python."""

from __future__ import annotations

import json
import shutil
from typing import Any

import pytest

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
