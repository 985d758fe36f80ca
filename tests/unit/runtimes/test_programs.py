from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from lambdad.errors import SandboxError, StartupError
from lambdad.runtimes.find import Interpreter, InterpreterFinder, Places
from lambdad.runtimes.install import InstallError, Progress
from lambdad.runtimes.programs import RuntimePrograms, check_substitutes, client_files, folder_name, version_of
from lambdad.runtimes.python.family import FAMILY as PYTHON

OURS = f"python{sys.version_info[0]}.{sys.version_info[1]}"


@dataclass
class FakeInstaller:
    """Puts a boto3 of three lines in place, or fails."""

    failure: str | None = None
    module: str = "version = 1\n"
    calls: int = 0
    started: asyncio.Event = field(default_factory=asyncio.Event)
    hold: asyncio.Event | None = None

    async def install(self, requirements: Sequence[str], target: Path, progress: Progress) -> None:
        self.calls += 1
        self.started.set()
        target.mkdir()
        (target / "boto3").mkdir(mode=0o700)
        (target / "boto3" / "__init__.py").write_text(self.module)
        (target / "boto3" / "__init__.py").chmod(0o600)
        (target / "boto3" / "for_python_4.py").write_text("this is no Python\n")
        (target / "bootstrap.py").write_text("hostile = True\n")
        (target / "boto3-1.0.dist-info").mkdir()
        if self.hold is not None:
            await self.hold.wait()
        if self.failure is not None:
            raise InstallError(self.failure)
        progress("installed")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def programs(tmp_path: Path, installer: FakeInstaller, clock: Clock | None = None) -> RuntimePrograms:
    (tmp_path / "bin").mkdir(exist_ok=True)
    link = tmp_path / "bin" / OURS
    if not link.is_symlink():
        link.symlink_to(sys.executable)
    finder = InterpreterFinder(PYTHON.lookup, Places([tmp_path / "bin"]), tmp_path / "interpreters.json")
    made = RuntimePrograms(tmp_path / "cache", finder, installer, monotonic=clock or Clock(), retry_seconds=60)
    await made.open()
    return made


async def test_a_program_holds_client_and_sdk(tmp_path: Path) -> None:
    """Our own files win over a package's, and what was installed is written down beside them."""
    made = await programs(tmp_path, FakeInstaller())
    program = await made.prepare(OURS)
    assert program.name == OURS
    assert program.interpreter == made.available()[OURS].executable
    for file in client_files(OURS).values():
        assert (program.runtime_dir / file.name).read_bytes() == file.read_bytes()
    assert (program.runtime_dir / "boto3" / "__init__.py").is_file()
    assert json.loads((program.runtime_dir / "lambdad-runtime.json").read_text())["packages"] == ["boto3-1.0"]
    assert made.problems() == {}


async def test_every_sandboxs_user_can_read_a_program(tmp_path: Path) -> None:
    """Files are world-readable whatever the umask and the packages said, and nobody but the owner can write."""
    before = os.umask(0o077)
    try:
        program = await (await programs(tmp_path, FakeInstaller())).prepare(OURS)
    finally:
        os.umask(before)
    for path in [program.runtime_dir, *program.runtime_dir.rglob("*")]:
        assert path.stat().st_mode & 0o777 == (0o755 if path.is_dir() else 0o644), path


async def test_bytecode_is_used_from_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """The interpreter imports client and SDK from their compiled files, even when the sources' dates have changed."""
    program = await (await programs(tmp_path, FakeInstaller())).prepare(OURS)
    for path in program.runtime_dir.rglob("*.py"):
        os.utime(path, (1, 1))
    script = f"import sys; sys.path.insert(0, {str(program.runtime_dir)!r}); import bootstrap, boto3"
    done = subprocess.run([program.interpreter, "-B", "-v", "-c", script], capture_output=True, text=True, check=True)
    for name in ("bootstrap", "lambda_runtime_client", "boto3/__init__"):
        assert f"matches {program.runtime_dir}/{name}.py" in done.stderr


async def test_a_program_is_built_once_for_many_askers(tmp_path: Path) -> None:
    """Concurrent calls, in one server or in two, end with the same folder and one installation."""
    first, second = FakeInstaller(), FakeInstaller()
    servers = [await programs(tmp_path, first), await programs(tmp_path, second)]
    made = await asyncio.gather(*(server.prepare(OURS) for server in servers for _ in range(5)))
    assert len({program.runtime_dir for program in made}) == 1
    assert first.calls + second.calls == 1
    again = await programs(tmp_path, FakeInstaller(failure="offline"))
    assert (await again.prepare(OURS)).runtime_dir == made[0].runtime_dir


