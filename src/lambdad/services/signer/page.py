"""Pages of a listing. The token is the position of the last item before."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from lambdad.services.signer.model import validation_error

T = TypeVar("T")
_USUAL = 25


def page(
    member: str,
    items: Sequence[T],
    request: Mapping[str, Any],
    *,
    position: Callable[[T], str],
    shape: Callable[[T], dict[str, Any]],
) -> dict[str, Any]:
    """`items` come in the order of their positions."""
    after = _after(request)
    rest = [item for item in items if after is None or position(item) > after]
    size = request.get("maxResults", _USUAL)
    output: dict[str, Any] = {member: [shape(item) for item in rest[:size]]}
    if len(rest) > size:
        output["nextToken"] = base64.b64encode(position(rest[size - 1]).encode()).decode()
    return output


def _after(request: Mapping[str, Any]) -> str | None:
    token = request.get("nextToken")
    if token is None:
        return None
    try:
        return base64.b64decode(token, validate=True).decode()
    except (binascii.Error, ValueError) as error:
        raise validation_error(f"Invalid nextToken: {token}") from error
