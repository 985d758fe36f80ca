"""A clock that was put back is noticed, and nothing else is."""

from __future__ import annotations

import pytest

from lambdad.event_queue.clock_watch import ClockWatch


@pytest.mark.parametrize(
    ("wall", "steady", "is_noticed"),
    [(20.0, 20.0, False), (19.5, 20.0, False), (-3600.0, 20.0, True), (15.0, 20.0, True), (7200.0, 20.0, False)],
    ids=["as ever", "slewed", "an hour back", "five seconds back", "forward"],
)
def test_put_back(wall: float, steady: float, is_noticed: bool) -> None:
    times = {"wall": 1_000_000.0, "steady": 5.0}
    watch = ClockWatch(lambda: times["wall"], monotonic=lambda: times["steady"])
    times["wall"] += wall
    times["steady"] += steady
    assert watch.was_put_back() is is_noticed
    assert not watch.was_put_back()
