"""Pages of a listing: how many items AWS gives at once, and the opaque marker of the next page."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar

from lambdad.errors import ServiceError
from lambdad.services.lambda_.refusal import invalid_parameter

T = TypeVar("T")

CAP = 50  #: of nearly every listing served here, whatever MaxItems says


def page_size(request: Mapping[str, Any], cap: int = CAP) -> int:
    return max(1, min(request.get("MaxItems") or cap, cap))


def read_marker(request: Mapping[str, Any], listing: str) -> str:
    """The position that the last page ended at; empty at the beginning. A marker of another listing means nothing here."""
    marker = request.get("Marker")
    if not marker:
        return ""
    try:
        content = base64.b64decode(marker.encode(), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise bad_marker(marker) from error
    given_to, separator, position = content.partition("/")
    if given_to != listing or not separator or not position:
        raise bad_marker(marker)
    return position


def bad_marker(marker: str) -> ServiceError:
    return invalid_parameter(f"Invalid value for marker: {marker}")


def make_marker(listing: str, position: str) -> str:
    return base64.urlsafe_b64encode(f"{listing}/{position}".encode()).decode()


def page_of(
    member: str,
    items: Iterable[T],
    request: Mapping[str, Any],
    position_of: Callable[[T], str],
    shape_of: Callable[[T], Any],
    *,
    cap: int = CAP,
) -> dict[str, Any]:
    """One page of items that come in the order of their positions."""
    after = read_marker(request, member)
    size = page_size(request, cap)
    rest = [item for item in items if position_of(item) > after]
    output: dict[str, Any] = {member: [shape_of(item) for item in rest[:size]]}
    if len(rest) > size:
        output["NextMarker"] = make_marker(member, position_of(rest[size - 1]))
    return output
