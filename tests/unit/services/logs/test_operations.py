"""CloudWatch Logs as its operations answer, on a store in memory."""

from __future__ import annotations

import asyncio
from typing import Any

import botocore.session
import pytest

from lambdad.model.invocation import LogBatch, LogEvent
from lambdad.services.logs import SERVICE
from lambdad.services.logs.model import DAY_MS
from support.logs_service import NO_GROUP, NO_STREAM, NOW_MS, Logs


@pytest.fixture
def logs() -> Logs:
    return Logs()


def test_every_operation_of_the_model_is_answered() -> None:
    """An operation is served, or refused with a reason."""
    model = botocore.session.get_session().get_service_model("logs")
    assert set(SERVICE.operations) | set(SERVICE.not_yet) == set(model.operation_names)
    assert not set(SERVICE.operations) & set(SERVICE.not_yet)
    assert all(SERVICE.not_yet.values())


class TestGroups:
    async def test_describe(self, logs: Logs) -> None:
        """A group is described as AWS does."""
        await logs.make()
        await logs.put((0, "x" * 74))
        assert await logs.group() == {
            "logGroupName": "g",
            "creationTime": NOW_MS,
            "metricFilterCount": 0,
            "arn": "arn:aws:logs:us-east-1:000000000000:log-group:g:*",
            "logGroupArn": "arn:aws:logs:us-east-1:000000000000:log-group:g",
            "storedBytes": 100,
            "logGroupClass": "STANDARD",
            "deletionProtectionEnabled": False,
        }

    async def test_exists_already(self, logs: Logs) -> None:
        """Groups and streams are made once."""
        await logs.make()
        assert await logs.refused("CreateLogGroup", logGroupName="g") == (
            "ResourceAlreadyExistsException",
            "The specified log group already exists",
        )
        assert await logs.refused("CreateLogStream", logGroupName="g", logStreamName="s") == (
            "ResourceAlreadyExistsException",
            "The specified log stream already exists",
        )

    @pytest.mark.parametrize("setting", [{"logGroupClass": "INFREQUENT_ACCESS"}, {"deletionProtectionEnabled": True}])
    async def test_unsupported_settings(self, logs: Logs, setting: dict[str, Any]) -> None:
        """Settings that would have no effect are refused."""
        assert (await logs.refused("CreateLogGroup", logGroupName="g", **setting))[0] == "InvalidParameterException"

    async def test_list(self, logs: Logs) -> None:
        """Groups are listed in order, by prefix or by a part of the name, page by page."""
        for number in range(7):
            await logs.call("CreateLogGroup", logGroupName=f"/aws/lambda/f{number}")
        await logs.call("CreateLogGroup", logGroupName="/other")
        names: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = await logs.call("DescribeLogGroups", logGroupNamePrefix="/aws", limit=3, **token)
            names += [group["logGroupName"] for group in page["logGroups"]]
            if "nextToken" not in page:
                break
            token = {"nextToken": page["nextToken"]}
        assert names == [f"/aws/lambda/f{number}" for number in range(7)]

        async def listed(**request: Any) -> list[str]:
            return [group["logGroupName"] for group in (await logs.call("DescribeLogGroups", **request))["logGroups"]]

        assert await listed(logGroupNamePattern="the") == ["/other"]
        assert len(await listed()) == 8
        assert await listed(logGroupClass="INFREQUENT_ACCESS") == []
        assert await listed(logGroupIdentifiers=["/other"]) == ["/other"]
        assert (await logs.refused("DescribeLogGroups", logGroupNamePrefix="a", logGroupNamePattern="b"))[
            0
        ] == "InvalidParameterException"

    async def test_accounts_are_apart(self, logs: Logs) -> None:
        """An account sees only its own groups, by whatever name it asks."""
        await logs.make()
        other = Logs("111111111111", logs.state)
        assert (await other.call("DescribeLogGroups"))["logGroups"] == []
        arn = "arn:aws:logs:us-east-1:000000000000:log-group:g"
        assert await other.refused("FilterLogEvents", logGroupIdentifier=arn) == NO_GROUP
        assert await other.refused("DeleteLogGroup", logGroupName="g") == NO_GROUP

    async def test_delete(self, logs: Logs) -> None:
        """A deleted group is gone with all that was in it; made anew it is empty; nothing is left in the store."""
        await logs.make("g", "s", "t")
        await logs.put((0, "old"))
        await logs.call("DeleteLogGroup", logGroupName="g")
        assert await logs.refused("DescribeLogStreams", logGroupName="g") == NO_GROUP
        assert await logs.refused("DeleteLogGroup", logGroupName="g") == NO_GROUP
        await logs.make()
        assert await logs.got() == []
        assert await logs.filtered() == []
        await logs.call("DeleteLogGroup", logGroupName="g")
        await logs.state.records.clear_garbage()
        for collection in ("log-group", "log-stream", "log-chunk", "log-time", "log-garbage"):
            assert await logs.store.list(collection) == []

    async def test_tags(self, logs: Logs) -> None:
        """Tags are kept, by ARN and by name; the limits of AWS hold."""
        arn = "arn:aws:logs:us-east-1:000000000000:log-group:g"
        await logs.call("CreateLogGroup", logGroupName="g", tags={"a": "1"})
        await logs.call("TagResource", resourceArn=arn, tags={"b": "2"})
        await logs.call("TagLogGroup", logGroupName="g", tags={"c": "3"})
        await logs.call("UntagResource", resourceArn=f"{arn}:*", tagKeys=["a"])
        await logs.call("UntagLogGroup", logGroupName="g", tags=["c", "unknown"])
        assert await logs.call("ListTagsForResource", resourceArn=arn) == {"tags": {"b": "2"}}
        assert await logs.call("ListTagsLogGroup", logGroupName="g") == {"tags": {"b": "2"}}
        assert (await logs.refused("TagResource", resourceArn=arn, tags={"aws:x": ""}))[0] == "InvalidParameterException"
        many = {f"{number}": "" for number in range(50)}
        assert (await logs.refused("TagResource", resourceArn=arn, tags=many))[0] == "TooManyTagsException"
        assert await logs.refused("TagResource", resourceArn=f"{arn}2", tags={"a": ""}) == NO_GROUP
        assert (await logs.refused("TagResource", resourceArn="g", tags={"a": ""}))[0] == "InvalidParameterException"


