"""Interpreters from Debian's archive: packages and what they need, fetched with apt and laid into a folder of their own.

Nothing of the machine's own packages, lists or settings is touched: see `apt.py`. What is fetched brings its own C library and
is run with that (see `launch_script`), so that it depends on nothing of the machine's, whose release may be older.
"""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lambdad.runtimes.apt import Apt, apt_problem
from lambdad.runtimes.install import InstallError, Progress

#: Needed by what is needed, but only where Debian is installed as a system.
_SYSTEMS = re.compile(r"debconf|dpkg|install-info|libc-bin|libpam-.*|(lib)?perl.*|openssl|sysvinit-utils|tar|util-linux")
#: Of no use to a program: half of what there is.
_USELESS = (
    *("usr/share/doc", "usr/share/man", "usr/share/lintian", "usr/share/locale", "usr/share/ri", "usr/share/bug"),
    *("usr/share/zoneinfo", "usr/share/fonts"),
)


async def _nothing(tree: Path) -> None:
    """The tree is right as it is."""


@dataclass(frozen=True, slots=True)
class DebianSource:
    """`arrange` makes the packages' tree into a language's, with its interpreter in bin/; OSError or ValueError where they are
    of another shape. `finish` runs that for what only it can make."""

    package: str  #: "ruby2.7"
    release: str  #: "Debian 11", for people
    suites: tuple[str, ...]  #: "bullseye", and others from which the newest of what it needs may come
    megabytes: int
    arrange: Callable[[Path], None]
    finish: Callable[[Path], Awaitable[None]] = _nothing

    @property
    def name(self) -> str:
        return f"package {self.package} of {self.release}"

    def problem(self) -> str | None:
        return apt_problem()

    async def fetch(self, target: Path, progress: Progress) -> None:
        with tempfile.TemporaryDirectory(prefix="apt-", dir=target.parent.absolute()) as folder:
            apt = await Apt.prepare(Path(folder), self.suites)
            await apt.fetch([self.package], progress)
            for archive in apt.fetched():
                if not _SYSTEMS.fullmatch(archive.name.partition("_")[0]):
                    await apt.unpack(archive, target, progress)
        await asyncio.to_thread(_trim, target)
        try:
            await asyncio.to_thread(self.arrange, target)
        except (OSError, ValueError) as error:
            raise InstallError(f"the {self.name} is not what it was expected to be: {error}") from error
        await self.finish(target)


def _trim(target: Path) -> None:
    for name in _USELESS:
        shutil.rmtree(target / name, ignore_errors=True)
    for folder in target.glob("usr/lib/*/gconv"):
        shutil.rmtree(folder)


def launch_script(
    program: str,
    library_variable: str = "",
    libraries: Sequence[str] = (),
    *,
    loader_folder: str = "",
    says_its_name: bool = False,
) -> str:
    """A shell script for <tree>/bin, <tree>/usr/bin or <tree>/lib that runs `program`, a path within the tree, with the tree's
    own loader and C library, wherever the tree lies. `libraries`, paths within the tree, go behind what `library_variable` has.

    `loader_folder` has a copy of the loader, for a program that looks for itself where /proc/self/exe is. With `says_its_name`
    the program takes the script for itself, which loaders before glibc 2.33 cannot bring about.
    """
    paths = ":".join(f"$_root/{path}" for path in libraries)
    export = f'export {library_variable}="${{{library_variable}:+${library_variable}:}}{paths}"\n' if library_variable else ""
    loader = f"$_root/{loader_folder}/${{_loader##*/}}" if loader_folder else "$_loader"
    name = '--argv0 "$0" ' if says_its_name else ""
    return f"""#!/bin/sh
_self=$0
[ -L "$_self" ] && _self=$(readlink -f "$_self")
case $_self in
*/usr/bin/*) _root=${{_self%/usr/bin/*}} ;;
*/bin/*) _root=${{_self%/bin/*}} ;;
*) _root=${{_self%/lib/*}} ;;
esac
for _loader in "$_root"/lib/*/ld-linux*.so.? "$_root"/usr/lib/*/ld-linux*.so.?; do [ -f "$_loader" ] && break; done
_machine=${{_loader%/*}}
_machine=${{_machine##*/}}
_own=$_root/lib/$_machine:$_root/usr/lib/$_machine
{export}exec "{loader}" --library-path "$_own${{LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}}" {name}"$_root/{program}" "$@"
"""


def put_script(place: Path, script: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(script)
    place.chmod(0o755)
