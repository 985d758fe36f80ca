"""LoggingConfig: the form of a function's log, its levels and its group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lambdad.model.log_settings import DEFAULT_LEVEL, LogSettings
from lambdad.services.lambda_.refusal import invalid_parameter

_LEVELS_NEED_JSON = (
    'LogLevel is not supported when LogFormat is set to "Text". '
    'Remove LogLevel from your request or change the LogFormat to "JSON" and try again.'
)


def logging_before(*, is_managed: bool) -> LogSettings:
    """Of a new function. Lines of several invocations can be told apart in JSON only."""
    return LogSettings("JSON", DEFAULT_LEVEL, DEFAULT_LEVEL) if is_managed else LogSettings()


def chosen_logging(request: Mapping[str, Any], before: LogSettings) -> dict[str, Any]:
    """As fields of Configuration. Members that are absent stay as they were, levels only within the JSON format."""
    given = request.get("LoggingConfig", {})
    chosen: dict[str, Any] = {"log_group": given["LogGroup"]} if "LogGroup" in given else {}
    log_format = given.get("LogFormat", before.format)
    if log_format == "Text":
        if "ApplicationLogLevel" in given or "SystemLogLevel" in given:
            raise invalid_parameter(_LEVELS_NEED_JSON)
        return {**chosen, "log_settings": LogSettings()}
    settings = LogSettings(
        "JSON",
        given.get("ApplicationLogLevel", before.application_level or DEFAULT_LEVEL),
        given.get("SystemLogLevel", before.system_level or DEFAULT_LEVEL),
    )
    return {**chosen, "log_settings": settings}


def logging_shape(settings: LogSettings, group: str) -> dict[str, str]:
    shape: dict[str, str] = {"LogFormat": settings.format}
    if settings.application_level is not None:
        shape["ApplicationLogLevel"] = settings.application_level
    if settings.system_level is not None:
        shape["SystemLogLevel"] = settings.system_level
    return {**shape, "LogGroup": group}
