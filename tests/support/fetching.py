"""Packages of tests that come from registries."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

_SECONDS = 150  #: less than a test has, whose time this is
_ERRORS = ("ERROR: ", "npm error ", "npm ERR! ")  #: how pip's and npm's sentences begin


def fetch(what: str, command: Sequence[str | Path], folder: Path | None = None) -> None:
    """Runs a package manager; skips by name what it cannot fetch in time."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.skip(f"{what} cannot be fetched within {_SECONDS} seconds")
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        said = next(
            (line for line in lines if line.startswith(_ERRORS)), lines[-1] if lines else f"exit code {done.returncode}"
        )
        pytest.skip(f"{what} cannot be fetched: {said}")
