"""From the rules to the program that the kernel runs before every system call of a sandbox."""

from __future__ import annotations

import platform
import struct

from lambdad.errors import StartupError
from lambdad.sandbox.seccomp_rules import (
    LAST_REVIEWED,
    NUMBERS,
    RULES,
    AnyRule,
    MaskRule,
    PairRule,
    PointerRule,
    Rule,
    ValueRule,
)

_LOAD, _JUMP_ALWAYS, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06  # of 32-bit words
_ALLOW, _KILL_PROCESS, _FAIL = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # offsets in struct seccomp_data; little-endian machines
_X32_BIT = 0x4000_0000

#: machine name -> AUDIT_ARCH_ constant, column of NUMBERS
ARCHITECTURES = {"x86_64": (0xC000_003E, 0), "aarch64": (0xC000_00B7, 1)}

_Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, operand


def filter_program(machine: str | None = None) -> bytes:
    """The BPF program for this machine; StartupError where no table of system calls exists for it."""
    machine = machine or platform.machine()
    if machine not in ARCHITECTURES:
        raise StartupError(f"sandboxes need an x86_64 or aarch64 machine, and this one is {machine}")
    audit_number, column = ARCHITECTURES[machine]
    program: list[_Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_JUMP_EQUAL, 1, 0, audit_number),
        (_RETURN, 0, 0, _KILL_PROCESS),  # the tables of another architecture (i386) mean other calls by these numbers
        (_LOAD, 0, 0, _NUMBER),
        (_JUMP_AT_LEAST, 0, 1, _X32_BIT),
        (_RETURN, 0, 0, _KILL_PROCESS),  # x32 shares the architecture's name but not its numbers
        (_JUMP_AT_LEAST, 0, 1, LAST_REVIEWED + 1),
        (_RETURN, 0, 0, _FAIL | 38),  # ENOSYS: programs fall back to what they did before
    ]
    for rule in RULES:
        program += _compile(rule, column)
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("<HBBI", *instruction) for instruction in program)


def _compile(rule: AnyRule, column: int) -> list[_Instruction]:
    """One test after the other: the kernel looks through the whole row once and remembers which calls always pass."""
    if isinstance(rule, Rule):
        numbers = [number for call in rule.calls if (number := NUMBERS[call][column]) is not None]
        return [step for number in numbers for step in ((_JUMP_EQUAL, 0, 1, number), _fail(rule.error))]
    number = NUMBERS[rule.call][column]
    if number is None:
        return []
    conditions = _conditions(rule)
    return [(_JUMP_EQUAL, 0, len(conditions) + 1, number), *conditions, (_LOAD, 0, 0, _NUMBER)]


def _conditions(rule: MaskRule | ValueRule | PairRule | PointerRule) -> list[_Instruction]:
    """Ends in a refusal, or falls through with an argument in the accumulator."""
    if isinstance(rule, MaskRule):
        test = [_load_argument(rule.argument), (_JUMP_ANY_BIT, 0, 1, rule.mask), _fail(rule.error)]
        return test if rule.first is None else [_load_argument(0), (_JUMP_EQUAL, 0, len(test), rule.first), *test]
    if isinstance(rule, PointerRule):
        return [
            _load_argument(rule.argument),
            (_JUMP_EQUAL, 0, 5, rule.value),
            _load_argument(rule.pointer),
            (_JUMP_EQUAL, 0, 2, 0),
            _load_upper_half(rule.pointer),
            (_JUMP_EQUAL, 1, 0, 0),
            _fail(rule.error),
        ]
    if isinstance(rule, PairRule):
        return [
            _load_argument(0),
            (_JUMP_EQUAL, 0, 3, rule.first),
            _load_argument(rule.argument),
            (_JUMP_EQUAL, 1, 0, rule.value),
            _fail(rule.error),
        ]
    count = len(rule.values)
    if rule.is_denied:
        jumps = [
            (_JUMP_EQUAL, count - 1 - index, 0 if index < count - 1 else 1, value) for index, value in enumerate(rule.values)
        ]
    else:
        jumps = [(_JUMP_EQUAL, count - index, 0, value) for index, value in enumerate(rule.values)]
    return [_load_argument(rule.argument), *jumps, _fail(rule.error)]


def _load_argument(index: int) -> _Instruction:
    """The low half of an argument: all values that are tested here have 32 bits, and the kernel looks at no more of them."""
    return (_LOAD, 0, 0, _FIRST_ARGUMENT + 8 * index)


def _load_upper_half(index: int) -> _Instruction:
    return (_LOAD, 0, 0, _FIRST_ARGUMENT + 8 * index + 4)


def _fail(error: int) -> _Instruction:
    return (_RETURN, 0, 0, _FAIL | error)
