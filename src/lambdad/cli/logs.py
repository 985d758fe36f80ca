"""`lambdad logs`."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from lambdad.cli.client import EndpointOption, RegionOption, aws_client
from lambdad.cli.failure import CommandError

#: CloudWatch Logs has no waiting read, so following means asking again.
POLL_SECONDS = 1.0
#: A line may be stored this much later than its timestamp says, so that far back is asked again.
OVERLAP_MS = 10_000
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def logs(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A function's name, or a log group if it begins with a slash.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on printing as lines come; Ctrl-C ends it.")] = False,
    since: Annotated[
        str, typer.Option("--since", "-s", metavar="AGE|TIME", help="30s, 10m, 2h, 7d, or a time such as 2026-01-31T08:00Z.")
    ] = "10m",
    filter_pattern: Annotated[
        str | None, typer.Option("--filter", metavar="PATTERN", help="Only lines that match this CloudWatch Logs pattern.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a line, for programs.")] = False,
    endpoint: EndpointOption = None,
    region: RegionOption = None,
) -> None:
    """Print what a function logged, oldest line first.

    \b
    Examples:
      lambdad logs hello
      lambdad logs hello --follow --since 1m
      lambdad logs hello --filter ERROR --json
      lambdad logs hello --filter '{ $.level = "ERROR" }'
    """
    start_ms = since_ms(since, time.time())
    group = name if name.startswith("/") else f"/aws/lambda/{name}"
    print_event = _print_json if as_json else _print_line
    with aws_client("logs", endpoint, region) as client:
        if not follow:
            for event in _read(client, group, filter_pattern, start_ms):
                print_event(event)
            return
        _follow(client, group, filter_pattern, start_ms, print_event)


def since_ms(text: str, now: float) -> int:
    """The start that `text` means, in milliseconds since the epoch: an age, or a time (without a zone: UTC)."""
    age = re.fullmatch(r"(\d{1,9})([smhdw])", text, re.ASCII)
    if age:
        return max(0, int((now - int(age[1]) * _UNITS[age[2]]) * 1000))
    try:
        moment = datetime.fromisoformat(text)
        return max(0, int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000))
    except (ValueError, OverflowError) as error:
        message = f"{text!r} is neither an age such as 10m nor a time such as 2026-01-31T08:00Z."
        raise typer.BadParameter(message, param_hint="--since") from error


class Unseen:
    """Passes each event once, although the same stretch of time is asked for again and again."""

    def __init__(self, start_ms: int) -> None:
        self.start_ms = start_ms
        self._seen: dict[str, int] = {}

    def take(self, events: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        latest = self.start_ms
        for event in events:
            latest = max(latest, event["timestamp"] - OVERLAP_MS)
            if event["eventId"] not in self._seen:
                self._seen[event["eventId"]] = event["timestamp"]
                yield event
        self.start_ms = latest
        self._seen = {event_id: timestamp for event_id, timestamp in self._seen.items() if timestamp >= latest}


def _follow(client: Any, group: str, pattern: str | None, start_ms: int, print_event: Callable[[dict[str, Any]], None]) -> None:
    unseen = Unseen(start_ms)
    while True:
        try:
            for event in unseen.take(_read(client, group, pattern, unseen.start_ms)):
                print_event(event)
        except _NotYet:
            pass  # the group comes with the function's first line
        sys.stdout.flush()
        time.sleep(POLL_SECONDS)


class _NotYet(CommandError):
    """The log group does not exist."""


def _read(client: Any, group: str, pattern: str | None, start_ms: int) -> Iterator[dict[str, Any]]:
    parameters: dict[str, Any] = {"logGroupName": group, "startTime": start_ms}
    if pattern:
        parameters["filterPattern"] = pattern
    try:
        for page in client.get_paginator("filter_log_events").paginate(**parameters):
            yield from page.get("events", [])
    except client.exceptions.ResourceNotFoundException as error:
        raise _NotYet(f"There is no log group {group}: nothing has been logged there yet.") from error


def _print_line(event: dict[str, Any]) -> None:
    message = event["message"].rstrip("\n")
    typer.echo(f"{_time(event)} {message}")


def _print_json(event: dict[str, Any]) -> None:
    fields = {
        "time": _time(event),
        "timestamp": event["timestamp"],
        "stream": event["logStreamName"],
        "message": event["message"],
    }
    typer.echo(json.dumps(fields))


def _time(event: dict[str, Any]) -> str:
    moment = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
