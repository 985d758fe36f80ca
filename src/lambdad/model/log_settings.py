"""What a function's LoggingConfig decides about the form of its log and about what is left out of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: From the most to the least talkative.
LEVELS = ("TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL")
DEFAULT_LEVEL = "INFO"


@dataclass(frozen=True, slots=True)
class LogSettings:
    """Both levels are there with the JSON format, and only with it."""

    format: Literal["Text", "JSON"] = "Text"
    application_level: str | None = None  #: what the function writes below it is left out
    system_level: str | None = None  #: of the platform's own lines


TEXT = LogSettings()


def is_below(level: str, least: str) -> bool:
    return LEVELS.index(level) < LEVELS.index(least)
