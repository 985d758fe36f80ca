"""Published versions of a function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.model.function import FunctionVersion
from lambdad.model.managed import LATEST_PUBLISHED
from lambdad.model.request import RequestContext
from lambdad.services.lambda_.account import code_room
from lambdad.services.lambda_.code import check_change
from lambdad.services.lambda_.function_table import CHANGED_ELSEWHERE
from lambdad.services.lambda_.lookup import find_function, named, named_unqualified
from lambdad.services.lambda_.managed_rules import check_room_for, using_provider
from lambdad.services.lambda_.page import page_of
from lambdad.services.lambda_.publication import NUMBERED, publication, published
from lambdad.services.lambda_.refusal import conflict, function_not_found, invalid_parameter
from lambdad.services.lambda_.shape import configuration_shape, listed_shape, sha256_of
from lambdad.services.lambda_.snap_start import check_snap_start
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.stored_function import StoredFunction


async def publish_version(state: LambdaState, context: RequestContext, request: Mapping[str, Any]) -> dict[str, Any]:
    """The last published version again, where `$LATEST` has not changed since it was made."""
    name = named_unqualified(context, request["FunctionName"])
    standing = await find_function(state, name)
    capacity = standing.function.latest.configuration.capacity
    async with (
        state.settler.after(name.key),
        using_provider(state, name.key[:2], capacity),
        state.functions.change(name.key) as change,
    ):
        if change.stored is None:
            raise function_not_found(name)
        check_change(change.stored, request, name.arn)
        _check_code(change.stored, request.get("CodeSha256"))
        configuration = change.stored.function.latest.configuration
        if configuration.capacity != capacity:
            raise conflict(CHANGED_ELSEWHERE)
        kind = publication(configuration, {"Publish": True, **request}) or NUMBERED
        version = _published_already(change.stored) if kind == NUMBERED else None
        if version is None:
            check_snap_start(state, configuration)
            published_before = change.stored.versions
            function, version = published(state, change.stored.function, published_before, kind, request.get("Description"))
            await check_room_for(state, version, published_before)
            updated = replace(change.stored, function=function, versions={**published_before, version.version: version})
            async with code_room(state, context, updated.code_size() - change.stored.code_size()):
                await change.save(updated)
    return configuration_shape(version, state.runtimes.version, version.version)


async def list_versions_by_function(state: LambdaState, context: RequestContext, request: Mapping[str, Any]) -> dict[str, Any]:
    stored = await find_function(state, named(context, request["FunctionName"]))
    readings = sorted([stored.function.latest, *stored.versions.values()], key=_position)
    return page_of("Versions", readings, request, _position, _shape)


def _check_code(stored: StoredFunction, wanted: str | None) -> None:
    current = sha256_of(stored.function.latest.configuration)
    if wanted and wanted != current:
        raise invalid_parameter(
            f"CodeSHA256 ({wanted}) is different from current CodeSHA256 in $LATEST ({current}). "
            "Please try again with the CodeSHA256 in $LATEST."
        )


def _published_already(stored: StoredFunction) -> FunctionVersion | None:
    function = stored.function
    if function.published_from != function.latest.revision_id:
        return None
    return stored.versions.get(str(function.last_version))


def _position(reading: FunctionVersion) -> str:
    """`$LATEST`, `$LATEST.PUBLISHED`, and then the numbers."""
    if reading.version.isdecimal():
        return f"{int(reading.version):010d}"
    return "00" if reading.version == LATEST_PUBLISHED else "0"


def _shape(reading: FunctionVersion) -> dict[str, Any]:
    return listed_shape(reading, reading.version)
