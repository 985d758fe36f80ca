"""Interpreters from Debian's archive: packages and what they need, fetched with apt and laid into a folder of their own.

Nothing of the machine's own packages, lists or settings is touched: apt runs on folders of its own, as whatever user. The
mirror is the machine's. What is fetched brings its own C library and is run with that (see `launch_script`), so that it depends
on nothing of the machine's, whose release may be older.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lambdad.runtimes.install import CommandError, InstallError, Progress, run

FETCH_SECONDS = 600.0
UNPACK_SECONDS = 120.0
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_SETTINGS = Path("/etc/apt")
#: Needed by what is needed, but only where Debian is installed as a system.
_SYSTEMS = frozenset({"ca-certificates", "debconf", "dpkg", "install-info", "libc-bin", "openssl", "perl-base", "tar"})
#: Of no use to a program: half of what there is.
_USELESS = ("usr/share/doc", "usr/share/man", "usr/share/lintian", "usr/share/locale", "usr/share/ri", "usr/share/bug")


@dataclass(frozen=True, slots=True)
class DebianSource:
    """`arrange` makes the packages' tree into a language's, with its interpreter in bin/."""

    package: str  #: "ruby2.7"
    release: str  #: "Debian 11", for people
    suite: str  #: "bullseye"
    megabytes: int
    arrange: Callable[[Path], None]

    @property
    def name(self) -> str:
        return f"package {self.package} of {self.release}"

    def problem(self) -> str | None:
        missing = [program for program in ("apt-get", "dpkg-deb") if shutil.which(program) is None]
        if missing:
            return f"Debian's packages are fetched with apt, and this machine has no {' or '.join(missing)}"
        if not _KEYRING.is_file():
            return "the key of Debian's archive is not here (Debian: apt-get install debian-archive-keyring)"
        return None

    async def fetch(self, target: Path, progress: Progress) -> None:
        with tempfile.TemporaryDirectory(prefix="lambdad-apt-") as folder:
            apt, variables = await _prepare(Path(folder), self.suite)
            await _run([*apt, "update"], FETCH_SECONDS, progress, variables)
            options = ("--yes", "--no-install-recommends", "--download-only")
            await _run([*apt, *options, "install", self.package], FETCH_SECONDS, progress, variables)
            for archive in sorted(Path(folder, "cache/archives").glob("*.deb")):
                if archive.name.partition("_")[0] not in _SYSTEMS:
                    await _run(["dpkg-deb", "--extract", str(archive), str(target)], UNPACK_SECONDS, progress)
        await asyncio.to_thread(_trim, target)
        try:
            await asyncio.to_thread(self.arrange, target)
        except OSError as error:
            raise InstallError(f"the {self.name} is not what it was expected to be: {error}") from error


def _trim(target: Path) -> None:
    for name in _USELESS:
        shutil.rmtree(target / name, ignore_errors=True)
    for folder in target.glob("usr/lib/*/gconv"):
        shutil.rmtree(folder)


async def _prepare(folder: Path, suite: str) -> tuple[list[str], dict[str, str]]:
    """The beginning of every apt command and what its environment has besides, with folders and settings of its own in
    `folder`."""
    for name in ("state/lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    (folder / "status").touch()
    mirror = await _mirror(folder)
    (folder / "sources.list").write_text(f"deb [signed-by={_KEYRING}] {mirror} {suite} main\n")
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
    }
    command = ["apt-get", "--quiet=2", *(f"-o{name}={value}" for name, value in options.items())]
    return command, settings_variables(folder)


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


async def _run(command: Sequence[str], seconds: float, progress: Progress, variables: Mapping[str, str] | None = None) -> None:
    try:
        await run(command, seconds, progress, variables=variables)
    except TimeoutError:
        raise InstallError(f"{command[0]} did not finish within {seconds:.0f} seconds") from None
    except (CommandError, OSError) as error:
        raise InstallError(f"{command[0]} failed: {error}") from error


def launch_script(program: str, library_variable: str, libraries: Sequence[str]) -> str:
    """A shell script for <tree>/bin or <tree>/usr/bin that runs `program`, a path within the tree, with the tree's own loader
    and C library, wherever the tree lies. `libraries`, paths within the tree, go behind what `library_variable` has."""
    paths = ":".join(f"$root/{path}" for path in libraries)
    return f"""#!/bin/sh
case $0 in
*/usr/bin/*) root=${{0%/usr/bin/*}} ;;
*) root=${{0%/bin/*}} ;;
esac
for loader in "$root"/lib/*/ld-linux*.so.? "$root"/usr/lib/*/ld-linux*.so.?; do [ -f "$loader" ] && break; done
machine=${{loader%/*}}
machine=${{machine##*/}}
own=$root/lib/$machine:$root/usr/lib/$machine
export {library_variable}="${{{library_variable}:+${library_variable}:}}{paths}"
exec "$loader" --library-path "$own${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}" "$root/{program}" "$@"
"""
