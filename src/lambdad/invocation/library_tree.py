"""Whether a function's files hold shared libraries where the loader looks for those of every program."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

#: What LD_LIBRARY_PATH names of a package and of layers.
_OF_TASK, _OF_OPT = ("", "lib"), ("lib",)
#: Folders that the loader tries beneath those.
_VARIANTS = frozenset({"glibc-hwcaps", "tls", "x86_64", "aarch64", "haswell", "avx512_1"})


def brings_libraries(task_root: Path | None, opt_root: Path | None) -> bool:
    """Then an interpreter may be one with them that it would not be without."""
    folders = [(task_root, name) for name in _OF_TASK] + [(opt_root, name) for name in _OF_OPT]
    return any(_has_libraries(root / name) for root, name in folders if root is not None)


@lru_cache(maxsize=4096)
def _has_libraries(folder: Path) -> bool:
    """Of a folder that never changes: it is named after what is in it. A link may lead anywhere, also to some."""
    if folder.is_symlink():
        return True
    try:
        with os.scandir(folder) as entries:
            return any(".so" in entry.name or entry.name in _VARIANTS for entry in entries)
    except (FileNotFoundError, NotADirectoryError):
        return False
