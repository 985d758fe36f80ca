"""Packages of .NET functions for tests: compiled once with an SDK, run by any .NET from 2.1 on."""

from __future__ import annotations

import asyncio
import functools
import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from lambdad.runtimes.dotnet.dll import Compiler, find_compiler
from support.server import CACHE_DIR

SOURCES = Path(__file__).parent / "dotnet"
SDK = CACHE_DIR.parent / "dotnet-sdk"  #: where `make test-tools` puts it
_HOLDERS: list[tempfile.TemporaryDirectory[str]] = []


@functools.cache
def compiler() -> Compiler:
    found = asyncio.run(find_compiler(CACHE_DIR, SDK))
    if found is None:
        pytest.skip("no .NET SDK to compile functions with (make test-tools)")
    return found


@functools.cache
def libraries() -> Path:
    """A folder with what functions are compiled against, and have beside them: Amazon.Lambda.Core and a serializer."""
    folder = made_folder("libraries")
    core = folder / "Amazon.Lambda.Core.dll"
    compiler().compile(sorted((SOURCES / "core").glob("*.cs")), core)
    compiler().compile(sorted((SOURCES / "serializer").glob("*.cs")), folder / "Example.Json.dll", references=[core])
    return folder


def package(name: str, sources: Sequence[Path], *options: str, version: str = "3.1.0") -> Path:
    """A folder as `dotnet publish` makes one, for that version of the runtime or a later patch of it."""
    folder = made_folder(name)
    for file in libraries().iterdir():
        shutil.copy(file, folder)
    compiler().compile(sources, folder / f"{name}.dll", *options, references=sorted(libraries().iterdir()))
    describe(folder, name, version)
    return folder


def describe(folder: Path, name: str, version: str) -> None:
    """The two files from which the runtime learns what the package needs, and which assemblies are in it."""
    framework = {"name": "Microsoft.NETCore.App", "version": version}
    (folder / f"{name}.runtimeconfig.json").write_text(json.dumps({"runtimeOptions": {"framework": framework}}))
    target = f".NETCoreApp,Version=v{version.rpartition('.')[0]}"
    names = [file.stem for file in folder.glob("*.dll")]
    entries = {f"{one}/1.0.0": {"runtime": {f"{one}.dll": {}}} for one in names}
    kinds = {f"{one}/1.0.0": {"type": "project", "serviceable": False, "sha512": ""} for one in names}
    deps = {"runtimeTarget": {"name": target, "signature": ""}, "targets": {target: entries}, "libraries": kinds}
    (folder / f"{name}.deps.json").write_text(json.dumps(deps))


def made_folder(name: str) -> Path:
    """It goes with the test process."""
    holder = tempfile.TemporaryDirectory(prefix=f"lambdad-dotnet-{name}-")
    _HOLDERS.append(holder)
    return Path(holder.name)
