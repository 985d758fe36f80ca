"""Attacks by runtimes: `provided` functions that break the Runtime API's rules get its codes, and never another's event."""

from __future__ import annotations

import base64
import json
import re
import textwrap
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from support.arena import TOOLS, Arena
from support.server import ROLE, wait_until, zipped

pytestmark = pytest.mark.root

#: A runtime of bytes on sockets. What an event tells it to do it does instead of answering; what it was said goes into its
#: next answer.
BOOTSTRAP = """#!/usr/bin/python3
import json, os, socket, time
HOST, PORT = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
ROOT = b"/2018-06-01/runtime/"
seen = []

def connect():
    return socket.create_connection((HOST, int(PORT)), 20)

def answer(connection):
    data = b""
    while b"\\r\\n\\r\\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return 0, {}, data
        data += piece
    head, _, body = data.partition(b"\\r\\n\\r\\n")
    lines = head.decode("latin-1").split("\\r\\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    return int(lines[0].split()[1]), headers, body

def ask(request, connection=None):
    connection = connection or connect()
    connection.sendall(request)
    return answer(connection)

def post(path, body=b"{}", *headers):
    lines = [b"POST %b%b HTTP/1.1" % (ROOT, path), b"Host: x", b"Content-Length: %d" % len(body), *headers]
    return b"\\r\\n".join(lines) + b"\\r\\n\\r\\n" + body

NEXT = b"GET %binvocation/next HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n" % ROOT

while True:
    status, headers, event = ask(NEXT)
    if status != 200:
        raise SystemExit("next was refused: %d" % status)
    request_id = headers["lambda-runtime-aws-request-id"].encode()
    event = json.loads(event)
    result = {"echo": event.get("nonce")}
    if "deed" in event:
        scope = dict(globals())
        exec(event["deed"], scope)
        result["said"] = scope.get("said")
    status, _, body = ask(post(b"invocation/%b/response" % request_id, json.dumps(result).encode()))
"""


@pytest.fixture(scope="module")
def runtime(arena: Arena) -> Iterator[str]:
    arena.server.client("lambda").create_function(
        FunctionName="runtime",
        Role=ROLE,
        Runtime="provided.al2023",
        Handler="x",
        Timeout=5,
        MemorySize=256,
        Code={"ZipFile": zipped({"bootstrap": BOOTSTRAP})},
    )
    arena.server.wait_active("runtime")
    assert invoke(arena, {"nonce": "first"}) == {"echo": "first"}
    arena.recount()
    yield "runtime"
    arena.remove("runtime")


def invoke(arena: Arena, event: Any) -> dict[str, Any]:
    answer = arena.server.client("lambda").invoke(FunctionName="runtime", Payload=json.dumps(event).encode())
    return dict(json.loads(answer["Payload"].read()))


def do(arena: Arena, deed: str, **event: Any) -> dict[str, Any]:
    """What the caller of the misbehaving runtime gets; meanwhile the neighbour answers, and the function works afterwards."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(invoke, arena, {"nonce": "mine", "deed": deed, **event})
        arena.watch(running)
        result = running.result()
    assert invoke(arena, {"nonce": "after"}) == {"echo": "after"}
    arena.neighbour.answer()
    assert arena.server.process.poll() is None
    return result


#: Deeds and the status and error type that the Runtime API answers; the invocation itself is answered properly in the end.
REFUSED = {
    "an id of nobody": ("ask(post(b'invocation/00000000-0000-4000-8000-000000000000/response'))", 400, "InvalidRequestID"),
    "an error for an id of nobody": ("ask(post(b'invocation/x/error'))", 400, "InvalidRequestID"),
    "an id that climbs": ("ask(post(b'invocation/../../invocation/x/response'))", 404, None),
    "an init error in the middle": ("ask(post(b'init/error'))", 403, "InvalidStateTransition"),
    "a path of nobody": ("ask(post(b'invocation'))", 404, None),
    "a wrong method": ("ask(post(b'invocation/next'))", 405, None),
    "another API's path": ("ask(b'GET /2015-03-31/functions/neighbour HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')", 404, None),
    "a whole address": ("ask(b'GET http://169.254.100.1:4566/2015-03-31/functions HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n')", 404, None),
    "headers of three megabytes": ("ask(b'GET %binvocation/next HTTP/1.1\\r\\nX: %b\\r\\n\\r\\n' % (ROOT, b'x' * 3000000))", None, None),
    "no HTTP at all": ("ask(b'\\x16\\x03\\x01' + b'\\xff' * 500 + b'\\r\\n\\r\\n')", 400, None),
    "two lengths": ("ask(b'POST %binvocation/x/response HTTP/1.1\\r\\nContent-Length: 2\\r\\nContent-Length: 50\\r\\n\\r\\n{}' % ROOT)", 400, None),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_breaks_the_rules_is_refused(arena: Arena, runtime: str, name: str) -> None:
    """It gets the specification's code, and the invocation that runs is answered by its own runtime all the same."""
    call, status, error_type = REFUSED[name]
    deed = f"""
try:
    got = {call}
    said = [got[0], got[2].decode('latin-1')]
except OSError as error:
    said = [0, str(error)]
"""
    result = do(arena, deed)
    assert result["echo"] == "mine"
    if status is None:
        assert result["said"][0] in (0, 400, 413, 431), result
    else:
        assert result["said"][0] == status, result
    if error_type is not None:
        assert json.loads(result["said"][1])["errorType"] == error_type


