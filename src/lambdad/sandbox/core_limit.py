"""The limit of core files that keeps crashes from starting a program of the machine's: one byte, which zero does not do.

Sandboxes only narrow what they inherit, so the launcher has to have room for that one byte.
"""

from __future__ import annotations

import resource
from pathlib import Path

WEAKNESS = (
    "A function that crashes makes this machine start its core_pattern program as root: the hard limit of core files is 0 here,"
    " and there is no right to raise it (CAP_SYS_RESOURCE)."
)


def make_room_for_one_byte(proc: Path = Path("/proc")) -> list[str]:
    """To be called once, by the launcher. Returns what is weaker where that fails, in full sentences."""
    soft, hard = resource.getrlimit(resource.RLIMIT_CORE)
    if hard != 0:
        return []
    try:
        resource.setrlimit(resource.RLIMIT_CORE, (soft, 1))
    except (ValueError, OSError):
        is_program = (proc / "sys/kernel/core_pattern").read_text().startswith("|")
        return [WEAKNESS] if is_program else []
    return []
