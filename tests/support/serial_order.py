"""Whether what many callers saw at the same time could have come about one call after the other (linearizability)."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Observation:
    """One call, from before it was sent until after it was answered."""

    began: float
    ended: float
    action: tuple[Any, ...]  #: what was asked for, and with what
    outcome: Any
    is_change: bool = True  #: whether a call with this outcome may have changed anything


#: `step(state, observation)`: the state after the call, or None where it could not have had this outcome in that state.
Step = Callable[[Any, Observation], Any]


def serial_order(
    history: Sequence[Observation], step: Step, state: Hashable, until: float = math.inf
) -> list[Observation] | None:
    """An order that each caller's time allows and in which every outcome is right; None when there is none.

    A depth-first search that never looks at the same rest in the same state twice. A call that cannot have changed anything,
    whatever the state was, is placed as soon as it may come next and fits: an order that has it later is as good with it there.
    Calls that ended after `until` may be left out.
    """
    calls = sorted(history, key=lambda call: call.began)
    needed = sum(1 << number for number, call in enumerate(calls) if call.ended <= until)
    seen: set[tuple[int, Hashable]] = set()
    done, state, order = _take_quiet_calls(calls, step, 0, state)
    branches = [(order, _choices(calls, step, done, state))]
    while needed & ~done:
        chosen = next(branches[-1][1], None)
        if chosen is None:
            branches.pop()
            if not branches:
                return None
            continue
        number, below, after = chosen
        done, state, quiet = _take_quiet_calls(calls, step, below, after)
        if (done, state) not in seen:
            seen.add((done, state))
            branches.append(([number, *quiet], _choices(calls, step, done, state)))
        else:
            done = 0
    return [calls[number] for numbers, _ in branches for number in numbers]


def where_it_breaks(history: Sequence[Observation], step: Step, state: Hashable) -> str:
    """For the message of a failure: the calls up to the first one that has no place in any order."""
    by_end = sorted(history, key=lambda call: call.ended)
    for count in range(1, len(by_end) + 1):
        last = by_end[count - 1]
        known = [*by_end[:count], *(call for call in by_end[count:] if call.began < last.ended)]  # may have had their effect
        if serial_order(known, step, state, until=last.ended) is None:
            return "\n".join(f"{call.began:.4f} {call.ended:.4f} {call.action} -> {call.outcome}" for call in known[-60:])
    return "nowhere"


def _take_quiet_calls(calls: Sequence[Observation], step: Step, done: int, state: Any) -> tuple[int, Any, list[int]]:
    taken: list[int] = []
    while True:
        quiet = [
            number for number in _possible(calls, done) if not calls[number].is_change and step(state, calls[number]) == state
        ]
        if not quiet:
            return done, state, taken
        for number in quiet:
            done |= 1 << number
        taken += quiet


def _choices(calls: Sequence[Observation], step: Step, done: int, state: Any) -> Iterator[tuple[int, int, Any]]:
    """What ended first is tried first: it has the least time left, and mostly it came first."""
    for number in sorted(_possible(calls, done), key=lambda each: calls[each].ended):
        after = step(state, calls[number])
        if after is not None:
            yield number, done | 1 << number, after


def _possible(calls: Sequence[Observation], done: int) -> list[int]:
    """Those which began before any that is not yet placed had ended."""
    found: list[int] = []
    earliest_end = float("inf")
    rest = ~done
    first = (rest & -rest).bit_length() - 1
    for number in range(first, len(calls)):
        if calls[number].began > earliest_end:
            break
        if not done >> number & 1:
            found.append(number)
            earliest_end = min(earliest_end, calls[number].ended)
    return [number for number in found if calls[number].began <= earliest_end]
