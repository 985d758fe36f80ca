"""The interpreters on this machine that can run functions: searched in the usual places and tried."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

PROBE_SECONDS = 15.0
_FORMAT = 1  #: of the cache file


@dataclass(frozen=True, slots=True)
class Interpreter:
    """One installation. `problem` says in a sentence why functions cannot use it; None if they can."""

    runtime: str  #: "python3.8", or "nodejs20.x"
    version: tuple[int, int, int]
    is_final: bool  #: not an alpha, beta or candidate
    executable: Path
    language_root: Path
    problem: str | None = None


def in_own_folder(runtime: str, version: tuple[int, int, int], is_final: bool, path: Path, program: str) -> Interpreter:
    """One that stands as NAME/bin/`program`; where it does not, no sandbox can be shown its folder alone."""
    executable = path.resolve()
    root = executable.parents[1]
    problem = None
    if executable.parent.name != "bin" or root in (Path("/"), Path.home()):
        problem = f"{executable} is not in a folder of its own (NAME/bin/{program}) that a sandbox could be shown."
    return Interpreter(runtime, version, is_final, executable, root, problem)


@dataclass(frozen=True, slots=True)
class Lookup:
    """How the interpreters of one language are recognized."""

    pattern: re.Pattern[str]  #: the name of the file
    probe: Sequence[str]  #: arguments with which it says of itself what `read` reads
    #: From where it was found and what it said to the interpreters that it is: several perhaps (dotnet), or none if it is
    #: something else.
    read: Callable[[Path, str], Sequence[Interpreter]]
    speaks_on_standard_error: bool = False  #: as `java -version` does


def own_interpreter(runtime: str) -> Interpreter:
    """The Python that runs the server, as what starts a runtime that needs no language of this machine."""
    major, minor, micro = sys.version_info[:3]
    root = Path(sys.base_prefix).resolve()
    executable = root / "bin" / f"python{major}.{minor}"
    if not executable.is_file():
        executable = Path(sys.executable)
    return Interpreter(runtime, (major, minor, micro), True, executable.resolve(), root)


@dataclass(frozen=True, slots=True)
class Places:
    """Where to look. `programs` are folders with "python3.8" in them; `installations` hold one folder per version."""

    programs: Sequence[Path]
    installations: Sequence[Path] = ()

    @classmethod
    def usual(cls, environment: Mapping[str, str], home: Path) -> Places:
        pyenv = [Path(root) for root in (environment.get("PYENV_ROOT"),) if root] + [home / ".pyenv"]
        uv = [Path(root) for root in (environment.get("UV_PYTHON_INSTALL_DIR"),) if root]
        uv.append(Path(environment.get("XDG_DATA_HOME") or home / ".local/share") / "uv/python")
        rbenv = Path(environment.get("RBENV_ROOT") or home / ".rbenv")
        asdf, mise = home / ".asdf", Path(environment.get("XDG_DATA_HOME") or home / ".local/share") / "mise"
        rubies = [rbenv / "versions", home / ".rvm/rubies", home / ".rubies", Path("/opt/rubies")]
        rubies += [asdf / "installs/ruby", mise / "installs/ruby"]
        # Shims are scripts that choose among the versions which are searched anyway.
        shims = {root / "shims" for root in (*pyenv, rbenv, asdf, mise)}
        path = [folder for folder in map(Path, environment.get("PATH", "").split(os.pathsep)) if folder.is_absolute()]
        programs = [folder for folder in path if folder not in shims] + [Path("/usr/local/bin"), Path("/usr/bin")]
        java = Path(environment.get("JAVA_HOME") or "-", "bin")
        programs += [java] if java.is_absolute() else []
        dotnet = Path(environment.get("DOTNET_ROOT") or "-")
        programs += [dotnet] if dotnet.is_absolute() else []
        programs += [home / ".dotnet", Path("/usr/share/dotnet"), Path("/usr/lib/dotnet"), Path("/usr/lib64/dotnet")]
        nvm = Path(environment.get("NVM_DIR") or home / ".nvm") / "versions/node"
        others = [nvm, Path("/opt"), Path("/opt/python"), Path("/usr/lib/jvm")]
        return cls(programs, [*(root / "versions" for root in pyenv), *uv, *rubies, *others])

    def also(self, installations: Path) -> Places:
        return Places(self.programs, [*self.installations, installations])


class InterpreterFinder:
    """Finds interpreters in `places`. What was learned of an executable is kept in `cache_file` until it changes."""

    def __init__(self, lookup: Lookup, places: Places, cache_file: Path, probe_seconds: float = PROBE_SECONDS) -> None:
        self._lookup = lookup
        self._places = places
        self._cache_file = cache_file
        self._probe_seconds = probe_seconds

    async def find(self) -> dict[str, Interpreter]:
        """By runtime, the newest patch of each minor version; one that functions cannot use only if there is no other."""
        cache = self._read_cache()
        slots = asyncio.Semaphore(2)
        paths = candidates(self._places, self._lookup.pattern)
        results = await asyncio.gather(*(self._examine(path, cache, slots) for path in paths))
        kept = {key: answer for key, answer in results if answer is not None}
        if kept != cache:
            self._write_cache(kept)
        answers = [(path, answer) for path, (_, answer) in zip(paths, results, strict=True) if answer is not None]
        return choose([interpreter for path, answer in answers for interpreter in self._lookup.read(path, answer)])

    async def _examine(self, path: Path, cache: Mapping[str, str], slots: asyncio.Semaphore) -> tuple[str, str | None]:
        try:
            status = path.stat()
        except OSError:  # gone since it was seen: one is being installed in its place, say
            return str(path), None
        key = f"{path.resolve()}:{status.st_mtime_ns}:{status.st_size}"
        if key in cache:
            return key, cache[key]
        async with slots:
            return key, await self._probe(path)

    async def _probe(self, path: Path) -> str | None:
        """What the interpreter says of itself; None if it does not run. That is not remembered: it may be mended."""
        try:
            process = await asyncio.create_subprocess_exec(
                path,
                *self._lookup.probe,
                cwd="/",
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT if self._lookup.speaks_on_standard_error else asyncio.subprocess.DEVNULL,
            )
        except OSError:
            return None
        try:
            output, _ = await asyncio.wait_for(process.communicate(), self._probe_seconds)
        except TimeoutError:
            return None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        answer = output.decode("utf-8", "replace").strip()
        return answer if process.returncode == 0 and self._lookup.read(path, answer) else None

    def _read_cache(self) -> dict[str, str]:
        """Empty when there is none or it cannot be read: it is only a cache."""
        try:
            content = json.loads(self._cache_file.read_bytes())
            if content["format"] != _FORMAT:
                return {}
            return {str(key): str(answer) for key, answer in content["answers"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def _write_cache(self, answers: Mapping[str, str]) -> None:
        """Where that cannot be done, the next search takes as long as this one: a folder may be there to be read alone."""
        with contextlib.suppress(OSError):
            self._cache_file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".interpreters-", dir=self._cache_file.parent) as folder:
                written = Path(folder) / "answers.json"
                written.write_text(json.dumps({"format": _FORMAT, "answers": answers}))
                written.replace(self._cache_file)


def candidates(places: Places, pattern: re.Pattern[str]) -> list[Path]:
    """Executables with such a name, each once, links followed as far as the folder they are in."""
    found: dict[Path, Path] = {}
    for folder in [*places.programs, *_installed(places.installations)]:
        with contextlib.suppress(OSError):  # not there, not a folder, not ours to read
            for path in sorted(folder.iterdir()):
                if pattern.fullmatch(path.name) and path.is_file() and os.access(path, os.X_OK):
                    found.setdefault(path.resolve(), path)
    return list(found.values())


def _installed(roots: Sequence[Path]) -> Iterator[Path]:
    for root in roots:
        with contextlib.suppress(OSError):
            yield from (version / "bin" for version in sorted(root.iterdir()))


class Finder(Protocol):
    async def find(self) -> dict[str, Interpreter]:
        """By runtime."""
        ...


class Finders:
    """Of several languages, as one."""

    def __init__(self, finders: Sequence[InterpreterFinder]) -> None:
        self._finders = finders

    async def find(self) -> dict[str, Interpreter]:
        found = await asyncio.gather(*(finder.find() for finder in self._finders))
        return {runtime: interpreter for each in found for runtime, interpreter in each.items()}


def choose(interpreters: Sequence[Interpreter]) -> dict[str, Interpreter]:
    best: dict[str, Interpreter] = {}
    for one in interpreters:
        other = best.get(one.runtime)
        if other is None or _rank(one) > _rank(other):
            best[one.runtime] = one
    return best


def _rank(interpreter: Interpreter) -> tuple[bool, bool, tuple[int, int, int]]:
    return interpreter.problem is None, interpreter.is_final, interpreter.version
