"""lambdad with an OCI runtime, from the first function to the last trace: the same story on each runtime that is installed."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.image_layers import Entry, folder
from support.images import RegistryClient, image
from support.probe_program import probe_program
from support.processes import children, command_line, is_running
from support.sandbox import Backend, backends
from support.server import CACHE_DIR, ROLE, Server, wait_until, zipped

pytestmark = pytest.mark.root

RUNTIMES = [each for each in backends(isolating=True) if each.id.startswith("oci-")]

FUNCTION = """
import os, time
count = 0
def handler(event, context):
    global count
    count += 1
    how = (event or {}).get("how")
    if how == "sleep":
        time.sleep(60)
    if how == "exit":
        os._exit(3)
    if how == "memory":
        blocks = [bytearray(b"x") * (16 << 20) for _ in range(100)]
    if how == "write":
        open("/tmp/kept", "w").write("kept")
    print("count is", count)
    return {"count": count, "kept": os.path.exists("/tmp/kept"), "uid": os.getuid()}
"""

EXTENSION = """#!/usr/bin/python3
import http.client, json, os, sys
def call(method, path, headers, body=None):
    connection = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
    connection.request(method, "/2020-01-01/extension/" + path, body, headers)
    answer = connection.getresponse()
    return answer, answer.read()
answer, _ = call("POST", "register", {"Lambda-Extension-Name": "teller"}, '{"events": ["INVOKE", "SHUTDOWN"]}')
identity = {"Lambda-Extension-Identifier": answer.headers["Lambda-Extension-Identifier"]}
while True:
    event = json.loads(call("GET", "event/next", identity)[1])
    print("teller", event["eventType"], event.get("shutdownReason", ""), flush=True)
    if event["eventType"] == "SHUTDOWN":
        sys.exit(0)
"""

SHELL_RUNTIME = """#!/bin/sh
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime/invocation"
while event=$(curl -sS -D /tmp/headers "$api/next"); do
    id=$(sed -n 's/^lambda-runtime-aws-request-id: \\(.*\\)\\r$/\\1/ip' /tmp/headers)
    curl -sS -o /dev/null -d "{\\"you sent\\": $event}" "$api/$id/response"
