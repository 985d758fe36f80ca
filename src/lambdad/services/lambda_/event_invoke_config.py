"""Retries, age and destinations of asynchronous invocations, for a function, a version or an alias."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from lambdad.delivery import service_of
from lambdad.model.arn import FunctionName
from lambdad.model.event_invoke_config import EventInvokeConfig
from lambdad.model.function import is_latest
from lambdad.model.request import RequestContext, Response
from lambdad.model.version import LATEST
from lambdad.services.lambda_.event_target import ON_FAILURE, ON_SUCCESS, check_destination
from lambdad.services.lambda_.lookup import named
from lambdad.services.lambda_.page import page_of
from lambdad.services.lambda_.refusal import invalid_parameter, not_found
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.stored_function import StoredFunction

Request = Mapping[str, Any]


async def put_function_event_invoke_config(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """Replaces what was configured whole."""
    name = _named(context, request)
    chosen = await _chosen(state, name, request)
    return await _save(state, name, EventInvokeConfig(state.clock(), **chosen))


async def update_function_event_invoke_config(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """A member that is left out stays; the destinations are one member."""
    name = _named(context, request)
    chosen = await _chosen(state, name, request)
    return await _save(state, name, None, chosen)


async def get_function_event_invoke_config(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = _named(context, request)
    return _shape(name, _standing(await state.functions.find(name.key), name))


async def delete_function_event_invoke_config(state: LambdaState, context: RequestContext, request: Request) -> Response:
    name = _named(context, request)
    async with state.functions.change(name.key) as change:
        _standing(change.stored, name)
        assert change.stored is not None
        kept = {qualifier: config for qualifier, config in change.stored.event_configs.items() if qualifier != name.qualifier}
        await change.save(replace(change.stored, event_configs=kept))
    return Response({}, status=204)


async def list_function_event_invoke_configs(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = named(context, request["FunctionName"])
    stored = await state.functions.find(name.key)
    if stored is None:
        raise not_found("The function doesn't exist.")
    qualifiers = sorted(stored.event_configs)

    def shape(qualifier: str) -> dict[str, Any]:
        return _shape(FunctionName(*name.key, qualifier), stored.event_configs[qualifier])

    return page_of("FunctionEventInvokeConfigs", qualifiers, request, str, shape)


def _named(context: RequestContext, request: Request) -> FunctionName:
    """Always qualified: what is configured for the function is that of `$LATEST`."""
    name = named(context, request["FunctionName"], request.get("Qualifier"))
    return FunctionName(*name.key, name.qualifier or LATEST)


async def _chosen(state: LambdaState, name: FunctionName, request: Request) -> dict[str, Any]:
    """The members of the request, checked, as fields of EventInvokeConfig."""
    if not request.keys() & {"MaximumRetryAttempts", "MaximumEventAgeInSeconds", "DestinationConfig"}:
        raise invalid_parameter("You must specify at least one of error handling or destination setting.")
    stored = _existing(await state.functions.find(name.key), name)
    chosen: dict[str, Any] = {}
    if "MaximumRetryAttempts" in request:
        chosen["maximum_retries"] = request["MaximumRetryAttempts"]
    if "MaximumEventAgeInSeconds" in request:
        chosen["maximum_age_seconds"] = request["MaximumEventAgeInSeconds"]
    if "DestinationConfig" in request:
        chosen |= await _destinations(state, name, stored, request["DestinationConfig"])
    return chosen


async def _destinations(
    state: LambdaState, name: FunctionName, stored: StoredFunction, config: Mapping[str, Any]
) -> dict[str, str | None]:
    on_success = config.get("OnSuccess", {}).get("Destination") or None
    on_failure = config.get("OnFailure", {}).get("Destination") or None
    if (on_success and service_of(on_success) not in ON_SUCCESS) or (on_failure and service_of(on_failure) not in ON_FAILURE):
        success = f"OnSuccess(destination={on_success})" if on_success else "null"
        failure = f"OnFailure(destination={on_failure})" if on_failure else "null"
        raise invalid_parameter(
            f"The provided destination config DestinationConfig(onSuccess={success}, onFailure={failure}) is invalid."
        )
    role = stored.function.latest.configuration.role
    for target_arn in dict.fromkeys((on_failure, on_success)):
        if target_arn is not None:
            await check_destination(state, name, target_arn, role)
    return {"on_success": on_success, "on_failure": on_failure}


async def _save(
    state: LambdaState, name: FunctionName, config: EventInvokeConfig | None, chosen: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Writes `config`, or what stands with what was chosen."""
    async with state.functions.change(name.key) as change:
        stored = _existing(change.stored, name)
        if config is None:
            config = replace(_standing(stored, name), last_modified=state.clock(), **(chosen or {}))
        assert name.qualifier is not None
        await change.save(replace(stored, event_configs={**stored.event_configs, name.qualifier: config}))
    return _shape(name, config)


def _existing(stored: StoredFunction | None, name: FunctionName) -> StoredFunction:
    qualifier = name.qualifier
    if stored is None or not (is_latest(qualifier) or qualifier in stored.versions or qualifier in stored.aliases):
        raise not_found("The function doesn't exist.")
    return stored


def _standing(stored: StoredFunction | None, name: FunctionName) -> EventInvokeConfig:
    config = stored.event_configs.get(name.qualifier or LATEST) if stored else None
    if config is None:
        raise not_found(f"The function {name.qualified_arn} doesn't have an EventInvokeConfig")
    return config


def _shape(name: FunctionName, config: EventInvokeConfig) -> dict[str, Any]:
    members: dict[str, Any] = {
        "LastModified": datetime.fromtimestamp(config.last_modified, UTC),
        "FunctionArn": name.qualified_arn,
        "MaximumRetryAttempts": config.maximum_retries,
        "MaximumEventAgeInSeconds": config.maximum_age_seconds,
        "DestinationConfig": {"OnSuccess": _destination(config.on_success), "OnFailure": _destination(config.on_failure)},
    }
    return {member: value for member, value in members.items() if value is not None}


def _destination(target_arn: str | None) -> dict[str, str]:
    return {"Destination": target_arn} if target_arn else {}
