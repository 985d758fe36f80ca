"""The settings file: TOML, of which every value becomes a text that is read like a flag's."""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from lambdad.errors import StartupError

_ENDPOINTS = "endpoints"  #: the table in which endpoint_sqs is sqs
_RUNTIMES = "runtimes"  #: the table that is runtime_substitutes
_FILE_SYSTEMS = "file_systems"  #: the table of folders by the ARNs of access points


def read_file(file: Path, names: Sequence[str]) -> dict[str, str]:
    """The texts in it by the names of settings, of which there are `names`. StartupError says what is wrong with it."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise StartupError(f"The settings file {file} cannot be read: {error.strerror or error}.") from error
    except UnicodeDecodeError as error:
        raise StartupError(f"The settings file {file} is not UTF-8 text.") from error
    except tomllib.TOMLDecodeError as error:
        raise StartupError(f"The settings file {file} is not valid TOML: {error}.") from error
    endpoints = content.pop(_ENDPOINTS, {})
    if not isinstance(endpoints, dict):
        raise StartupError(f"{_ENDPOINTS!r} in the settings file {file} must be a table: [{_ENDPOINTS}].")
    content |= {f"endpoint_{service}": url for service, url in endpoints.items()}
    runtimes = content.pop(_RUNTIMES, {})
    if not isinstance(runtimes, dict) or not all(isinstance(value, str) for value in runtimes.values()):
        raise StartupError(f'{_RUNTIMES!r} in the settings file {file} must be a table of texts, "ruby2.5" = "ruby2.7" say.')
    if runtimes:
        content["runtime_substitutes"] = ",".join(f"{name}={other}" for name, other in runtimes.items())
    if isinstance(content.get(_FILE_SYSTEMS), dict):
        content[_FILE_SYSTEMS] = _pairs_as_text(content[_FILE_SYSTEMS], file)
    return {key: _as_text(key, value, file, names) for key, value in content.items()}


def _pairs_as_text(table: Mapping[str, object], file: Path) -> str:
    for arn, folder in table.items():
        if not isinstance(folder, str) or "," in folder:
            raise StartupError(
                f"{arn!r} in [{_FILE_SYSTEMS}] of the settings file {file} must be a folder's path without a comma."
            )
    return ",".join(f"{arn}={folder}" for arn, folder in table.items())


def _as_text(key: str, value: object, file: Path, names: Sequence[str]) -> str:
    if key not in names:
        near = difflib.get_close_matches(key, names, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else " The settings are " + ", ".join(names) + "."
        raise StartupError(f"The settings file {file} has {key!r}, which is not a setting.{hint}")
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float | str):
        return str(value)
    raise StartupError(f"{key!r} in the settings file {file} must be a text or a number, not a {type(value).__name__}.")
