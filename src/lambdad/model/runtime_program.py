"""What a sandbox runs: a language installation together with its runtime client."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RuntimeProgram:
    """The language installation and runtime client that a sandbox runs."""

    name: str  #: "python3.8"; sandboxes of one name may share a zygote
    interpreter: Path  #: executable on this machine
    language_root: Path  #: its prefix, seen inside as /var/lang
    runtime_dir: Path  #: runtime client and SDK, seen inside as /var/runtime; has bootstrap.py
