"""`--cpu strict`, from the flag to the kernel's files."""

from __future__ import annotations

from pathlib import Path

import pytest

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
            return [
                file.read_text().strip()
                for name in QUOTA_FILES
                for file in Path("/sys/fs/cgroup").glob(f"**/lambdad-*/*/{name}")
                if _runs_below(file, server.process.pid)
            ]

        held = wait_until(lambda: [quota for quota in quotas() if quota not in QUOTA_FILES.values()], 10, "the quota")
        assert held in (["20000"], ["20000 20000"])


def _runs_below(file: Path, server: int) -> bool:
    """Whether the processes of the cgroup are this server's: others may run on this machine."""
    members = (file.parent / "cgroup.procs").read_text().split()
    return any(server in _ancestors(int(pid)) for pid in members)


def _ancestors(pid: int) -> set[int]:
    found: set[int] = set()
    while pid > 1:
        try:
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        except FileNotFoundError:  # it has just ended
            break
        found.add(pid)
    return found
