"""Text to value and back for the simple shapes, wherever text carries them: headers, queries, paths, XML."""

from __future__ import annotations

import binascii
import math
import re
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

TextReader = Callable[[str], Any]
TextWriter = Callable[[Any], str]

_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_FLOAT = re.compile(r"[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
#: What the models' numbers hold on AWS, where they are Java's.
INTEGER_LIMIT, LONG_LIMIT = 2**31, 2**63
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Unreadable(Exception):
    """The request does not have the form its model asks for.

    `text` says so in the words of AWS's deserialisers; `location` ("header", "querystring", "uri", "body") and the
    wire `name` are filled in where they are known, for services that name them in their error.
    """

    def __init__(self, text: str, *, location: str = "body", name: str = "", value: str = "") -> None:
        super().__init__(text)
        self.text = text
        self.location = location
        self.name = name
        self.value = value


def text_reader(shape: Any) -> TextReader:
    return _READERS[shape.type_name]


def text_writer(shape: Any, default_timestamp_format: str) -> TextWriter:
    kind: str = shape.type_name
    if kind == "timestamp":
        chosen = shape.serialization.get("timestampFormat", default_timestamp_format)
        return {"rfc822": http_date, "iso8601": iso_date, "unixtimestamp": lambda value: str(epoch_seconds(value))}[chosen]
    if kind == "boolean":
        return lambda value: "true" if value else "false"
    if kind == "blob":
        return lambda value: b64encode(value).decode("ascii")
    return str


def _boolean(text: str) -> bool:
    if text == "true" or text == "True" or text == "TRUE":
        return True
    if text == "false" or text == "False" or text == "FALSE":
        return False
    raise Unreadable("STRING_VALUE can not be converted to a Boolean", value=text)


def integer_from_text(text: str) -> int:
    return _whole_number(text, INTEGER_LIMIT, "an Integer")


def long_from_text(text: str) -> int:
    return _whole_number(text, LONG_LIMIT, "a Long")


def _whole_number(text: str, limit: int, wanted: str) -> int:
    if not _INTEGER.fullmatch(text) or not -limit <= (number := int(text)) < limit:
        raise Unreadable(f"STRING_VALUE can not be converted to {wanted}", value=text)
    return number


def float_from_text(text: str) -> float:
    if text in _NOT_FINITE:
        return _NOT_FINITE[text]
    if not _FLOAT.fullmatch(text):
        raise Unreadable("STRING_VALUE can not be converted to a Double", value=text)
    return float(text)


def blob_from_text(text: str) -> bytes:
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError as error:
        raise Unreadable("STRING_VALUE can not be converted to a Blob: it is not base64") from error


def timestamp_from_text(text: str) -> datetime:
    """Any of the three forms, since clients do not all send the one the model names."""
    try:
        if _FLOAT.fullmatch(text):
            return timestamp_from_number(float(text))
        found = parsedate_to_datetime(text) if "," in text else datetime.fromisoformat(text.replace("Z", "+00:00"))
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, TypeError, OverflowError) as error:
        raise Unreadable("STRING_VALUE can not be converted to a Timestamp", value=text) from error


def timestamp_from_number(seconds: float) -> datetime:
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except (OverflowError, ValueError) as error:
        raise Unreadable("NUMBER_VALUE can not be converted to a Timestamp") from error


def http_date(value: datetime) -> str:
    return format_datetime(value.astimezone(UTC), usegmt=True)


def iso_date(value: datetime) -> str:
    """Always with milliseconds, as S3 and the query services print it."""
    moment = value.astimezone(UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"


def epoch_seconds(value: datetime | float) -> int | float:
    seconds = value.timestamp() if isinstance(value, datetime) else value
    return int(seconds) if seconds == int(seconds) else seconds


_READERS: dict[str, TextReader] = {
    "string": str,
    "character": str,
    "boolean": _boolean,
    "integer": integer_from_text,
    "long": long_from_text,
    "float": float_from_text,
    "double": float_from_text,
    "blob": blob_from_text,
    "timestamp": timestamp_from_text,
}
