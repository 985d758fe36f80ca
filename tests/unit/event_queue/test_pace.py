"""A function's pace falls with throttles and rises with successes."""

from __future__ import annotations

from lambdad.event_queue.pace import Arrivals, Pace


def test_rises_to_the_limit() -> None:
    """While invocations take as long as they did alone, each allows one more, up to the most."""
    pace = Pace(most=10)
    for _ in range(100):
        pace.succeeded(0.2)
    assert pace.at_once == 10


def test_falls_when_invocations_slow_each_other_down() -> None:
    """On a busy machine more at once only take longer, so the number goes back, but not below the least."""
    pace = Pace(most=100)
    for _ in range(30):
        pace.succeeded(0.01)
    assert pace.at_once == 38
    for _ in range(20):
        pace.succeeded(0.1)
    assert pace.at_once == 18
    for _ in range(20):
        pace.succeeded(0.1)
    assert pace.at_once == pace.least


def test_falls_and_pauses() -> None:
    """Throttles halve it; at one event a pause follows, doubling to ten seconds."""
    pace = Pace(most=100, at_once=8)
    now = 0.0
    pauses = []
    for _ in range(8):
        pace.throttled(now)
        pauses.append(max(0.0, pace.not_before - now))
        now = max(now, pace.not_before)
    assert pace.at_once == 1
    assert pauses == [0, 0, 1, 2, 4, 8, 10, 10]


def test_a_success_ends_the_pause() -> None:
    """After a success the next event is taken at once."""
    pace = Pace(most=100, at_once=1)
    pace.throttled(0.0)
    pace.throttled(0.5)
    assert pace.not_before == 1.0
    pace.succeeded(0.1)
    assert (pace.not_before, pace.at_once) == (0.0, 2)


def test_rises_while_long_ones_run() -> None:
    """Where none ends for a while more are let in, without waiting for the first to end."""
    pace = Pace(most=40)
    for _ in range(20):
        pace.stalled()
    assert pace.at_once == 40


def test_a_flood_of_arrivals() -> None:
    """Arrivals are many from the fiftieth within a twentieth of a second, and no more soon after they have ceased."""
    arrivals = Arrivals()
    for number in range(49):
        arrivals.add(10 + number * 0.0001)
    assert not arrivals.are_many(10.01)
    arrivals.add(10.02)
    assert arrivals.are_many(10.02)
    arrivals.add(10.06)
    assert arrivals.are_many(10.07)
    assert not arrivals.are_many(10.2)


def test_arrivals_now_and_then() -> None:
    """Steady but slower arrivals are never many."""
    arrivals = Arrivals()
    for number in range(1000):
        arrivals.add(number * 0.002)
        assert not arrivals.are_many(number * 0.002)
