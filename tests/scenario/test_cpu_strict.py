"""`--cpu strict`, from the flag to the kernel's files."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from support.processes import cgroups_named, descendants
from support.server import running, wait_until

QUOTA_FILES = {"cpu.cfs_quota_us": "-1", "cpu.max": "max 20000"}  #: and what is in them where there is no quota


@pytest.mark.root
def test_a_function_is_held_to_its_share(tmp_path: Path) -> None:
    """The server says that it is strict; the kernel has AWS's quota for the function, and none for sandboxes in reserve."""
    with running(tmp_path, "--cpu", "strict") as server:
        assert server.health()["cpu"] == "strict"
        server.create_function("held", "def handler(event, context): return event", MemorySize=1769)
        assert server.invoke("held", 1) == 1

        def quotas() -> list[str]:
            folders = {folder for pid in descendants(server.process.pid) for folder in cgroups_named(pid, "lambdad-")}
            files = [folder / name for name in QUOTA_FILES for folder in folders if (folder / name).exists()]
            read = []
            for file in files:
                with contextlib.suppress(OSError):  # of a sandbox that has just ended
                    read.append(file.read_text().strip())
            return read

        held = wait_until(lambda: [quota for quota in quotas() if quota not in QUOTA_FILES.values()], 10, "the quota")
        assert held in (["20000"], ["20000 20000"])
