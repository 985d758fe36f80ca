"""A developer's day with functions: make, invoke, break, update, publish, delete; with boto3 against full isolation."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import urllib.request
import uuid
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest

from support.function_sources import PUT, WAIT_FOR
from support.server import Server, wait_until, zipped

pytestmark = pytest.mark.root

RUNTIMES = ["python2.7", *(f"python3.{minor}" for minor in range(6, 15))]

INTROSPECTION = """
import json, os, sys, logging
import boto3

def handler(event, context):
    print("plain output")
    logging.getLogger().warning("a warning")
    return {
        "python": list(sys.version_info[:2]),
        "boto3": boto3.__version__,
        "buckets": [b["Name"] for b in boto3.client("s3").list_buckets()["Buckets"]][:0],
        "request_id": context.aws_request_id,
        "arn": context.invoked_function_arn,
        "memory": context.memory_limit_in_mb,
        "execution_env": os.environ["AWS_EXECUTION_ENV"],
        "task_root": os.environ["LAMBDA_TASK_ROOT"],
        "cwd": os.getcwd(),
        "event": event,
    }
"""

TROUBLE = """
import os, sys, time

def handler(event, context):
    how = event["how"]
    if how == "raise":
        raise ValueError("as asked")
    if how == "sleep":
        time.sleep(30)
    if how == "exit":
        os._exit(event["status"])
    if how == "kill":
        os.kill(os.getpid(), 9)
    if how == "big":
        return "x" * (7 << 20)
    with open("/tmp/count", "a") as count:
        count.write("x")
    return os.path.getsize("/tmp/count")
"""


def raw_invoke(server: Server, name: str, event: Any, **options: Any) -> dict[str, Any]:
    answer = server.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event).encode(), **options)
    return {**answer, "Payload": json.loads(answer["Payload"].read() or b"null")}


@pytest.mark.slow
@pytest.mark.parametrize("runtime", [pytest.param(name, marks=pytest.mark.runtime(name)) for name in RUNTIMES])
def test_every_python_runs_with_its_sdk(server: Server, runtime: str) -> None:
    """The function sees its own Python, a boto3 that reaches this server, AWS's paths and variables; its log has the lines."""
    if runtime not in server.health()["runtimes"]["available"]:
        pytest.skip(f"no interpreter for {runtime}")
    name = "inspect-" + runtime.replace(".", "-")
    arn = server.create_function(name, INTROSPECTION, runtime=runtime, MemorySize=256, Timeout=20)
    answer = raw_invoke(server, name, {"text": "grüße"}, LogType="Tail")
    assert "FunctionError" not in answer, answer["Payload"]
    seen = answer["Payload"]
    assert seen["python"] == [int(part) for part in runtime.removeprefix("python").split(".")]
    assert seen["buckets"] == []
    assert seen["arn"] == arn
    assert seen["memory"] == "256"
    assert seen["execution_env"] == f"AWS_Lambda_{runtime}"
    assert (seen["task_root"], seen["cwd"]) == ("/var/task", "/var/task")
    assert seen["event"] == {"text": "grüße"}
    assert seen["request_id"] == answer["ResponseMetadata"]["RequestId"]
    tail = base64.b64decode(answer["LogResult"]).decode()
    request_id = re.escape(seen["request_id"])
    assert re.fullmatch(
        rf"START RequestId: {request_id} Version: \$LATEST\nplain output\n"
        rf"\[WARNING\]\t\d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{{3}}Z\t{request_id}\ta warning\n(?:.*\n)*"
        rf"END RequestId: {request_id}\nREPORT RequestId: {request_id}\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\t"
        rf"Memory Size: 256 MB\tMax Memory Used: \d+ MB\tInit Duration: [\d.]+ ms\t\n",
        tail,
    ), tail


@pytest.fixture(scope="module")
def trouble(server: Server) -> None:
    server.create_function("trouble", TROUBLE, Timeout=4)


