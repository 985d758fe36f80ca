"""Installations that are held against removal: for as long as whoever holds them lives, and no others."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from lambdad.runtimes.held_languages import HeldLanguages, remove_unless_held


def installation(folder: Path, name: str) -> Path:
    (folder / name / "content/bin").mkdir(parents=True)
    return folder / name / "content"


def test_what_is_held_is_not_removed(tmp_path: Path) -> None:
    """By one of several servers; it goes when the last lets go."""
    root = installation(tmp_path, "one")
    first, second = HeldLanguages(tmp_path), HeldLanguages(tmp_path)
    for held in (first, second, second):
        held.hold(root)
    for held in (first, second):
        remove_unless_held(root.parent)
        assert root.is_dir()
        held.close()
    remove_unless_held(root.parent)
    assert not root.parent.exists()


def test_a_language_from_elsewhere_is_not_held(tmp_path: Path) -> None:
    """Nobody removes it."""
    root = installation(tmp_path / "elsewhere", "one")
    held = HeldLanguages(tmp_path / "languages")
    held.hold(root)
    remove_unless_held(root.parent)
    assert not root.exists()


def test_what_is_gone_or_going_cannot_be_held(tmp_path: Path) -> None:
    """Whoever wanted it hears so at once, and has nothing open."""
    root = installation(tmp_path, "one")
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(FileNotFoundError):
        HeldLanguages(tmp_path).hold(tmp_path / "none/content")
    going = os.open(root.parent, os.O_RDONLY)
    fcntl.flock(going, fcntl.LOCK_EX)
    with pytest.raises(BlockingIOError):
        HeldLanguages(tmp_path).hold(root)
    os.close(going)
    assert len(os.listdir("/proc/self/fd")) == before