class TestRetention:
    async def test_values(self, logs: Logs) -> None:
        """Only the days that AWS lists are taken."""
        await logs.make()
        for days in (0, -1, 2, 8, 10_000):
            code, message = await logs.refused("PutRetentionPolicy", logGroupName="g", retentionInDays=days)
            assert (code, f"value: {days}." in message) == ("InvalidParameterException", True)
        await logs.call("PutRetentionPolicy", logGroupName="g", retentionInDays=7)
        assert (await logs.group())["retentionInDays"] == 7
        await logs.call("DeleteRetentionPolicy", logGroupName="g")
        assert "retentionInDays" not in await logs.group()
        assert await logs.refused("PutRetentionPolicy", logGroupName="x", retentionInDays=7) == NO_GROUP

    async def test_expiry(self, logs: Logs) -> None:
        """Expired events are not read from the moment on, and are then removed from the store; the others stay."""
        await logs.make("g", "s", "t")
        await logs.put((-2 * DAY_MS, "old 1"), (-2 * DAY_MS + 1, "old 2"), stream="t")
        await logs.put((-2 * DAY_MS, "old 3"))
        await logs.put((0, "new"))
        await logs.call("PutRetentionPolicy", logGroupName="g", retentionInDays=1)
        assert await logs.filtered() == ["new"]
        assert await logs.got() == ["new"]
        assert await logs.got(logStreamName="t") == []
        assert len(await logs.store.list("log-chunk")) == 3
        await logs.state.remove_expired()
        assert len(await logs.store.list("log-chunk")) == len(await logs.store.list("log-time")) == 1
        assert (await logs.group())["storedBytes"] == 29
        logs.now += 86_401
        await logs.state.remove_expired()
        assert await logs.store.list("log-chunk") == []
        assert (await logs.group())["storedBytes"] == 0


