"""Which version of its runtime a function runs on, and what becomes of one whose version is gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from lambdad.model.function import FunctionVersion
from lambdad.model.runtime_version import RuntimeVersion, runtime_version_deleted

#: By the runtime's name: what this machine has of it.
FindVersion = Callable[[str], RuntimeVersion | None]


def arn_here(find: FindVersion, runtime: str, region: str) -> str | None:
    version = find(runtime)
    return None if version is None else version.arn(region)


def check_runtime_version(find: FindVersion, reading: FunctionVersion) -> None:
    """No function that is held to a version of its runtime runs on another."""
    wanted = reading.runtime_version_arn
    if wanted is not None and arn_here(find, reading.configuration.runtime, reading.region) != wanted:
        raise runtime_version_deleted(reading.configuration.runtime, wanted)


def runtime_version_config(find: FindVersion, reading: FunctionVersion) -> dict[str, Any]:
    """RuntimeVersionConfig: what it runs on, or would, and why it does not."""
    here = arn_here(find, reading.configuration.runtime, reading.region)
    wanted = reading.runtime_version_arn
    if wanted is not None:
        shape: dict[str, Any] = {"RuntimeVersionArn": wanted}
        if wanted != here:
            error = runtime_version_deleted(reading.configuration.runtime, wanted)
            shape["Error"] = {"ErrorCode": error.code, "Message": error.message}
        return shape
    if here is not None:
        return {"RuntimeVersionArn": here}
    message = f"There is no {reading.configuration.runtime} on this machine that functions could run on."
    return {"Error": {"ErrorCode": "InvalidRuntimeException", "Message": message}}
