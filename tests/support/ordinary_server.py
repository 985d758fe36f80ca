"""A server of a user without root."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from support import ordinary_user
from support.server import CACHE_DIR, RUNTIME, Server


class OrdinaryUser(Server):
    """As somebody without root would start it, whose folder `home` is."""

    def __init__(self, home: Path, *options: str, places: Sequence[str] = (), **settings: Any) -> None:
        folder = Path(tempfile.mkdtemp(dir=home))
        super().__init__(folder, *options, **{"isolation": "auto", **settings})
        self.cache_dir = home / ".cache"
        self.prefix = ordinary_user.command(
            "env", f"HOME={home}", sys.executable, options=["--reach", os.fspath(home), *places]
        )
        os.chown(folder, ordinary_user.UID, ordinary_user.UID)


def make_home(home: Path) -> Path:
    """Makes the folder a home of an ordinary user's, with the runtime that would have to be fetched otherwise."""
    for runtime in (CACHE_DIR / "runtimes").glob(f"{RUNTIME}-*"):
        shutil.copytree(runtime, home / ".cache/runtimes" / runtime.name)
    for path in [home, *home.rglob("*")]:
        os.chown(path, ordinary_user.UID, ordinary_user.UID, follow_symlinks=False)
    return home
