"""`lambdad health`."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from lambdad.health import Announcement, EnvironmentCounts, health_document

CONCURRENCY = {
    "in_use": {"unreserved": 2, "reserved": 1, "provisioned": 0},
    "provisioned": {"requested": 5, "allocated": 4},
    "spilled_over": 7,
    "throttles": {"ConcurrentInvocationLimitExceeded": 3},
}

Run = Callable[..., Result]


def document(**changes: Any) -> dict[str, Any]:
    announcement = Announcement(
        endpoint="http://127.0.0.1:1",
        port=1,
        pid=1,
        data_dir=Path("/data"),
        isolation="namespace",
        weaknesses=["Memory is not limited."],
        network="none",
        network_remark="there is no way out",
        cpu="strict",
        auth="off",
        quotas="2021",
        runtimes=["python3.11", "python3.12"],
        runtime_problems={"python3.8": "There is no interpreter."},
    )
    counts = EnvironmentCounts(busy=1, idle=2, starting=0)
    return {
        **health_document(
            announcement, environments=counts, uptime_seconds=61.4, services=["lambda"], concurrency=CONCURRENCY, events={}
        ),
        **changes,
    }


def test_a_healthy_server_is_exit_code_0(run: Run, fake_server: Any) -> None:
    """People see isolation, weaknesses, runtimes and what the environments do."""
    fake_server.answer(document())
    result = run("health", "--endpoint", fake_server.endpoint)
    assert result.exit_code == 0
    assert fake_server.asked[0].path == "/_lambdad/health"
    for text in (
        "is running, for 61 s",
        "isolation     namespace",
        "! Memory is not limited.",
        "network       none",
        "! there is no way out",
        "cpu           strict",
        "python3.11 python3.12",
    ):
        assert text in result.output
    assert "! python3.8: There is no interpreter." in result.output
    assert "1 busy, 2 idle, 0 starting" in result.output
    assert "concurrency   2 unreserved, 1 reserved, 0 provisioned" in result.output
    assert "4 of 5 provisioned environments are there, 7 invocations spilled over" in result.output
    assert "! 3 throttled: ConcurrentInvocationLimitExceeded" in result.output


@pytest.mark.parametrize(
    "waiting, shown", [({"nodejs20.x": 1, "nodejs22.x": 2}, "1 nodejs20.x, 2 nodejs22.x"), ({}, "none"), (None, None)]
)
def test_runtimes_that_wait_are_counted(run: Run, fake_server: Any, waiting: Any, shown: str | None) -> None:
    """Where there are ever any."""
    fake_server.answer(document(pre_booted=waiting))
    output = run("health", "--endpoint", fake_server.endpoint).output
    assert (f"pre-booted    {shown}\n" in output) if shown is not None else ("pre-booted" not in output)


def test_json_is_the_server_s_own_document(run: Run, fake_server: Any) -> None:
    """Nothing is added or left out for programs."""
    fake_server.answer(document(more=1))
    assert json.loads(run("health", "--json", "--endpoint", fake_server.endpoint).stdout) == document(more=1)


def test_a_draining_server_is_exit_code_1(run: Run, fake_server: Any) -> None:
    """A health check takes it out of service."""
    fake_server.answer(document(status="draining"), status=503)
    result = run("health", "--endpoint", fake_server.endpoint)
    assert result.exit_code == 1
    assert "is draining" in result.output


def test_no_answer_is_exit_code_1_with_a_sentence(run: Run) -> None:
    """Container health checks know 0 and 1 only."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    result = run("health", "--endpoint", f"http://127.0.0.1:{port}")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"lambdad: No answer from http://127.0.0.1:{port} (")
    assert "`lambdad up` starts one" in result.stderr


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"status": 1}', b"\xff\xfe", b"[" * 100_000])
def test_something_else_at_the_endpoint_is_told(run: Run, fake_server: Any, body: bytes) -> None:
    """Any other web server is not taken for a healthy lambdad."""
    fake_server.answer(body)
    result = run("health", "--endpoint", fake_server.endpoint)
    assert result.exit_code == 1
    assert "is not lambdad (HTTP 200 to /_lambdad/health)" in result.stderr


def test_a_document_of_another_version_is_described_as_far_as_known(run: Run, fake_server: Any) -> None:
    """Parts that are missing do not end in a traceback."""
    fake_server.answer({"status": "running"})
    result = run("health", "--endpoint", fake_server.endpoint)
    assert result.exit_code == 0
    assert "is running" in result.output


def test_a_wrong_endpoint_is_exit_code_2(run: Run) -> None:
    """A command line that cannot work is told so before anything is sent."""
    assert run("health", "--endpoint", "nonsense").exit_code == 2
