from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from lambdad.runtimes.install import CommandError, InstallError, PipInstaller, requirements_for, run
from lambdad.runtimes.python.family import RUNTIMES
from support.processes import is_running


def test_every_python_has_an_sdk() -> None:
    """Each Python gets boto3; those for which the newest no longer runs get an older one."""
    for runtime in RUNTIMES:
        assert requirements_for(runtime)[0].startswith("boto3")
    assert requirements_for("python2.7")[0] == "boto3<1.18"


async def test_a_commands_lines_are_passed_on() -> None:
    """Standard output and error arrive line by line; rubbish bytes do no harm."""
    lines: list[str] = []
    await run(["/bin/sh", "-c", r"echo one; echo two >&2; printf '\377'"], 10, lines.append)
    assert lines == ["one", "two", "�"]


async def test_a_failed_command_tells_its_last_words() -> None:
    """The end of the output is the error's text; without output the status is."""
    with pytest.raises(CommandError, match=r"^sorry$"):
        await run(["/bin/sh", "-c", "echo sorry; exit 3"], 10, lambda line: None)
    with pytest.raises(CommandError, match="status 3"):
        await run(["/bin/sh", "-c", "exit 3"], 10, lambda line: None)


async def test_a_command_over_its_time_is_killed_with_its_children(tmp_path: Path) -> None:
    """Nothing of it is left running."""
    script = f"sleep 60 & echo $! > {tmp_path}/child; wait"
    with pytest.raises(TimeoutError):
        await run(["/bin/sh", "-c", script], 0.5, lambda line: None)
    assert not is_running(int((tmp_path / "child").read_text()))


async def test_a_cancelled_command_is_killed(tmp_path: Path) -> None:
    """Cancelling waits until the process has gone."""
    started = asyncio.Event()
    pids: list[int] = []

    def heard(line: str) -> None:
        pids.append(int(line))
        started.set()

    task = asyncio.create_task(run(["/bin/sh", "-c", "echo $$; exec sleep 60"], 60, heard))
    await started.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not is_running(pids[0])


async def test_pip_that_fails_is_an_install_error(tmp_path: Path) -> None:
    """The sentence says what was wanted and what pip said."""
    with pytest.raises(InstallError, match=r"pip could not install not a requirement: .*[Ii]nvalid requirement"):
        await PipInstaller().install(["not a requirement"], "3.8", tmp_path, lambda line: None)


async def test_pip_that_takes_too_long_is_an_install_error(tmp_path: Path) -> None:
    """The time limit is in the sentence."""
    with pytest.raises(InstallError, match="did not finish within 0 seconds"):
        await PipInstaller(0.01).install(["boto3"], "3.8", tmp_path, lambda line: None)
