"""OCI runtimes for tests: those of this machine, sandboxes of them, and what they must not leave behind."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from lambdad.sandbox.oci import OciSandboxes
from support.sandbox import backends

RUNTIMES = [each for each in backends() if each.id.startswith("oci-")]


def remains(state: Path) -> list[str]:
    """What a backend with this folder, now closed, has left on the machine."""
    name = "lambdad-" + hashlib.sha256(os.fsencode(state.absolute())).hexdigest()[:8]
    groups = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{name}")]
    groups += [str(path) for path in Path("/sys/fs/cgroup").glob(name)]
    containers = [str(path) for path in state.glob("runtime/*")] + [str(path) for path in state.glob("bundles/*")]
    mounts = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(state) in line]
    return groups + containers + mounts


def wrapped(folder: Path, runc: str, script: str) -> str:
    """A runtime that is runc, after `script` has done something with the bundle when it is told to create."""
    path = folder / "wrapper"
    path.write_text(
        "#!/bin/sh\n"
        'bundle=$(expr "$*" : ".*--bundle \\([^ ]*\\)")\n'
        f'case "$*" in *" create "*)\n{script}\n;; esac\n'
        f'exec {runc} "$@"\n'
    )
    path.chmod(0o755)
    return str(path)


def launcher_of(sandboxes: OciSandboxes) -> int:
    assert sandboxes._link.process is not None
    return sandboxes._link.process.pid
