"""Finds the real AWS command line client."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def aws_command() -> str | None:
    beside_python = Path(sys.executable).with_name("aws")
    return str(beside_python) if beside_python.exists() else shutil.which("aws")
