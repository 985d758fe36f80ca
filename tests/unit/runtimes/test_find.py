from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from lambdad.runtimes import find
from lambdad.runtimes.find import Interpreter, InterpreterFinder, Places, candidates, choose
from lambdad.runtimes.python.family import FAMILY as PYTHON
from lambdad.runtimes.python.family import read_answer

OURS = f"python{sys.version_info[0]}.{sys.version_info[1]}"


def told(**changes: Any) -> str:
    answer = {
        "version": [3, 8, 18],
        "level": "final",
        "prefix": "/opt/python3.8",
        "executable": "/opt/python3.8/bin/python3.8",
        "implementation": "CPython",
        "has_ctypes": True,
    }
    return json.dumps({**answer, **changes})


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    return path


def finder(tmp_path: Path, *folders: Path, seconds: float = 15.0) -> InterpreterFinder:
    return InterpreterFinder(PYTHON.lookup, Places(folders), tmp_path / "cache" / "interpreters.json", seconds)


async def test_a_real_interpreter_is_found_behind_its_virtual_environment(tmp_path: Path) -> None:
    """The answer for a virtual environment is the installation that it was made from."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / OURS).symlink_to(sys.executable)
    found = await finder(tmp_path, tmp_path / "bin").find()
    assert found[OURS].version == sys.version_info[:3]
    assert found[OURS].language_root == Path(sys.base_prefix).resolve()
    assert found[OURS].executable.is_relative_to(Path(sys.base_prefix).resolve())
    assert found[OURS].problem is None


async def test_what_does_not_run_is_not_found(tmp_path: Path) -> None:
    """Programs that fail, print rubbish, are no programs or cannot be read are passed over without a word."""
    folder = tmp_path / "bin"
    program(folder / "python3.6", "exit 1\n")
    program(folder / "python3.7", "echo rubbish\n")
    program(folder / "python3.8", "").write_bytes(b"\x7fELF nonsense")
    program(folder / "python3.9", "").chmod(0o644)
    (folder / "python3.10").symlink_to("nowhere")
    (folder / "python3.11").mkdir()
    program(folder / "python3.8-config", f"echo '{told()}'\n")
    assert await finder(tmp_path, folder, tmp_path / "missing").find() == {}


async def test_one_that_goes_while_it_is_looked_for_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / OURS).symlink_to(sys.executable)
    monkeypatch.setattr(find, "candidates", lambda places, pattern: [tmp_path / "bin/python3.6", tmp_path / "bin" / OURS])
    assert list(await finder(tmp_path, tmp_path / "bin").find()) == [OURS]


async def test_an_interpreter_that_hangs_is_given_up_and_killed(tmp_path: Path) -> None:
    """A probe has a time limit; the process is gone afterwards."""
    program(tmp_path / "bin" / "python3.8", f"echo $$ > {tmp_path}/pid\nexec sleep 60\n")
    assert await finder(tmp_path, tmp_path / "bin", seconds=0.3).find() == {}
    pid = int((tmp_path / "pid").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_an_answer_is_remembered_until_the_program_changes(tmp_path: Path) -> None:
    """The second search runs nothing; a program with another date is asked again."""
    path = program(tmp_path / "bin" / "python3.8", f"echo run >> {tmp_path}/runs\necho '{told()}'\n")
    for _ in range(2):
        assert (await finder(tmp_path, tmp_path / "bin").find())["python3.8"].version == (3, 8, 18)
    assert (tmp_path / "runs").read_text().count("run") == 1
    os.utime(path, (1, 1))
    await finder(tmp_path, tmp_path / "bin").find()
    assert (tmp_path / "runs").read_text().count("run") == 2


async def test_a_failure_is_not_remembered(tmp_path: Path) -> None:
    """What did not run yesterday may have been mended by something outside its file."""
    program(tmp_path / "bin" / "python3.8", f"test -e {tmp_path}/mended && echo '{told()}'\n")
    assert await finder(tmp_path, tmp_path / "bin").find() == {}
    (tmp_path / "mended").touch()
    assert list(await finder(tmp_path, tmp_path / "bin").find()) == ["python3.8"]


async def test_without_a_place_for_the_cache_each_search_asks_again(tmp_path: Path) -> None:
    """A folder that cannot be written hides no interpreter."""
    program(tmp_path / "bin" / "python3.8", f"echo '{told()}'\n")
    (tmp_path / "cache").touch()
    for _ in range(2):
        assert list(await finder(tmp_path, tmp_path / "bin").find()) == ["python3.8"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 0}', b'{"format": 1, "answers": []}', b"\xff"])
async def test_a_broken_cache_is_only_a_cache(tmp_path: Path, content: bytes) -> None:
    """Whatever the file holds, the search goes on without it and writes it anew."""
    program(tmp_path / "bin" / "python3.8", f"echo '{told()}'\n")
    cache = tmp_path / "cache" / "interpreters.json"
    cache.parent.mkdir()
    cache.write_bytes(content)
    assert list(await finder(tmp_path, tmp_path / "bin").find()) == ["python3.8"]
    assert json.loads(cache.read_bytes())["format"] == 1


async def test_a_python_without_ctypes_is_named_with_its_problem(tmp_path: Path) -> None:
    """It is found, so that the user hears why it is not used."""
    program(tmp_path / "bin" / "python3.8", f"echo '{told(has_ctypes=False)}'\n")
    found = await finder(tmp_path, tmp_path / "bin").find()
    assert found["python3.8"].problem == (
        "/opt/python3.8/bin/python3.8 was built without ctypes, which lambdad needs to isolate functions."
    )


@pytest.mark.parametrize(
    "answer",
    ["", "null", "[]", "{}", told(implementation="PyPy"), told(version=[3]), told(version="3.8"), told(prefix=None)],
)
def test_an_answer_that_makes_no_sense_is_none(answer: str) -> None:
    """PyPy and rubbish are no interpreters for functions."""
    assert read_answer(answer) is None


def interpreter(version: tuple[int, int, int], *, final: bool = True, problem: str | None = None) -> Interpreter:
    return Interpreter("python3.8", version, final, Path("/x"), Path("/"), problem)


@pytest.mark.parametrize(
    "better, worse",
    [
        (interpreter((3, 8, 18)), interpreter((3, 8, 9))),
        (interpreter((3, 8, 1)), interpreter((3, 8, 2), final=False)),
        (interpreter((3, 8, 1)), interpreter((3, 8, 2), problem="no ctypes")),
    ],
)
def test_the_newest_usable_release_is_chosen(better: Interpreter, worse: Interpreter) -> None:
    """Usable before unusable, a release before a candidate, then the higher patch; the order of finding is no matter."""
    assert choose([better, worse]) == choose([worse, better]) == {"python3.8": better}


def test_the_usual_places(tmp_path: Path) -> None:
    """PATH without relative folders and shims; pyenv's, uv's and rbenv's installations, wherever the variables put them."""
    environment = {
        "PATH": f"/a/bin::relative:{tmp_path}/.pyenv/shims:/srv/rbenv/shims:{tmp_path}/.asdf/shims:/b/bin",
        "RBENV_ROOT": "/srv/rbenv",
        "PYENV_ROOT": "/srv/pyenv",
        "UV_PYTHON_INSTALL_DIR": "/srv/uv",
        "DOTNET_ROOT": "/srv/dotnet",
    }
    places = Places.usual(environment, tmp_path)
    assert list(places.programs)[:4] == [Path("/a/bin"), Path("/b/bin"), Path("/usr/local/bin"), Path("/usr/bin")]
    assert {Path("/srv/dotnet"), tmp_path / ".dotnet", Path("/usr/share/dotnet")} < set(places.programs)
    assert [
        Path("/srv/pyenv/versions"),
        tmp_path / ".pyenv/versions",
        Path("/srv/uv"),
        tmp_path / ".local/share/uv/python",
    ] == list(places.installations)[:4]
    assert {Path("/srv/rbenv/versions"), tmp_path / ".rvm/rubies", tmp_path / ".asdf/installs/ruby"} < set(places.installations)


def test_one_executable_under_several_names_is_tried_once(tmp_path: Path) -> None:
    """Links are followed; installations are searched in their bin folders."""
    real = program(tmp_path / "versions" / "3.8.18" / "bin" / "python3.8", "")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python3.8").symlink_to(real)
    places = Places([tmp_path / "bin", tmp_path / "bin"], [tmp_path / "versions", tmp_path / "nowhere"])
    assert candidates(places, PYTHON.lookup.pattern) == [tmp_path / "bin" / "python3.8"]
