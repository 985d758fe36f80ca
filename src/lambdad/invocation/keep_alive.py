"""Which idle environments to give up when memory is short: those whose loss costs least.

Greedy-Dual-Size-Frequency, as FaasCache applies it to functions: what an environment is worth is how often it was used, times
what Init would cost again, over the memory it takes. A clock that rises to the worth of each victim lets what was
precious long ago grow old. An invocation costs one assignment; the worths are compared only when there is a choice to make.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Kept(Protocol):
    uses: int  #: invocations so far
    init_seconds: float  #: what Init took
    kept_from: float  #: the clock at its last use, set by `note_use`

    @property
    def memory_mb(self) -> int: ...


_Kept = TypeVar("_Kept", bound=Kept)


class KeepAlive:
    def __init__(self) -> None:
        self._clock = 0.0

    def note_use(self, environment: Kept) -> None:
        environment.kept_from = self._clock

    def worth(self, environment: Kept) -> float:
        return environment.kept_from + (1 + environment.uses) * environment.init_seconds / environment.memory_mb

    def victims(self, environments: Iterable[_Kept], memory_mb: int) -> list[_Kept] | None:
        """The least worthy of the given ones that together have so much memory; None when all together have less.

        Of equals the first comes first, so give them least recently used first.
        """
        chosen = []
        for environment in sorted(environments, key=self.worth):
            if memory_mb <= 0:
                break
            chosen.append(environment)
            memory_mb -= environment.memory_mb
        if memory_mb > 0:
            return None
        if chosen:
            self._clock = max(self._clock, self.worth(chosen[-1]))
        return chosen
