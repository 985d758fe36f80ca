"""Removing what strangers have unpacked."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lambdad.sandbox.tree_removal import remove_tree


def test_a_tree_goes_with_all_in_it(tmp_path: Path) -> None:
    """Folders side by side and in each other, files, pipes; of links only themselves."""
    outside, tree = tmp_path / "outside", tmp_path / "tree"
    for folder in (outside, tree / "a/b", tree / "a/c/d", tree / "e"):
        folder.mkdir(parents=True)
    for file in (outside / "kept", tree / "a/f", tree / "a/c/d/f"):
        file.touch()
    os.mkfifo(tree / "pipe")
    (tree / "e/link").symlink_to(outside)
    remove_tree(tree)
    assert [path.name for path in tmp_path.iterdir()] == ["outside"]
    assert (outside / "kept").exists()
    remove_tree(tree)


def test_no_tree_is_too_deep(tmp_path: Path) -> None:
    """Neither for a recursion, nor for the descriptors of the process, nor to have a path."""
    at = os.open(tmp_path, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("folder", dir_fd=at)
        below = os.open("folder", os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)
    remove_tree(tmp_path / "folder")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_folder_stays(tmp_path: Path) -> None:
    """A link to one is none."""
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError):
        remove_tree(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
