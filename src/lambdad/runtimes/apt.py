"""apt on lists, caches and settings of its own: packages of any release of Debian's, as whatever user, with nothing of the
machine's own touched. The mirror is the machine's; only what Debian's keys have signed is taken from it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lambdad.runtimes.install import CommandError, InstallError, Progress, run

FETCH_SECONDS = 600.0
UNPACK_SECONDS = 120.0
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SETTINGS = Path("/etc/apt")
#: Suites that get other packages several times a day.
_MOVING = frozenset({"forky", "sid", "experimental"})


def apt_problem() -> str | None:
    """What this machine lacks for it, in a sentence."""
    missing = [program for program in ("apt-get", "dpkg-deb") if shutil.which(program) is None]
    if missing:
        return f"Debian's packages are fetched with apt, and this machine has no {' or '.join(missing)}"
    if not _KEYRING.is_file():
        return "the key of Debian's archive is not here (Debian: apt-get install debian-archive-keyring)"
    return None


@dataclass(frozen=True, slots=True)
class Apt:
    """Works in `folder`, which is the caller's to remove."""

    folder: Path
    suites: tuple[str, ...]
    command: tuple[str, ...]  #: the beginning of every command
    variables: Mapping[str, str]  #: what its environment has besides

    @classmethod
    async def prepare(cls, folder: Path, suites: Sequence[str]) -> Apt:
        for name in ("state/lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        mirror = await _mirror(folder)
        lines = [f"deb [signed-by={_KEYRING}] {mirror} {suite} main\n" for suite in suites]
        (folder / "sources.list").write_text("".join(lines))
        options = {
            "Dir::Etc::SourceList": folder / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::Etc::Preferences": "/dev/null",
            "Dir::Etc::PreferencesParts": "/dev/null",
            "Dir::State": folder / "state",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder / "cache",
            "APT::Sandbox::User": "",
            "Acquire::Languages": "none",
            "APT::Update::Error-Mode": "any",  # by itself apt goes on without the lists, and then finds no such package
            # What the machine may have allowed for archives of its own.
            "Acquire::AllowInsecureRepositories": "false",
            "Acquire::AllowWeakRepositories": "false",
            "APT::Get::AllowUnauthenticated": "false",
        }
        command = ("apt-get", "--quiet=2", *(f"-o{name}={value}" for name, value in options.items()))
        return cls(folder, tuple(suites), command, settings_variables(folder))

    async def fetch(self, packages: Sequence[str], progress: Progress) -> None:
        """With all that they need. Lists and packages may be of two states of the archive, so it is tried twice."""
        options = ("--yes", "--no-install-recommends", "--download-only")
        await self._twice(("install", *options, *packages), progress)

    async def fetch_alone(self, packages: Sequence[str], progress: Progress) -> None:
        """Without what they need."""
        await self._twice(("download", *packages), progress)

    async def _twice(self, arguments: Sequence[str], progress: Progress) -> None:
        await self._run(("update",), progress)
        try:
            await self._run(arguments, progress)
        except InstallError:
            progress("Once more, with the archive's lists as they are now")
            await self._run(("update",), progress)
            await self._run(arguments, progress)

    async def _run(self, arguments: Sequence[str], progress: Progress) -> None:
        try:
            await _run([*self.command, *arguments], FETCH_SECONDS, progress, self.folder / "cache/archives", self.variables)
        except InstallError as error:
            raise InstallError(f"{error}{self._hint(str(error))}") from error

    def _hint(self, problem: str) -> str:
        if "NO_PUBKEY" in problem:
            return " (its keys are in a newer debian-archive-keyring than this machine's)"
        if "Unable to locate" in problem or "unmet" in problem or "held broken" in problem or "404" in problem:
            moving = [suite for suite in self.suites if suite in _MOVING]
            return f" (the packages of Debian's {' and '.join(moving)} change every day: try tomorrow)" if moving else ""
        return ""

    def fetched(self) -> list[Path]:
        return sorted((self.folder / "cache/archives").glob("*.deb"))

    async def unpack(self, archive: Path, target: Path, progress: Progress) -> None:
        target.mkdir(parents=True, exist_ok=True)
        await _run(["dpkg-deb", "--extract", str(archive), str(target)], UNPACK_SECONDS, progress)


def settings_variables(folder: Path) -> dict[str, str]:
    """The environment in which apt has the machine's settings, a proxy say, but does nothing after its work. apt reads its
    settings before its command line, so that only a file which this variable names can send it elsewhere."""
    parts, main = folder / "parts", _SETTINGS / "apt.conf"
    parts.mkdir()
    for file in sorted((_SETTINGS / "apt.conf.d").glob("*")):
        _copy_setting(file, parts / file.name)
    _copy_setting(main, parts / "zy-main")
    (parts / "zz-lambdad").write_text("#clear APT::Update;\n#clear DPkg;\n")
    (folder / "apt.conf").write_text(f'Dir::Etc::Parts "{parts}";\nDir::Etc::Main "/dev/null";\n')
    return {"APT_CONFIG": str(folder / "apt.conf")}


def _copy_setting(file: Path, copy: Path) -> None:
    if file.is_file() and os.access(file, os.R_OK):  # who may not read one runs apt without it, as ever
        shutil.copyfile(file, copy)


async def _mirror(folder: Path) -> str:
    """The address from which this machine gets Debian itself."""
    command = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(SUITE)", "Created-By: Packages", "Component: main"]
    lines: list[str] = []
    await _run(command, 60.0, lines.append)
    found = [line.split()[0] for line in lines if re.fullmatch(r"\S+/debian/? \S+", line)]
    if not found:
        raise InstallError("Debian's packages come from the mirror of this machine's apt, which uses none of Debian's")
    return found[0]


async def _run(
    command: Sequence[str],
    seconds: float,
    progress: Progress,
    folder: Path = Path("/"),
    variables: Mapping[str, str] | None = None,
) -> None:
    try:
        await run(command, seconds, progress, folder, variables)
    except TimeoutError:
        raise InstallError(f"{command[0]} did not finish within {seconds:.0f} seconds") from None
    except (CommandError, OSError) as error:
        raise InstallError(f"{command[0]} failed: {error}") from error
