"""Runtime management: whether a function follows the machine's interpreters, or is held to one version of its runtime.

There is one version of a runtime at a time on a machine. A function that is held to one is refused once it is gone: it never
runs on another in silence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lambdad.model.arn import FunctionName, is_version
from lambdad.model.function import FunctionVersion, is_latest
from lambdad.model.request import RequestContext
from lambdad.model.version import LATEST
from lambdad.services.lambda_.lookup import check_ready_for_change, find_function, named, not_now, reading_of
from lambdad.services.lambda_.refusal import function_not_found, invalid_parameter
from lambdad.services.lambda_.runtime_version import arn_here
from lambdad.services.lambda_.state import LambdaState
from lambdad.services.lambda_.stored_function import StoredFunction

Request = Mapping[str, Any]


async def put_runtime_management_config(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    """Of one version. The revision id stays: code and configuration are what they were."""
    name = _named_version(context, request)
    _check_members(request)
    async with state.functions.change(name.key) as change:
        if change.stored is None:
            raise function_not_found(name)
        reading = reading_of(change.stored, name)
        if reading.configuration.image is not None:
            raise invalid_parameter("Runtime management is not supported for functions created with container images.")
        _check_ready(change.stored, reading, name)
        arn = _chosen_version(state, reading, request)
        chosen = replace(reading, update_runtime_on=request["UpdateRuntimeOn"], runtime_version_arn=arn)
        await change.save(_with_reading(state, change.stored, chosen))
    return _shape(chosen, name)


async def get_runtime_management_config(state: LambdaState, context: RequestContext, request: Request) -> dict[str, Any]:
    name = _named_version(context, request)
    return _shape(reading_of(await find_function(state, name), name), name)


def check_runtime_change(reading: FunctionVersion, runtime: str) -> None:
    """A version of one runtime is none of another's."""
    if reading.update_runtime_on == "Manual" and runtime != reading.configuration.runtime:
        raise invalid_parameter(
            f"The function is held to a version of {reading.configuration.runtime}. "
            "Call the PutRuntimeManagementConfig API to choose Auto before changing its runtime."
        )


def _named_version(context: RequestContext, request: Request) -> FunctionName:
    name = named(context, request["FunctionName"], request.get("Qualifier"))
    if name.qualifier is not None and not is_version(name.qualifier):
        raise invalid_parameter(
            f"Runtime management is configured for a version, which is {LATEST} or a number, not for {name.qualifier}."
        )
    return name


def _check_members(request: Request) -> None:
    mode, is_given = request["UpdateRuntimeOn"], "RuntimeVersionArn" in request
    if mode == "Manual" and not is_given:
        raise invalid_parameter("RuntimeVersionArn is required when UpdateRuntimeOn is Manual.")
    if mode != "Manual" and is_given:
        raise invalid_parameter(f"RuntimeVersionArn is not allowed when UpdateRuntimeOn is {mode}.")


def _check_ready(stored: StoredFunction, reading: FunctionVersion, name: FunctionName) -> None:
    if is_latest(reading.version):
        check_ready_for_change(stored, name.arn)
    elif reading.state != "Active":
        raise not_now(reading.state)


def _chosen_version(state: LambdaState, reading: FunctionVersion, request: Request) -> str | None:
    mode = request["UpdateRuntimeOn"]
    if mode == "Auto":
        return None
    here = arn_here(state.runtimes.version, reading.configuration.runtime, reading.region)
    wanted = request.get("RuntimeVersionArn", here)
    if here is None or wanted != here:
        what = "none" if here is None else here
        raise invalid_parameter(
            f"The runtime version {wanted or 'of ' + reading.configuration.runtime} is not available: "
            f"the one version of {reading.configuration.runtime} on this machine is {what}."
        )
    return here


def _with_reading(state: LambdaState, stored: StoredFunction, reading: FunctionVersion) -> StoredFunction:
    """After an update that failed `$LATEST` runs what it was before, which is held to its own runtime's version then."""
    if is_latest(reading.version):
        serving, mode = stored.function.serving, reading.update_runtime_on
        if serving is not None:
            here = None if mode == "Auto" else arn_here(state.runtimes.version, serving.configuration.runtime, serving.region)
            serving = replace(serving, update_runtime_on=mode, runtime_version_arn=here)
        return replace(stored, function=replace(stored.function, latest=reading, serving=serving))
    return replace(stored, versions={**stored.versions, reading.version: reading})


def _shape(reading: FunctionVersion, name: FunctionName) -> dict[str, Any]:
    """The version is named only where the caller chose it, as on AWS."""
    shape = {"UpdateRuntimeOn": reading.update_runtime_on, "FunctionArn": f"{name.arn}:{reading.version}"}
    if reading.update_runtime_on == "Manual" and reading.runtime_version_arn is not None:
        shape["RuntimeVersionArn"] = reading.runtime_version_arn
    return shape