done
"""


@pytest.fixture(scope="module", params=RUNTIMES)
def backend(request: pytest.FixtureRequest) -> Backend:
    return request.param


@pytest.fixture(scope="module")
def oci_server(backend: Backend, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("oci"), *backend.options, isolation=backend.isolation).start()
    yield server
    if server.process.poll() is None:
        assert server.stop() == 0, server.log()
    wait_until(lambda: remains(server) == [], 30, "everything of it to be gone")


def remains(server: Server) -> list[str]:
    """What sandboxes of this server there are on the machine."""
    state = server.data_dir / "sandboxes"
    name = "lambdad-" + hashlib.sha256(os.fsencode(state.absolute())).hexdigest()[:8]
    groups = [*Path("/sys/fs/cgroup").glob(f"*/{name}"), *Path("/sys/fs/cgroup").glob(name)]
    containers = [*state.glob("runtime/*"), *state.glob("bundles/*")]
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(state) in line]
    return [*map(str, groups), *map(str, containers), *mounts]


def invoke(server: Server, name: str, event: Any = None) -> tuple[str | None, Any]:
    answer = server.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode())
    return answer.get("FunctionError"), json.loads(answer["Payload"].read())


def test_the_runtime_in_force_is_named(oci_server: Server, backend: Backend) -> None:
    """With its version, and with what is weaker than it might be."""
    isolation = oci_server.health()["isolation"]
    assert isolation["backend"].startswith(f"oci ({backend.options[1]} ")
    assert any("/tmp" in weakness for weakness in isolation["weaknesses"])


def test_an_environment_lives_as_ever(oci_server: Server) -> None:
    """It serves again and again, keeps /tmp over a timeout, a crash and want of memory, and tells of them as AWS does."""
    oci_server.create_function("lives", FUNCTION, Timeout=5, MemorySize=256)

    def lives(event: Any = None) -> dict[str, Any]:
        oci_server.wait_for_rest()
        return dict(oci_server.invoke("lives", event))

    assert lives({"how": "write"}) == {"count": 1, "kept": True, "uid": lives()["uid"]}
    assert lives()["count"] == 3

    error, payload = invoke(oci_server, "lives", {"how": "sleep"})
    assert error == "Unhandled"
    assert payload["errorType"] == "Sandbox.Timedout"
    answer = lives()
    assert (answer["count"], answer["kept"]) == (1, True)

    error, payload = invoke(oci_server, "lives", {"how": "exit"})
    assert (error, payload["errorType"]) == ("Unhandled", "Runtime.ExitError")
    answer = lives()
    assert (answer["count"], answer["kept"]) == (1, True)

    error, payload = invoke(oci_server, "lives", {"how": "memory"})
    assert (error, payload["errorType"]) == ("Unhandled", "Runtime.ExitError")
    assert payload["errorMessage"].endswith("signal: killed")
    assert lives()["count"] == 1
    wait_until(lambda: "count is 3" in said(oci_server, "lives"), 20, "its log")
    wait_until(lambda: any("Runtime.OutOfMemory" in line for line in said(oci_server, "lives")), 20, "the reason in the log")


def test_an_extension_runs_beside_it(oci_server: Server) -> None:
    """It hears of every invocation, and of the end of its environment."""
    lambda_ = oci_server.client("lambda")
    layer = lambda_.publish_layer_version(
        LayerName="teller", Content={"ZipFile": zipped({"extensions/teller": EXTENSION}, executable=["extensions/teller"])}
    )
    oci_server.create_function("told", FUNCTION, Layers=[layer["LayerVersionArn"]], MemorySize=256)
    assert oci_server.invoke("told")["count"] == 1
    assert oci_server.invoke("told")["count"] == 2
    wait_until(lambda: said(oci_server, "told").count("teller INVOKE") == 2, 20, "the extension to hear of both")
    lambda_.delete_function(FunctionName="told")
    wait_until(lambda: "teller SHUTDOWN spindown" in said(oci_server, "told"), 30, "the extension to hear of the end")


def said(server: Server, name: str) -> list[str]:
    return [line.strip() for line in server.messages(f"/aws/lambda/{name}")]


def test_a_custom_runtime_runs(oci_server: Server) -> None:
    """A shell script that speaks the Runtime API."""
    lambda_ = oci_server.client("lambda")
    lambda_.create_function(
        FunctionName="shell",
        Runtime="provided.al2023",
        Handler="any.thing",
        Role="arn:aws:iam::000000000000:role/test",
        Code={"ZipFile": zipped({"bootstrap": SHELL_RUNTIME})},
        Timeout=20,
    )
    oci_server.wait_active("shell")
    assert oci_server.invoke("shell", 7) == {"you sent": 7}


def test_an_image_runs_in_its_own_files(oci_server: Server) -> None:
    """Read-only but for /tmp, with none of this machine's and no right of the init's; AWS's words for what cannot be run."""
    layers = (
        [Entry("app/probe", probe_program(), mode=0o755), folder("bin")],
        [Entry("etc/mine", b"1"), Entry("etc/hosts", b"1.1.1.1 x")],
    )
    made = image(*layers, Entrypoint=["/app/probe"], Cmd=["two words"], WorkingDir="/app", Env=["AA=1"])
    oci_server.client("ecr").create_repository(repositoryName="app")
    RegistryClient(oci_server.endpoint, "app").push(made, "v1")
    lambda_ = oci_server.client("lambda")
    code = {"ImageUri": f"localhost:{oci_server.port}/app:v1"}
    lambda_.create_function(FunctionName="image", Role=ROLE, PackageType="Image", Code=code, Timeout=20)
    oci_server.wait_active("image")

    def ask(event: str) -> Any:
        return oci_server.invoke("image", event)

    seen = oci_server.invoke("image")
    assert seen.pop("user") > 0
    assert seen == {"arguments": ["/app/probe", "two words"], "folder": "/app"}
    assert (ask("env AA"), ask("env LD_LIBRARY_PATH")) == ("1", None)
    assert set(ask("list /")) == {"app", "bin", "dev", "etc", "mnt", "proc", "run", "tmp", "var"}
    assert ask("read /etc/mine") == "1"
    assert "sandbox" in ask("read /etc/hosts")
    for place in ("/app/new", "/etc/hosts", "/var/empty/x", "/dev/x"):
        assert ask(f"write {place}").startswith("errno "), place
    assert [ask(f"write {place}") for place in ("/tmp/new", "/dev/null")] == ["written", "written"]
    assert str(oci_server.data_dir) not in ask("read /proc/self/mounts")
    rights = [line.split() for line in ask("read /proc/self/status").splitlines() if line.startswith("Cap")]
    assert all(int(value, 16) == 0 for name, value in rights if name != "CapBnd:")

    lambda_.update_function_configuration(FunctionName="image", ImageConfig={"EntryPoint": ["/app/nowhere"]})
    lambda_.get_waiter("function_updated_v2").wait(FunctionName="image", WaiterConfig={"Delay": 1})
    error, told = invoke(oci_server, "image")
    assert (error, told["errorType"]) == ("Unhandled", "Runtime.InvalidEntrypoint")
    lambda_.delete_function(FunctionName="image")


