"""The command line as a user has it: a process, a terminal or a pipe, and a real server."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.server import RUNTIME, Server, running

pytestmark = pytest.mark.root

LAMBDAD = [sys.executable, "-m", "lambdad"]
CODE = """
import sys
def handler(event, context):
    if event == "raise":
        raise ValueError("no such thing")
    if event == "exit":
        sys.exit(3)
    print("got", event)
    return event
"""


@pytest.fixture(scope="module")
def echo(server: Server) -> str:
    """A function that gives back its event, or fails as its event says."""
    server.create_function("cmd-echo", CODE)
    return "cmd-echo"


#: Runs a module as the interpreter's -m does, and looks for garbage at every opportunity.
COLLECTING = """
import gc, runpy, sys
gc.set_threshold(10, 1, 1)
sys.argv = sys.argv[2:]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def lambdad(server: Server, *arguments: str, stdin: bytes = b"", **variables: str) -> subprocess.CompletedProcess[bytes]:
    environment = {**server.environment(), **variables}
    return subprocess.run([*LAMBDAD, *arguments], env=environment, input=stdin, capture_output=True, timeout=60)


def test_invoke_keeps_answer_log_and_notices_apart(server: Server, echo: str) -> None:
    """Standard output has the answer alone, byte for byte; the log and what the command says are on standard error."""
    done = lambdad(server, "invoke", echo, "--payload", "-", "--log", stdin='{"name": "Zoë 😀"}'.encode())
    assert (done.returncode, json.loads(done.stdout)) == (0, {"name": "Zoë 😀"})
    assert "got {'name': 'Zoë 😀'}\n" in done.stderr.decode()
    assert b"REPORT RequestId: " in done.stderr

    done = lambdad(server, "invoke", echo, "--type", "Event", "--payload", '"later"')
    assert (done.returncode, done.stdout) == (0, b"")
    assert done.stderr.startswith(b"Queued as ")

    done = lambdad(server, "invoke", echo, "--type", "DryRun")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"This invocation would be allowed.\n")


@pytest.mark.parametrize(("event", "error_type"), [('"raise"', "ValueError"), ('"exit"', "Runtime.ExitError")])
def test_a_failed_function_is_exit_code_1_and_its_error_the_answer(
    server: Server, echo: str, event: str, error_type: str
) -> None:
    """So that a script sees it, and jq can read it."""
    done = lambdad(server, "invoke", echo, "--payload", event)
    assert (done.returncode, json.loads(done.stdout)["errorType"]) == (1, error_type)
    assert done.stderr == b"The function failed (Unhandled).\n"


@pytest.mark.parametrize(
    ("arguments", "exit_code", "said"),
    [
        (["invoke", "nonesuch"], 1, "lambdad: ResourceNotFoundException: Function not found: "),
        (["invoke", "cmd-echo", "--payload", "{bad"], 2, "--payload is not JSON"),
        (["invoke", "cmd-echo", "--payload", "@nonesuch.json"], 2, "nonesuch.json cannot be read"),
        (["invoke", "cmd-echo", "--endpoint", "http://127.0.0.1:1"], 3, "No answer from http://127.0.0.1:1 "),
        (["health", "--endpoint", "http://127.0.0.1:1"], 1, "No answer from http://127.0.0.1:1 "),
        (["logs", "nonesuch"], 1, "There is no log group /aws/lambda/nonesuch"),
        (["logs", "cmd-echo", "--since", "yesterday"], 2, "'yesterday' is neither an age"),
    ],
)
def test_what_goes_wrong_is_a_sentence_and_an_exit_code(
    server: Server, echo: str, arguments: list[str], exit_code: int, said: str
) -> None:
    """1 refused, 2 the command line is wrong, 3 nobody answers; nothing on standard output, never a traceback."""
    done = lambdad(server, *arguments)
    assert (done.returncode, done.stdout) == (exit_code, b"")
    assert said in done.stderr.decode()
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["health", "functions", "support"])
def test_json_is_json(server: Server, echo: str, command: str) -> None:
    """Whatever a program may want to read can be had as JSON, with nothing around it."""
    done = lambdad(server, command, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)
    assert done.stderr == b""


@pytest.fixture
def following(server: Server, echo: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*LAMBDAD, "logs", echo, "--follow", "--since", "5m", "--filter", "follower"],
        env=server.environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    yield process
    process.kill()
    process.communicate()


def test_logs_follow_shows_new_lines_until_ctrl_c(server: Server, echo: str, following: subprocess.Popen[str]) -> None:
    """A line appears though standard output is a pipe; Ctrl-C ends the command quietly with 130."""
    server.invoke(echo, "follower")
    assert following.stdout.readline().endswith("Z got follower\n")
    following.send_signal(signal.SIGINT)
    rest, said = following.communicate(timeout=30)
    assert (following.returncode, rest, said) == (130, "", "")


@pytest.mark.parametrize("command", ["support", "functions", "logs cmd-echo --follow", "up --help"])
def test_a_reader_that_goes_away_ends_the_command_quietly(server: Server, echo: str, command: str) -> None:
    """`lambdad ... | head -1` writes nothing to standard error, whether output was held back or not."""
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as closed:
        server.invoke(echo, "something to show")
        done = subprocess.run(
            [*LAMBDAD, *command.split()], env=server.environment(), stdout=closed, stderr=subprocess.PIPE, timeout=60
        )
    assert (done.returncode, done.stderr) == (1, b"")


def test_colours_are_for_terminals(server: Server, echo: str) -> None:
    """`lambdad functions` has escape codes on a terminal and none in a pipe."""
    assert b"\x1b[" not in lambdad(server, "functions").stdout
    ours, theirs = pty.openpty()
    environment = {**server.environment(), "TERM": "xterm"}
    subprocess.run([*LAMBDAD, "functions"], env=environment, stdout=theirs, timeout=60, check=True)
    os.close(theirs)
    with open(ours, "rb", buffering=0) as terminal:
        assert b"\x1b[" in terminal.read(65536)


def test_the_banner_and_health_say_what_is_in_force(server: Server) -> None:
    """Endpoint, data folder, isolation, authentication and runtimes, by each way in which a user may ask."""
    banner, healthy = server.log(), lambdad(server, "health").stdout.decode()
    for said in (server.endpoint, str(server.data_dir), "namespace", RUNTIME):
        assert said in banner
    for said in (str(server.data_dir), "namespace", RUNTIME, "is running"):
        assert said in healthy
    assert "\x1b[" not in banner


def test_credentials_of_a_running_server_are_made_listed_and_ended(server: Server, tmp_path: Path) -> None:
    """Through the socket in its data folder; the secret is shown once."""
    folder = ["--data-dir", str(server.data_dir)]
    made = json.loads(lambdad(server, "credentials", "create", "--name", "ci", "--json", *folder).stdout)
    listed = lambdad(server, "credentials", "list", *folder).stdout.decode()
    assert made["AccessKeyId"] in listed
    assert made["SecretAccessKey"] not in listed
    assert lambdad(server, "credentials", "delete", made["AccessKeyId"], *folder).returncode == 0
    assert made["AccessKeyId"] not in lambdad(server, "credentials", "list", *folder).stdout.decode()


def test_the_admin_socket_is_served_whatever_is_collected(tmp_path: Path) -> None:
    """It goes on to be served though the garbage collector runs between its making and the server's start."""
    with running(tmp_path, prefix=[sys.executable, "-c", COLLECTING]) as server:
        done = lambdad(server, "credentials", "list", "--data-dir", str(server.data_dir))
        assert (done.returncode, done.stdout) == (0, b"")
        assert done.stderr.startswith(b"No access keys yet")
