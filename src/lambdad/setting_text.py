"""How the texts of settings are read: each gives the value, or a ValueError where the text is none.

What a text must be is said beside its reader, in the table of `config.py`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote, urlsplit

from lambdad.errors import StartupError
from lambdad.model.file_system import is_access_point
from lambdad.model.image import Registry
from lambdad.model.quota import QUOTA_NAMES

DEFAULT_PORT = 4566


def checked_url(url: str, source: str) -> str:
    try:
        parts = urlsplit(url)
        has_more = bool(parts.query or parts.fragment or parts.username)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not has_more
    except ValueError:  # a port that is no number, an open bracket
        is_usable = False
    if not is_usable:
        raise StartupError(f"{source} must be a URL such as http://127.0.0.1:{DEFAULT_PORT}, not {url!r}.")
    return url.rstrip("/")


def whole(least: int, most: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        if not re.fullmatch(r"\d{1,12}", text, re.ASCII) or not least <= int(text) <= most:
            raise ValueError(text)
        return int(text)

    return parse


def quota_overrides(text: str) -> dict[str, int]:
    overrides = {}
    for pair in text.split(",") if text else []:
        name, _, number = pair.partition("=")
        if name in overrides or name not in QUOTA_NAMES:
            raise ValueError(text)
        overrides[name] = whole(0, 2**40)(number)
    return overrides


def substitutes(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",")] if text else []
    others = {name: other for name, _, other in pairs}
    names = [*others, *others.values()]
    if len(others) < len(pairs) or not all(re.fullmatch(r"[a-z][a-z0-9.]{1,39}", name) for name in names):
        raise ValueError(text)
    return others


def file_systems(text: str) -> dict[str, Path]:
    found = {}
    for pair in text.split(",") if text else []:
        arn, _, folder = pair.partition("=")
        if arn in found or not is_access_point(arn) or not folder.startswith("/"):
            raise ValueError(text)
        found[arn] = path(folder)
    return found


def folders(text: str) -> tuple[Path, ...]:
    paths = tuple(Path(part) for part in text.split(",")) if text else ()
    if not all(each.is_absolute() and ".." not in each.parts for each in paths):
        raise ValueError(text)
    return paths


def registries(text: str) -> tuple[Registry, ...]:
    return tuple(_registry(part) for part in text.split(",")) if text else ()


def _registry(text: str) -> Registry:
    parts = urlsplit(text if "://" in text else f"https://{text}")
    has_more = bool(parts.query or parts.fragment) or parts.path not in ("", "/")
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0 or has_more:
        raise ValueError(text)
    host = parts.netloc.rpartition("@")[2].lower()
    return Registry(host, unquote(parts.username or ""), unquote(parts.password or ""), parts.scheme == "http")


def seconds(most: int) -> Callable[[str], float]:
    def parse(text: str) -> float:
        if not re.fullmatch(r"\d{1,9}(\.\d{1,6})?", text, re.ASCII) or float(text) > most:
            raise ValueError(text)
        return float(text)

    return parse


def days_or_never(most: int) -> Callable[[str], int | None]:
    def parse(text: str) -> int | None:
        return None if text == "never" else whole(0, most)(text) or None

    return parse


def one_of(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise ValueError(text)
        return text

    return parse


def matching(pattern: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if not re.fullmatch(pattern, text, re.ASCII):
            raise ValueError(text)
        return text

    return parse


def endpoint(text: str) -> str:
    try:
        return checked_url(text, "") if text else ""
    except StartupError as error:
        raise ValueError(text) from error


def path(text: str) -> Path:
    if not text or "\0" in text:
        raise ValueError(text)
    try:
        return Path(text).expanduser()
    except RuntimeError as error:  # "~someone" who is not known here
        raise ValueError(text) from error
