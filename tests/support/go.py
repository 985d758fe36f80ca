"""Programs in Go for functions and layers; what the compiler made of its library is kept for all runs of the tests."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from support.server import CACHE_DIR


def version() -> tuple[int, ...]:
    """Of the compiler: (1, 19)."""
    said = subprocess.run(["go", "env", "GOVERSION"], capture_output=True, text=True, check=True).stdout
    return tuple(map(int, said.strip().removeprefix("go").split(".")[:2]))


def built(source: str, folder: Path, **more: str) -> bytes:
    """One static binary of main.go and of more files, by their names without the ending; skips where there is no Go."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("needs go")
    for name, text in {"main": source, **more}.items():
        (folder / f"{name}.go").write_text(text)
    (folder / "go.mod").write_text("module program\n")
    environment = {"HOME": str(folder), "PATH": "/usr/bin:/bin", "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"}
    environment["GOCACHE"] = str(CACHE_DIR.parent / "go-build")
    subprocess.run([go, "build", "-o", "program", "."], cwd=folder, env=environment, check=True, timeout=170)
    return (folder / "program").read_bytes()
