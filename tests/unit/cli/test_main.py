"""The command as a whole: help, version, exit codes, and how quickly it answers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from lambdad import __version__

Run = Callable[..., Result]
COMMANDS = ["up", "health", "functions", "invoke", "logs", "support", "version", "credentials"]


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_names_every_command_and_the_exit_codes(run: Run, flag: str) -> None:
    """A newcomer sees what there is."""
    result = run(flag)
    assert result.exit_code == 0
    assert all(f"\n  {command} " in result.output for command in COMMANDS)
    assert "Exit codes: 0 done" in result.output


@pytest.mark.parametrize("command", [*COMMANDS[:-1], "credentials create", "credentials list", "credentials delete"])
def test_each_command_has_help_with_examples(run: Run, command: str) -> None:
    """Every command shows at least one example of itself."""
    result = run(*command.split(), "--help")
    assert result.exit_code == 0
    assert "Examples:\n" in result.output
    assert f"lambdad {command}" in result.output


def test_version_flag(run: Run) -> None:
    """`--version` is the version alone."""
    assert run("--version").output == f"lambdad {__version__}\n"


@pytest.mark.parametrize("line", ["", "nonsense", "up --nonsense", "invoke", "credentials", "invoke a b"])
def test_a_wrong_command_line_is_exit_code_2(run: Run, line: str) -> None:
    """Whatever is wrong about it."""
    assert run(*line.split()).exit_code == 2


def test_the_real_command_gives_one_sentence_and_no_traceback() -> None:
    """As a process: standard error has the sentence, standard output nothing, the exit code is 1."""
    command = [sys.executable, "-m", "lambdad", "up", "--host", "0.0.0.0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    sentence = "lambdad does not listen on 0.0.0.0 without authentication: use --auth on, or a loopback address."
    assert ended.stderr == f"lambdad: {sentence}\n"


def test_nothing_heavy_is_imported_for_help() -> None:
    """Help and completion answer at once because botocore, uvloop and the store come only with the commands that use them."""
    heavy = ["botocore", "uvloop", "uvicorn", "apsw", "rich", "lambdad.app", "lambdad.services.s3"]
    program = f"import sys, lambdad.cli.main; print([name for name in {heavy} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "[]\n"


def test_a_full_disk_is_a_sentence() -> None:
    """Standard output into a file that cannot grow: no traceback, and exit code 1."""
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with open("/dev/full", "w") as full:
        ended = subprocess.run([sys.executable, "-m", "lambdad", "version"], stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert (ended.returncode, ended.stderr) == (1, b"lambdad: No space left on device.\n")


def test_closed_standard_streams_are_no_trouble() -> None:
    """As some service managers start programs."""
    command = f"exec {sys.executable} -m lambdad support logs <&- >&- 2>&-"
    assert subprocess.run(["sh", "-c", command], timeout=60, check=False).returncode == 0
