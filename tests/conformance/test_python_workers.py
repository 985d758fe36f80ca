"""The Python runtime client where an environment takes several invocations at once, on every Python of this machine."""

from __future__ import annotations

import json
import os
import signal
from typing import Any

from support.python_runtime import Python
from support.runtime_api import RuntimeApi

MEETS = """
import json, os, time
HERE = os.path.dirname(os.path.abspath(__file__))
SEEN = []
def handler(event, context):
    SEEN.append(context.tenant_id)
    if event == "die":
        os._exit(3)
    open(os.path.join(HERE, "in-%d" % os.getpid()), "w").close()
    while len([name for name in os.listdir(HERE) if name.startswith("in-")]) < 3:
        time.sleep(0.005)
    return [os.getpid(), os.getppid(), SEEN]
"""


def answers(api: RuntimeApi, count: int) -> list[Any]:
    return [json.loads(api.told.get(timeout=100).body) for _ in range(count)]


def test_each_invocation_has_a_process_of_its_own(python: Python) -> None:
    """Three that wait for each other meet; each worker has its own memory and goes on to the next invocation."""
    with python.run(MEETS, AWS_LAMBDA_MAX_CONCURRENCY="3") as process:
        for number in range(3):
            python.api.give(b"{}", aws_request_id=f"id-{number}", aws_tenant_id="blue")
        first = answers(python.api, 3)
        assert len({pid for pid, _, _ in first}) == 3
        assert {parent for _, parent, _ in first} == {process._process.pid}
        assert [seen for _, _, seen in first] == [["blue"]] * 3
        for number in range(6):
            python.api.give(b"{}", aws_request_id=f"more-{number}")
        more = answers(python.api, 6)
        assert {pid for pid, _, _ in more} <= {pid for pid, _, _ in first}
        assert sorted(len(seen) for _, _, seen in more)[-1] >= 3


def test_the_runtime_ends_with_its_last_worker(python: Python) -> None:
    """One that dies is not replaced; when all have died the process ends as failed."""
    with python.run(MEETS, AWS_LAMBDA_MAX_CONCURRENCY="3") as process:
        for number in range(3):
            python.api.give(b'"die"', aws_request_id=f"id-{number}")
        assert process.wait() == 1


def test_a_function_that_cannot_be_loaded(python: Python) -> None:
    """Every worker says so and ends, and with them the runtime."""
    with python.run("raise ValueError('no')", AWS_LAMBDA_MAX_CONCURRENCY="2") as process:
        told = [python.api.told.get(timeout=100) for _ in range(2)]
        assert {one.kind for one in told} == {"init/error"} and b"ValueError" in told[0].body
        assert process.wait() == 1


def test_a_signal_to_end_reaches_the_workers(python: Python) -> None:
    """SIGTERM, which comes where there are extensions, ends all of them."""
    with python.run(MEETS, AWS_LAMBDA_MAX_CONCURRENCY="3") as process:
        for _ in range(3):
            python.api.asked.get(timeout=100)
        os.kill(process._process.pid, signal.SIGTERM)
        assert process.wait() == 1
