"""Bytecode for folders that are read-only in a sandbox."""

from __future__ import annotations

from pathlib import Path

from lambdad.runtimes.install import run

COMPILE_SECONDS = 300.0
#: A status of 1 means that some file does not compile: packages carry files for other Pythons, which nobody imports.
_SCRIPT = "import compileall, sys; sys.argv[0] = 'compileall'; compileall.main(); sys.exit(0)"


async def compile_folder(executable: Path, version: tuple[int, ...], folder: Path) -> None:
    """CommandError, TimeoutError or OSError where the Python cannot do it. From 3.7 on bytecode needs no source's date."""
    mode = ["--invalidation-mode", "unchecked-hash"] if version >= (3, 7) else []
    await run([str(executable), "-E", "-s", "-c", _SCRIPT, "-q", *mode, str(folder)], COMPILE_SECONDS, lambda line: None)
