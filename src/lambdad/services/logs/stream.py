"""Operations on log streams: create, describe, delete."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from lambdad.model.request import RequestContext
from lambdad.services.logs.group import Output, Request, scope_of
from lambdad.services.logs.model import LogGroup, LogStream, Scope, group_arn, group_name_in, invalid
from lambdad.services.logs.state import LogsState

_PAGE_STREAMS = 50

#: Sequence tokens no longer mean anything, but older clients expect one.
SEQUENCE_TOKEN = "49039859625627478900000000000000000000000000000000000000"


async def create_log_stream(state: LogsState, context: RequestContext, request: Request) -> Output:
    name = request["logStreamName"]
    if not name.isascii() and name.encode("utf-8", "replace").decode() != name:
        raise invalid(f"The log stream name {name!r} is no valid Unicode text.")
    await state.buffer.flush()
    await state.records.create_stream(scope_of(context), request["logGroupName"], name)
    return {}


async def delete_log_stream(state: LogsState, context: RequestContext, request: Request) -> Output:
    await state.buffer.flush()
    await state.records.delete_stream(scope_of(context), request["logGroupName"], request["logStreamName"])
    return {}


async def describe_log_streams(state: LogsState, context: RequestContext, request: Request) -> Output:
    scope = scope_of(context)
    await state.buffer.flush()
    group = await state.records.group(scope, requested_group(scope, request))
    prefix = request.get("logStreamNamePrefix", "")
    by_time = request.get("orderBy", "LogStreamName") == "LastEventTime"
    if by_time and prefix:
        raise invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
    limit = request.get("limit", _PAGE_STREAMS)
    descending = request.get("descending", False)
    token = request.get("nextToken", "")
    if by_time:
        found = await _by_time(state, group, token, limit + 1, descending)
    else:
        found = []
        async for stream in state.records.streams(group, prefix=prefix, after=token, descending=descending):
            found.append(stream)
            if len(found) > limit:
                break
    output: Output = {"logStreams": [_describe(scope, group, stream) for stream in found[:limit]]}
    if len(found) > limit:
        last = found[limit - 1]
        output["nextToken"] = f"{last.last_event_ms or 0:015d}:{last.name}" if by_time else last.name
    return output


def requested_group(scope: Scope, request: Request) -> str:
    """The group's name, given as a name or as an identifier, but not as both."""
    if ("logGroupName" in request) == ("logGroupIdentifier" in request):
        raise invalid("Exactly one of logGroupName and logGroupIdentifier must be given.")
    name: str = request.get("logGroupName") or group_name_in(scope, request["logGroupIdentifier"])
    return name


async def _by_time(state: LogsState, group: LogGroup, token: str, count: int, descending: bool) -> list[LogStream]:
    """Looks at every stream of the group, and keeps only as many as are asked for."""
    streams = [stream async for stream in state.records.streams(group) if _is_after(stream, token, descending)]
    pick: Iterable[LogStream] = (
        heapq.nlargest(count, streams, _time_key) if descending else heapq.nsmallest(count, streams, _time_key)
    )
    return list(pick)


def _is_after(stream: LogStream, token: str, descending: bool) -> bool:
    if not token:
        return True
    time_text, separator, name = token.partition(":")
    if not separator or not (time_text.isascii() and time_text.isdigit()):
        raise invalid("The specified nextToken is invalid.")
    last = (int(time_text), name)
    return _time_key(stream) < last if descending else _time_key(stream) > last


def _time_key(stream: LogStream) -> tuple[int, str]:
    return (stream.last_event_ms or 0, stream.name)


def _describe(scope: Scope, group: LogGroup, stream: LogStream) -> Output:
    times = {
        "firstEventTimestamp": stream.first_event_ms,
        "lastEventTimestamp": stream.last_event_ms,
        "lastIngestionTime": stream.last_ingestion_ms,
    }
    return {
        "logStreamName": stream.name,
        "creationTime": stream.created_ms,
        **{name: time_ms for name, time_ms in times.items() if time_ms is not None},
        "uploadSequenceToken": SEQUENCE_TOKEN,
        "arn": f"{group_arn(scope, group.name)}:log-stream:{stream.name}",
        "storedBytes": 0,  # as AWS answers for streams since June 2019
    }
