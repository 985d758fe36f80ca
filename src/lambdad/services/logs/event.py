"""Operations on log events: put, get by stream, filter by group."""

from __future__ import annotations

from collections.abc import AsyncIterator

from lambdad.model.invocation import LogEvent
from lambdad.model.request import RequestContext
from lambdad.services.logs.group import Output, Request, scope_of
from lambdad.services.logs.model import (
    PAGE_BYTES,
    PAGE_EVENTS,
    LogGroup,
    Position,
    StoredEvent,
    accept_batch,
    check_batch,
    invalid,
    storable,
)
from lambdad.services.logs.pattern import Matches, parse_pattern
from lambdad.services.logs.reading import in_order
from lambdad.services.logs.records import Chunk, merged
from lambdad.services.logs.state import LogsState
from lambdad.services.logs.stream import SEQUENCE_TOKEN, requested_group

_END_OF_TIME_MS = 10**15 - 1
_FIRST = Position(0)
_LAST = Position(_END_OF_TIME_MS)
_SCAN_BYTES = 32 << 20  #: FilterLogEvents answers with what it has, and a token, after looking at so much
_MERGED_STREAMS = 100
_DESCENDING_FROM_MS = 1_704_067_200_000  #: 1 January 2024: AWS filters backward only from then on


async def put_log_events(state: LogsState, context: RequestContext, request: Request) -> Output:
    scope = scope_of(context)
    events = [LogEvent(event["timestamp"], storable(event["message"])) for event in request["logEvents"]]
    check_batch(events)
    await state.buffer.flush()
    group = await state.records.group(scope, request["logGroupName"])
    await state.records.stream(group, request["logStreamName"])
    accepted = accept_batch(events, group, state.now_ms())
    if accepted.events:
        await state.records.write(scope, group.name, {request["logStreamName"]: accepted.events})
    bounds = {
        "tooNewLogEventStartIndex": accepted.too_new_start,
        "tooOldLogEventEndIndex": accepted.too_old_end,
        "expiredLogEventEndIndex": accepted.expired_end,
    }
    rejected = {name: index for name, index in bounds.items() if index is not None}
    output: Output = {"nextSequenceToken": SEQUENCE_TOKEN}
    return {**output, "rejectedLogEventsInfo": rejected} if rejected else output


async def get_log_events(state: LogsState, context: RequestContext, request: Request) -> Output:
    scope = scope_of(context)
    is_forward, bound = _read_token(request)
    await state.buffer.flush()
    group = await state.records.group(scope, requested_group(scope, request))
    stream = await state.records.stream(group, request["logStreamName"])
    start_ms = max(request.get("startTime", 0), group.oldest_kept_ms(state.now_ms()))
    end_ms = min(request.get("endTime", _END_OF_TIME_MS), _END_OF_TIME_MS) - 1  # an end of GetLogEvents is exclusive
    low_ms = max(start_ms, bound.timestamp_ms) if is_forward and bound else start_ms
    high_ms = min(end_ms, bound.timestamp_ms) if not is_forward and bound else end_ms
    chunks = state.records.stream_chunks(stream, low_ms, high_ms, descending=not is_forward)
    events = _between(in_order(chunks, descending=not is_forward), start_ms, end_ms, bound, descending=not is_forward)
    page = [event async for event in _first_page(events, request.get("limit", PAGE_EVENTS))]
    if not is_forward:
        page.reverse()
    forward, backward = _next_tokens(page, is_forward, bound)
    return {
        "events": [
            {"timestamp": event.position.timestamp_ms, "message": event.message, "ingestionTime": event.ingested_ms}
            for event in page
        ],
        "nextForwardToken": forward,
        "nextBackwardToken": backward,
    }


async def filter_log_events(state: LogsState, context: RequestContext, request: Request) -> Output:
    scope = scope_of(context)
    matches = parse_pattern(request.get("filterPattern", ""))
    descending, bound = _filter_direction(request)
    await state.buffer.flush()
    group = await state.records.group(scope, requested_group(scope, request))
    start_ms = max(request.get("startTime", 0), group.oldest_kept_ms(state.now_ms()))
    end_ms = min(request.get("endTime", _END_OF_TIME_MS), _END_OF_TIME_MS)
    low_ms = max(start_ms, bound.timestamp_ms) if bound and not descending else start_ms
    high_ms = min(end_ms, bound.timestamp_ms) if bound and descending else end_ms
    chunks = await _chunks_to_search(state, group, request, low_ms, high_ms, descending)
    events = _between(in_order(chunks, descending=descending), start_ms, end_ms, bound, descending=descending)
    found, stopped_at = await _search(events, matches, request.get("limit", PAGE_EVENTS))
    output: Output = {"events": [_describe_found(event) for event in found], "searchedLogStreams": []}
    if stopped_at:
        output["nextToken"] = f"{'b' if descending else 'f'}/{stopped_at}"
    return output


