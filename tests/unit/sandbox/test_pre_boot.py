"""Which kinds of runtimes are booted ahead of need."""

from __future__ import annotations

from lambdad.sandbox.pre_boot import QUIET_SECONDS, Kind, PreBootPlan
from lambdad.sandbox.records import Program, Start

NODE = Program("nodejs20.x", "/i", "/l", "/r")
OTHER = Program("nodejs22.x", "/i", "/l", "/r")
NEWER = Program("nodejs20.x", "/i", "/newer", "/r")
ALL = (NODE, OTHER, NEWER)


def start(memory_mb: int = 128, program: Program = NODE, boot: dict[str, str] | None = None) -> Start:
    return Start("s", program, "/task", None, memory_mb, 512, boot={"TZ": ":UTC"} if boot is None else boot)


def kind(memory_mb: int = 128, program: Program = NODE) -> Kind:
    made = Kind.of(start(memory_mb, program))
    assert made is not None
    return made


def test_only_what_is_in_use_is_booted() -> None:
    """For ten minutes after the last start of its kind, which is a program with a memory size; never if none are wanted."""
    plan = PreBootPlan(2)
    assert plan.missing({}, ALL, 0.0) is None
    plan.note_start(start(), 100.0)
    assert plan.missing({kind(): 1}, ALL, 699.0) == kind()
    assert plan.missing({kind(): 2}, ALL, 699.0) is None
    assert plan.missing({kind(256): 2}, ALL, 699.0) == kind()
    assert (plan.kept(kind(), 699.0), plan.kept(kind(), 700.0), plan.kept(kind(256), 100.0)) == (2, 0, 0)
    none = PreBootPlan(0)
    none.note_start(start(), 100.0)
    assert none.missing({}, ALL, 100.0) is None


def test_a_function_that_needs_its_own_interpreter_asks_for_none() -> None:
    """It is no sign that others will come which do not."""
    plan = PreBootPlan(1)
    plan.note_start(Start("s", NODE, "/task", None, 128, 512), 100.0)
    assert plan.missing({}, ALL, 100.0) is None


def test_the_kinds_used_last_are_kept() -> None:
    """Four of them, and the newest is booted first."""
    plan = PreBootPlan(1)
    for number in range(5):
        plan.note_start(start(128 + number), 100.0 + number)
    assert plan.missing({}, ALL, 105.0) == kind(132)
    assert [plan.kept(kind(128 + number), 105.0) for number in range(5)] == [0, 1, 1, 1, 1]


def test_nothing_is_booted_beside_a_start() -> None:
    """Not even one that has nothing to do with it."""
    plan = PreBootPlan(1)
    assert plan.quiet_after(100.0) == 0
    plan.note_start(Start("s", NODE, "/task", None, 128, 512), 100.0)
    assert plan.quiet_after(100.0) == QUIET_SECONDS
    assert plan.quiet_after(100.0 + QUIET_SECONDS) == 0


def test_what_cannot_boot_is_left_alone() -> None:
    """For ten minutes after three failures without a success between; a language that was installed anew is tried at once."""
    plan = PreBootPlan(1)
    plan.note_start(start(), 100.0)
    for is_failure in (True, True, False, True, True):
        assert not plan.note_boot(kind(), 100.0, is_failure=is_failure)
    assert plan.kept(kind(), 100.0) == 1
    assert plan.note_boot(kind(), 100.0, is_failure=True)
    plan.note_start(start(), 699.0)
    assert (plan.kept(kind(), 699.0), plan.kept(kind(), 700.0)) == (0, 1)
    assert [plan.note_boot(kind(), 700.0, is_failure=True) for _ in range(3)] == [False, False, True]
    assert plan.kept(kind(), 700.0) == 0
    plan.note_start(start(program=NEWER), 700.0)
    assert plan.missing({}, ALL, 700.0) == kind(program=NEWER)
    assert not plan.note_boot(kind(), 700.0, is_failure=True)  # of one that was under way
    assert plan.kept(kind(), 700.0) == 0


def test_what_cannot_be_made_now_does_not_keep_others_from_it() -> None:
    """A program without spares, because its zygote has ended, say."""
    plan = PreBootPlan(1)
    plan.note_start(start(), 100.0)
    plan.note_start(start(program=OTHER), 101.0)
    assert plan.missing({}, [NODE], 101.0) == kind()
    assert plan.missing({}, [], 101.0) is None


def test_a_newer_program_of_a_runtime_takes_its_place() -> None:
    """Of all memory sizes: nobody asks for the older one any more."""
    plan = PreBootPlan(1)
    plan.note_start(start(), 100.0)
    plan.note_start(start(256), 100.0)
    plan.note_start(start(program=OTHER), 100.0)
    plan.note_start(start(program=NEWER), 100.0)
    kept = [plan.kept(each, 100.0) for each in (kind(), kind(256), kind(program=OTHER), kind(program=NEWER))]
    assert kept == [0, 0, 1, 1]
