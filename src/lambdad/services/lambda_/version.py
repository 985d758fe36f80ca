"""Published versions of a function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.model.function import FunctionVersion
from lambdad.model.request import RequestContext
from lambdad.services.lambda_.account import code_room
from lambdad.services.lambda_.code import check_change
from lambdad.services.lambda_.lookup import find_function, named, named_unqualified
from lambdad.services.lambda_.page import page_of
from lambdad.services.lambda_.records import StoredFunction
from lambdad.services.lambda_.refusal import function_not_found, invalid_parameter
from lambdad.services.lambda_.shape import configuration_shape, listed_shape, sha256_of
from lambdad.services.lambda_.snap_start import check_snap_start
from lambdad.services.lambda_.state import LambdaState


async def publish_version(state: LambdaState, context: RequestContext, request: Mapping[str, Any]) -> dict[str, Any]:
    """The last published version again, where `$LATEST` has not changed since it was made."""
    name = named_unqualified(context, request["FunctionName"])
    async with state.settler.after(name.key), state.functions.change(name.key) as change:
        if change.stored is None:
            raise function_not_found(name)
        check_change(change.stored, request, name.arn)
        _check_code(change.stored, request.get("CodeSha256"))
        version = _published_already(change.stored)
        if version is None:
            check_snap_start(state, change.stored.function.latest.configuration)
            function, version = change.stored.function.published(state.new_id(), state.clock(), request.get("Description"))
            versions = {**change.stored.versions, version.version: version}
            async with code_room(state, context, version.configuration.code.size):
                await change.save(replace(change.stored, function=function, versions=versions))
    return configuration_shape(version, state.runtimes.version, version.version)


async def list_versions_by_function(state: LambdaState, context: RequestContext, request: Mapping[str, Any]) -> dict[str, Any]:
    stored = await find_function(state, named(context, request["FunctionName"]))
    readings = [stored.function.latest, *stored.versions.values()]
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
    return f"{int(reading.version):010d}" if reading.version.isdecimal() else "0"


def _shape(reading: FunctionVersion) -> dict[str, Any]:
    return listed_shape(reading, reading.version)
