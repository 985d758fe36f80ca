"""Pythons of Debian's releases, in a folder of their own that is laid out as one that was built there."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from lambdad.runtimes.debian import DebianSource, launch_script, put_script
from lambdad.runtimes.install import CommandError, InstallError
from lambdad.runtimes.python.compile import compile_folder

#: Identifier to release, suites and megabytes. Debian 11's loader cannot tell a program another name, Debian 12's can.
_RELEASES = {
    "python2.7": ("Debian 11", ("bullseye", "bookworm"), 26),
    "python3.9": ("Debian 11", ("bullseye", "bookworm"), 20),
    "python3.11": ("Debian 12", ("bookworm",), 17),
    "python3.13": ("Debian 13", ("trixie",), 16),
    "python3.14": ("Debian testing", ("forky",), 17),
    "python3.15": ("Debian sid", ("sid",), 17),
}
#: Within lib/pythonX.Y: tests, and what Debian says and does about its own packages.
_UNUSED = ("test", "EXTERNALLY-MANAGED", "sitecustomize.py")


def sources(runtime: str) -> Sequence[DebianSource]:
    if runtime not in _RELEASES:
        return ()
    finish = partial(_compile, name=runtime)
    return [DebianSource(runtime, *_RELEASES[runtime], partial(arrange, name=runtime), finish)]


def arrange(tree: Path, name: str) -> None:
    """bin/ and lib/ at the top, so that Python finds its library beside the script in the place of the program, which it takes
    for itself."""
    _merge(tree / "usr/lib", tree / "lib")
    _merge(tree / "usr/bin", tree / "bin")
    program = tree / "bin" / name
    program.rename(program.with_name(f"{name}.bin"))
    put_script(program, launch_script(f"bin/{name}.bin", says_its_name=True))
    for link in ("python", f"python{name[len('python')]}"):
        (tree / "bin" / link).symlink_to(name)
    for other in [path for path in tree.iterdir() if path.name not in ("bin", "lib")]:
        shutil.rmtree(other)
    shutil.rmtree(tree / "lib/python3", ignore_errors=True)  # packages of Debian's
    for unused in (tree / "lib" / name / each for each in _UNUSED):
        if unused.is_dir():
            shutil.rmtree(unused)
        else:
            unused.unlink(missing_ok=True)


def _merge(source: Path, target: Path) -> None:
    """Moves what is in one folder into another, which may have folders of the same names."""
    target.mkdir(exist_ok=True)
    for path in source.iterdir():
        place = target / path.name
        if place.is_dir() and path.is_dir() and not path.is_symlink():
            _merge(path, place)
        else:
            path.rename(place)


async def _compile(tree: Path, name: str) -> None:
    """Debian does it when a package is installed."""
    version = tuple(map(int, name.removeprefix("python").split(".")))
    try:
        await compile_folder(tree / "bin" / name, version, tree / "lib" / name)
    except (CommandError, TimeoutError, OSError) as error:
        raise InstallError(f"the {name} of Debian does not run here: {error}") from error
