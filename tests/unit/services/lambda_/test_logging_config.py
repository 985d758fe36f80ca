"""LoggingConfig over creations, updates and versions."""

from __future__ import annotations

import pytest

from lambdad.model.log_settings import LogSettings
from support.lambda_service import ACCOUNT, REGION, World, refused

GROUP = {"LogGroup": "/aws/lambda/f"}
JSON = {"LogFormat": "JSON", "ApplicationLogLevel": "INFO", "SystemLogLevel": "INFO"}

#: What is there, what an update gives, what is there then.
UPDATES: list[tuple[dict[str, str], dict[str, str], dict[str, str]]] = [
    ({}, {"LogFormat": "JSON"}, {**JSON, **GROUP}),
    ({}, {"LogFormat": "JSON", "SystemLogLevel": "WARN"}, {**JSON, "SystemLogLevel": "WARN", **GROUP}),
    ({"LogFormat": "JSON"}, {"ApplicationLogLevel": "TRACE"}, {**JSON, "ApplicationLogLevel": "TRACE", **GROUP}),
    (
        {"LogFormat": "JSON", "ApplicationLogLevel": "FATAL"},
        {"LogGroup": "mine"},
        {**JSON, "ApplicationLogLevel": "FATAL", "LogGroup": "mine"},
    ),
    ({"LogFormat": "JSON", "LogGroup": "mine"}, {"LogFormat": "Text"}, {"LogFormat": "Text", "LogGroup": "mine"}),
    ({"LogGroup": "mine"}, {}, {"LogFormat": "Text", "LogGroup": "mine"}),
]


@pytest.mark.parametrize(("before", "given", "after"), UPDATES, ids=str)
async def test_updates(world: World, before: dict[str, str], given: dict[str, str], after: dict[str, str]) -> None:
    """What an update does not give stays; levels come with JSON, at INFO, and go with it."""
    await world.create("f", LoggingConfig=before)
    shown = await world.call("UpdateFunctionConfiguration", FunctionName="f", LoggingConfig=given)
    assert shown["LoggingConfig"] == after


async def test_a_version_keeps_its_settings(world: World) -> None:
    """A published version logs as it was published, and the data plane is told of it."""
    await world.create("f", LoggingConfig={"LogFormat": "JSON", "ApplicationLogLevel": "WARN"})
    await world.call("PublishVersion", FunctionName="f")
    await world.call("UpdateFunctionConfiguration", FunctionName="f", LoggingConfig={"LogFormat": "Text"})
    shown = await world.call("GetFunctionConfiguration", FunctionName="f", Qualifier="1")
    assert shown["LoggingConfig"] == {**JSON, "ApplicationLogLevel": "WARN", **GROUP}
    stored = await world.state.functions.find((ACCOUNT, REGION, "f"))
    assert stored.versions["1"].runnable().log_settings == LogSettings("JSON", "WARN", "INFO")
    assert stored.function.latest.runnable().log_settings == LogSettings()


async def test_a_refused_update_changes_nothing(world: World) -> None:
    """Levels for a function in text format are refused in AWS's words."""
    await world.create("f")
    error = await refused(world.call("UpdateFunctionConfiguration", FunctionName="f", LoggingConfig={"SystemLogLevel": "WARN"}))
    assert (error.code, "LogLevel is not supported when LogFormat is set to" in error.message) == (
        "InvalidParameterValueException",
        True,
    )
    shown = await world.call("GetFunctionConfiguration", FunctionName="f")
    assert shown["LoggingConfig"] == {"LogFormat": "Text", **GROUP}
