"""Removes folders that strangers have filled: however deep they are, by no recursion and with two descriptors at most."""

from __future__ import annotations

import os
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_tree(tree: str | Path) -> None:
    """Links in it are removed, not followed. Nobody else may change it meanwhile. Harmless if there is none."""
    try:
        at = os.open(tree, _FOLDER)
    except FileNotFoundError:
        return
    above: list[tuple[str, list[str]]] = []  # of each folder on the way: its name, and those that are left beside it
    try:
        left = _remove_files(at)
        while left or above:
            if left:
                name = left.pop()
                at = _moved(at, name)
                above.append((name, left))
                left = _remove_files(at)
            else:
                name, left = above.pop()
                at = _moved(at, "..")
                os.rmdir(name, dir_fd=at)
    finally:
        os.close(at)
    Path(tree).rmdir()


def _moved(at: int, name: str) -> int:
    there = os.open(name, _FOLDER, dir_fd=at)
    os.close(at)
    return there


def _remove_files(folder: int) -> list[str]:
    """All that is in it but folders, whose names are returned."""
    folders = []
    with os.scandir(folder) as listing:
        entries = list(listing)
    for entry in entries:
        if entry.is_dir(follow_symlinks=False):
            folders.append(entry.name)
        else:
            os.unlink(entry.name, dir_fd=folder)
    return folders
