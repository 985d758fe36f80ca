"""Folders of the cache that are made once: whole, durable and readable for every sandbox's user, or not at all."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from lambdad.runtimes.file_lock import file_lock


@asynccontextmanager
async def building(parent: Path, name: str) -> AsyncIterator[Path]:
    """A path, where nothing is yet, to make `name` at; what is still there at the end is removed.

    Nobody else builds `name` meanwhile, so what an earlier, killed builder left is removed too.
    """
    parent.mkdir(parents=True, exist_ok=True)
    async with file_lock(parent / f".{name}.lock"):
        for rubbish in parent.glob(f".building-{name}-*"):
            await asyncio.to_thread(shutil.rmtree, rubbish, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f".building-{name}-", dir=parent))
        try:
            yield folder / "content"
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def publish(content: Path, destination: Path) -> Path:
    """Makes the tree readable for every sandbox's user, durable, and visible under its name in one step."""
    open_to_all(content)
    os.sync()
    content.rename(destination)
    return destination


def open_to_all(root: Path) -> None:
    """Every sandbox's user reads it, whatever the package and the umask said."""
    for path in [root, *root.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
