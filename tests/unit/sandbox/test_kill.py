"""kill -9 of a server at any moment: what it leaves is cleared away by its launcher and by the next server's open."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lambdad.sandbox.namespace import NamespaceSandboxes
from support.processes import command_line, is_running
from support.sandbox import make_program, make_task

ROUNDS = 30
FIRST_UID, LAST_UID = 41_000, 41_200
#: A server under load: six sandboxes are started and stopped all the time. Says when the first one runs.
SERVER = """
import asyncio, itertools, os, sys
from pathlib import Path

sys.path.insert(0, sys.argv[2])
from lambdad.sandbox.namespace import NamespaceSandboxes
from support.sandbox import make_program, make_spec, make_task

folder = Path(sys.argv[1])
numbers = itertools.count()

async def come_and_go(sandboxes):
    while True:
        number = next(numbers)
        spec = make_spec(make_program(folder / "runtime"), folder / "task", f"s{number}")
        sandbox = await sandboxes.start(spec)
        os.write(1, b"." if number == 0 else b"")
        await sandbox.stop()
        os.close(sandbox.runtime.log_pipe)

async def main():
    sandboxes = NamespaceSandboxes(folder / "state", range(FIRST_UID, LAST_UID))
    await sandboxes.open()
    await asyncio.gather(*(come_and_go(sandboxes) for _ in range(6)))

asyncio.run(main())
""".replace("FIRST_UID", str(FIRST_UID)).replace("LAST_UID", str(LAST_UID))


@pytest.mark.root
@pytest.mark.slow
async def test_killed_at_any_moment(tmp_path: Path) -> None:
    """Thirty servers, each killed in the middle of its work and followed at once by the next, leave nothing behind."""
    make_program(tmp_path / "runtime")
    make_task(tmp_path / "task")
    moments = random.Random(7)
    for round_ in range(ROUNDS):
        with subprocess.Popen(
            [sys.executable, "-c", SERVER, str(tmp_path), str(Path(__file__).parents[2])], stdout=subprocess.PIPE
        ) as server:
            assert server.stdout is not None
            if round_ % 3:  # the others may be killed while they open
                assert server.stdout.read(1) == b".", "a server could not start after the one before was killed"
            time.sleep(moments.uniform(0, 0.3))
            assert server.poll() is None
            server.kill()
    sandboxes = NamespaceSandboxes(tmp_path / "state", range(FIRST_UID, LAST_UID))
    await sandboxes.open()
    await sandboxes.close()
    assert list((tmp_path / "state").iterdir()) == []
    assert [folder for folder, names, _ in os.walk("/sys/fs/cgroup") if sandboxes._settings.cgroup_name in names] == []
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()
    assert list(_processes_of(tmp_path)) == []


def _processes_of(folder: Path) -> Iterator[str]:
    """Those with a sandbox's user, or with the folder's name on their command line: servers and launchers."""
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and is_running(int(entry.name)):
            with contextlib.suppress(FileNotFoundError):  # it has ended
                command = command_line(int(entry.name))
                if FIRST_UID <= entry.stat().st_uid < LAST_UID or str(folder) in command:
                    yield f"{entry.name} {command[:200]}"
