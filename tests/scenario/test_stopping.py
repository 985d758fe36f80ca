"""How a server stops: within its bound, at once when told twice, and without a word about what was only half made."""

from __future__ import annotations

import contextlib
import json
import signal
import threading
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from bench.memory import descendants

from support.belongings import Belongings
from support.processes import is_running
from support.server import Server, running, wait_until, zipped

pytestmark = [pytest.mark.root, pytest.mark.slow]

#: Runs for as long as nobody stops it, and says when it has begun.
ENDLESS = "import signal\ndef handler(event, context):\n    print('begun', context.aws_request_id)\n    signal.pause()\n"
#: Is over at once for the server that is asked to let it be.
LATER = "def handler(event, context):\n    print('begun', context.aws_request_id)\n    return event\n"


def begun(server: Server, name: str) -> list[str]:
    return [line.split()[1] for line in server.messages(f"/aws/lambda/{name}") if line.startswith("begun ")]


def call_in_background(lambda_: Any, name: str) -> threading.Thread:
    """A call whose connection may be cut."""

    def call() -> None:
        with contextlib.suppress(botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError):
            lambda_.invoke(FunctionName=name)

    calling = threading.Thread(target=call)
    calling.start()
    return calling


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the sockets of calls that are cut off
def test_a_second_signal_ends_the_server_at_once(tmp_path: Path) -> None:
    """Though an invocation runs that nothing ends; the exit code is a shell's for the signal, and nothing is left."""
    server = Server(tmp_path, "--drain-seconds", "3600").start()
    server.create_function("endless", ENDLESS, Timeout=900)
    calling = call_in_background(server.client("lambda"), "endless")
    wait_until(lambda: server.health()["environments"]["busy"] == 1, 20, "the invocation to run")
    family = descendants(server.process.pid)
    belongings = Belongings(server.data_dir)
    belongings.look(server.process.pid)

    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: "Stopping: " in server.log(), 20, "the server to drain")
    server.process.send_signal(signal.SIGINT)

    assert server.process.wait(timeout=20) == 128 + signal.SIGINT
    calling.join()
    wait_until(lambda: not any(is_running(pid) for pid in family), 30, "the processes to end")
    server.start()
    assert server.stop() == 0
    wait_until(lambda: not belongings.left(), 30, "nothing to be left")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_sigterm_waits_no_longer_than_its_bound(tmp_path: Path) -> None:
    """An event under way then is run again by the next server: the same request id, and no retry is used up."""
    with running(tmp_path, "--drain-seconds", "1") as server:
        server.create_function("endless", ENDLESS, Timeout=900)
        request_id = server.client("lambda").invoke(FunctionName="endless", InvocationType="Event", Payload=b"{}")[
            "ResponseMetadata"
        ]["RequestId"]
        wait_until(lambda: server.health()["environments"]["busy"] == 1, 20, "the event to run")
        calling = call_in_background(server.client("lambda"), "endless")
        wait_until(lambda: server.health()["environments"]["busy"] == 2, 20, "the invocation to run")
        family = descendants(server.process.pid)

        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0
        calling.join()
        assert not any(is_running(pid) for pid in family)

        server.start()
        wait_until(lambda: server.health()["environments"]["busy"] == 1, 20, "the event to run again")
        counted = server.health()["events"]
        assert (counted["retried"], counted["failed"]) == (0, 0)
        server.client("lambda").update_function_code(FunctionName="endless", ZipFile=zipped({"lambda_function.py": LATER}))
        server.wait_active("endless")
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0
        server.start()
        wait_until(lambda: server.health()["events"]["succeeded"] == 1, 30, "the event to end")
        assert set(begun(server, "endless")) >= {request_id}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_environments_half_made_at_the_stop_end_without_a_word(tmp_path: Path) -> None:
    """A stop in the middle of a burst of first calls has neither errors nor tracebacks in the log, and leaves nothing."""
    server = Server(tmp_path, "--drain-seconds", "0", "--spares", "0").start()
    for number in range(8):
        server.create_function(
            f"burst-{number}", "import time\ntime.sleep(9)\n" + LATER
        )  # half made for long enough to be seen
    lambda_ = server.client("lambda")
    calls = [call_in_background(lambda_, f"burst-{number}") for number in range(8)]
    wait_until(lambda: server.health()["environments"]["starting"] >= 3, 30, "environments to be started")
    family = descendants(server.process.pid)
    assert server.stop() == 0
    for call in calls:
        call.join()
    assert not any(is_running(pid) for pid in family)
    lines = [json.loads(line) for line in server.log().splitlines() if line.startswith("{")]
    assert [line for line in lines if line["level"] in ("warning", "error", "critical")] == []
    assert "Traceback" not in server.log()
