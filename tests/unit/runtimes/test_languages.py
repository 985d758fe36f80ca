"""Installing a language: tried, in place whole or not at all, and found by a server that runs."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from lambdad.errors import StartupError
from lambdad.runtimes import families, languages
from lambdad.runtimes.find import Interpreter, Places
from lambdad.runtimes.install import InstallError, Progress
from lambdad.runtimes.languages import advice, install, standings
from lambdad.runtimes.node.family import FAMILY as NODE
from lambdad.runtimes.programs import RuntimePrograms, finder_for

RUNTIME = "nodejs18.x"


class FakeSource:
    """Puts a Node.js of two lines in place."""

    name = "fake package"
    megabytes = 3

    def __init__(self, version: str = "v18.1.2", failure: str | None = None, problem: str | None = None) -> None:
        self.version = version
        self.failure = failure
        self._problem = problem
        self.error: OSError | None = None
        self.fetching: asyncio.Event | None = None
        self.may_end: asyncio.Event | None = None

    def problem(self) -> str | None:
        return self._problem

    async def fetch(self, target: Path, progress: Progress) -> None:
        (target / "bin").mkdir(parents=True, mode=0o700)
        (target / "bin" / "node").write_text(f"#!/bin/sh\necho {self.version}\n")
        (target / "bin" / "node").chmod(0o700)
        if self.fetching is not None:
            self.fetching.set()
        if self.may_end is not None:
            await self.may_end.wait()
        if self.error is not None:
            raise self.error
        if self.failure is not None:
            raise InstallError(self.failure)


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> FakeSource:
    made = FakeSource()
    monkeypatch.setitem(families.FAMILY_OF, RUNTIME, replace(NODE, sources=lambda runtime: [made]))
    return made


class NoSdk:
    async def install(self, requirements: Sequence[str], target: Path, progress: Progress) -> None:
        raise InstallError("none for these tests")


def server(folder: Path) -> RuntimePrograms:
    """What a server has of it."""
    return RuntimePrograms(folder, finder_for([NODE], Places([]), folder), NoSdk())


async def test_an_installed_language_is_taken_up_by_a_running_server(source: FakeSource, tmp_path: Path) -> None:
    """`available` has it after the next look, every user can run it, and a newer patch takes its place."""
    made = server(tmp_path)
    await made.open()
    assert RUNTIME not in made.available()
    interpreter = await install(RUNTIME, tmp_path, lambda line: None)
    assert interpreter.executable == (tmp_path / "languages" / RUNTIME / "bin" / "node").resolve()
    assert interpreter.executable.stat().st_mode & 0o777 == 0o755
    await made.look_again()
    assert made.available()[RUNTIME].version == (18, 1, 2)
    first = await made.prepare(RUNTIME)
    source.version = "v18.2.0"
    await install(RUNTIME, tmp_path, lambda line: None)
    await made.look_again()
    assert made.available()[RUNTIME].version == (18, 2, 0)
    assert (await made.prepare(RUNTIME)).runtime_dir != first.runtime_dir


async def test_a_cache_folder_may_be_named_from_where_one_stands(
    source: FakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is installed there runs from elsewhere too."""
    monkeypatch.chdir(tmp_path)
    interpreter = await install(RUNTIME, Path("cache"), lambda line: None)
    assert interpreter.executable.is_absolute()
    monkeypatch.chdir("/")
    assert (tmp_path / "cache/languages" / RUNTIME / "bin/node").is_file()


@pytest.mark.parametrize(
    "change, reason",
    [
        ({"failure": "The registry is away."}, "The registry is away."),
        ({"version": "v17.0.0"}, f"what the fake package holds does not run here as {RUNTIME}"),
        ({"version": "nonsense"}, f"what the fake package holds does not run here as {RUNTIME}"),
        ({"_problem": "npm is not installed"}, "fake package: npm is not installed; put Node.js 18 on the PATH"),
    ],
)
async def test_what_cannot_be_installed_leaves_what_was_there(
    source: FakeSource, tmp_path: Path, change: dict[str, str], reason: str
) -> None:
    """An installation that fails, or does not run, changes nothing and leaves nothing."""
    before = await install(RUNTIME, tmp_path, lambda line: None)
    for name, value in change.items():
        setattr(source, name, value)
    with pytest.raises(InstallError, match=reason):
        await install(RUNTIME, tmp_path, lambda line: None)
    assert "echo v18.1.2" in before.executable.read_text()
    left = sorted(path.name for path in (tmp_path / "languages").iterdir())
    assert left == [before.language_root.parent.name, f".{RUNTIME}.lock", RUNTIME]


