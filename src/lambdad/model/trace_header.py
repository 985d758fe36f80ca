"""The trace header that goes with an invocation, and its lineage: how often one chain of requests has invoked each function.

`Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0;Lineage=a87bd80c:1|68fd508a:5`

A function's SDK sends the header of its invocation with each request that it makes. What comes in is a caller's word: it may
be forged, which harms the forger's own chain alone, or be anything at all, which is then replaced.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from random import getrandbits

MOST_INVOCATIONS = 16  #: of a function by one chain; the next one is stopped
_HIGHEST_COUNT = 9999  #: of a function that may recur: it is counted no further
_MOST_FUNCTIONS = 32  #: of one chain that are counted

_LONGEST = 512  #: without the lineage
_LONGEST_LINEAGE = 32 * _MOST_FUNCTIONS
_HEADER = re.compile(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}(;[A-Za-z]+=[A-Za-z0-9:|_.-]*)*;?")
_COUNT = re.compile(r"([0-9a-f]{8}):([0-9]{1,4})")
_LINEAGE = ";Lineage="

FunctionKey = tuple[str, str, str]  #: account, region, name


def passed_on(given: str) -> str:
    """What of a request's header goes on with what the request brings about; empty when it is not well-formed."""
    read = _read(given)
    return _joined(*read) if read else ""


def entering(given: str, function: FunctionKey, now: float) -> tuple[str, int]:
    """The header that an invocation of the function gets, and how often the chain has invoked it, this time included.

    Without a well-formed one it is of a new trace, which is not sampled: tracing is PassThrough.
    """
    read = _read(given) if given else None
    mark = _mark(function)
    if read is None:
        return f"{_new_trace(now)}{_LINEAGE}{mark}:1", 1
    fields, lineage = read
    count = min(lineage.pop(mark, 0) + 1, _HIGHEST_COUNT)
    if len(lineage) >= _MOST_FUNCTIONS:
        del lineage[min(lineage, key=lambda each: lineage[each])]  # of the least counted the one that was longest ago
    lineage[mark] = count
    return _joined(fields, lineage), count


def times_invoked(header: str, function: FunctionKey) -> int:
    """How often the chain has invoked the function, by a header that `entering` made for it."""
    return _split(header)[1].get(_mark(function), 0)


def _read(given: str) -> tuple[str, dict[str, int]] | None:
    """As `_split`; None when it is no header, or too long for one."""
    if not given or len(given) > _LONGEST + _LONGEST_LINEAGE:
        return None
    if "%" in given:
        given = given.replace("%7C", "|").replace("%7c", "|")  # SDKs quote the bar
    if not _HEADER.fullmatch(given):
        return None
    fields, lineage = _split(given)
    return (fields, lineage) if len(fields) <= _LONGEST else None


def _split(header: str) -> tuple[str, dict[str, int]]:
    """The fields but for the lineage, and the counts by function, the last invoked last; what is no count is left out."""
    if _LINEAGE not in header:
        return header.rstrip(";"), {}
    fields = header.rstrip(";").split(";")
    lineage: dict[str, int] = {}
    for field in fields:
        name, _, value = field.partition("=")
        for part in value.split("|") if name == "Lineage" else ():
            if count := _COUNT.fullmatch(part):
                mark = count[1]
                lineage[mark] = max(int(count[2]), lineage.pop(mark, 0))
    while len(lineage) > _MOST_FUNCTIONS:
        del lineage[next(iter(lineage))]
    return ";".join(field for field in fields if not field.startswith("Lineage=")), lineage


def _joined(fields: str, lineage: dict[str, int]) -> str:
    return f"{fields}{_LINEAGE}{'|'.join(f'{mark}:{count}' for mark, count in lineage.items())}" if lineage else fields


@lru_cache(maxsize=4096)
def _mark(function: FunctionKey) -> str:
    """Names the function to whoever knows it, and nothing to others."""
    return hashlib.sha256(":".join(function).encode()).hexdigest()[:8]


def _new_trace(now: float) -> str:
    return f"Root=1-{int(now) & 0xFFFFFFFF:08x}-{getrandbits(96):024x};Parent={getrandbits(64):016x};Sampled=0"
