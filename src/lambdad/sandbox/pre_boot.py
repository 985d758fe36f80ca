"""Which runtimes are worth booting before a function is there for them: those in use, and for how long."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from lambdad.sandbox.records import Program, Start

_MOST_KINDS = 4  #: of all languages and memory sizes together; each is an interpreter, or more, that waits
_IDLE_SECONDS = 600.0
_FAILURES = 3  #: in a row, before a kind is left alone
_REST_SECONDS = 600.0  #: for so long: a machine that was short of something may have it again
#: Nothing is booted before so long after the last start: whoever has just been started needs the processors more.
QUIET_SECONDS = 0.25


class Kind(NamedTuple):
    """Runtimes that cannot be told apart when they have booted. The memory size is part of an interpreter's command line."""

    program: Program
    memory_mb: int
    variables: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, start: Start) -> Kind | None:
        """None for a function that needs an interpreter of its own."""
        return None if start.boot is None else cls(start.program, start.memory_mb, tuple(start.boot.items()))


class PreBootPlan:
    """`each` is how many of a kind are kept."""

    def __init__(self, each: int) -> None:
        self._each = each
        self._used: dict[Kind, float] = {}
        self._failures: dict[Kind, int] = {}  #: in a row
        self._left_until: dict[Kind, float] = {}
        self._last_start = float("-inf")

    def note_start(self, start: Start, now: float) -> None:
        """A language that was installed anew is another program, and runtimes of the one before are of no more use."""
        self._last_start = now
        kind = Kind.of(start)
        if kind is None or self._each == 0:
            return
        for other in [other for other in self._used if _is_outdated(other.program, kind.program)]:
            self._forget(other)
        self._used[kind] = now
        while len(self._used) > _MOST_KINDS:
            self._forget(min(self._used, key=lambda kind: self._used[kind]))

    def note_boot(self, kind: Kind, now: float, *, is_failure: bool) -> bool:
        """Whether the kind is left alone from now on, for ten minutes."""
        if kind not in self._used:
            return False
        self._failures[kind] = self._failures.get(kind, 0) + 1 if is_failure else 0
        if self._failures[kind] < _FAILURES:
            return False
        self._failures[kind] = 0
        self._left_until[kind] = now + _REST_SECONDS
        return True

    def kept(self, kind: Kind, now: float) -> int:
        """How many of them are to be there."""
        is_in_use = now - self._used.get(kind, float("-inf")) < _IDLE_SECONDS
        return self._each if is_in_use and now >= self._left_until.get(kind, now) else 0

    def missing(self, waiting: Mapping[Kind, int], programs: Collection[Program], now: float) -> Kind | None:
        """Which to boot next, of those that can be: the one used last first."""
        possible = (kind for kind in self._used if kind.program in programs)
        wanted = [kind for kind in possible if self.kept(kind, now) > waiting.get(kind, 0)]
        return max(wanted, key=lambda kind: self._used[kind], default=None)

    def quiet_after(self, now: float) -> float:
        """How many seconds nothing should be booted yet."""
        return max(0.0, self._last_start + QUIET_SECONDS - now)

    def _forget(self, kind: Kind) -> None:
        del self._used[kind]
        self._failures.pop(kind, None)
        self._left_until.pop(kind, None)


def _is_outdated(one: Program, newer: Program) -> bool:
    return one.name == newer.name and one != newer
