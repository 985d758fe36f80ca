"""What a long queue of one function's events costs everybody else."""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from pathlib import Path

from bench import backlog, client, memory
from bench.rows import ECHO, Figure
from bench.server import Server

HELD = "import time\n\ndef handler(event, context):\n    time.sleep(600)\n"
#: Logs for how many milliseconds its event was on its way.
LATE = "import time\n\ndef handler(event, context):\n    print('DELAYED', round((time.time() - event['sent']) * 1000, 3))\n"


def events_waiting(count: int = 1_000_000) -> list[Figure]:
    """A million events of a function whose reserve of one is taken: what they cost other functions, and in memory."""
    with tempfile.TemporaryDirectory(prefix="lambdad-bench-") as folder:
        data_dir = Path(folder) / "data"
        with Server(data_dir) as server:
            server.create_function("throttled", HELD, Timeout=900)
            server.client("lambda").put_function_concurrency(FunctionName="throttled", ReservedConcurrentExecutions=1)
            server.create_function("warm", ECHO)
            server.create_function("late", LATE)
            without = _warm(server)
        backlog.fill(data_dir, "throttled", count)
        with Server(data_dir) as server:
            began_mb = memory.resident_mb(server.pid)
            beside = _warm(server)
            late = _late(server)
            memory_mb = memory.resident_mb(server.pid)
            left = count - _counted(server, "succeeded") - _counted(server, "failed")
            if left < count - 1000:
                raise SystemExit(f"Of {count} events that should wait only {left} are left.")
    ready = server.seconds_to_ready
    name = f"with {count:,} events waiting of a throttled function"
    return [
        Figure(f"warm sync invoke, p50, {name}", beside.percentile(0.5) * 1e3, "ms", 0.9, 0.3),
        Figure(
            "the same, p50, as many times that of a server without",
            beside.percentile(0.5) / without.percentile(0.5),
            "x",
            1.5,
            1.1,
        ),
        Figure("another function's event, from sending to handler, p50", late[len(late) // 2], "ms", 50, 10),
        Figure("the same, worst of 100", late[-1], "ms", 500, 50),
        Figure("server start to first answer", ready, "s", 3, 0.5),
        Figure("the server's memory at the start", began_mb, "MB", 110, 70),
        Figure("the server's memory after that", memory_mb, "MB", 150, 100),
    ]


def _warm(server: Server) -> client.Timings:
    request = client.invoke_request("warm")
    client.run(server.port, request, connections=1, requests=500, status=200)
    return client.run(server.port, request, connections=1, requests=4000, status=200)


def _late(server: Server, count: int = 100) -> list[float]:
    """Milliseconds from the sending of an event to the first line of its handler, one event at a time, in order of size."""
    client.run(server.port, client.invoke_request("late", b'{"sent": 0}'), connections=1, requests=1, status=200)
    succeeded = _counted(server, "succeeded")
    for _ in range(count):
        payload = json.dumps({"sent": time.time()}).encode()
        request = client.invoke_request("late", payload, invocation_type="Event")
        client.run(server.port, request, connections=1, requests=1, status=202)
        succeeded += 1
        while _counted(server, "succeeded") < succeeded:
            time.sleep(0.01)
    logs = server.client("logs")
    pages = logs.get_paginator("filter_log_events").paginate(logGroupName="/aws/lambda/late", filterPattern="DELAYED")
    seen = [float(event["message"].split()[1]) for page in pages for event in page["events"]]
    seen.sort()
    if len(seen) != count + 1:
        raise SystemExit(f"{len(seen)} of {count + 1} invocations have logged.")
    return seen[:-1]  # the last is the one that was not timed


def _counted(server: Server, what: str) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/_lambdad/health", timeout=30) as answer:
        return int(json.load(answer)["events"][what])
