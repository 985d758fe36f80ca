"""`lambdad logs`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
import typer
from typer.testing import Result

from lambdad.cli.logs import OVERLAP_MS, Unseen, since_ms

Run = Callable[..., Result]
NOW = datetime(2026, 1, 31, 8, 0, tzinfo=UTC).timestamp()
MISSING = {"__type": "ResourceNotFoundException", "message": "The specified log group does not exist."}


def event(number: int, timestamp: int = 1_769_846_400_000, message: str = "") -> dict[str, Any]:
    return {"eventId": str(number), "timestamp": timestamp, "message": message or f"line {number}\n", "logStreamName": "s"}


def test_lines_of_every_page_in_order(run: Run, fake_server: Any) -> None:
    """Time and message; the group is the function's; without --since the last ten minutes."""
    fake_server.answer({"events": [event(1)], "nextToken": "t"})
    fake_server.answer({"events": [event(2)]})
    result = run("logs", "hello", "--endpoint", fake_server.endpoint)
    assert result.exit_code == 0, result.output
    assert result.stdout == "2026-01-31T08:00:00.000Z line 1\n2026-01-31T08:00:00.000Z line 2\n"
    asked = json.loads(fake_server.asked[0].body)
    assert asked["logGroupName"] == "/aws/lambda/hello"
    assert abs(asked["startTime"] - (time.time() - 600) * 1000) < 60_000
    assert "filterPattern" not in asked


def test_a_log_group_and_a_pattern(run: Run, fake_server: Any) -> None:
    """A name that begins with a slash is the group itself; the pattern is the server's to apply."""
    fake_server.answer({"events": []})
    assert run("logs", "/my/group", "--filter", "?ERROR ?WARN", "--endpoint", fake_server.endpoint).exit_code == 0
    asked = json.loads(fake_server.asked[0].body)
    assert (asked["logGroupName"], asked["filterPattern"]) == ("/my/group", "?ERROR ?WARN")


def test_json_lines(run: Run, fake_server: Any) -> None:
    """One object a line, whatever the message holds."""
    fake_server.answer({"events": [event(1, message='two\nlines "x"')]})
    [line] = run("logs", "hello", "--json", "--endpoint", fake_server.endpoint).stdout.splitlines()
    assert json.loads(line) == {
        "time": "2026-01-31T08:00:00.000Z",
        "timestamp": 1_769_846_400_000,
        "stream": "s",
        "message": 'two\nlines "x"',
    }


def test_no_group_yet_is_exit_code_1(run: Run, fake_server: Any) -> None:
    """A function that never ran, or whose name is wrong, is told apart from one that logged nothing."""
    fake_server.answer(MISSING, status=400)
    result = run("logs", "hello", "--endpoint", fake_server.endpoint)
    assert result.exit_code == 1
    assert result.stderr == "lambdad: There is no log group /aws/lambda/hello: nothing has been logged there yet.\n"


def test_following_waits_for_the_group_and_prints_each_line_once(
    run: Run, fake_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same stretch of time is asked for again and again; Ctrl-C ends it with exit code 130."""
    fake_server.answer(MISSING, status=400)
    fake_server.answer({"events": [event(1)]})
    fake_server.answer({"events": [event(1), event(2)]})
    pauses = iter([None, None])

    def pause(seconds: float) -> None:
        if next(pauses, "end") == "end":
            raise KeyboardInterrupt

    monkeypatch.setattr("lambdad.cli.logs.time.sleep", pause)
    result = run("logs", "hello", "--follow", "--since", "2026-01-01", "--endpoint", fake_server.endpoint)
    assert result.exit_code == 130, result.output
    assert [line.split(maxsplit=1)[1] for line in result.stdout.splitlines()] == ["line 1", "line 2"]
    assert len(fake_server.asked) == 3


def test_unseen_passes_late_lines_and_forgets_old_ones() -> None:
    """A line that comes late within the overlap is printed; what lies before it is asked for no more."""
    unseen = Unseen(0)
    assert [taken["eventId"] for taken in unseen.take(iter([event(1, 1_000), event(2, 50_000)]))] == ["1", "2"]
    assert unseen.start_ms == 50_000 - OVERLAP_MS
    assert [taken["eventId"] for taken in unseen.take(iter([event(3, 45_000), event(2, 50_000)]))] == ["3"]
    assert list(unseen.take(iter([event(2, 50_000), event(3, 45_000)]))) == []


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("30s", (NOW - 30) * 1000),
        ("10m", (NOW - 600) * 1000),
        ("2h", (NOW - 7200) * 1000),
        ("7d", (NOW - 7 * 86400) * 1000),
        ("1w", (NOW - 7 * 86400) * 1000),
        ("999999999w", 0),
        ("2026-01-31T08:00:00Z", NOW * 1000),
        ("2026-01-31T09:00:00+01:00", NOW * 1000),
        ("2026-01-31T08:00", NOW * 1000),
        ("2026-01-31", (NOW - 8 * 3600) * 1000),
        ("1900-01-01", 0),
    ],
)
def test_since(text: str, ms: float) -> None:
    """An age or a time; without a zone it is UTC."""
    assert since_ms(text, NOW) == int(ms)


@pytest.mark.parametrize("text", ["", "10", "10 m", "-10m", "1.5h", "m", "yesterday", "٣m", "9" * 30 + "m"])
def test_a_bad_since_is_refused(text: str) -> None:
    """The message shows both forms."""
    with pytest.raises(typer.BadParameter, match="neither an age such as 10m nor a time"):
        since_ms(text, NOW)
