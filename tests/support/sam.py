"""AWS's SAM command line client, in a tool environment of its own that is made once for all runs of the tests."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from support.server import CACHE_DIR, Server

VERSION = "1.170.0"


def sam_command() -> str:
    """Its dependencies are pinned against others than the tests', so it has an environment to itself."""
    folder = CACHE_DIR.parent / "aws-sam-cli" / VERSION
    command = folder / "bin" / "sam"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", folder], check=True)
        pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", f"aws-sam-cli=={VERSION}"]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"aws-sam-cli cannot be fetched: {done.stderr.strip().splitlines()[-1]}")
        (folder / "complete").touch()
    return str(command)


def sam(server: Server, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**server.environment(), "SAM_CLI_TELEMETRY": "0", "HOME": str(folder)}
    return subprocess.run([sam_command(), *arguments], env=environment, cwd=folder, capture_output=True, text=True, timeout=300)
