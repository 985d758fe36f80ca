"""The languages that lambdad has installed itself, in its cache: what can be had, and getting it.

`languages/RUNTIME` is a link to the folder of the newest installation. Sandboxes have the folder itself mounted, so another
installation has to be another folder, and what it replaces has to stay for as long as a server may run something from it: see
`held_languages.py`.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lambdad.runtimes.built_folder import open_to_all
from lambdad.runtimes.families import FAMILY_OF
from lambdad.runtimes.file_lock import file_lock
from lambdad.runtimes.find import Interpreter, InterpreterFinder, Places
from lambdad.runtimes.held_languages import remove_unless_held
from lambdad.runtimes.install import InstallError, Progress
from lambdad.runtimes.source import Source


def languages_dir(cache_dir: Path) -> Path:
    return cache_dir / "languages"


@dataclass(frozen=True, slots=True)
class Standing:
    """What a runtime needs of this machine, and whether it is there."""

    runtime: str
    state: str  #: "ready", "installable" or "missing"
    detail: str  #: where it is, where it comes from, or what to do


def standings(found: Mapping[str, Interpreter], substitutes: Mapping[str, str]) -> list[Standing]:
    """Of all runtimes that lambdad can run, in the order of their families."""
    return [_standing(runtime, found, substitutes) for runtime in FAMILY_OF]


def _standing(runtime: str, found: Mapping[str, Interpreter], substitutes: Mapping[str, str]) -> Standing:
    if FAMILY_OF[runtime].lookup is None:
        return Standing(runtime, "ready", "needs nothing of a language")
    interpreter = found.get(runtime)
    if interpreter is not None and interpreter.problem is None:
        return Standing(runtime, "ready", f"{_number(interpreter)} at {interpreter.executable}")
    substitute = substitutes.get(runtime)
    if substitute is not None and substitute in found and found[substitute].problem is None:
        return Standing(runtime, "ready", f"by {substitute}, as the settings say: {found[substitute].executable}")
    source = usable_source(runtime)
    if source is not None:
        return Standing(
            runtime, "installable", f"lambdad runtime install {runtime} ({source.name}, about {source.megabytes} MB)"
        )
    return Standing(runtime, "missing", (interpreter and interpreter.problem) or advice(runtime))


def _number(interpreter: Interpreter) -> str:
    return ".".join(map(str, interpreter.version))


def usable_source(runtime: str) -> Source | None:
    """The first that this machine has all for."""
    return next(iter(_usable_sources(runtime)), None)


def _usable_sources(runtime: str) -> list[Source]:
    return [source for source in FAMILY_OF[runtime].sources(runtime) if source.problem() is None]


def advice(runtime: str) -> str:
    """What to do about a runtime that is not there, in a sentence."""
    family = FAMILY_OF[runtime]
    if usable_source(runtime) is not None:
        return f"Install it with: lambdad runtime install {runtime}"
    problems = [f"{source.name}: {source.problem()}" for source in family.sources(runtime)]
    return "; ".join([*problems, family.advice(runtime)])


async def install(runtime: str, cache_dir: Path, progress: Progress) -> Interpreter:
    """Gets the language, tries it, and puts it in place, whole or not at all. Where one source fails the next is tried;
    InstallError says why none could."""
    sources = _usable_sources(runtime)
    if not sources:
        raise InstallError(advice(runtime))
    folder = languages_dir(cache_dir).absolute()  # programs in it are run, and links lead to it
    folder.mkdir(parents=True, exist_ok=True)
    problems: list[str] = []
    async with file_lock(folder / f".{runtime}.lock"):
        await asyncio.to_thread(_clear_away, folder, runtime)
        for source in sources:
            try:
                return await _install_from(source, runtime, folder, progress)
            except InstallError as error:
                problems.append(str(error))
                progress(str(error))
    raise InstallError("; ".join(problems))


async def _install_from(source: Source, runtime: str, folder: Path, progress: Progress) -> Interpreter:
    building = Path(tempfile.mkdtemp(prefix=f".building-{runtime}-", dir=folder))
    try:
        await source.fetch(building / "content", progress)
        await asyncio.to_thread(open_to_all, building / "content")
        await _try(runtime, building, source)
        await asyncio.to_thread(_publish, building, folder / runtime)
    finally:
        await asyncio.to_thread(shutil.rmtree, building, ignore_errors=True)
    return await _find(runtime, folder / runtime, folder)


async def _try(runtime: str, building: Path, source: Source) -> None:
    try:
        interpreter = await _find(runtime, building / "content", building)
    except InstallError as error:
        raise InstallError(f"what the {source.name} holds does not run here as {runtime}") from error
    if interpreter.problem is not None:
        raise InstallError(interpreter.problem)


async def _find(runtime: str, root: Path, folder: Path) -> Interpreter:
    lookup = FAMILY_OF[runtime].lookup
    assert lookup is not None
    with tempfile.TemporaryDirectory(dir=folder, prefix=f".building-{runtime}-") as empty:
        found = await InterpreterFinder(lookup, Places([root / "bin"]), Path(empty) / "none.json").find()
    if runtime not in found:
        raise InstallError(f"there is no {FAMILY_OF[runtime].language} for {runtime} in {root}")
    return found[runtime]


def _clear_away(folder: Path, runtime: str) -> None:
    """What killed installations have left, and what others have replaced, unless a server holds it."""
    standing = (folder / runtime).resolve().parent
    for pattern in (f".building-{runtime}-*", f".installed-{runtime}-*"):
        for rubbish in folder.glob(pattern):
            if rubbish.resolve() != standing:
                remove_unless_held(rubbish)


def _publish(building: Path, place: Path) -> None:
    """In one step. What runs from an older one goes on: its files stay until an installation finds it held no more."""
    building.chmod(0o755)
    home = building.with_name(building.name.replace(".building-", ".installed-", 1))
    building.rename(home)
    (home / "link").symlink_to(Path(home.name, "content"))  # as seen from where it will be
    os.sync()
    if place.is_dir() and not place.is_symlink():  # earlier versions put the folder itself there
        place.rename(home / "old")
    (home / "link").replace(place)
