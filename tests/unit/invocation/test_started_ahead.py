"""When an environment that could not be had ahead of invocations is tried again, and what is told of it."""

from __future__ import annotations

import asyncio

import pytest

from lambdad.errors import SandboxError, ServiceError
from lambdad.invocation.started_ahead import LONGEST_RETRY_SECONDS, NO_ROOM, StartFailures, is_foreseen, machine_reason

FULL = ServiceError("TooManyRequestsException", "Rate Exceeded.")
DELETED = ServiceError("InvalidRuntimeException", "That version of the runtime is gone.")


class Timers:
    """In place of the event loop's: each is said to be over by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds: list[float] = []
        self.ends = lambda: None
        monkeypatch.setattr(asyncio.get_running_loop(), "call_later", self._call_later)

    def _call_later(self, seconds, ends):
        self.seconds.append(seconds)
        self.ends = ends
        return asyncio.TimerHandle(0.0, ends, (), asyncio.get_running_loop())


async def test_pauses_double_up_to_the_longest(monkeypatch):
    """Each failure in a row doubles the pause. One during a pause has the next say, and prolongs nothing."""
    timers, tries = Timers(monkeypatch), []
    failures: StartFailures[str] = StartFailures(lambda: tries.append(failures.is_pausing))
    for _ in range(6):
        failures.note("first", 60.0)
        failures.note("second", 600.0)
        assert (failures.last, failures.is_pausing) == ("second", True)
        timers.ends()
    assert timers.seconds == [60.0, 120.0, 240.0, 480.0, LONGEST_RETRY_SECONDS, LONGEST_RETRY_SECONDS]
    assert tries == [False] * 6


async def test_a_success_begins_anew_unless_another_has_just_failed(monkeypatch):
    """What succeeds during a pause was begun before it: the reason stays to be told until it has been tried again."""
    timers = Timers(monkeypatch)
    failures: StartFailures[str] = StartFailures(lambda: None)
    failures.note("why", 1.0)
    failures.succeeded()
    assert (failures.last, failures.is_pausing) == ("why", True)
    timers.ends()
    failures.succeeded()
    failures.note("again", 1.0)
    assert timers.seconds == [1.0, 1.0]


async def test_what_is_forgotten_is_not_tried_again(monkeypatch):
    """Another plan has no pause and no reason, and the timer of the old one is over."""
    timers = Timers(monkeypatch)
    failures: StartFailures[str] = StartFailures(lambda: None)
    failures.note("why", 1.0)
    pause = failures._pause
    failures.forget()
    assert (failures.last, failures.is_pausing, pause is not None and pause.cancelled()) == (None, False, True)
    failures.note("again", 1.0)
    assert timers.seconds == [1.0, 1.0]


@pytest.mark.parametrize(
    ("error", "reason", "foreseen"),
    [
        (FULL, NO_ROOM, True),
        (DELETED, DELETED.message, True),
        (SandboxError("no loop device"), "An execution environment could not be made: no loop device", True),
        (KeyError("oops"), "Internal error: KeyError", False),
    ],
)
def test_reasons_of_the_machine(error, reason, foreseen):
    """A reason for people, without the insides of what nobody foresaw, which goes to the server's log."""
    assert (machine_reason(error), is_foreseen(error)) == (reason, foreseen)
