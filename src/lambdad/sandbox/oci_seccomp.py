"""The rules of `seccomp_rules` in the words of an OCI runtime's configuration.

There one argument can be compared once, with a mask: so "any value but these" becomes the blocks of values between them, as a
range of addresses becomes networks. Comparing under a mask of 32 bits is also what the kernel does: a value with something in
its upper half is no way past a rule. What cannot be said there is that unknown system calls are refused; the init of a sandbox
adds that.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from lambdad.errors import StartupError
from lambdad.sandbox.seccomp import ARCHITECTURES
from lambdad.sandbox.seccomp_rules import NUMBERS, RULES, AnyRule, MaskRule, PairRule, PointerRule, Rule, ValueRule

_OCI_NAMES = {"x86_64": "SCMP_ARCH_X86_64", "aarch64": "SCMP_ARCH_AARCH64"}
_BITS = 32
_WHOLE = (1 << _BITS) - 1

_Comparison = dict[str, Any]


def oci_profile(machine: str | None = None, *, may: Collection[str] = ()) -> dict[str, Any]:
    """`linux.seccomp` of a configuration; calls by the numbers of another architecture kill the process. What the init `may`
    call before it has put its own filter in force is left out."""
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        raise StartupError(f"sandboxes need an x86_64 or aarch64 machine, and this one is {machine}")
    column = ARCHITECTURES[machine][1]
    return {
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": [_OCI_NAMES[machine]],
        "syscalls": [entry for rule in RULES for entry in _entries(rule, column, may)],
    }


def blocks_without(values: Sequence[int]) -> Iterator[tuple[int, int]]:
    """All numbers of 32 bits but `values`, as (mask, value): in a block is whose bits under the mask are the value."""

    def divide(first: int, size: int, excluded: Sequence[int]) -> Iterator[tuple[int, int]]:
        within = [value for value in excluded if first <= value < first + size]
        if not within:
            yield _WHOLE & -size, first
        elif size > 1:
            yield from divide(first, size // 2, within)
            yield from divide(first + size // 2, size // 2, within)

    yield from divide(0, 1 << _BITS, values)


def _entries(rule: AnyRule, column: int, may: Collection[str]) -> list[dict[str, Any]]:
    calls = rule.calls if isinstance(rule, Rule) else (rule.call,)
    names = [call for call in calls if NUMBERS[call][column] is not None and call not in may]
    refusal = {"names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": rule.error}
    if not names:
        return []
    if isinstance(rule, Rule):
        return [refusal]
    return [{**refusal, "args": comparisons} for comparisons in _alternatives(rule)]


def _alternatives(rule: MaskRule | ValueRule | PairRule | PointerRule) -> list[list[_Comparison]]:
    """Each one is enough for a refusal; within one, all have to hold."""
    if isinstance(rule, MaskRule):
        bits = [1 << bit for bit in range(_BITS) if rule.mask >> bit & 1]
        where = [] if rule.first is None else [_compare(0, _WHOLE, rule.first)]
        return [[*where, _compare(rule.argument, bit, bit)] for bit in bits]
    if isinstance(rule, PointerRule):
        return [[_compare(rule.argument, _WHOLE, rule.value), {"index": rule.pointer, "op": "SCMP_CMP_NE", "value": 0}]]
    if isinstance(rule, PairRule):
        others = blocks_without([rule.value])
        return [[_compare(0, _WHOLE, rule.first), _compare(rule.argument, *block)] for block in others]
    if rule.is_denied:
        return [[_compare(rule.argument, _WHOLE, value)] for value in rule.values]
    return [[_compare(rule.argument, *block)] for block in blocks_without(rule.values)]


def _compare(argument: int, mask: int, value: int) -> _Comparison:
    return {"index": argument, "op": "SCMP_CMP_MASKED_EQ", "value": mask, "valueTwo": value}
