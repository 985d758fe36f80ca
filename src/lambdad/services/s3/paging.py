"""Reads one page of a listing: items and common prefixes in the order of their keys.

Its cost follows the page and not the bucket: whatever lies under a common prefix is jumped over.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar
from urllib.parse import quote_plus

from lambdad.services.s3.errors import invalid_argument

_MAX_INT = 2**31 - 1
_MIN_LOADED, _MAX_LOADED = 16, 1000  #: records asked for at a time while a delimiter may make most of them needless

_Place = TypeVar("_Place")
_Item = TypeVar("_Item")

#: (place, limit) -> (place, key, item) of those after the place
Load = Callable[[_Place, int], Awaitable[Sequence[tuple[_Place, str, _Item]]]]


@dataclass(slots=True)
class Page(Generic[_Item]):
    items: list[_Item] = field(default_factory=list)
    common_prefixes: list[str] = field(default_factory=list)
    is_truncated: bool = False
    last_key: str = ""  #: of the last item or common prefix, where the next page goes on
    last_is_item: bool = True

    @property
    def count(self) -> int:
        return len(self.items) + len(self.common_prefixes)


async def read_page(
    load: Load[_Place, _Item],
    after_all_with: Callable[[str], _Place],
    prefix: str,
    delimiter: str,
    place: _Place,
    marker: str,
    limit: int,
) -> Page[_Item]:
    """From `place` on. `marker` is the key of that place; the common prefix that it lies in has been told already."""
    page: Page[_Item] = Page()
    if limit == 0:
        return page
    told = common_prefix(marker, prefix, delimiter)
    if told is not None:
        place = after_all_with(told)
    size = min(limit + 1, _MAX_LOADED) if not delimiter else min(limit + 1, 4 * _MIN_LOADED)
    while True:
        loaded = await load(place, size)
        for reached, key, item in loaded:
            place = reached
            common = common_prefix(key, prefix, delimiter)
            if common is not None and common == told:
                continue
            if page.count == limit:
                page.is_truncated = True
                return page
            if common is None:
                page.items.append(item)
            else:
                page.common_prefixes.append(common)
            told, page.last_key, page.last_is_item = common, common or key, common is None
        if len(loaded) < size:
            return page
        if told is not None:
            place = after_all_with(told)
        size = _MIN_LOADED if told is not None else min(2 * size, _MAX_LOADED)


def common_prefix(key: str, prefix: str, delimiter: str) -> str | None:
    """What a listing shows in place of the key: its start up to the first delimiter after the prefix."""
    if not delimiter or not key.startswith(prefix):
        return None
    found = key.find(delimiter, len(prefix))
    return None if found < 0 else key[: found + len(delimiter)]


def limit_of(value: int | None, name: str, greatest: int) -> int:
    if value is None:
        return greatest
    if not 0 <= value <= _MAX_INT:
        raise invalid_argument(f"Argument {name} must be an integer between 0 and {_MAX_INT}", name, value)
    return min(value, greatest)


def encoder(encoding_type: str | None) -> Callable[[str], str]:
    """How keys are written in the answer; with "url" also those that XML cannot hold."""
    if encoding_type in (None, ""):
        return str
    if encoding_type != "url":
        raise invalid_argument("Invalid Encoding Method specified in Request", "encoding-type", encoding_type)
    return lambda text: quote_plus(text, safe="/")


def echoed(request: Mapping[str, Any], encode: Callable[[str], str], *names: str) -> dict[str, Any]:
    """The members of the request that the answer repeats where they were given."""
    found = {name: encode(request[name]) for name in names if request.get(name)}
    return {**found, **({"EncodingType": request["EncodingType"]} if request.get("EncodingType") else {})}