@pytest.mark.usefixtures("trouble")
class TestTrouble:
    """One function breaks in every way; each time the caller is told as on AWS, and the next invocation works."""

    def works_again(self, server: Server) -> int:
        server.wait_for_rest()
        return int(server.invoke("trouble", {"how": "count"}))

    def test_environments_are_reused(self, server: Server) -> None:
        """Two invocations one after the other share an environment with its /tmp."""
        first = self.works_again(server)
        assert self.works_again(server) == first + 1

    def test_an_exception(self, server: Server) -> None:
        """The payload has the type, the message and the trace; the environment goes on."""
        before = self.works_again(server)
        answer = raw_invoke(server, "trouble", {"how": "raise"})
        assert (answer["StatusCode"], answer["FunctionError"]) == (200, "Unhandled")
        assert answer["Payload"]["errorType"] == "ValueError"
        assert answer["Payload"]["errorMessage"] == "as asked"
        assert 'File "/var/task/lambda_function.py"' in answer["Payload"]["stackTrace"][0]
        assert self.works_again(server) == before + 1

    @pytest.mark.parametrize(
        ("event", "message"),
        [
            ({"how": "exit", "status": 3}, "Runtime exited with error: exit status 3"),
            ({"how": "exit", "status": 0}, "Runtime exited without providing a reason"),
        ],
    )
    def test_an_exit(self, server: Server, event: dict[str, Any], message: str) -> None:
        """The environment is reset: a new process, and what was in /tmp is still there."""
        before = self.works_again(server)
        answer = raw_invoke(server, "trouble", event)
        request_id = answer["ResponseMetadata"]["RequestId"]
        assert answer["FunctionError"] == "Unhandled"
        expected = {"errorType": "Runtime.ExitError", "errorMessage": f"RequestId: {request_id} Error: {message}"}
        assert answer["Payload"] == expected
        assert self.works_again(server) == before + 1

    def test_a_timeout(self, server: Server) -> None:
        """The function is killed at its timeout, its log says so, and what was in /tmp is still there."""
        before = self.works_again(server)
        answer = raw_invoke(server, "trouble", {"how": "sleep"}, LogType="Tail")
        request_id = answer["ResponseMetadata"]["RequestId"]
        assert answer["Payload"] == {
            "errorType": "Sandbox.Timedout",
            "errorMessage": f"RequestId: {request_id} Error: Task timed out after 4.00 seconds",
        }
        assert "\tStatus: timeout" in base64.b64decode(answer["LogResult"]).decode()
        assert self.works_again(server) == before + 1

    def test_a_response_that_is_too_large(self, server: Server) -> None:
        """Above 6 MB and 100 bytes the caller gets AWS's error, and the environment survives."""
        before = self.works_again(server)
        answer = raw_invoke(server, "trouble", {"how": "big"})
        assert answer["Payload"]["errorType"] == "Function.ResponseSizeTooLarge"
        assert "6291556" in answer["Payload"]["errorMessage"]
        assert self.works_again(server) == before + 1


def test_an_update_is_seen_by_the_next_invocation(server: Server) -> None:
    """After "Successful" no invocation sees the old code or the old environment variables."""
    lambda_ = server.client("lambda")
    source = "import os\ndef handler(event, context):\n    return ['{}', os.environ.get('COLOUR')]\n"
    server.create_function("changing", source.format("one"), Environment={"Variables": {"COLOUR": "red"}})
    assert server.invoke("changing") == ["one", "red"]
    lambda_.update_function_code(FunctionName="changing", ZipFile=zipped({"lambda_function.py": source.format("two")}))
    server.wait_active("changing")
    assert server.invoke("changing") == ["two", "red"]
    lambda_.update_function_configuration(FunctionName="changing", Environment={"Variables": {"COLOUR": "blue"}})
    server.wait_active("changing")
    assert server.invoke("changing") == ["two", "blue"]


def test_versions_and_aliases_run_what_they_name(server: Server) -> None:
    """A published version keeps its code; an alias runs the version it points to; a weighted one both."""
    lambda_ = server.client("lambda")
    source = "def handler(event, context):\n    return [{}, context.function_version]\n"
    server.create_function("versioned", source.format(1), Publish=True)
    lambda_.update_function_code(FunctionName="versioned", ZipFile=zipped({"lambda_function.py": source.format(2)}))
    server.wait_active("versioned")
    assert lambda_.publish_version(FunctionName="versioned")["Version"] == "2"
    lambda_.create_alias(FunctionName="versioned", Name="live", FunctionVersion="1")
    assert server.invoke("versioned", Qualifier="1") == [1, "1"]
    assert server.invoke("versioned", Qualifier="live") == [1, "1"]
    assert server.invoke("versioned") == [2, "$LATEST"]
    weights = {"AdditionalVersionWeights": {"2": 0.5}}
    lambda_.update_alias(FunctionName="versioned", Name="live", RoutingConfig=weights)
    seen = {tuple(server.invoke("versioned", Qualifier="live")) for _ in range(40)}
    assert seen == {(1, "1"), (2, "2")}