async def test_what_a_killed_builder_left_is_removed(tmp_path: Path) -> None:
    """An unfinished folder is neither used nor kept."""
    made = await programs(tmp_path, FakeInstaller())
    rubbish = tmp_path / "cache" / "runtimes" / f".building-{folder_name(made.available()[OURS])}-old"
    rubbish.mkdir(parents=True)
    program = await made.prepare(OURS)
    assert [path for path in program.runtime_dir.parent.iterdir() if path.is_dir()] == [program.runtime_dir]


async def test_a_program_that_was_removed_is_built_again(tmp_path: Path) -> None:
    """The cache may be cleaned while the server runs. Under another name: sandboxes of the one before still look there."""
    installer = FakeInstaller()
    server = await programs(tmp_path, installer)
    seen = set()
    for _ in range(3):
        made = await asyncio.gather(*(server.prepare(OURS) for _ in range(3)))
        assert len(set(made)) == 1
        assert (made[0].runtime_dir / "bootstrap.py").is_file()
        seen.add(made[0].runtime_dir)
        shutil.rmtree(tmp_path / "cache")
    assert (len(seen), installer.calls) == (3, 3)


async def test_a_cancelled_build_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    """Neither a folder nor a lock stays behind."""
    installer = FakeInstaller(hold=asyncio.Event())
    made = await programs(tmp_path, installer)
    task = asyncio.create_task(made.prepare(OURS))
    await installer.started.wait()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not [path for path in (tmp_path / "cache" / "runtimes").iterdir() if path.is_dir()]
    installer.hold = None
    assert (await made.prepare(OURS)).runtime_dir.is_dir()


@pytest.mark.parametrize(
    "installer, reason",
    [
        (FakeInstaller(failure="The index cannot be reached."), "The index cannot be reached."),
        (FakeInstaller(module="raise RuntimeError('too new')\n"), "the installed boto3 does not run: .*too new"),
    ],
)
async def test_without_its_sdk_a_program_runs_and_says_so(tmp_path: Path, installer: FakeInstaller, reason: str) -> None:
    """Functions run, `problems` has a sentence, nothing of the failed installation is in the folder."""
    made = await programs(tmp_path, installer)
    program = await made.prepare(OURS)
    assert (program.runtime_dir / "bootstrap.py").is_file()
    assert not (program.runtime_dir / "boto3").exists()
    assert re.fullmatch(rf"{OURS} has no AWS SDK \(import boto3 fails\): {reason}.*", made.problems()[OURS])


async def test_a_missing_sdk_is_fetched_later(tmp_path: Path) -> None:
    """Not before the retry is due; then in the background, while the poorer program goes on being used."""
    installer, clock = FakeInstaller(failure="offline"), Clock()
    made = await programs(tmp_path, installer, clock)
    poor = await made.prepare(OURS)
    installer.failure = None
    clock.now = 59
    assert await made.prepare(OURS) == poor
    assert installer.calls == 1
    clock.now = 60
    installer.started.clear()
    assert await made.prepare(OURS) == poor
    await installer.started.wait()
    await asyncio.gather(*made._retries.values())
    rich = await made.prepare(OURS)
    assert (rich.runtime_dir / "boto3").is_dir()
    assert made.problems() == {}
    await made.close()


async def test_a_new_client_needs_no_new_sdk(tmp_path: Path) -> None:
    """What was fetched before is what a new version of lambdad takes, offline too; its own files do not get into that."""
    await (await programs(tmp_path, FakeInstaller())).prepare(OURS)
    shutil.rmtree(tmp_path / "cache/runtimes")  # as if it had another name
    made = await programs(tmp_path, FakeInstaller(failure="offline"))
    program = await made.prepare(OURS)
    assert made.problems() == {}
    assert (program.runtime_dir / "boto3/__init__.py").read_text() == "version = 1\n"
    (fetched,) = (tmp_path / "cache/sdks").glob("python*")
    assert (fetched / "bootstrap.py").read_text() == "hostile = True\n"
    assert (program.runtime_dir / "bootstrap.py").read_text() != "hostile = True\n"
    assert (fetched / "boto3/__init__.py").samefile(program.runtime_dir / "boto3/__init__.py"), "it is there once"


async def test_where_files_cannot_be_linked_they_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not every file system can."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    program = await (await programs(tmp_path, FakeInstaller())).prepare(OURS)
    assert (program.runtime_dir / "boto3/__init__.py").stat().st_nlink == 1


async def test_close_gives_up_a_retry(tmp_path: Path) -> None:
    """Closing ends what is fetched in the background."""
    installer, clock = FakeInstaller(failure="offline"), Clock()
    made = await programs(tmp_path, installer, clock)
    await made.prepare(OURS)
    clock.now, installer.hold = 60, asyncio.Event()
    installer.started.clear()
    await made.prepare(OURS)
    await installer.started.wait()
    await made.close()
    assert all(task.cancelled() for task in made._retries.values())


