"""Calls the operations of CloudWatch Logs on a store in memory, as the wire does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lambdad.errors import ServiceError
from lambdad.model.request import Principal, RequestContext
from lambdad.services.logs import SERVICE
from lambdad.services.logs.state import LogsState
from lambdad.store.memory import MemoryStore

NOW_MS = 1_800_000_000_000


class Logs:
    """Calls operations by their names, as the wire does."""

    def __init__(self, account_id: str = "000000000000", state: LogsState | None = None) -> None:
        self.now = NOW_MS / 1000
        self.store = MemoryStore()
        self.state = state or LogsState(self.store, clock=lambda: self.now)
        principal = Principal(account_id, f"arn:aws:iam::{account_id}:root")
        self._context = RequestContext(
            "r", "logs", "", account_id, "us-east-1", principal, "127.0.0.1", "http://localhost:4566"
        )

    async def call(self, operation: str, **request: Any) -> Mapping[str, Any]:
        output = await SERVICE.operations[operation](self.state, self._context, request)
        assert isinstance(output, Mapping)
        return output

    async def refused(self, operation: str, **request: Any) -> tuple[str, str]:
        with pytest.raises(ServiceError) as refusal:
            await self.call(operation, **request)
        return refusal.value.code, refusal.value.message

    async def make(self, group: str = "g", *streams: str) -> None:
        await self.call("CreateLogGroup", logGroupName=group)
        for stream in streams or ("s",):
            await self.call("CreateLogStream", logGroupName=group, logStreamName=stream)

    async def put(self, *messages: tuple[int, str], group: str = "g", stream: str = "s") -> Mapping[str, Any]:
        """Times are in ms from NOW_MS."""
        events = [{"timestamp": NOW_MS + time_ms, "message": message} for time_ms, message in messages]
        return await self.call("PutLogEvents", logGroupName=group, logStreamName=stream, logEvents=events)

    async def got(self, **request: Any) -> list[str]:
        output = await self.call(
            "GetLogEvents", **{"logGroupName": "g", "logStreamName": "s", "startFromHead": True, **request}
        )
        return [event["message"] for event in output["events"]]

    async def filtered(self, **request: Any) -> list[str]:
        output = await self.call("FilterLogEvents", **{"logGroupName": "g", **request})
        assert "nextToken" not in output
        return [event["message"] for event in output["events"]]

    async def group(self, name: str = "g") -> Mapping[str, Any]:
        (group,) = (await self.call("DescribeLogGroups", logGroupNamePrefix=name))["logGroups"]
        return group  # type: ignore[no-any-return]


NO_GROUP = ("ResourceNotFoundException", "The specified log group does not exist.")
NO_STREAM = ("ResourceNotFoundException", "The specified log stream does not exist.")
