"""How many environments a published version on managed instances has: between a minimum and a maximum, or none at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.model.arn import FunctionName
from lambdad.model.function import Function, FunctionVersion
from lambdad.model.managed import LATEST_PUBLISHED, ScalingConfig
from lambdad.model.request import RequestContext, Response
from lambdad.services.lambda_.lookup import named
from lambdad.services.lambda_.refusal import function_not_found, invalid_parameter
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.stored_function import StoredFunction

Request = Mapping[str, Any]


async def put_function_scaling_config(state: LambdaState, context: RequestContext, request: Request) -> Response:
    """A version that may have no environment is deactivated; any other figure activates it again, and tries again what has
    failed for want of room."""
    name = named(context, request["FunctionName"], request["Qualifier"])
    async with state.settler.after(name.key), state.functions.change(name.key) as change:
        stored, reading = _existing(change.stored, name)
        before = stored.scaling.get(reading.version) or ScalingConfig()
        scaling = _chosen(request.get("FunctionScalingConfig", {}), before)
        reading = _state_after(reading, scaling)
        function = stored.function
        if scaling.is_off and reading.version == LATEST_PUBLISHED:
            function = replace(function, republished_from=None)
        await change.save(_with(stored, function, reading, scaling))
    return Response({"FunctionState": "Deactivating" if scaling.is_off else reading.state}, status=202)


async def get_function_scaling_config(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """It is applied when the version is ready with it."""
    name = named(context, request["FunctionName"], request["Qualifier"])
    stored, reading = _existing(await state.functions.find(name.key), name)
    scaling = stored.scaling.get(reading.version) or ScalingConfig()
    shape = {"MinExecutionEnvironments": scaling.minimum, "MaxExecutionEnvironments": scaling.maximum}
    output = {"FunctionArn": name.qualified_arn, "RequestedFunctionScalingConfig": shape}
    if reading.state in ("Active", "Deactivated"):
        output["AppliedFunctionScalingConfig"] = shape
    return output


def _existing(stored: StoredFunction | None, name: FunctionName) -> tuple[StoredFunction, FunctionVersion]:
    reading = None if stored is None else stored.versions.get(name.qualifier or "")
    if stored is None or reading is None:
        raise function_not_found(name)
    if not reading.is_managed:
        raise invalid_parameter("FunctionScalingConfig is supported for functions on Lambda Managed Instances only.")
    return stored, reading


def _chosen(given: Mapping[str, int], before: ScalingConfig) -> ScalingConfig:
    """A member that is left out stays, as far as the other lets it."""
    minimum, maximum = given.get("MinExecutionEnvironments"), given.get("MaxExecutionEnvironments")
    if minimum is not None and maximum is not None and minimum > maximum:
        raise invalid_parameter(f"MinExecutionEnvironments {minimum} is greater than MaxExecutionEnvironments {maximum}.")
    if minimum is None:
        minimum = before.minimum if maximum is None else min(before.minimum, maximum)
    if maximum is None:
        maximum = max(before.maximum, minimum)
    return ScalingConfig(minimum, maximum)


def _state_after(reading: FunctionVersion, scaling: ScalingConfig) -> FunctionVersion:
    if scaling.is_off:
        return reading.deactivated()
    return reading.activated() if reading.state in ("Deactivated", "Failed") else reading


def _with(stored: StoredFunction, function: Function, reading: FunctionVersion, scaling: ScalingConfig) -> StoredFunction:
    return replace(
        stored,
        function=function,
        versions={**stored.versions, reading.version: reading},
        scaling={**stored.scaling, reading.version: scaling},
    )
