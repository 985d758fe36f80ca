"""Packages of .NET functions for tests: compiled once with an SDK, run by any .NET from 2.1 on."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from lambdad.runtimes.dotnet.dll import Compiler, find_compiler
from support.server import CACHE_DIR

SOURCES = Path(__file__).parent / "dotnet"
SDK = CACHE_DIR.parent / "dotnet-sdk"  #: where `make test-tools` puts it
FRAMEWORK = "Microsoft.NETCore.App"
BUILT = CACHE_DIR.parent / "dotnet-functions"


@functools.cache
def compiler() -> Compiler:
    found = asyncio.run(find_compiler(CACHE_DIR, SDK))
    if found is None:
        pytest.skip("no .NET SDK to compile functions with (make test-tools)")
    return found


@functools.cache
def libraries() -> Path:
    """A folder with what functions are compiled against, and have beside them: Amazon.Lambda.Core and a serializer."""

    def make(folder: Path) -> None:
        core = folder / "Amazon.Lambda.Core.dll"
        compiler().compile(_of("core"), core)
        compiler().compile(_of("serializer"), folder / "Example.Json.dll", references=[core])

    return _made("libraries", [*_of("core"), *_of("serializer")], make)


@functools.cache
def example(kind: str = "functions") -> Path:
    """The package of a folder of `SOURCES`: Example.dll, or Plain.dll without any library, or Program.dll, or Web.dll."""
    name = {"functions": "Example", "plain": "Plain", "program": "Program", "aspnet": "Web"}[kind]
    options = ("-target:exe",) if kind == "program" else ()
    framework = "Microsoft.AspNetCore.App" if kind == "aspnet" else FRAMEWORK
    return package(name, _of(kind), *options, needs_libraries=kind == "functions", framework=framework)


def package(
    name: str, sources: Sequence[Path], *options: str, needs_libraries: bool = True, framework: str = FRAMEWORK
) -> Path:
    """A folder as `dotnet publish` makes one, for .NET Core 3.1."""

    def make(folder: Path) -> None:
        for file in libraries().iterdir() if needs_libraries else ():
            shutil.copy(file, folder)
        references = sorted(libraries().iterdir()) if needs_libraries else []
        if framework != FRAMEWORK:
            references += compiler().sdk.glob(f"shared/{framework}/*/Microsoft.AspNetCore.Http.Abstractions.dll")
        compiler().compile(sources, folder / f"{name}.dll", *options, references=references)
        describe(folder, name, "3.1.0", framework)

    return _made(name, [*sources, *_of("core"), *_of("serializer")], make)


def _of(kind: str) -> list[Path]:
    return sorted((SOURCES / kind).glob("*.cs"))


def _made(name: str, sources: Sequence[Path], make: Callable[[Path], None]) -> Path:
    """What `make` puts into a folder, kept for all runs of the tests until a source changes."""
    compiler()  # where there is none, tests are skipped
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in sources) + Path(__file__).read_bytes()).hexdigest()[:16]
    folder = BUILT / f"{name}-{digest}"
    if not folder.is_dir():
        BUILT.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(dir=BUILT, prefix=f".{name}-"))
        try:
            building.chmod(0o755)
            make(building)
            with contextlib.suppress(OSError):  # another process was first
                building.rename(folder)
        finally:
            shutil.rmtree(building, ignore_errors=True)
        assert folder.is_dir()
    return folder


def describe(folder: Path, name: str, version: str, framework: str = FRAMEWORK) -> None:
    """The two files from which the runtime learns what the package needs, and which assemblies are in it."""
    options = {"framework": {"name": framework, "version": version}}
    (folder / f"{name}.runtimeconfig.json").write_text(json.dumps({"runtimeOptions": options}))
    target = f".NETCoreApp,Version=v{version.rpartition('.')[0]}"
    names = [file.stem for file in folder.glob("*.dll")]
    entries = {f"{one}/1.0.0": {"runtime": {f"{one}.dll": {}}} for one in names}
    kinds = {f"{one}/1.0.0": {"type": "project", "serviceable": False, "sha512": ""} for one in names}
    deps = {"runtimeTarget": {"name": target, "signature": ""}, "targets": {target: entries}, "libraries": kinds}
    (folder / f"{name}.deps.json").write_text(json.dumps(deps))