async def _search(
    events: AsyncIterator[StoredEvent], matches: Matches, limit: int
) -> tuple[list[StoredEvent], Position | None]:
    """The events of a page, and where it ended if there may be more."""
    found: list[StoredEvent] = []
    found_bytes = scanned_bytes = 0
    last: Position | None = None
    async for event in events:
        is_match = matches(event.message)
        if last and (
            scanned_bytes >= _SCAN_BYTES or (is_match and (len(found) >= limit or found_bytes + event.size > PAGE_BYTES))
        ):
            return found, last
        last = event.position
        scanned_bytes += event.size
        if is_match:
            found.append(event)
            found_bytes += event.size
    return found, None


async def _chunks_to_search(
    state: LogsState, group: LogGroup, request: Request, start_ms: int, end_ms: int, descending: bool
) -> AsyncIterator[Chunk]:
    names = request.get("logStreamNames")
    prefix = request.get("logStreamNamePrefix")
    if names and prefix is not None:
        raise invalid("logStreamNames and logStreamNamePrefix are mutually exclusive parameters.")
    if names:
        streams = [await state.records.stream(group, name) for name in dict.fromkeys(names)]
    elif prefix is not None:
        streams = [stream async for stream in state.records.streams(group, prefix=prefix)]
    else:
        return state.records.group_chunks(group, start_ms, end_ms, descending=descending)
    if len(streams) > _MERGED_STREAMS:
        only = frozenset(stream.stream_id for stream in streams)
        return state.records.group_chunks(group, start_ms, end_ms, descending=descending, only=only)
    sources = [state.records.stream_chunks(stream, start_ms, end_ms, descending=descending) for stream in streams]
    return merged(sources, descending=descending)


async def _between(
    events: AsyncIterator[StoredEvent], start_ms: int, end_ms: int, bound: Position | None, *, descending: bool
) -> AsyncIterator[StoredEvent]:
    """Events of [start, end] that lie beyond the bound in the direction of reading."""
    async for event in events:
        position = event.position
        if (position.timestamp_ms < start_ms) if descending else (position.timestamp_ms > end_ms):
            return
        if not start_ms <= position.timestamp_ms <= end_ms:
            continue
        if bound is None or (position < bound if descending else position > bound):
            yield event


async def _first_page(events: AsyncIterator[StoredEvent], limit: int) -> AsyncIterator[StoredEvent]:
    size = count = 0
    async for event in events:
        size += event.size
        if count and size > PAGE_BYTES:
            return
        yield event
        count += 1
        if count >= limit:
            return


def _read_token(request: Request) -> tuple[bool, Position | None]:
    """The direction of reading and the position beyond which it starts. A token's own direction counts, as with AWS."""
    token = request.get("nextToken")
    if token is None:
        return request.get("startFromHead", False), None
    return _parse_token(token)


def _parse_token(token: str) -> tuple[bool, Position]:
    direction, _, text = token.partition("/")
    try:
        position = Position.parse(text)
    except ValueError as error:
        raise invalid("The specified nextToken is invalid.") from error
    if direction not in ("f", "b"):
        raise invalid("The specified nextToken is invalid.")
    return direction == "f", position


def _next_tokens(page: list[StoredEvent], is_forward: bool, bound: Position | None) -> tuple[str, str]:
    """Tokens name the last event seen in their direction. At an end the token that came is given back, by which a reader
    knows that there is no more for now."""
    if page:
        return f"f/{page[-1].position}", f"b/{page[0].position}"
    if bound is None:
        return f"f/{_FIRST}", f"b/{_LAST}"
    if is_forward:
        return f"f/{bound}", f"b/{bound.after()}"
    return f"f/{bound.before()}", f"b/{bound}"


def _filter_direction(request: Request) -> tuple[bool, Position | None]:
    if "nextToken" in request:
        is_forward, bound = _parse_token(request["nextToken"])
        return not is_forward, bound
    descending = not request.get("startFromHead", True)
    if descending and request.get("startTime", 0) < _DESCENDING_FROM_MS:
        raise invalid("startFromHead can be false only with a startTime on or after 2024-01-01T00:00:00Z.")
    return descending, None


def _describe_found(event: StoredEvent) -> Output:
    return {
        "logStreamName": event.stream,
        "timestamp": event.position.timestamp_ms,
        "message": event.message,
        "ingestionTime": event.ingested_ms,
        "eventId": str(event.position),
    }
