"""A new package for an existing function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.model.arn import FunctionName
from lambdad.model.request import RequestContext
from lambdad.services.lambda_.account import code_room
from lambdad.services.lambda_.code_signing import config_of_function
from lambdad.services.lambda_.code_trust import check_signatures
from lambdad.services.lambda_.function import check_unpacked_size
from lambdad.services.lambda_.function_table import CHANGED_ELSEWHERE
from lambdad.services.lambda_.intake import Taken, taken_code
from lambdad.services.lambda_.lookup import check_ready_for_change, find_function, named_unqualified
from lambdad.services.lambda_.managed_rules import check_room_for, using_provider
from lambdad.services.lambda_.publication import publication, published
from lambdad.services.lambda_.refusal import conflict, function_not_found, stale_revision
from lambdad.services.lambda_.runtime_version import arn_here
from lambdad.services.lambda_.settings import chosen_settings
from lambdad.services.lambda_.shape import configuration_shape
from lambdad.services.lambda_.snap_start import check_snap_start
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.stored_function import StoredFunction


async def update_function_code(state: LambdaState, context: RequestContext, request: Mapping[str, Any]) -> dict[str, Any]:
    name = named_unqualified(context, request["FunctionName"])
    settings = chosen_settings(request, state.quotas, state.architecture)
    standing = await find_function(state, name)
    check_change(standing, request, name.arn)
    capacity = standing.function.latest.configuration.capacity
    publish = publication(standing.function.latest.configuration, request)
    image, architecture = standing.function.latest.configuration.image, settings.get("architecture", state.architecture)
    overrides = None if image is None else image.overrides
    async with (
        state.settler.after(name.key),
        taken_code(state, context, name.arn, request, "UpdateFunctionCode", overrides, architecture) as taken,
        using_provider(state, name.key[:2], capacity),
        state.functions.change(name.key) as change,
    ):
        if change.stored is None:
            raise function_not_found(name)
        check_change(change.stored, request, name.arn)
        if change.stored.function.latest.configuration.capacity != capacity:
            raise conflict(CHANGED_ELSEWHERE)
        updated = _with_code(state, change.stored, taken, settings)
        await check_code_trust(state, context, name, updated)
        if request.get("DryRun"):
            return configuration_shape(updated.function.latest, state.runtimes.version)
        shown = updated.function.latest
        if publish is not None:
            check_snap_start(state, shown.configuration)
            function, shown = published(state, updated.function, updated.versions, publish, None)
            await check_room_for(state, shown, updated.versions)
            updated = replace(updated, function=function, versions={**updated.versions, shown.version: shown})
        async with code_room(state, context, updated.code_size() - change.stored.code_size()):
            await change.save(updated)
    return configuration_shape(shown, state.runtimes.version, shown.version if publish else None)


async def check_code_trust(state: LambdaState, context: RequestContext, name: FunctionName, updated: StoredFunction) -> None:
    """By the code signing configuration of the function, as it is now."""
    config = await config_of_function(state, context, updated.function.code_signing_config_arn)
    await check_signatures(state.signature_trust, config, name.arn, updated.function.latest.configuration, state.clock())


def check_change(stored: StoredFunction, request: Mapping[str, Any], arn: str) -> None:
    """What every update of `$LATEST` must pass before and while it is made."""
    check_ready_for_change(stored, arn)
    current = stored.revision_of(None)
    if request.get("RevisionId", current) != current:
        raise stale_revision()


def _with_code(state: LambdaState, stored: StoredFunction, taken: Taken, settings: Mapping[str, Any]) -> StoredFunction:
    code, image = taken
    before = stored.function.latest.configuration
    if (before.image is None) != (image is None):  # deleted and made anew as another kind while the code came in
        raise conflict("The function was replaced by one of another package type.")
    if image is not None and before.image is not None:
        image = replace(image, overrides=before.image.overrides)  # they may have changed while the image came in
    configuration = replace(before, code=code, image=image, **settings)
    check_unpacked_size(state, configuration)
    arn = arn_here(state.runtimes.version, configuration.runtime, stored.function.latest.region)
    return replace(stored, function=stored.function.updated(configuration, state.new_id(), state.clock(), arn))