def test_the_id_of_another_environments_invocation_is_an_unknown_id(arena: Arena, runtime: str) -> None:
    """A response for an invocation that runs elsewhere at this moment is refused, and the other one is answered by its own."""
    holding = arena.begin(
        "def attempt():\n    print('id', context.aws_request_id, flush=True)\n    time.sleep(2)\n    return 'mine'"
    )
    foreign = _request_id_of(arena)
    result = do(
        arena,
        "got = ask(post(b'invocation/%b/response' % event['foreign'].encode(), b'\"stolen\"'))\nsaid = got[0]",
        foreign=foreign,
    )
    assert result == {"echo": "mine", "said": 400}
    assert holding.result().gained == "mine"


def _request_id_of(arena: Arena) -> str:
    def found() -> str | None:
        lines = [line for line in arena.messages("attacker") if re.fullmatch(r"id [0-9a-f-]{36}\s*", line)]
        return lines[-1].split()[1] if lines else None

    return str(wait_until(found, 20, "the attacker to tell its request's id"))


def test_a_second_response_is_refused(arena: Arena, runtime: str) -> None:
    """The first one counts, for the caller as well."""
    deed = """
first = ask(post(b"invocation/%b/response" % request_id, json.dumps({"echo": event["nonce"], "said": "first"}).encode()))
second = ask(post(b"invocation/%b/response" % request_id, b'"second"'))
third = ask(post(b"invocation/%b/error" % request_id, b'{}'))
seen.append([first[0], second[0], third[0]])
"""
    assert do(arena, deed) == {"echo": "mine", "said": "first"}


def test_next_before_the_response_gives_no_second_event(arena: Arena, runtime: str) -> None:
    """Who asks for an event while one runs is given the same one again or nothing, and never one of somebody else."""
    deed = """
extra = connect()
extra.settimeout(1)
extra.sendall(NEXT)
try:
    status, headers, body = answer(extra)
    said = [status, json.loads(body).get("nonce") if status == 200 else None]
except OSError:
    said = [0, None]
extra.close()
"""
    result = do(arena, deed)
    assert result["echo"] == "mine"
    assert result["said"][0] in (0, 200, 403) and result["said"][1] in (None, "mine"), result


