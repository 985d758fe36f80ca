"""health.py: what the server says of itself."""

from __future__ import annotations

import json
from pathlib import Path

from lambdad import __version__
from lambdad.health import Announcement, EnvironmentCounts, health_document, localstack_health_document

ANNOUNCEMENT = Announcement(
    endpoint="http://127.0.0.1:4566",
    port=4566,
    pid=1,
    data_dir=Path("/data"),
    isolation="namespace",
    weaknesses=("No limit on memory.",),
    network="nat",
    network_remark="forwarding is on",
    cpu="weight",
    auth="off",
    quotas="current",
    runtimes=("python3.11",),
    runtime_problems={"python3.8": "no interpreter"},
)
COUNTS = EnvironmentCounts(busy=1, idle=2, starting=3)


def test_the_health_document() -> None:
    """Isolation and its weaknesses, runtimes and their problems, environments and services are all in it, as JSON."""
    document = health_document(
        ANNOUNCEMENT,
        environments=COUNTS,
        uptime_seconds=1.23456,
        services=["lambda", "s3"],
        concurrency={"spilled_over": 4},
        events={"received": 3},
        pre_booted={"nodejs20.x": 1},
    )
    assert json.loads(json.dumps(document)) == {
        "status": "running",
        "version": __version__,
        "isolation": {"backend": "namespace", "weaknesses": ["No limit on memory."]},
        "network": {"mode": "nat", "remark": "forwarding is on"},
        "runtimes": {"available": ["python3.11"], "problems": {"python3.8": "no interpreter"}},
        "environments": {"busy": 1, "idle": 2, "starting": 3},
        "pre_booted": {"nodejs20.x": 1},
        "concurrency": {"spilled_over": 4},
        "cpu": "weight",
        "events": {"received": 3},
        "auth": "off",
        "policies": "not evaluated",
        "quotas": "current",
        "data_dir": "/data",
        "uptime_seconds": 1.235,
        "services": {"lambda": "running", "s3": "running"},
    }


def test_a_draining_server_is_not_running() -> None:
    """A load balancer that asks sees that nothing new is taken."""
    document = health_document(
        ANNOUNCEMENT, environments=COUNTS, uptime_seconds=0, services=[], concurrency={}, events={}, is_draining=True
    )
    assert document["status"] == "draining"


def test_the_document_for_tools_made_for_localstack() -> None:
    """They look for their service among `services` and go on when it is running."""
    document = localstack_health_document(["lambda", "s3"])
    assert document == {"services": {"lambda": "running", "s3": "running"}, "edition": "community", "version": __version__}