async def test_where_one_source_fails_the_next_is_tried(
    source: FakeSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the first has left is no part of it; if none works, each says why."""
    first = FakeSource("v18.9.9", failure="The registry is away.")
    monkeypatch.setitem(families.FAMILY_OF, RUNTIME, replace(NODE, sources=lambda runtime: [first, source]))
    assert (await install(RUNTIME, tmp_path, lambda line: None)).version == (18, 1, 2)
    source.failure = "There is no mirror."
    with pytest.raises(InstallError, match=r"^The registry is away\.; There is no mirror\.$"):
        await install(RUNTIME, tmp_path, lambda line: None)
    assert not list((tmp_path / "languages").glob(".building-*"))


async def test_what_a_killed_installation_left_is_removed(source: FakeSource, tmp_path: Path) -> None:
    """By the next one of the same runtime."""
    rubbish = tmp_path / "languages" / f".building-{RUNTIME}-old" / "content"
    rubbish.mkdir(parents=True)
    await install(RUNTIME, tmp_path, lambda line: None)
    assert not rubbish.parent.exists()


async def test_what_runs_goes_on_when_it_is_installed_again(source: FakeSource, tmp_path: Path) -> None:
    """Sandboxes have the old folder mounted: a server is told of another one, also of the same release, and what it ran from
    before stays, however often more are installed. The next environment is made from the last. Without the server all but the
    last two go."""
    made = server(tmp_path)
    programs = []
    for _ in range(3):
        await install(RUNTIME, tmp_path, lambda line: None)
        programs.append(await made.prepare(RUNTIME))
    roots = [program.language_root for program in programs]
    assert len(set(roots)) == 3
    assert all((root / "bin" / "node").is_file() for root in roots)
    await made.close()
    await install(RUNTIME, tmp_path, lambda line: None)
    assert [(root / "bin" / "node").is_file() for root in roots] == [False, False, True]
    assert len(list((tmp_path / "languages").glob(".installed-*"))) == 2
    assert not list((tmp_path / "languages").glob(".building-*"))


async def test_two_installations_at_once_take_turns(source: FakeSource, tmp_path: Path) -> None:
    """Both end well, and the last one is in place."""
    one, other = await asyncio.gather(*(install(RUNTIME, tmp_path, lambda line: None) for _ in range(2)))
    assert one.executable != other.executable
    assert (tmp_path / "languages" / RUNTIME / "bin/node").resolve() in (one.executable, other.executable)
    assert not list((tmp_path / "languages").glob(".building-*"))


async def test_an_interrupted_installation_leaves_nothing(source: FakeSource, tmp_path: Path) -> None:
    """Nor does one that the disk has no room for; what was there stays."""
    before = await install(RUNTIME, tmp_path, lambda line: None)
    source.fetching, source.may_end = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(install(RUNTIME, tmp_path, lambda line: None))
    await source.fetching.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()
    source.may_end, source.error = None, OSError(errno.ENOSPC, "No space left on device", "node")
    with pytest.raises(OSError, match="No space left"):
        await install(RUNTIME, tmp_path, lambda line: None)
    left = sorted(path.name for path in (tmp_path / "languages").iterdir())
    assert left == [before.language_root.parent.name, f".{RUNTIME}.lock", RUNTIME]


async def test_a_folder_in_the_place_of_the_link_is_replaced(source: FakeSource, tmp_path: Path) -> None:
    """As earlier versions of lambdad have made it."""
    old = tmp_path / "languages" / RUNTIME / "bin" / "node"
    old.parent.mkdir(parents=True)
    old.write_text("#!/bin/sh\necho v18.0.0\n")
    old.chmod(0o755)
    assert (await install(RUNTIME, tmp_path, lambda line: None)).version == (18, 1, 2)


async def test_a_look_that_fails_is_done_again(source: FakeSource, tmp_path: Path) -> None:
    """What was installed is found by the next one."""
    finder = finder_for([NODE], Places([]), tmp_path)
    made = RuntimePrograms(tmp_path, finder)
    await made.open()
    await install(RUNTIME, tmp_path, lambda line: None)
    find, finder.find = finder.find, _no_memory  # type: ignore[method-assign]
    with pytest.raises(MemoryError):
        await made.look_again()
    finder.find = find  # type: ignore[method-assign]
    await made.look_again()
    assert RUNTIME in made.available()


async def test_a_server_without_a_cache_folder_does_not_start(tmp_path: Path) -> None:
    """Its functions could never be made ready."""
    (tmp_path / "file").touch()
    with pytest.raises(
        StartupError,
        match=r"^The cache folder \S+/file/cache cannot be written: Not a directory; choose another with --cache-dir\.$",
    ):
        await server(tmp_path / "file" / "cache").open()


async def _no_memory() -> dict[str, Interpreter]:
    raise MemoryError


def test_each_runtime_is_ready_installable_or_missing(source: FakeSource, monkeypatch: pytest.MonkeyPatch) -> None:
    """With where it is, where it comes from, or what to do."""
    found = {
        "python3.11": Interpreter("python3.11", (3, 11, 7), True, Path("/py/bin/python3.11"), Path("/py")),
        "python3.8": Interpreter("python3.8", (3, 8, 1), True, Path("/x"), Path("/"), problem="It has no ctypes."),
    }
    shown = {each.runtime: (each.state, each.detail) for each in standings(found, {"python3.10": "python3.11"})}
    assert shown["python3.11"] == ("ready", "3.11.7 at /py/bin/python3.11")
    assert shown["python3.10"] == ("ready", "by python3.11, as the settings say: /py/bin/python3.11")
    assert shown["python3.8"] == ("missing", "It has no ctypes.")
    assert shown["python3.12"] == ("missing", "install Python 3.12 with pyenv, uv or the system's packages")
    assert shown[RUNTIME] == ("installable", f"lambdad runtime install {RUNTIME} (fake package, about 3 MB)")
    assert shown["provided.al2"][0] == "ready"
    assert list(shown) == list(families.FAMILY_OF)


def test_advice_names_the_command_or_what_is_lacking_for_it(source: FakeSource) -> None:
    """It is what the refusal of CreateFunction says."""
    assert advice(RUNTIME) == f"Install it with: lambdad runtime install {RUNTIME}"
    source._problem = "npm is not installed"
    assert advice(RUNTIME) == "fake package: npm is not installed; put Node.js 18 on the PATH of lambdad"
    assert languages.usable_source(RUNTIME) is None
