"""What accounts have shown to have."""

from __future__ import annotations

from lambdad.images.proven_parts import ProvenParts


def test_those_of_late_are_known() -> None:
    """For the account that has shown them, and no other."""
    parts = ProvenParts(most=2)
    one, two = parts.of("1" * 12), parts.of("2" * 12)
    one.note("a")
    assert (one.has("a"), two.has("a")) == (True, False)
    two.note("b")
    assert one.has("a")
    one.note("c")
    assert (one.has("a"), one.has("c"), two.has("b")) == (True, True, False)
