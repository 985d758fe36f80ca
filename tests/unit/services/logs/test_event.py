"""Putting, getting and filtering log events, as their operations answer."""

from __future__ import annotations

import random
from typing import Any

import pytest

from lambdad.services.logs.model import DAY_MS
from support.logs_service import NO_GROUP, NO_STREAM, NOW_MS, Logs


@pytest.fixture
async def logs() -> Logs:
    logs = Logs()
    await logs.make("g", "s", "t")
    return logs


class TestPut:
    async def test_put(self, logs: Logs) -> None:
        """Accepted events are read with what was sent and when it came; the answer has a sequence token."""
        output = await logs.put((0, "a"), (0, "b"), (1, "é\n"))
        assert set(output) == {"nextSequenceToken"}
        events = (await logs.call("GetLogEvents", logGroupName="g", logStreamName="s"))["events"]
        assert events == [
            {"timestamp": NOW_MS, "message": "a", "ingestionTime": NOW_MS},
            {"timestamp": NOW_MS, "message": "b", "ingestionTime": NOW_MS},
            {"timestamp": NOW_MS + 1, "message": "é\n", "ingestionTime": NOW_MS},
        ]

    async def test_sequence_token_is_not_looked_at(self, logs: Logs) -> None:
        """Any sequence token is accepted, as today's service does."""
        events = [{"timestamp": NOW_MS, "message": "a"}]
        await logs.call("PutLogEvents", logGroupName="g", logStreamName="s", logEvents=events, sequenceToken="wrong")
        assert await logs.got() == ["a"]

    async def test_nowhere(self, logs: Logs) -> None:
        """PutLogEvents makes neither group nor stream."""
        event = [{"timestamp": NOW_MS, "message": "a"}]
        assert await logs.refused("PutLogEvents", logGroupName="x", logStreamName="s", logEvents=event) == NO_GROUP
        assert await logs.refused("PutLogEvents", logGroupName="g", logStreamName="x", logEvents=event) == NO_STREAM

    @pytest.mark.parametrize(
        ("messages", "complaint"),
        [
            ([(1, "a"), (0, "b")], "Log events in a single PutLogEvents request must be in chronological order."),
            (
                [(-DAY_MS - 1, "a"), (0, "b")],
                "The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
            ),
            ([(0, "x" * 1_048_551)], "Upload too large: 1048577 bytes exceeds limit of 1048576"),
            ([(0, "é" * 524_276)], "Upload too large: 1048578 bytes exceeds limit of 1048576"),
            ([(0, "x" * 1000)] * 1030, "Upload too large: 1056780 bytes exceeds limit of 1048576"),
        ],
    )
    async def test_refused_batch(self, logs: Logs, messages: list[tuple[int, str]], complaint: str) -> None:
        """A batch that breaks a rule is refused as a whole."""
        events = [{"timestamp": NOW_MS + time_ms, "message": message} for time_ms, message in messages]
        refusal = await logs.refused("PutLogEvents", logGroupName="g", logStreamName="s", logEvents=events)
        assert refusal == ("InvalidParameterException", complaint)
        assert await logs.got() == []

    async def test_largest_batch(self, logs: Logs) -> None:
        """A batch of exactly the limit is taken, and read in pages of 1 MB."""
        await logs.put((0, "x" * 1_048_550))
        assert [len(message) for message in await logs.got()] == [1_048_550]

    async def test_too_old_or_new(self, logs: Logs) -> None:
        """Events more than 14 days old or 2 hours ahead are left out, and the answer says where they end and start."""
        old, hour = -14 * DAY_MS, 3_600_000
        output = await logs.put((old - 2, "a"), (old - 1, "b"), (old, "c"))
        assert output["rejectedLogEventsInfo"] == {"tooOldLogEventEndIndex": 2}
        output = await logs.put((0, "d"), (2 * hour, "e"), (2 * hour + 1, "f"))
        assert output["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 2}
        output = await logs.put((3 * hour, "f"))
        assert output["rejectedLogEventsInfo"] == {"tooNewLogEventStartIndex": 0}
        assert await logs.got() == ["c", "d", "e"]

    async def test_expired(self, logs: Logs) -> None:
        """Events before the group's retention are left out."""
        await logs.call("PutRetentionPolicy", logGroupName="g", retentionInDays=3)
        output = await logs.put((-3 * DAY_MS - 1, "a"), (-3 * DAY_MS, "b"))
        assert output["rejectedLogEventsInfo"] == {"expiredLogEventEndIndex": 1}
        assert await logs.got() == ["b"]

    async def test_lone_surrogates(self, logs: Logs) -> None:
        """What JSON can carry and UTF-8 cannot is replaced, not refused."""
        await logs.put((0, "a\ud800b"))
        assert await logs.got() == ["a?b"]


class TestGet:
    async def pages(self, logs: Logs, **request: Any) -> list[list[str]]:
        """Follows the tokens in one direction until a token comes back."""
        direction = "nextForwardToken" if request.get("startFromHead") else "nextBackwardToken"
        pages = []
        token: dict[str, str] = {}
        while True:
            output = await logs.call("GetLogEvents", logGroupName="g", logStreamName="s", **request, **token)
            if token.get("nextToken") == output[direction]:
                assert output["events"] == []
                return pages
            token = {"nextToken": output[direction]}
            pages.append([event["message"] for event in output["events"]])

    async def test_forward(self, logs: Logs) -> None:
        """From the head, pages follow each other until the same token comes back."""
        await logs.put(*((number, f"{number}") for number in range(7)))
        assert await self.pages(logs, startFromHead=True, limit=3) == [["0", "1", "2"], ["3", "4", "5"], ["6"]]

    async def test_backward(self, logs: Logs) -> None:
        """Without startFromHead the last come first; each page is in order of time."""
        await logs.put(*((number, f"{number}") for number in range(7)))
        assert await self.pages(logs, limit=3) == [["4", "5", "6"], ["1", "2", "3"], ["0"]]

    async def test_tokens_lead_back(self, logs: Logs) -> None:
        """A page's other token leads the other way, from an end too."""
        await logs.put(*((0, f"{number}") for number in range(6)))
        first = await logs.call("GetLogEvents", logGroupName="g", logStreamName="s", startFromHead=True, limit=3)

        async def follow(token: str) -> Any:
            return await logs.call("GetLogEvents", logGroupName="g", logStreamName="s", limit=3, nextToken=token)

        second = await follow(first["nextForwardToken"])
        assert [event["message"] for event in second["events"]] == ["3", "4", "5"]
        assert (await follow(second["nextBackwardToken"]))["events"] == first["events"]
        end = await follow(second["nextForwardToken"])
        assert (await follow(end["nextBackwardToken"]))["events"] == second["events"]
        start = await follow(first["nextBackwardToken"])
        assert start["events"] == []
        assert (await follow(start["nextForwardToken"]))["events"] == first["events"]

    async def test_follow(self, logs: Logs) -> None:
        """The token from an end, and from an empty stream, brings what comes later."""
        empty = await logs.call("GetLogEvents", logGroupName="g", logStreamName="s", startFromHead=True)
        await logs.put((0, "a"))
        first = await logs.call("GetLogEvents", logGroupName="g", logStreamName="s", nextToken=empty["nextForwardToken"])
        await logs.put((0, "b"))
        second = await logs.call("GetLogEvents", logGroupName="g", logStreamName="s", nextToken=first["nextForwardToken"])
        assert [event["message"] for event in second["events"]] == ["b"]

    async def test_times(self, logs: Logs) -> None:
        """The start is included and the end is not."""
        await logs.put(*((number * 40_000, f"{number}") for number in range(5)))
        times = {"startTime": NOW_MS + 40_000, "endTime": NOW_MS + 160_000}
        assert await logs.got(**times) == ["1", "2", "3"]
        assert await logs.got(**times, startFromHead=False) == ["1", "2", "3"]
        assert await logs.got(startTime=NOW_MS + 200_000) == []
        assert await logs.got(endTime=NOW_MS) == []
        assert await logs.got(startTime=2**62, endTime=2**62) == []

    async def test_page_size(self, logs: Logs) -> None:
        """A page ends at 1 MB, wherever it starts."""
        for number in range(5):
            await logs.put((number, f"{number}" * 400_000))
        forward = await self.pages(logs, startFromHead=True)
        assert [[message[0] for message in page] for page in forward] == [["0", "1"], ["2", "3"], ["4"]]
        backward = await self.pages(logs)
        assert [[message[0] for message in page] for page in backward] == [["3", "4"], ["1", "2"], ["0"]]

    async def test_order_of_late_events(self, logs: Logs) -> None:
        """Events are in order of time, whatever order their batches came in and however far these reach."""
        chosen = random.Random(7)
        expected = []
        for batch in range(30):
            start = chosen.randrange(0, 200_000)
            times = sorted(start + chosen.randrange(0, 100_000) for _ in range(20))
            await logs.put(*((time_ms, f"{time_ms:07d}-{batch:02d}") for time_ms in times))
            expected += [f"{time_ms:07d}-{batch:02d}" for time_ms in times]
        expected.sort()
        assert await logs.got() == expected
        for limit in (17, 600):
            forward = await self.pages(logs, startFromHead=True, limit=limit)
            assert [message for page in forward for message in page] == expected
            backward = await self.pages(logs, limit=limit)
            assert [message for page in reversed(backward) for message in page] == expected
        assert await logs.filtered() == expected

    @pytest.mark.parametrize("token", ["nonsense", "f/1", "x/" + "0" * 56, "f/" + "²" * 56])
    async def test_wrong_token(self, logs: Logs, token: str) -> None:
        """A token that is none is refused, by both readers."""
        wrong = ("InvalidParameterException", "The specified nextToken is invalid.")
        assert await logs.refused("GetLogEvents", logGroupName="g", logStreamName="s", nextToken=token) == wrong
        assert await logs.refused("FilterLogEvents", logGroupName="g", nextToken=token) == wrong

    async def test_nowhere(self, logs: Logs) -> None:
        """An unknown group or stream is told apart."""
        assert await logs.refused("GetLogEvents", logGroupName="x", logStreamName="s") == NO_GROUP
        assert await logs.refused("GetLogEvents", logGroupName="g", logStreamName="x") == NO_STREAM


class TestFilter:
    async def some(self, logs: Logs) -> None:
        await logs.make("other")
        await logs.put((0, "other"), group="other")
        await logs.put((0, "ERROR one"), (2, "WARN three"), (40_000, "ERROR five"))
        await logs.put((1, "INFO two"), (3, "ERROR four"), stream="t")

    async def test_interleaved(self, logs: Logs) -> None:
        """Events of all streams come in order of time, with their streams and distinct ids."""
        await self.some(logs)
        output = await logs.call("FilterLogEvents", logGroupIdentifier="arn:aws:logs:us-east-1:000000000000:log-group:g:*")
        events = output["events"]
        assert [event["message"].split()[1] for event in events] == ["one", "two", "three", "four", "five"]
        assert [event["logStreamName"] for event in events] == ["s", "t", "s", "t", "s"]
        assert len({event["eventId"] for event in events}) == 5
        assert (events[0]["timestamp"], events[0]["ingestionTime"]) == (NOW_MS, NOW_MS)

    @pytest.mark.parametrize(
        ("request_", "expected"),
        [
            ({"filterPattern": "ERROR"}, ["one", "four", "five"]),
            ({"filterPattern": "ERROR -four"}, ["one", "five"]),
            ({"filterPattern": "?two ?three"}, ["two", "three"]),
            ({"filterPattern": '"ERROR f"'}, ["four", "five"]),
            ({"logStreamNames": ["t"]}, ["two", "four"]),
            ({"logStreamNames": ["t", "s", "t"]}, ["one", "two", "three", "four", "five"]),
            ({"logStreamNamePrefix": "t"}, ["two", "four"]),
            ({"logStreamNamePrefix": "none"}, []),
            ({"startTime": NOW_MS + 1, "endTime": NOW_MS + 3}, ["two", "three", "four"]),
            ({"startTime": NOW_MS + 40_000}, ["five"]),
            ({"endTime": NOW_MS}, ["one"]),
            ({"endTime": 2**62}, ["one", "two", "three", "four", "five"]),
        ],
    )
    @pytest.mark.parametrize("limit", [1, 2, 100])
    async def test_selection(self, logs: Logs, request_: dict[str, Any], expected: list[str], limit: int) -> None:
        """Patterns, streams and times select; both times are included; pages join without loss."""
        await self.some(logs)
        for direction in ({}, {"startFromHead": False, "startTime": NOW_MS}):
            found: list[str] = []
            token: dict[str, str] = {}
            while True:
                output = await logs.call(
                    "FilterLogEvents", **{"logGroupName": "g", **direction, **request_, "limit": limit, **token}
                )
                found += [event["message"].split()[1] for event in output["events"]]
                if "nextToken" not in output:
                    break
                assert len(output["events"]) <= limit
                token = {"nextToken": output["nextToken"]}
            assert found == (expected[::-1] if direction else expected)

    async def test_many_streams_of_a_prefix(self, logs: Logs) -> None:
        """A prefix may select more streams than are read one by one."""
        for number in range(120):
            await logs.call("CreateLogStream", logGroupName="g", logStreamName=f"many-{number:03d}")
            await logs.put((number, f"{number}"), stream=f"many-{number:03d}")
        await logs.put((5, "not this"))
        assert await logs.filtered(logStreamNamePrefix="many-") == [f"{number}" for number in range(120)]

    async def test_refusals(self, logs: Logs) -> None:
        """Unknown groups and streams, both ways to name streams, and backward from too early are refused."""
        assert await logs.refused("FilterLogEvents", logGroupName="x") == NO_GROUP
        assert await logs.refused("FilterLogEvents", logGroupName="g", logStreamNames=["s", "x"]) == NO_STREAM
        for wrong in (
            {"logStreamNames": ["s"], "logStreamNamePrefix": "s"},
            {"startFromHead": False},
            {"startFromHead": False, "startTime": 1_704_067_199_999},
            {"filterPattern": "[a, b = 1]"},
        ):
            assert (await logs.refused("FilterLogEvents", logGroupName="g", **wrong))[0] == "InvalidParameterException"