#: Deeds after which the environment cannot go on, and the error types that the caller may get.
BROKEN = {
    "a body that ends too early": (
        "connection = connect()\nconnection.sendall(b'POST %binvocation/%b/response HTTP/1.1\\r\\nContent-Length: 100\\r\\n\\r\\nshort' % (ROOT, request_id))\n"
        "connection.shutdown(socket.SHUT_WR)\nanswer(connection)\nos._exit(1)",
        {"Runtime.ExitError", "Runtime.TruncatedResponse"},
    ),
    "a body drop by drop": (
        "connection = connect()\nconnection.sendall(b'POST %binvocation/%b/response HTTP/1.1\\r\\nContent-Length: 100000\\r\\n\\r\\n' % (ROOT, request_id))\n"
        "while True:\n    connection.sendall(b'x')\n    time.sleep(0.01)",
        {"Sandbox.Timedout"},
    ),
    "silence": ("time.sleep(600)", {"Sandbox.Timedout"}),
    "its end": ("os._exit(0)", {"Runtime.ExitError"}),
    "its end by a signal": ("os.kill(os.getpid(), 9)", {"Runtime.ExitError"}),
    "asking for the next instead of answering, for ever": (
        "while True:\n    try:\n        ask(NEXT)\n    except OSError:\n        time.sleep(0.01)",
        {"Sandbox.Timedout", "Runtime.ExitError"},
    ),
    "a response larger than may be": (
        "ask(post(b'invocation/%b/response' % request_id, b'\"' + b'x' * 6291560 + b'\"'))",
        {"Function.ResponseSizeTooLarge"},
    ),
    "a flood of connections": (
        "kept = []\nwhile True:\n    try:\n        one = connect()\n        one.sendall(b'GET /2018')\n        kept.append(one)\n    except OSError:\n        time.sleep(0.01)",
        {"Sandbox.Timedout"},
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_state_replaces_the_environment(arena: Arena, runtime: str, name: str) -> None:
    """The caller gets the error of what happened, and the next one is served by a runtime that was started anew."""
    deed, error_types = BROKEN[name]
    result = do(arena, deed)
    assert result["errorType"] in error_types, result


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (b'{"errorType": "A", "errorMessage": "' + b"m" * 5_000_000 + b'"}', "m" * 100),
        (b"\xff\xfe not JSON", None),
        (b"", None),
        (b"[" * 100_000, None),
    ],
    ids=["huge", "no-text", "empty", "deep"],
)
def test_strange_errors_are_passed_on_and_break_nothing(arena: Arena, runtime: str, error: bytes, message: str | None) -> None:
    """Whatever a runtime reports as its error, the caller gets that or an error in its place, and the server goes on."""
    deed = f"body = {error[:60]!r} + {len(error)} * b'm' if {len(error) > 1_000_000} else {error!r}\nask(post(b'invocation/%b/error' % request_id, body))"
    if len(error) > 1_000_000:
        deed = "body = b'{\"errorType\": \"A\", \"errorMessage\": \"' + b'm' * 5000000 + b'\"}'\nask(post(b'invocation/%b/error' % request_id, body))"
    client = arena.server.client("lambda")
    answer = client.invoke(FunctionName="runtime", Payload=json.dumps({"nonce": "mine", "deed": deed}).encode())
    assert answer["FunctionError"] == "Unhandled"
    body = answer["Payload"].read()
    if message is not None:
        assert json.loads(body)["errorMessage"].startswith(message)
    assert invoke(arena, {"nonce": "after"}) == {"echo": "after"}
    arena.neighbour.answer()


FORGED = {
    "the platform's lines": "START RequestId: {id} Version: $LATEST\nEND RequestId: {id}\nREPORT RequestId: {id}\tDuration: 0.01 ms\tBilled Duration: 1 ms\n",
    "the platform's JSON": '{{"time":"2026-01-01T00:00:00Z","type":"platform.report","record":{{"requestId":"{id}"}}}}\n',
    "control characters": "\x1b]0;title\x07\x1b[2J\r\x00\x85\u2028line\n",
    "frames of the managed runtimes": "\xa5\x5a\x00\x03\x00\x00\x00\x05wrong\n",
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_log_lines_stay_in_the_functions_own_log(arena: Arena, name: str) -> None:
    """A function may print what it likes: it is its own output, the platform's report is still the true one, others' logs are theirs."""
    neighbours = arena.messages(arena.neighbour.name)
    code = f"""
    def attempt():
        time.sleep(0.05)
        os.write(1, {FORGED[name]!r}.format(id=context.aws_request_id).encode("latin-1", "replace"))
    """
    event = {"tools": TOOLS, "code": textwrap.dedent(code), "given": {}}
    answer = arena.server.client("lambda").invoke(FunctionName="attacker", LogType="Tail", Payload=json.dumps(event).encode())
    assert "FunctionError" not in answer
    tail = base64.b64decode(answer["LogResult"]).decode(errors="replace")
    request_id = answer["ResponseMetadata"]["RequestId"]
    report = [line for line in tail.splitlines() if line.startswith(f"REPORT RequestId: {request_id}")][-1]
    duration = re.search(r"Duration: ([\d.]+) ms", report)
    assert duration is not None and float(duration[1]) >= 50, "the last report is the platform's"
    arena.neighbour.answer()
    since = arena.messages(arena.neighbour.name)[len(neighbours) :]
    assert not [line for line in since if request_id in line or "title" in line], since


def test_writes_to_every_descriptor_harm_nobody(arena: Arena) -> None:
    """Garbage on whatever is open, the connection to the Runtime API among it, ends at most the environment itself."""
    code = """
    def attempt():
        for fd in range(0, 1024):
            for piece in (b"x" * 1000, b"HTTP/1.1 200 OK\\r\\n\\r\\n", b"GET /2018-06-01/runtime/invocation/next HTTP/1.1\\r\\n\\r\\n", os.urandom(5000)):
                gains(lambda: os.write(fd, piece) and None)
        for fd in range(0, 1024):
            gains(lambda: os.close(fd))
    """
    running = arena.begin(code)
    arena.watch(running)
    assert running.result().error_type in ("Runtime.ExitError", "Sandbox.Timedout"), running.result()
    arena.check_nothing_is_left()
