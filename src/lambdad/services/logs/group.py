"""Operations on log groups: create, describe, delete, retention, tags."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.request import RequestContext
from lambdad.services.logs.model import (
    RETENTION_DAYS,
    TAG_LIMIT,
    LogGroup,
    Scope,
    group_arn,
    group_name_in,
    invalid,
    no_group,
)
from lambdad.services.logs.state import LogsState

Request = Mapping[str, Any]
Output = dict[str, Any]

_PAGE_GROUPS = 50


def scope_of(context: RequestContext) -> Scope:
    return Scope(context.account_id, context.region)


async def create_log_group(state: LogsState, context: RequestContext, request: Request) -> Output:
    if request.get("logGroupClass", "STANDARD") != "STANDARD":
        raise invalid("Only log groups of class STANDARD are supported here.")
    if request.get("deletionProtectionEnabled"):
        raise invalid("Deletion protection of log groups is not supported here.")
    tags = dict(request.get("tags") or {})
    _check_tags(tags)
    await state.records.create_group(scope_of(context), request["logGroupName"], tags)
    return {}


async def delete_log_group(state: LogsState, context: RequestContext, request: Request) -> Output:
    await state.buffer.flush()  # else what the group still has waiting would make it anew
    await state.records.delete_group(scope_of(context), request["logGroupName"])
    return {}


async def describe_log_groups(state: LogsState, context: RequestContext, request: Request) -> Output:
    scope = scope_of(context)
    if "logGroupNamePrefix" in request and "logGroupNamePattern" in request:
        raise invalid("LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters.")
    await state.buffer.flush()
    limit = request.get("limit", _PAGE_GROUPS)
    found: list[LogGroup] = []
    if request.get("logGroupClass", "STANDARD") == "STANDARD":
        async for group in _wanted_groups(state, scope, request):
            found.append(group)
            if len(found) > limit:
                break
    output: Output = {"logGroups": [_describe(scope, group) for group in found[:limit]]}
    if len(found) > limit:
        output["nextToken"] = found[limit - 1].name
    return output


async def put_retention_policy(state: LogsState, context: RequestContext, request: Request) -> Output:
    days = request["retentionInDays"]
    if days not in RETENTION_DAYS:
        raise invalid(f"Invalid retentionInDays value: {days}. Valid values: {', '.join(map(str, RETENTION_DAYS))}.")
    await _change(state, context, request["logGroupName"], retention_days=days)
    state.records.garbage.set()  # what has expired by the new rule goes now
    return {}


async def delete_retention_policy(state: LogsState, context: RequestContext, request: Request) -> Output:
    await _change(state, context, request["logGroupName"], retention_days=None)
    return {}


async def tag_resource(state: LogsState, context: RequestContext, request: Request) -> Output:
    await _add_tags(state, context, _group_of_arn(context, request["resourceArn"]), request["tags"])
    return {}


async def untag_resource(state: LogsState, context: RequestContext, request: Request) -> Output:
    await _remove_tags(state, context, _group_of_arn(context, request["resourceArn"]), request["tagKeys"])
    return {}


async def list_tags_for_resource(state: LogsState, context: RequestContext, request: Request) -> Output:
    return await _list_tags(state, context, _group_of_arn(context, request["resourceArn"]))


async def tag_log_group(state: LogsState, context: RequestContext, request: Request) -> Output:
    await _add_tags(state, context, request["logGroupName"], request["tags"])
    return {}


async def untag_log_group(state: LogsState, context: RequestContext, request: Request) -> Output:
    await _remove_tags(state, context, request["logGroupName"], request["tags"])
    return {}


async def list_tags_log_group(state: LogsState, context: RequestContext, request: Request) -> Output:
    return await _list_tags(state, context, request["logGroupName"])


async def _wanted_groups(state: LogsState, scope: Scope, request: Request) -> AsyncIterator[LogGroup]:
    """The groups that the request describes, from its token on, in order of name."""
    after = request.get("nextToken", "")
    if "logGroupIdentifiers" in request:
        for name in sorted({group_name_in(scope, identifier) for identifier in request["logGroupIdentifiers"]}):
            if name > after:
                yield await state.records.group(scope, name)
        return
    part = request.get("logGroupNamePattern", "")
    async for group in state.records.groups(scope, prefix=request.get("logGroupNamePrefix", ""), after=after):
        if part in group.name:
            yield group


def _describe(scope: Scope, group: LogGroup) -> Output:
    arn = group_arn(scope, group.name)
    described: Output = {
        "logGroupName": group.name,
        "creationTime": group.created_ms,
        "metricFilterCount": 0,
        "arn": f"{arn}:*",
        "logGroupArn": arn,
        "storedBytes": group.stored_bytes,
        "logGroupClass": "STANDARD",
        "deletionProtectionEnabled": False,
    }
    if group.retention_days is not None:
        described["retentionInDays"] = group.retention_days
    return described


async def _change(state: LogsState, context: RequestContext, name: str, **changes: Any) -> None:
    await state.buffer.flush()
    await state.records.change_group(scope_of(context), name, lambda group: replace(group, **changes))


async def _add_tags(state: LogsState, context: RequestContext, name: str, tags: Mapping[str, str]) -> None:
    def add(group: LogGroup) -> LogGroup:
        together = {**group.tags, **tags}
        _check_tags(together)
        return replace(group, tags=together)

    await state.records.change_group(scope_of(context), name, add)


async def _remove_tags(state: LogsState, context: RequestContext, name: str, keys: list[str]) -> None:
    def remove(group: LogGroup) -> LogGroup:
        return replace(group, tags={key: value for key, value in group.tags.items() if key not in keys})

    await state.records.change_group(scope_of(context), name, remove)


async def _list_tags(state: LogsState, context: RequestContext, name: str) -> Output:
    group = await state.records.group(scope_of(context), name)
    return {"tags": group.tags}


def _group_of_arn(context: RequestContext, arn: str) -> str:
    if not arn.startswith("arn:"):
        raise invalid(f"The resource ARN {arn!r} is not the ARN of a log group.")
    name = group_name_in(scope_of(context), arn)
    if ":" in name:
        raise no_group()
    return name


def _check_tags(tags: Mapping[str, str]) -> None:
    if any(key.lower().startswith("aws:") for key in tags):
        raise invalid("Tag keys that start with 'aws:' are reserved for AWS.")
    if len(tags) > TAG_LIMIT:
        raise ServiceError("TooManyTagsException", f"A log group can have {TAG_LIMIT} tags and would have {len(tags)}.")