def test_it_reaches_this_lambdad(oci_server: Server) -> None:
    """A function's own client finds the endpoint and is who its role says."""
    source = """
import boto3
def handler(event, context):
    return [each["FunctionName"] for each in boto3.client("lambda").list_functions()["Functions"]]
"""
    oci_server.create_function("client", source, MemorySize=512, Timeout=60)
    assert "client" in oci_server.invoke("client")


def test_killed_and_started_again_it_leaves_nothing(oci_server: Server) -> None:
    """After kill -9 every process of it ends; the next server on the data folder serves, and after its stop nothing is left."""
    oci_server.create_function("idle", FUNCTION)
    assert oci_server.invoke("idle")["count"] == 1
    family = descendants(oci_server.process.pid)
    assert len(family) >= 2
    assert remains(oci_server) != []

    oci_server.kill()

    wait_until(lambda: not any(is_running(pid) for pid in family), 30, "the environments to end")
    oci_server.start()
    assert oci_server.invoke("idle")["count"] == 1
    family = descendants(oci_server.process.pid)
    assert oci_server.stop() == 0, oci_server.log()
    wait_until(lambda: remains(oci_server) == [] and not any(is_running(pid) for pid in family), 30, "all to be gone")
    oci_server.start()


def test_a_server_that_lost_its_launcher_ends(oci_server: Server) -> None:
    """Its supervisor sees an exit code and a sentence; the next start clears up."""
    [launcher] = [pid for pid in children(oci_server.process.pid) if "oci_launcher" in command_line(pid)]
    os.kill(launcher, signal.SIGKILL)
    assert oci_server.process.wait(timeout=60) == 1
    assert "launcher" in oci_server.log().splitlines()[-1]
    oci_server.start()
    assert oci_server.invoke("idle")["count"] == 1


@pytest.mark.parametrize(
    ("runtime", "sentence"),
    [("nonesuch", "there is no OCI runtime nonesuch on this machine"), ("/bin/true", "/bin/true is no OCI runtime")],
)
def test_without_the_runtime_there_is_no_server(tmp_path: Path, runtime: str, sentence: str) -> None:
    """One sentence says what is missing, and nothing weaker is taken instead."""
    command = [sys.executable, "-m", "lambdad", "up", "--port", "0", "--data-dir", str(tmp_path), "--cache-dir", str(CACHE_DIR)]
    done = subprocess.run(
        [*command, "--isolation", "oci", "--oci-runtime", runtime], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr


def test_a_runtime_that_would_not_be_used_is_refused(tmp_path: Path) -> None:
    """Naming one without asking for it is a mistake, and is said to be one."""
    command = [sys.executable, "-m", "lambdad", "up", "--port", "0", "--data-dir", str(tmp_path), "--cache-dir", str(CACHE_DIR)]
    done = subprocess.run([*command, "--oci-runtime", "runsc"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "no effect without --isolation oci" in done.stderr


def descendants(pid: int) -> list[int]:
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found
