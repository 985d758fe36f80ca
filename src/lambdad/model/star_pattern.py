"""Patterns in which a star stands for any characters, and for none."""

from __future__ import annotations

from collections.abc import Sequence


def fits(text: str, pieces: Sequence[str]) -> bool:
    """Whether the whole text is like a pattern; `pieces` are what stands before, between and after its stars, at least one.

    One way along the text, however many stars there are: the leftmost place of a piece is always a right one to take.
    """
    first, *middle = pieces
    if not middle:
        return text == first
    last = middle.pop()
    if len(text) < len(first) + len(last) or not text.startswith(first) or not text.endswith(last):
        return False
    at, end = len(first), len(text) - len(last)
    for piece in middle:
        at = text.find(piece, at, end)
        if at < 0:
            return False
        at += len(piece)
    return True