class TestStreams:
    async def test_describe(self, logs: Logs) -> None:
        """A stream is described with the times of its events."""
        await logs.make()
        await logs.put((-5, "a"), (7, "b"))
        (stream,) = (await logs.call("DescribeLogStreams", logGroupName="g"))["logStreams"]
        assert stream.pop("uploadSequenceToken")
        assert stream == {
            "logStreamName": "s",
            "creationTime": NOW_MS,
            "firstEventTimestamp": NOW_MS - 5,
            "lastEventTimestamp": NOW_MS + 7,
            "lastIngestionTime": NOW_MS,
            "arn": "arn:aws:logs:us-east-1:000000000000:log-group:g:log-stream:s",
            "storedBytes": 0,
        }

    @pytest.mark.parametrize("limit", [1, 2, 50])
    @pytest.mark.parametrize(
        ("request_", "expected"),
        [
            ({}, ["a", "ab", "b", "c"]),
            ({"descending": True}, ["c", "b", "ab", "a"]),
            ({"logStreamNamePrefix": "a"}, ["a", "ab"]),
            ({"logStreamNamePrefix": "a", "descending": True}, ["ab", "a"]),
            ({"orderBy": "LastEventTime"}, ["c", "b", "ab", "a"]),
            ({"orderBy": "LastEventTime", "descending": True}, ["a", "ab", "b", "c"]),
        ],
    )
    async def test_order(self, logs: Logs, request_: dict[str, Any], expected: list[str], limit: int) -> None:
        """Streams come by name or by their last event, in both directions, page by page."""
        await logs.make("g", "a", "b", "ab", "c")
        for time_ms, stream in ((3, "a"), (2, "ab"), (1, "b")):
            await logs.put((time_ms, "x"), stream=stream)
        names: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = await logs.call("DescribeLogStreams", logGroupName="g", limit=limit, **request_, **token)
            names += [stream["logStreamName"] for stream in page["logStreams"]]
            if "nextToken" not in page:
                break
            token = {"nextToken": page["nextToken"]}
        assert names == expected

    async def test_refusals(self, logs: Logs) -> None:
        """What AWS refuses is refused."""
        assert await logs.refused("CreateLogStream", logGroupName="g", logStreamName="s") == NO_GROUP
        await logs.make()
        assert await logs.refused("DeleteLogStream", logGroupName="g", logStreamName="t") == NO_STREAM
        for wrong in (
            {"orderBy": "LastEventTime", "logStreamNamePrefix": "a"},
            {"orderBy": "LastEventTime", "nextToken": "nonsense"},
            {"logGroupIdentifier": "g"},
        ):
            assert (await logs.refused("DescribeLogStreams", logGroupName="g", **wrong))[0] == "InvalidParameterException"
        assert (await logs.refused("DescribeLogStreams"))[0] == "InvalidParameterException"
        code, _ = await logs.refused("CreateLogStream", logGroupName="g", logStreamName="lone \ud800")
        assert code == "InvalidParameterException"

    async def test_delete(self, logs: Logs) -> None:
        """A deleted stream's events are gone, and only its own."""
        await logs.make("g", "s", "t")
        await logs.put((0, "one"))
        await logs.put((0, "two"), stream="t")
        await logs.call("DeleteLogStream", logGroupName="g", logStreamName="s")
        assert await logs.filtered() == ["two"]
        assert await logs.refused("GetLogEvents", logGroupName="g", logStreamName="s") == NO_STREAM
        assert (await logs.group())["storedBytes"] == 29
        assert len(await logs.store.list("log-time")) == 1


class TestFunctionOutput:
    def batch(self, *lines: str, stream: str = "s", group: str = "g") -> LogBatch:
        return LogBatch("000000000000", "us-east-1", group, stream, tuple(LogEvent(NOW_MS, line) for line in lines))

    async def test_is_read_at_once(self, logs: Logs) -> None:
        """Output makes its group and stream, and is read with its newlines as soon as it has been handed over."""
        logs.state.buffer.append(self.batch("one", "", "drei \u20ac \ud800"))
        assert (await logs.group())["logGroupName"] == "g"
        assert await logs.got() == ["one\n", "\n", "drei \u20ac ?\n"]
        logs.state.buffer.append(self.batch("four"))
        assert await logs.filtered(filterPattern="four") == ["four\n"]

    async def test_stop_stores(self, logs: Logs) -> None:
        """What waits is stored when the service stops."""
        running = asyncio.create_task(logs.state.run())
        await asyncio.sleep(0)
        logs.state.buffer.append(self.batch("last words"))
        await logs.state.stop()
        await asyncio.wait_for(running, 60)
        assert len(await logs.store.list("log-chunk")) == 1

    async def test_deleted_group_comes_back(self, logs: Logs) -> None:
        """Output after the deletion of its group makes the group anew, as with Lambda."""
        logs.state.buffer.append(self.batch("before"))
        await logs.call("DeleteLogGroup", logGroupName="g")
        logs.state.buffer.append(self.batch("after"))
        assert await logs.filtered() == ["after\n"]
