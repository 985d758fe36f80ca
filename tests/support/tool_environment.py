"""Command line tools of PyPI whose dependencies differ from the tests': each in an environment of its own, made once."""

from __future__ import annotations

import subprocess
import sys

from support.fetching import fetch
from support.server import CACHE_DIR


def tool_command(package: str, version: str, name: str) -> str:
    """The path of the tool. Skips by name what cannot be fetched."""
    folder = CACHE_DIR.parent / package / version
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", f"{package}=={version}"]
        fetch(package, pip)
        (folder / "complete").touch()
    return str(folder / "bin" / name)
