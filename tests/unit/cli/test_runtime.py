"""`lambdad runtime`: the list, and installing with a stand-in for npm."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from lambdad.runtimes.families import FAMILY_OF
from support.processes import is_running
from support.server import wait_until

Run = Callable[..., Result]


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An `npm` whose packages hold a program that says it is Node.js 18.1.2; it fails while there is a file `away`."""
    folder = tmp_path / "npm"
    (folder / "package" / "bin").mkdir(parents=True)
    (folder / "package" / "bin" / "node").write_text("#!/bin/sh\necho v18.1.2\n")
    (folder / "package" / "bin" / "node").chmod(0o755)
    pack = f'test -e {folder}/away && {{ echo E404 it is away >&2; exit 1; }}; tar -czf "$4/one.tgz" -C {folder} package'
    (folder / "npm").write_text(f"#!/bin/sh\n{pack}\n")
    (folder / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    return folder


def test_every_runtime_is_listed(run: Run, tmp_path: Path) -> None:
    """With its state; the Python of this process is ready; --json has the same."""
    ours = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    listed = json.loads(run("runtime", "list", "--json", "--cache-dir", str(tmp_path)).stdout)
    assert [each["runtime"] for each in listed] == list(FAMILY_OF)
    assert {each["state"] for each in listed} <= {"ready", "installable", "missing"}
    assert {each["runtime"]: each["state"] for each in listed}["provided.al2"] == "ready"
    lines = run("runtime", "list", "--cache-dir", str(tmp_path)).stdout.splitlines()
    assert lines[0].split() == ["RUNTIME", "STATE", "DETAIL"]
    assert len(lines) == len(listed) + 1
    assert any(line.startswith(ours) for line in lines)


def test_an_installed_runtime_is_ready(run: Run, npm: Path, tmp_path: Path) -> None:
    """The command says where it is, and the list does from then on."""
    done = run("runtime", "install", "nodejs18.x", "--cache-dir", str(tmp_path / "cache"))
    program = (tmp_path / "cache" / "languages" / "nodejs18.x" / "bin" / "node").resolve()
    assert done.stdout == f"nodejs18.x is ready: 18.1.2 at {program}\n"
    assert subprocess.run([program], capture_output=True, text=True, check=True).stdout == "v18.1.2\n"
    listed = json.loads(run("runtime", "list", "--json", "--cache-dir", str(tmp_path / "cache")).stdout)
    assert {"runtime": "nodejs18.x", "state": "ready", "detail": f"18.1.2 at {program}"} in listed


@pytest.mark.parametrize("number, status", [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_installation_that_is_ended_leaves_nothing_behind(npm: Path, tmp_path: Path, number: int, status: int) -> None:
    """Neither what it has fetched so far nor who fetches."""
    os.mkfifo(npm / "started")
    (npm / "npm").write_text(f"#!/bin/sh\necho $$ >{npm}/started\nexec sleep 1000\n")
    command = ["env", "--default-signal=INT", sys.executable, "-m", "lambdad", "runtime", "install", "nodejs18.x"]
    with subprocess.Popen([*command, "--cache-dir", str(tmp_path / "cache")], stderr=subprocess.DEVNULL) as process:
        fetching = int((npm / "started").read_text())
        process.send_signal(number)
        assert process.wait(60) == status
    wait_until(lambda: not is_running(fetching), 60, "who fetches to end")
    assert [path.name for path in (tmp_path / "cache/languages").iterdir()] == [".nodejs18.x.lock"]


def test_what_cannot_be_installed_is_one_sentence(run: Run, npm: Path, tmp_path: Path) -> None:
    """A package that cannot be had, one that is another version, a runtime without a source, a name that is none."""
    cache = ("--cache-dir", str(tmp_path / "cache"))
    other = run("runtime", "install", "nodejs16.x", *cache)
    assert other.exit_code == 1 and "does not run here as nodejs16.x" in other.stderr
    (npm / "away").touch()
    away = run("runtime", "install", "nodejs18.x", *cache)
    assert away.exit_code == 1
    assert away.stderr.splitlines()[-1].startswith("lambdad: nodejs18.x was not installed: the npm package node-linux-")
    assert "E404 it is away" in away.stderr
    nothing = run("runtime", "install", "python3.7", *cache)
    assert nothing.stderr == (
        "lambdad: python3.7 was not installed: install Python 3.7 with pyenv, uv or the system's packages\n"
    )
    assert "cobol1 is no runtime that lambdad runs" in run("runtime", "install", "cobol1", *cache).stderr
    assert "functions bring their own" in run("runtime", "install", "provided.al2", *cache).stdout


def test_a_cache_folder_that_cannot_be_written_is_a_sentence(run: Run, npm: Path, tmp_path: Path) -> None:
    """For an installation; the list needs none."""
    (tmp_path / "file").touch()
    cache = ("--cache-dir", str(tmp_path / "file" / "cache"))
    done = run("runtime", "install", "nodejs18.x", *cache)
    assert done.exit_code == 1
    assert done.stderr == f"lambdad: nodejs18.x was not installed: Not a directory: {tmp_path}/file/cache/languages\n"
    assert len(json.loads(run("runtime", "list", "--json", *cache).stdout)) == len(FAMILY_OF)
