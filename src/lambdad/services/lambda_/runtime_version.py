"""Which version of its runtime a function runs on, and what becomes of one whose version is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lambdad.errors import ServiceError
from lambdad.model.function import FunctionVersion
from lambdad.model.runtime_version import RuntimeVersion

DELETED = "RuntimeVersionDeletedException"

#: By the runtime's name: what this machine has of it.
FindVersion = Callable[[str], RuntimeVersion | None]


def arn_here(find: FindVersion, runtime: str, region: str) -> str | None:
    version = find(runtime)
    return None if version is None else version.arn(region)


def check_runtime_version(find: FindVersion, reading: FunctionVersion) -> None:
    """No function that is held to a version of its runtime runs on another."""
    wanted = reading.runtime_version_arn
    if wanted is not None and arn_here(find, reading.configuration.runtime, reading.region) != wanted:
        raise ServiceError(DELETED, _gone(reading, wanted), status=409)


def runtime_version_config(find: FindVersion, reading: FunctionVersion) -> dict[str, Any]:
    """RuntimeVersionConfig: what it runs on, or would, and why it does not."""
    here = arn_here(find, reading.configuration.runtime, reading.region)
    wanted = reading.runtime_version_arn
    if wanted is not None:
        shape: dict[str, Any] = {"RuntimeVersionArn": wanted}
        return shape if wanted == here else {**shape, "Error": {"ErrorCode": DELETED, "Message": _gone(reading, wanted)}}
    if here is not None:
        return {"RuntimeVersionArn": here}
    message = f"There is no {reading.configuration.runtime} on this machine that functions could run on."
    return {"Error": {"ErrorCode": "InvalidRuntimeException", "Message": message}}


def _gone(reading: FunctionVersion, wanted: str) -> str:
    return (
        f"The runtime version {wanted} is no longer available: {reading.configuration.runtime} on this machine, or the client "
        "that runs in it, is another one now. Call the PutRuntimeManagementConfig API to choose Auto or the version there is."
    )
