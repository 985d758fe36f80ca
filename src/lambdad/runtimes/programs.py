"""Makes what a sandbox runs: for each runtime a folder with its runtime client and AWS SDK, built once and kept."""

from __future__ import annotations

import asyncio
import hashlib
import json
import platform
import shutil
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lambdad.errors import SandboxError, StartupError
from lambdad.model.runtime_program import RuntimeProgram
from lambdad.model.runtime_version import RuntimeVersion, runtime_version
from lambdad.runtimes.built_folder import building, publish
from lambdad.runtimes.families import FAMILY_OF
from lambdad.runtimes.family import Family
from lambdad.runtimes.find import Finder, Finders, Interpreter, InterpreterFinder, Places, own_interpreter
from lambdad.runtimes.held_languages import HeldLanguages
from lambdad.runtimes.install import Installer, InstallError, Progress, installed_packages
from lambdad.runtimes.languages import advice, languages_dir
from lambdad.runtimes.sdk import Sdk
from lambdad.runtimes.sdk_store import SdkStore

RETRY_SECONDS = 600.0  #: between two tries to fetch an SDK
_FORMAT = "2"  #: goes into a folder's name; a new one makes all folders anew
_MANIFEST = "lambdad-runtime.json"


class RuntimePrograms:
    """Folders are made under `cache_dir`/runtimes, whole or not at all; several servers may share them."""

    def __init__(
        self,
        cache_dir: Path,
        finder: Finder,
        installer: Installer | None = None,
        progress: Progress = lambda line: None,
        monotonic: Callable[[], float] = time.monotonic,
        retry_seconds: float = RETRY_SECONDS,
        substitutes: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = cache_dir / "runtimes"
        self._languages = languages_dir(cache_dir)
        self._held = HeldLanguages(self._languages)
        self._looked_at: int | None = None  #: the date of that folder when interpreters were looked for
        self._looking = asyncio.Lock()
        self._substitutes = substitutes or {}
        self._finder = finder
        self._sdks = SdkStore(cache_dir / "sdks", installer)
        self._progress = progress
        self._monotonic = monotonic
        self._retry_seconds = retry_seconds
        self._found: dict[str, Interpreter] = {}
        self._versions: dict[str, RuntimeVersion] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._ready: dict[str, RuntimeProgram] = {}
        self._removals: Counter[str] = Counter()  #: by an interpreter's runtime, how often its folder was gone
        self._without_sdk: dict[str, str] = {}
        self._tried_at: dict[str, float] = {}
        self._retries: dict[str, asyncio.Task[None]] = {}

    async def open(self) -> None:
        """Looks for interpreters; `available` is empty before. StartupError where nothing can be kept."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StartupError(
                f"The cache folder {self._folder.parent} cannot be written: {error.strerror}; choose another with --cache-dir."
            ) from error
        async with self._looking:
            await self._look()

    async def look_again(self) -> None:
        """Finds what `lambdad runtime install` has put in place since."""
        if self._date() == self._looked_at:
            return
        async with self._looking:
            if self._date() != self._looked_at:
                await self._look()

    def _date(self) -> int | None:
        return self._languages.stat().st_mtime_ns if self._languages.is_dir() else None

    async def _look(self) -> None:
        date = self._date()
        before, found = self._found, await self._finder.find()
        self._looked_at = date  # not before the search has ended well
        for name, other in self._substitutes.items():
            if name not in found and other in found:
                found[name] = replace(found[other], runtime=name)
        self._found = {name: interpreter for name, interpreter in found.items() if name in FAMILY_OF}
        for name, family in FAMILY_OF.items():
            if family.lookup is None:
                self._found[name] = own_interpreter(family.runtimes[0])
        for name in [name for name in self._ready if self._found.get(name) != before.get(name)]:
            del self._ready[name]
        self._versions = {name: version_of(name, interpreter) for name, interpreter in self.available().items()}

    async def close(self) -> None:
        """Gives up what is being fetched in the background, and the languages that were held."""
        tasks = list(self._retries.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._held.close()

    def available(self) -> dict[str, Interpreter]:
        """The usable interpreters by runtime."""
        return {name: interpreter for name, interpreter in self._found.items() if interpreter.problem is None}

    def version(self, runtime: str) -> RuntimeVersion | None:
        """As it was found when interpreters were looked for last; None where functions cannot run it."""
        return self._versions.get(runtime)

    def problems(self) -> dict[str, str]:
        """By runtime, a sentence on what is amiss with it."""
        unusable = {name: interpreter.problem for name, interpreter in self._found.items() if interpreter.problem}
        return {**unusable, **self._without_sdk}

    async def prepare(self, runtime: str) -> RuntimeProgram:
        """The program of a runtime, built if it is not there yet. SandboxError when there is no interpreter for it.

        Where the SDK cannot be had the program comes without it, `problems` says so, and it is tried again in the
        background from time to time; the next call after a success gets the complete program. A language that was installed
        anew is the one from then on; what it replaced stays as long as this server may run something from it. A program that
        somebody has removed from the cache is built again.
        """
        await self.look_again()
        interpreter = self.available().get(runtime)
        if interpreter is None:
            raise SandboxError(self._why_missing(runtime))
        self._hold(interpreter)
        self._forget_if_removed(runtime, interpreter)
        if runtime not in self._ready:
            async with self._locks.setdefault(runtime, asyncio.Lock()):
                if runtime not in self._ready:
                    self._ready[runtime] = await self._build(interpreter)
        if runtime in self._without_sdk:
            self._retry_later(interpreter)
        return self._ready[runtime]

    def _hold(self, interpreter: Interpreter) -> None:
        try:
            self._held.hold(interpreter.language_root)
        except OSError as error:
            raise SandboxError(f"{interpreter.runtime} has just been installed again; it is found at the next try.") from error

    def _forget_if_removed(self, runtime: str, interpreter: Interpreter) -> None:
        program = self._ready.get(runtime)
        if program is not None and not (program.runtime_dir / _MANIFEST).is_file():
            del self._ready[runtime]
            self._removals[interpreter.runtime] += (
                1  # into the name of the next: sandboxes hold on to the folder of the one before
            )

    def _why_missing(self, runtime: str) -> str:
        known = self._found.get(runtime)
        if known is not None and known.problem is not None:
            return known.problem
        way = f" {advice(runtime)}" if runtime in FAMILY_OF else ""
        return f"There is no interpreter for {runtime} on this machine.{way}"

    def _retry_later(self, interpreter: Interpreter) -> None:
        runtime = interpreter.runtime
        running = self._retries.get(runtime)
        if (running is None or running.done()) and self._monotonic() - self._tried_at[runtime] >= self._retry_seconds:
            self._retries[runtime] = asyncio.create_task(self._retry(interpreter))

    async def _retry(self, interpreter: Interpreter) -> None:
        async with self._locks[interpreter.runtime]:
            self._ready[interpreter.runtime] = await self._build(interpreter)

    async def _build(self, interpreter: Interpreter) -> RuntimeProgram:
        runtime = interpreter.runtime
        removals = self._removals[runtime]
        name = f"{folder_name(interpreter)}+{removals}" if removals else folder_name(interpreter)
        folder = self._folder / name
        if not folder.is_dir():
            async with building(self._folder, name) as content:
                if not folder.is_dir():
                    folder = await self._fill(interpreter, name, content)
        if folder.name == name:
            self._without_sdk.pop(runtime, None)
        return program_of(interpreter, folder)

    async def _fill(self, interpreter: Interpreter, name: str, content: Path) -> Path:
        sdk = sdk_of(interpreter)
        if sdk is not None and not await self._lay_out_sdk(sdk, interpreter, content):
            name += "-without-sdk"
        if (self._folder / name).is_dir():
            return self._folder / name
        await asyncio.to_thread(copy_client, content, interpreter)
        self._progress(f"Compiling for {interpreter.runtime}")
        await family_of(interpreter).finish(interpreter, content)
        return await asyncio.to_thread(publish, content, self._folder / name)

    async def _lay_out_sdk(self, sdk: Sdk, interpreter: Interpreter, content: Path) -> bool:
        """False, and nothing in `content`, when it cannot be had."""
        runtime = interpreter.runtime
        self._tried_at[runtime] = self._monotonic()
        try:
            await self._sdks.lay_out(sdk, interpreter, content, self._progress)
        except InstallError as error:
            self._without_sdk[runtime] = f"{runtime} has no AWS SDK ({sdk.use} fails): {error}"
            self._progress(self._without_sdk[runtime])
            return False
        return True


def finder_for(families: Sequence[Family], places: Places, cache_dir: Path) -> Finders:
    """Finds what all of them run on."""
    return Finders(
        [
            InterpreterFinder(
                family.lookup, places.also(languages_dir(cache_dir)), cache_dir / f"interpreters-{family.name}.json"
            )
            for family in families
            if family.lookup is not None
        ]
    )


def check_substitutes(substitutes: Mapping[str, str]) -> None:
    """StartupError unless each is for a runtime of the same language that has interpreters."""
    for name, other in substitutes.items():
        family = FAMILY_OF.get(name)
        if family is None or family.lookup is None or other not in (*family.runtimes, *family.stand_ins):
            raise StartupError(
                f"{other} cannot stand in for {name}: both must be runtimes of one language that lambdad runs, such as"
                " nodejs14.x and nodejs16.x."
            )


def family_of(interpreter: Interpreter) -> Family:
    return FAMILY_OF[interpreter.runtime]


def sdk_of(interpreter: Interpreter) -> Sdk | None:
    return family_of(interpreter).sdk(interpreter.runtime)


def program_of(interpreter: Interpreter, folder: Path) -> RuntimeProgram:
    """What a sandbox runs, with the runtime client in `folder`."""
    family = family_of(interpreter)
    if family.start is None:
        return RuntimeProgram(interpreter.runtime, interpreter.executable, interpreter.language_root, folder)
    own = own_interpreter(interpreter.runtime)
    return RuntimeProgram(
        interpreter.runtime,
        own.executable,
        Path("/usr") if family.lookup is None else interpreter.language_root,
        folder,
        family.start(interpreter),
        own.language_root,
    )


def folder_name(interpreter: Interpreter) -> str:
    """Changes with everything that the folder is made from."""
    digest = hashlib.sha256()
    for name, file in client_files(interpreter.runtime).items():
        digest.update(name.encode() + b"\0" + file.read_bytes() + b"\0")
    sdk = sdk_of(interpreter)
    parts = (_FORMAT, *(sdk.requirements if sdk is not None else ()), ".".join(map(str, interpreter.version)))
    digest.update("\n".join(parts).encode())
    return f"{interpreter.runtime}-{digest.hexdigest()[:16]}"


def version_of(runtime: str, interpreter: Interpreter) -> RuntimeVersion:
    """The same for as long as neither the interpreter nor the client beside it changes."""
    made_from = f"{folder_name(interpreter)} {platform.machine()}"
    if FAMILY_OF[runtime].lookup is None:  # the interpreter is not the function's
        return runtime_version(runtime, made_from=made_from)
    return runtime_version(runtime, interpreter.version[2], made_from)


def client_files(runtime: str) -> dict[str, Path]:
    """What becomes /var/runtime by its name there, without what tools leave behind."""
    family = FAMILY_OF[runtime]
    if family.client is None:
        return {}
    files = {file.relative_to(family.client).as_posix(): file for file in family.client.rglob("*") if file.is_file()}
    files.update((file.name, file) for file in family.shared)
    return {name: files[name] for name in sorted(files) if "__pycache__" not in name}


def copy_client(content: Path, interpreter: Interpreter) -> None:
    """Ours last, so that no package can put its own in the place of a client's file."""
    content.mkdir(exist_ok=True)
    shutil.rmtree(content / "bin", ignore_errors=True)  # pip's console scripts name the server's interpreter
    for name, file in client_files(interpreter.runtime).items():
        copy = content / name
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.unlink(missing_ok=True)  # it may be a link to a file of the SDK
        shutil.copyfile(file, copy)
    manifest = {family_of(interpreter).name: ".".join(map(str, interpreter.version)), "packages": installed_packages(content)}
    (content / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
