"""CloudWatch Logs by a real client, botocore, over HTTP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from botocore.config import Config

from lambdad.model.invocation import LogBatch, LogEvent
from lambdad.model.service import BoundService
from lambdad.services.logs import SERVICE
from lambdad.services.logs.state import LogsState
from lambdad.store.sqlite import SqliteStore
from lambdad.wire.front import Front
from support import clients


@asynccontextmanager
async def serving(state: LogsState) -> AsyncIterator[str]:
    """The address at which the service is served alone."""
    config = uvicorn.Config(
        Front([BoundService(SERVICE, state)], lookup=lambda key: None, auth_required=False),
        port=0,
        log_level="error",
        lifespan="off",
    )
    server = uvicorn.Server(config)
    sock = config.bind_socket()
    sock.listen()
    task = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task
        sock.close()


@pytest.fixture
async def state(tmp_path: Path) -> AsyncIterator[LogsState]:
    store = SqliteStore(tmp_path / "store.db")
    await store.open()
    state = LogsState(store)
    running = asyncio.create_task(state.run())
    yield state
    await state.stop()
    await running
    await store.close()


@pytest.fixture
async def endpoint(state: LogsState) -> AsyncIterator[str]:
    async with serving(state) as address:
        yield address


@pytest.fixture
def client(endpoint: str) -> Any:
    return clients.client(
        "logs",
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"max_attempts": 0}),
    )


def output(*lines: str) -> LogBatch:
    now_ms = int(time.time() * 1000)
    return LogBatch(
        "000000000000", "us-east-1", "/aws/lambda/f", "2026/[$LATEST]1", tuple(LogEvent(now_ms, line) for line in lines)
    )


def story(client: Any) -> None:
    """What a program does with its logs."""
    now_ms = int(time.time() * 1000)
    client.create_log_group(logGroupName="/app/one", tags={"team": "a"})
    client.create_log_stream(logGroupName="/app/one", logStreamName="s")
    events = [{"timestamp": now_ms + number, "message": f"line {number}"} for number in range(2500)]
    answer = client.put_log_events(logGroupName="/app/one", logStreamName="s", logEvents=events)
    assert "rejectedLogEventsInfo" not in answer
    pages = client.get_paginator("filter_log_events").paginate(logGroupName="/app/one", PaginationConfig={"PageSize": 700})
    assert [event["message"] for page in pages for event in page["events"]] == [event["message"] for event in events]
    got = client.get_log_events(logGroupName="/app/one", logStreamName="s", limit=2)
    assert [event["message"] for event in got["events"]] == ["line 2498", "line 2499"]
    assert client.list_tags_for_resource(resourceArn="arn:aws:logs:us-east-1:000000000000:log-group:/app/one")["tags"] == {
        "team": "a"
    }
    client.put_retention_policy(logGroupName="/app/one", retentionInDays=7)
    (group,) = client.describe_log_groups(logGroupNamePrefix="/app")["logGroups"]
    assert group["retentionInDays"] == 7
    (stream,) = client.describe_log_streams(logGroupName="/app/one", orderBy="LastEventTime", descending=True)["logStreams"]
    assert stream["lastEventTimestamp"] == now_ms + 2499
    with pytest.raises(client.exceptions.ResourceAlreadyExistsException):
        client.create_log_group(logGroupName="/app/one")
    with pytest.raises(client.exceptions.InvalidParameterException):
        client.filter_log_events(logGroupName="/app/one", filterPattern="[x, y = 1]")
    client.delete_log_group(logGroupName="/app/one")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.describe_log_streams(logGroupName="/app/one")


async def test_botocore(client: Any) -> None:
    """A program's story by botocore, with paginators and modelled exceptions."""
    await asyncio.to_thread(story, client)
    client.close()


async def test_follow(state: LogsState, client: Any) -> None:
    """Polling as `aws logs tail --follow` does shows each line once: it asks again from the time of the newest event, and
    leaves out the ids it has seen."""
    request: dict[str, Any] = {"logGroupName": "/aws/lambda/f", "interleaved": True, "limit": 3, "startTime": 0}
    seen: set[str] = set()
    shown: list[str] = []
    for number in range(12):
        state.buffer.append(output(*(f"line {number}-{each}" for each in range(number % 5))))
        while True:
            answer = await asyncio.to_thread(lambda: client.filter_log_events(**request))
            shown += [event["message"] for event in answer["events"] if event["eventId"] not in seen]
            seen.update(event["eventId"] for event in answer["events"])
            request["startTime"] = max([request["startTime"], *(event["timestamp"] for event in answer["events"])])
            if "nextToken" not in answer:
                request.pop("nextToken", None)
                break
            request["nextToken"] = answer["nextToken"]
    assert shown == [f"line {number}-{each}\n" for number in range(12) for each in range(number % 5)]
    client.close()
