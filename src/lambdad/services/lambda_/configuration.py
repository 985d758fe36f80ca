"""The settings of a function: read and changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.model.image import ImageUse
from lambdad.model.request import RequestContext
from lambdad.runtimes.catalog import Change
from lambdad.services.lambda_.code import check_change, check_code_trust
from lambdad.services.lambda_.event_target import check_dead_letter
from lambdad.services.lambda_.file_system import chosen_file_system
from lambdad.services.lambda_.function import check_unpacked_size
from lambdad.services.lambda_.image import check_image_settings, chosen_overrides
from lambdad.services.lambda_.layer_use import using_layers
from lambdad.services.lambda_.logging_config import chosen_logging
from lambdad.services.lambda_.lookup import find_function, named, named_unqualified, reading_of
from lambdad.services.lambda_.managed_rules import CONVERTS, check_managed, chosen_capacity, using_provider
from lambdad.services.lambda_.refusal import function_not_found, invalid_parameter
from lambdad.services.lambda_.role import check_role
from lambdad.services.lambda_.runtime import check_runtime, look_for
from lambdad.services.lambda_.runtime_management import check_runtime_change
from lambdad.services.lambda_.runtime_version import arn_here
from lambdad.services.lambda_.settings import chosen_settings
from lambdad.services.lambda_.shape import configuration_shape
from lambdad.services.lambda_.snap_start import check_snap_start
from lambdad.services.lambda_.state import LambdaState


async def get_function_configuration(state: LambdaState, context: RequestContext, request: Mapping[str, Any]) -> dict[str, Any]:
    name = named(context, request["FunctionName"], request.get("Qualifier"))
    return configuration_shape(reading_of(await find_function(state, name), name), state.runtimes.version, name.qualifier)


async def update_function_configuration(
    state: LambdaState, context: RequestContext, request: Mapping[str, Any]
) -> dict[str, Any]:
    """Each member that is given replaces the old one whole, but for LoggingConfig, of which what is not given stays."""
    name = named_unqualified(context, request["FunctionName"])
    found = await state.functions.find(name.key)
    is_managed = found is not None and found.function.latest.configuration.capacity is not None
    settings = chosen_settings(request, state.quotas, state.architecture, is_managed=is_managed)
    settings |= chosen_capacity(request)
    if "Runtime" in request:
        await look_for(state, request)
        settings["runtime"] = check_runtime(state, request["Runtime"], Change.UPDATE)
    settings |= chosen_file_system(state, request)
    if "role" in settings:
        check_role(state, settings["role"])
    standing = await find_function(state, name)
    if "capacity" in settings and standing.function.latest.configuration.capacity is None:
        raise invalid_parameter(CONVERTS)
    check_change(standing, request, name.arn)
    await check_dead_letter(state, name, {"role": standing.function.latest.configuration.role, **settings})
    async with (
        state.settler.after(name.key),
        using_layers(state, context, request.get("Layers", [])) as layers,
        using_provider(state, name.key[:2], settings.get("capacity")),
        state.functions.change(name.key) as change,
    ):
        if change.stored is None:
            raise function_not_found(name)
        check_change(change.stored, request, name.arn)
        if "Layers" in request:
            settings["layers"] = layers
        before = change.stored.function.latest.configuration
        image = _with_overrides(before.image, request)
        configuration = replace(before, **settings, **chosen_logging(request, before.log_settings), image=image)
        check_unpacked_size(state, configuration)
        check_snap_start(state, configuration)
        check_managed(state, configuration)
        check_runtime_change(change.stored.function.latest, configuration.runtime)
        arn = arn_here(state.runtimes.version, configuration.runtime, name.region)
        function = change.stored.function.updated(configuration, state.new_id(), state.clock(), arn)
        updated = replace(change.stored, function=function)
        if "Layers" in request:
            await check_code_trust(state, context, name, updated)
        await change.save(updated)
    return configuration_shape(function.latest, state.runtimes.version)


def _with_overrides(image: ImageUse | None, request: Mapping[str, Any]) -> ImageUse | None:
    if image is not None:
        check_image_settings(request)
        return replace(image, overrides=chosen_overrides(request)) if "ImageConfig" in request else image
    if request.get("ImageConfig"):
        raise invalid_parameter("ImageConfig is not supported for functions created with Zip package type.")
    return None
