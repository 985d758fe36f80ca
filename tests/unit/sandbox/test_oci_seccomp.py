"""The rules in an OCI runtime's words mean what the filter of the `namespace` backend does."""

from __future__ import annotations

import random
from typing import Any

import pytest

from lambdad.errors import StartupError
from lambdad.sandbox.oci_seccomp import blocks_without, oci_profile
from lambdad.sandbox.seccomp import ARCHITECTURES
from lambdad.sandbox.seccomp_rules import NUMBERS
from unit.sandbox.test_seccomp import ALLOW, FAIL, MACHINES, judge, number_of

#: Values near to all that rules speak of, with something in the upper half as well.
VALUES = [
    value | above
    for seed in (0, 1, 2, 4, 10, 16, 38, 0x11, 0x5412, 0x541C, 0x20000, 0x3D0F00, 0x10000011, 0x40000000, 0xFFFFFFFF)
    for value in (max(seed - 1, 0), seed, min(seed + 1, 0xFFFFFFFF))
    for above in (0, 1 << 40)
]


def refusal(entries: list[dict[str, Any]], arguments: list[int]) -> int:
    """What a runtime that knows the specification makes of a profile's entries for a call: ALLOW, or the error."""
    for entry in entries:
        comparisons = entry.get("args", [])
        assert len({one["index"] for one in comparisons}) == len(comparisons), "runtimes take that for alternatives"
        if all(holds(one, arguments[one["index"]]) for one in comparisons):
            return FAIL | int(entry["errnoRet"])
    return ALLOW


def holds(comparison: dict[str, Any], argument: int) -> bool:
    if comparison["op"] == "SCMP_CMP_NE":
        return argument != comparison["value"]
    assert comparison["op"] == "SCMP_CMP_MASKED_EQ"
    return bool(argument & comparison["value"] == comparison["valueTwo"])


@pytest.mark.parametrize("machine", MACHINES)
def test_both_filters_agree(machine: str) -> None:
    """Whatever the call and its arguments, the profile and the BPF program give the same verdict."""
    profile = oci_profile(machine)
    drawn = random.Random(1)
    for call in sorted(NUMBERS):
        if NUMBERS[call][ARCHITECTURES[machine][1]] is None:
            continue
        entries = [entry for entry in profile["syscalls"] if call in entry["names"]]
        for _ in range(150):
            arguments = [drawn.choice(VALUES) for _ in range(6)]
            assert refusal(entries, arguments) == judge(machine, number_of(machine, call), *arguments), (call, arguments)


def test_blocks_are_all_numbers_but_the_given() -> None:
    """Each number but those is in exactly one block, and those are in none."""
    excluded = [0, 0x20000, 0xFFFFFFFF]
    blocks = list(blocks_without(excluded))
    assert sum((1 << 32) - mask for mask, _ in blocks) == (1 << 32) - len(excluded)
    for number in (1, 2, 0x1FFFF, 0x20001, 0x20002, 0x80000000, 0xFFFFFFFE):
        assert sum(number & mask == value for mask, value in blocks) == 1
    assert not any(number & mask == value for mask, value in blocks for number in excluded)


def test_without_exceptions_there_is_one_block() -> None:
    """Everything is one block."""
    assert list(blocks_without([])) == [(0, 0)]


def test_unknown_machine() -> None:
    """A machine without a table is refused by name."""
    with pytest.raises(StartupError, match="riscv64"):
        oci_profile("riscv64")
