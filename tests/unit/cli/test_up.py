"""`lambdad up`, with a server that only announces itself in place of the real one."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from lambdad.config import SETTINGS, Settings, endpoint_url
from lambdad.errors import StartupError
from lambdad.health import Announcement

Run = Callable[..., Result]


def announcement(settings: Settings, **changes: Any) -> Announcement:
    port = settings.port or 4242
    facts = {
        "endpoint": endpoint_url(settings.host, port),
        "port": port,
        "pid": 17,
        "data_dir": settings.data_dir,
        "isolation": "namespace",
        "weaknesses": ["Memory is not limited."],
        "network": "nat",
        "network_remark": "forwarding is on",
        "cpu": settings.cpu,
        "auth": settings.auth,
        "quotas": settings.quotas,
        "runtimes": ["python3.11"],
        "runtime_problems": {"python3.8": "There is no interpreter."},
    }
    return Announcement(**{**facts, **changes})


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Callable[..., None]], None]]:
    """`serve(body)`: `lambdad.app.serve` runs `body(settings, announce)`."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def install(body: Callable[..., None]) -> None:
        async def fake(settings: Settings, *, announce: Callable[[Announcement], None]) -> None:
            body(settings, announce)

        module = types.ModuleType("lambdad.app")
        module.serve = fake  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "lambdad.app", module)

    yield install
    root.handlers[:] = handlers
    root.setLevel(level)


def test_every_setting_is_a_flag(run: Run) -> None:
    """The flags are made from the table, with variable and default in their help."""
    text = " ".join(run("up", "--help").output.split())
    for setting in SETTINGS:
        assert f"{setting.flag} {setting.metavar}" in text
        assert f"[env: {setting.variable}; default: {setting.default_shown}]" in text


def test_the_settings_in_force_reach_the_server(run: Run, serve: Any, tmp_path: Path) -> None:
    """Flag, environment and file come together as config.py says."""
    seen: list[Settings] = []
    serve(lambda settings, announce: seen.append(settings))
    (tmp_path / "x.toml").write_text("spares = 7\nquotas = '2021'\n")
    result = run("up", "--config", "x.toml", "--port", "0", "--quotas", "current", env={"LAMBDAD_DRAIN_SECONDS": "5"})
    assert result.exit_code == 0, result.output
    assert (seen[0].port, seen[0].quotas, seen[0].spares, seen[0].drain_seconds) == (0, "current", 7, 5.0)


def test_what_is_in_force_is_printed(run: Run, serve: Any) -> None:
    """Isolation and its weaknesses, endpoint, data folder, auth, quotas and runtimes; then that it is ready."""
    serve(lambda settings, announce: announce(announcement(settings)))
    result = run("up", "--data-dir", "/data")
    assert result.exit_code == 0, result.output
    for line in (
        "  endpoint   http://127.0.0.1:4566",
        "  data       /data",
        "  isolation  namespace",
        "             ! Memory is not limited.",
        "  network    nat: functions reach the outside with this machine's address, and not this machine",
        "             ! forwarding is on",
        "  cpu        weight: in proportion to memory",
        "  auth       off: whoever reaches the endpoint may do everything",
        "  quotas     current",
        "  runtimes   python3.11",
        "             ! python3.8: There is no interpreter.",
        "Ready.",
    ):
        assert f"\n{line}" in result.stdout
    assert "\x1b" not in result.stdout


def test_no_isolation_is_said_loudly(run: Run, serve: Any) -> None:
    """The `process` backend does not pass for isolation."""
    serve(lambda settings, announce: announce(announcement(settings, isolation="process")))
    result = run("up", "--isolation", "process")
    assert "isolation  process: NONE. Functions can read and change what lambdad's user can." in result.stdout


def test_the_ready_file_is_there_while_it_serves(run: Run, serve: Any, tmp_path: Path) -> None:
    """Written whole when requests are answered; an old one is gone before that, and it is gone at the end."""
    ready = tmp_path / "ready.json"
    ready.write_text("old")
    seen: list[Any] = []

    def body(settings: Settings, announce: Callable[[Announcement], None]) -> None:
        seen.append(ready.exists())
        announce(announcement(settings))
        seen.append(json.loads(ready.read_text()))
        seen.append([file.name for file in tmp_path.iterdir()])

    serve(body)
    assert run("up", "--port", "0", "--ready-file", "ready.json").exit_code == 0
    assert seen == [False, {"port": 4242, "pid": 17, "endpoint": "http://127.0.0.1:4242"}, ["ready.json"]]
    assert not ready.exists()


def test_the_ready_descriptor_gets_one_line(run: Run, serve: Any) -> None:
    """A parent process can wait on a pipe: one line, then its end."""
    serve(lambda settings, announce: announce(announcement(settings)))
    reader, writer = os.pipe()
    assert run("up", "--ready-fd", str(writer)).exit_code == 0
    with os.fdopen(reader) as pipe:
        assert json.loads(pipe.read())["port"] == 4566


def test_a_descriptor_that_is_not_open_is_exit_code_2(run: Run, serve: Any) -> None:
    """Found before the server starts."""
    serve(lambda settings, announce: pytest.fail("started"))
    result = run("up", "--ready-fd", "2147483647")
    assert (result.exit_code, result.stderr) == (2, "lambdad: --ready-fd 2147483647 is not an open file descriptor.\n")


def test_a_server_that_cannot_start_is_exit_code_1_with_one_sentence(run: Run, serve: Any, tmp_path: Path) -> None:
    """No ready file, no banner, no traceback."""

    def body(settings: Settings, announce: Callable[[Announcement], None]) -> None:
        raise StartupError("Port 4566 is taken.")

    serve(body)
    result = run("up", "--ready-file", "ready.json")
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", "lambdad: Port 4566 is taken.\n")
    assert not (tmp_path / "ready.json").exists()


@pytest.mark.parametrize("place", ["absent/ready.json", "."])
def test_a_ready_file_that_cannot_be_written_is_told_before_the_start(run: Run, serve: Any, place: str) -> None:
    """Nobody waits for a file that never comes."""
    serve(lambda settings, announce: pytest.fail("started"))
    result = run("up", "--ready-file", place)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(f"lambdad: --ready-file {place} cannot be written: ")


def test_a_misspelt_variable_is_pointed_out(run: Run, serve: Any) -> None:
    """It has no effect, and the log says so."""
    serve(lambda settings, announce: None)
    result = run("up", env={"LAMBDAD_PROT": "1"})
    assert result.exit_code == 0
    assert json.loads(result.stderr)["message"] == "The environment variable LAMBDAD_PROT is not a setting and has no effect"


def test_a_bad_setting_is_exit_code_1(run: Run) -> None:
    """The sentence of config.py, nothing else."""
    result = run("up", "--port", "many")
    assert (result.exit_code, result.stderr) == (1, "lambdad: --port must be a number from 0 to 65535, not 'many'.\n")


def test_ctrl_c_before_it_is_up_is_exit_code_130() -> None:
    """As a process: no traceback, and the exit code that shells expect."""
    program = (
        "import asyncio, os, signal, sys, types\n"
        "async def serve(settings, *, announce):\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    await asyncio.Event().wait()\n"
        "sys.modules['lambdad.app'] = types.SimpleNamespace(serve=serve)\n"
        "from lambdad.cli.main import main\n"
        "main()\n"
    )
    # Where tests run in a shell's background the signal is ignored, and stays so in a process that they start.
    command = ["env", "--default-signal=INT", sys.executable, "-c", program, "up"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stderr) == (130, "")
