"""Looking from outside at what a sandbox has as /opt, without being led anywhere else by a link of a stranger's."""

from __future__ import annotations

import os
from collections import deque
from pathlib import Path

_MOST_LINKS = 40  # the kernel's


def in_layers(opt_root: Path, path: str) -> Path | None:
    """Where a path of the sandbox's is in the tree of its layers, links followed as they are there; None if it is elsewhere."""
    ahead, behind, links = deque(path.split("/")), list[str](), 0
    while ahead:
        part = ahead.popleft()
        if part == "..":
            del behind[-1:]
        elif part not in ("", "."):
            behind.append(part)
            if behind[0] != "opt":
                return None
            here = opt_root.joinpath(*behind[1:])
            if here != opt_root and here.is_symlink():
                links += 1
                if links > _MOST_LINKS:
                    return None
                target = os.readlink(here)  # noqa: PTH115 - as it is written: a Path would take away slashes
                behind = [] if target.startswith("/") else behind[:-1]
                ahead.extendleft(reversed(target.split("/")))
    return opt_root.joinpath(*behind[1:]) if behind else None
