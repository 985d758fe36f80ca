"""Pages of a listing. The marker is the name of the last item before."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from lambdad.errors import ServiceError

T = TypeVar("T")
_USUAL = 100


def page(
    member: str,
    items: Iterable[T],
    request: Mapping[str, Any],
    *,
    position: Callable[[T], str],
    shape: Callable[[T], Any],
) -> dict[str, Any]:
    """`items` come in order of their position, a text."""
    after, limit = _after(request), request.get("MaxItems", _USUAL)
    found: list[Any] = []
    last = ""
    for item in items:
        if after is not None and position(item) <= after:
            continue
        if len(found) == limit:
            return {member: found, "IsTruncated": True, "Marker": base64.b64encode(last.encode()).decode()}
        found.append(shape(item))
        last = position(item)
    return {member: found, "IsTruncated": False}


def _after(request: Mapping[str, Any]) -> str | None:
    marker = request.get("Marker")
    if marker is None:
        return None
    try:
        return base64.b64decode(marker, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise ServiceError("ValidationError", f"Invalid Marker: {marker}", status=400) from error
