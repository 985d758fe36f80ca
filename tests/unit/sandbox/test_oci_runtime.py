"""Finding an OCI runtime, and understanding what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from lambdad.errors import StartupError
from lambdad.sandbox.children import Finished
from lambdad.sandbox.oci_runtime import KINDS, Program, find_runtime, reason_of


def script(folder: Path, name: str, text: str, mode: int = 0o755) -> str:
    path = folder / name
    path.write_text("#!/bin/sh\n" + text)
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize(
    ("says", "name", "version"),
    [
        ("runc version 1.1.5+ds1\ncommit: x", "runc", "1.1.5+ds1"),
        ("crun version 1.8.1\ncommit: x", "crun", "1.8.1"),
        ("runsc version release-20240101.0\nspec: 1.1", "runsc", "release-20240101.0"),
        ("youki version 0.3.3", "youki", "0.3.3"),
        ("other version: 2", "other", "2"),
    ],
)
def test_the_program_names_itself(tmp_path: Path, says: str, name: str, version: str) -> None:
    """Whatever its file is called."""
    path = script(tmp_path, "my-runtime", f"[ $# = 1 ] && [ $1 = --version ] && echo '{says}'")
    program = find_runtime(path)
    assert program == Program(path, name, version)
    assert program.kind == KINDS.get(name, program.kind)


def test_it_is_looked_for_where_administrators_have_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On PATH, too."""
    path = script(tmp_path, "my-runtime", "echo my version 1")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_runtime("my-runtime").path == path


def test_a_program_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence names it, and the package where there is one."""
    monkeypatch.setattr("lambdad.sandbox.oci_runtime._PLACES", ())
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StartupError, match=r"no OCI runtime runsc on this machine \(Debian: apt-get install runsc\)"):
        find_runtime("runsc")
    with pytest.raises(
        StartupError, match="no OCI runtime nonesuch on this machine; install it, or name another with --oci-runtime"
    ):
        find_runtime("nonesuch")


@pytest.mark.parametrize("mode", [0o644, 0o000])
def test_a_file_that_is_no_program(tmp_path: Path, mode: int) -> None:
    """Neither is a folder."""
    for path in (script(tmp_path, "data", "exit 0", mode), str(tmp_path)):
        with pytest.raises(StartupError, match="no OCI runtime"):
            find_runtime(path)


@pytest.mark.parametrize("text", ["exit 0", "echo hello", "echo runc version 1.1; exit 1", "echo version 1"])
def test_another_program(tmp_path: Path, text: str) -> None:
    """Any program can be asked for its version; not any answer is a runtime's."""
    with pytest.raises(StartupError, match="is no OCI runtime"):
        find_runtime(script(tmp_path, "other", text))


def test_a_program_for_another_machine(tmp_path: Path) -> None:
    """Is told in the system's words."""
    path = tmp_path / "foreign"
    path.write_bytes(b"\x7fELF")
    path.chmod(0o755)
    with pytest.raises(StartupError, match=r"cannot be run: .*Exec format error"):
        find_runtime(str(path))


def test_an_old_version(tmp_path: Path) -> None:
    """Is refused, and the oldest that will do is named."""
    with pytest.raises(StartupError, match=r"runc 0\.1\.9; version 1\.0 or newer"):
        find_runtime(script(tmp_path, "runc", "echo runc version 0.1.9"))


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("", "it ended with 1"),
        ("warning\nlast words", "last words"),
        (
            'time="2026" level=warning msg="first"\ntime="2026" level=error msg="runc create: \\"x\\" is wrong"',
            'runc create: "x" is wrong',
        ),
    ],
)
def test_reasons(output: str, reason: str) -> None:
    """The last line is the reason, taken out of a record of a log."""
    assert reason_of(Finished(1, output)) == reason