async def test_a_runtime_without_an_interpreter_is_one_sentence(tmp_path: Path) -> None:
    """Unknown names and missing Pythons are our fault or the machine's, and said so."""
    made = await programs(tmp_path, FakeInstaller())
    with pytest.raises(SandboxError, match=r"^There is no interpreter for python3\.5 on this machine\.$"):
        await made.prepare("python3.5")


async def test_an_unusable_interpreter_is_a_problem_and_not_available(tmp_path: Path) -> None:
    """The reason found when it was tried is what a caller and the health page get."""
    made = await programs(tmp_path, FakeInstaller())
    made._found = {OURS: replace(made.available()[OURS], problem="It was built without ctypes.")}
    assert made.available() == {}
    assert made.problems() == {OURS: "It was built without ctypes."}
    with pytest.raises(SandboxError, match="without ctypes"):
        await made.prepare(OURS)


async def test_a_substitute_runs_what_has_no_interpreter_and_keeps_its_name(tmp_path: Path) -> None:
    """Only as the settings say, and never in the place of an interpreter that is there."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / OURS).symlink_to(sys.executable)
    finder = InterpreterFinder(PYTHON.lookup, Places([tmp_path / "bin"]), tmp_path / "interpreters.json")
    substitutes = {"python2.7": OURS, OURS: "python3.9", "python3.6": "python3.7"}
    made = RuntimePrograms(tmp_path / "cache", finder, FakeInstaller(), substitutes=substitutes)
    await made.open()
    program = await made.prepare("python2.7")
    assert (program.name, program.interpreter) == ("python2.7", made.available()[OURS].executable)
    assert made.available()[OURS].runtime == OURS
    assert "python3.6" not in made.available()


@pytest.mark.parametrize(
    "name, other",
    [
        ("ruby9", "python3.8"),
        ("nodejs14.x", "python3.8"),
        ("provided", "provided.al2"),
        ("ruby3.1", "ruby3.3"),
        ("ruby3.2", "ruby9"),
    ],
)
def test_a_substitute_is_of_the_same_language(name: str, other: str) -> None:
    """Anything else is refused when the server starts. It may be of no identifier, as Debian 12's Ruby is."""
    with pytest.raises(StartupError, match=f"{other} cannot stand in for {name}"):
        check_substitutes({name: other})
    check_substitutes({"nodejs14.x": "nodejs16.x", "ruby3.2": "ruby3.1"})


def test_a_folders_name_changes_with_the_interpreter() -> None:
    """Another patch release may have other bytecode, so it gets a folder of its own."""
    one = Interpreter(OURS, (3, 11, 1), True, Path("/x"), Path("/"))
    assert folder_name(one) == folder_name(replace(one, executable=Path("/y")))
    assert folder_name(one) != folder_name(replace(one, version=(3, 11, 2)))


@pytest.mark.slow
@pytest.mark.parametrize(
    "runtime", [pytest.param(name, marks=pytest.mark.runtime(name)) for name in ("python2.7", "python3.8")]
)
async def test_the_real_sdk_is_installed_and_imported(tmp_path: Path, runtime: str) -> None:
    """pip fetches boto3 for another Python, which then makes a client with nothing but the folder on its path."""
    finder = InterpreterFinder(PYTHON.lookup, Places.usual(os.environ, Path.home()), tmp_path / "interpreters.json")
    made = RuntimePrograms(tmp_path / "cache", finder)
    await made.open()
    if runtime not in made.available():
        pytest.skip(f"no interpreter for {runtime}")
    program = await made.prepare(runtime)
    if problem := made.problems().get(runtime):
        pytest.skip(f"the package index cannot be used: {problem}")
    script = (
        f"import sys; sys.path.insert(0, {str(program.runtime_dir)!r}); import boto3, pkg_resources\n"
        "boto3.client('s3', region_name='us-east-1', aws_access_key_id='a', aws_secret_access_key='b')"
    )
    subprocess.run([program.interpreter, "-E", "-s", "-S", "-W", "ignore", "-c", script], check=True, timeout=60)


async def test_versions_of_runtimes(tmp_path: Path) -> None:
    """A runtime that is there has a version, the same at each start, that another client or interpreter changes; what is not
    there has none."""
    made = await programs(tmp_path, FakeInstaller())
    version = made.version(OURS)
    assert version is not None
    assert version.name.endswith(f".v{sys.version_info[2]}")
    again = await programs(tmp_path, FakeInstaller())
    assert again.version(OURS) == version
    interpreter = made.available()[OURS]
    major, minor, micro = interpreter.version
    assert version_of(OURS, replace(interpreter, version=(major, minor, micro + 1))).digest != version.digest
    assert made.version("provided.al2023") != made.version("provided.al2")
    assert made.version("python2.6") is None
