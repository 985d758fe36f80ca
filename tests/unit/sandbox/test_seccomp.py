"""The system call filter: run here instruction by instruction, and once by the kernel."""

from __future__ import annotations

import errno
import functools
import os
import struct

import pytest

from lambdad.errors import StartupError
from lambdad.sandbox import linux
from lambdad.sandbox.seccomp import ARCHITECTURES, filter_program
from lambdad.sandbox.seccomp_rules import LAST_REVIEWED, NUMBERS, RULES, Rule

ALLOW, KILL, FAIL = 0x7FFF_0000, 0x8000_0000, 0x0005_0000
MACHINES = sorted(ARCHITECTURES)


@functools.cache
def instructions(machine: str) -> list[tuple[int, int, int, int]]:
    return list(struct.iter_unpack("<HBBI", filter_program(machine)))


def judge(machine: str, number: int, *arguments: int, audit_number: int | None = None) -> int:
    """What the filter says to a system call."""
    data = struct.pack("<IIQ6Q", number, audit_number or ARCHITECTURES[machine][0], 0, *arguments, *[0] * (6 - len(arguments)))
    program, accumulator, position = instructions(machine), 0, 0
    while True:
        code, if_true, if_false, operand = program[position]
        position += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, operand)
            case 0x05:
                position += operand
            case 0x15:
                position += if_true if accumulator == operand else if_false
            case 0x35:
                position += if_true if accumulator >= operand else if_false
            case 0x45:
                position += if_true if accumulator & operand else if_false
            case 0x06:
                return int(operand)
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


def number_of(machine: str, call: str) -> int:
    number = NUMBERS[call][ARCHITECTURES[machine][1]]
    assert number is not None
    return number


@pytest.mark.parametrize("machine", MACHINES)
def test_every_plain_rule_denies(machine: str) -> None:
    """Each call that a rule names is denied with the rule's error, on each architecture that has it."""
    for rule in RULES:
        if isinstance(rule, Rule):
            for number in [NUMBERS[call][ARCHITECTURES[machine][1]] for call in rule.calls]:
                assert number is None or judge(machine, number) == FAIL | rule.error


@pytest.mark.parametrize("machine", MACHINES)
def test_all_others_are_allowed(machine: str) -> None:
    """A call that no rule names is allowed; one that nobody has looked at is unknown."""
    column = ARCHITECTURES[machine][1]
    named = {numbers[column] for numbers in NUMBERS.values()}
    assert {judge(machine, number) for number in range(LAST_REVIEWED + 1) if number not in named} == {ALLOW}
    assert judge(machine, LAST_REVIEWED + 1) == FAIL | errno.ENOSYS


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("call", "arguments", "verdict"),
    [
        ("clone", (0x11,), ALLOW),  # fork
        ("clone", (0x3D0F00,), ALLOW),  # a thread
        ("clone", (0x10000011,), FAIL | errno.EPERM),
        ("clone", (0x20000,), FAIL | errno.EPERM),
        ("clone", (0x40000000,), FAIL | errno.EPERM),
        ("socket", (1, 1, 0), ALLOW),
        ("socket", (2, 2, 17), ALLOW),
        ("socket", (10, 1, 0), ALLOW),
        ("socket", (16, 3, 0), ALLOW),
        ("socket", (16, 3, 4), FAIL | errno.EPROTONOSUPPORT),
        ("socket", (38, 5, 0), FAIL | errno.EAFNOSUPPORT),
        ("socket", (0, 1, 0), FAIL | errno.EAFNOSUPPORT),
        ("socket", (2, 1 | 0x80800, 6), ALLOW),
        ("socket", (2, 2, 1), ALLOW),
        ("socket", (1, 5, 0), ALLOW),
        ("socket", (2, 5, 0), FAIL | errno.ESOCKTNOSUPPORT),
        ("socket", (10, 6 | 0x80000, 0), FAIL | errno.ESOCKTNOSUPPORT),
        ("socket", (2, 1, 132), FAIL | errno.EPROTONOSUPPORT),
        ("socket", (10, 1, 262), FAIL | errno.EPROTONOSUPPORT),
        ("socketpair", (1, 1, 0), ALLOW),
        ("socketpair", (30, 1, 0), FAIL | errno.EAFNOSUPPORT),
        ("setrlimit", (7, 0x1000), ALLOW),
        ("setrlimit", (4, 0x1000), FAIL | errno.EINVAL),
        ("prlimit64", (0, 7, 0x1000, 0), ALLOW),
        ("prlimit64", (0, 4, 0, 0x1000), ALLOW),
        ("prlimit64", (0, 4, 0x1000, 0), FAIL | errno.EINVAL),
        ("prlimit64", (0, 4, 0x1_0000_0000, 0), FAIL | errno.EINVAL),
        ("prlimit64", (1, 7, 0x1000, 0), FAIL | errno.EPERM),
        ("personality", (0,), ALLOW),
        ("personality", (0xFFFFFFFF,), ALLOW),
        ("personality", (0x0400000,), FAIL | errno.EPERM),
        ("ioctl", (1, 0x5401), ALLOW),
        ("ioctl", (1, 0x5412), FAIL | errno.EPERM),
        ("ioctl", (1, 0x541C), FAIL | errno.EPERM),
    ],
)
def test_rules_about_arguments(machine: str, call: str, arguments: tuple[int, ...], verdict: int) -> None:
    """Where only some uses of a call are denied, the others are not."""
    assert judge(machine, number_of(machine, call), *arguments) == verdict


def test_other_architectures_are_killed() -> None:
    """A call by the tables of i386, or of x32, ends the process."""
    assert judge("x86_64", 1, audit_number=0x40000003) == KILL
    assert judge("x86_64", 0x40000001) == KILL


def test_every_rule_has_a_reason() -> None:
    """Whatever is denied says why, and every number stands for a call that a rule names."""
    assert all(len(rule.reason) > 10 for rule in RULES)
    named = {call for rule in RULES for call in (rule.calls if isinstance(rule, Rule) else (rule.call,))}
    assert named == set(NUMBERS)


def test_unknown_machine() -> None:
    """A machine without a table is refused by name."""
    with pytest.raises(StartupError, match="riscv64"):
        filter_program("riscv64")


def test_kernel_takes_it() -> None:
    """The kernel accepts the program, and from then on obeys it."""
    if os.uname().machine not in ARCHITECTURES or os.uname().sysname != "Linux":
        pytest.skip("no filter for this machine")
    child = os.fork()
    if child == 0:
        try:
            linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
            linux.install_filter(filter_program())
            linux.unshare(linux.CLONE_NEWNET)
        except PermissionError:
            os._exit(42)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