def test_layers_are_merged_in_their_order(server: Server) -> None:
    """Modules of layers are importable, data is under /opt, and a later layer wins."""
    lambda_ = server.client("lambda")
    layers = []
    for number in (1, 2):
        files = {"python/greeting.py": f"TEXT = 'layer {number}'\n", f"data/{number}.txt": str(number)}
        made = lambda_.publish_layer_version(LayerName=f"greeting-{number}", Content={"ZipFile": zipped(files)})
        layers.append(made["LayerVersionArn"])
    source = "import os, greeting\ndef handler(event, context):\n    return [greeting.TEXT, sorted(os.listdir('/opt/data'))]\n"
    server.create_function("layered", source, Layers=layers)
    assert server.invoke("layered") == ["layer 2", ["1.txt", "2.txt"]]


def test_the_code_comes_back_byte_for_byte(server: Server) -> None:
    """Code.Location is a URL that needs no credentials and downloads the very zip; another digest is refused."""
    package = zipped({"lambda_function.py": "def handler(e, c): pass\n", "note.txt": "x" * 5000})
    server.create_function("returned", "", Code={"ZipFile": package})
    location = server.client("lambda").get_function(FunctionName="returned")["Code"]["Location"]
    with urllib.request.urlopen(location) as answer:
        assert answer.read() == package
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(re.sub(r"/code/[0-9a-f]{8}", "/code/00000000", location))
    refused.value.close()
    assert refused.value.code == 403


def test_a_deleted_function_is_gone_and_its_name_free(server: Server) -> None:
    """After DeleteFunction an invocation finds nothing, and the same name can be made anew, with versions from 1."""
    lambda_ = server.client("lambda")
    server.create_function("phoenix", "def handler(e, c): return 1\n", Publish=True)
    assert server.invoke("phoenix") == 1
    lambda_.delete_function(FunctionName="phoenix")
    with pytest.raises(botocore.exceptions.ClientError, match="ResourceNotFoundException"):
        server.invoke("phoenix")
    server.create_function("phoenix", "def handler(e, c): return 2\n", Publish=True)
    assert server.invoke("phoenix", Qualifier="1") == 2


def test_accounts_do_not_see_each_other(server: Server) -> None:
    """A 12-digit access key names the account; its functions are its own."""
    name = f"private-{uuid.uuid4().hex[:8]}"
    server.create_function(name, "def handler(e, c): return 1\n")
    other = server.client("lambda", aws_access_key_id="111122223333")
    assert name not in [function["FunctionName"] for function in other.list_functions()["Functions"]]
    with pytest.raises(botocore.exceptions.ClientError, match="ResourceNotFoundException"):
        other.invoke(FunctionName=name)


def test_a_slow_function_does_not_hold_up_another(server: Server) -> None:
    """While one function sleeps in twenty environments, another answers."""
    lambda_, s3 = server.client("lambda"), server.client("s3")
    s3.create_bucket(Bucket="sleepers")
    source = f"{PUT}{WAIT_FOR}def handler(event, context):\n    put('sleepers', 'in/' + context.aws_request_id)\n"
    server.create_function("sleeper", source + "    wait_for('sleepers', 'wake', 0.5)\n", Timeout=120)
    server.create_function("quick", "def handler(e, c): return 'quick'\n")
    for _ in range(20):
        lambda_.invoke(FunctionName="sleeper", InvocationType="Event", Payload=b"{}")
    wait_until(lambda: len(s3.list_objects_v2(Bucket="sleepers").get("Contents", [])) == 20, 30, "sleepers")
    assert server.invoke("quick") == "quick"
    assert server.health()["environments"]["busy"] >= 20
    s3.put_object(Bucket="sleepers", Key="wake")


def test_the_server_holds_no_capability(server: Server) -> None:
    """Every thread of the server has given up what root may do; the launcher alone has kept it."""
    threads = list(Path(f"/proc/{server.process.pid}/task").iterdir())
    effective = set()
    for thread in threads:
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # one that has ended
            effective |= {line for line in (thread / "status").read_text().splitlines() if line.startswith("CapEff")}
    assert effective == {"CapEff:\t0000000000000000"}
