"""Builds client/Lambdad.Runtime.dll from source/: `make dotnet-client`.

The DLL is kept beside its sources, since a .NET runtime has no compiler: docs/decisions/0019-dotnet-client.md. The same sources
and compiler give the same bytes. It is compiled against .NET Core 2.1: later ones run what was made for that.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lambdad.runtimes.built_folder import building
from lambdad.runtimes.dotnet.dotnet_source import SDK_MEGABYTES, SDKS
from lambdad.runtimes.dotnet.family import FAMILY
from lambdad.runtimes.find import Places
from lambdad.runtimes.install import InstallError
from lambdad.runtimes.languages import install
from lambdad.runtimes.programs import finder_for
from lambdad.runtimes.source import NpmSource

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "source"
INTERFACE = FOLDER / "interface"
DLL = FOLDER / "client" / "Lambdad.Runtime.dll"
SDK = NpmSource(SDKS["dotnetcore2.1"], SDK_MEGABYTES)
#: Runs the compiler: the SDK's own runtime is from before .NET knew OpenSSL 1.1.
RUNNERS = ("dotnetcore3.1", "dotnetcore2.1")
_COMPILE_SECONDS = 120


def sources() -> list[Path]:
    return sorted([*SOURCE.glob("*.cs"), *INTERFACE.glob("*.cs")])


def digest() -> str:
    """Of all sources; the DLL holds the one that it was made from."""
    total = hashlib.sha256()
    for file in sources():
        total.update(file.relative_to(FOLDER).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()


@dataclass(frozen=True)
class Compiler:
    dotnet: Path
    libraries: Path  #: with OpenSSL
    sdk: Path

    def compile(self, files: Sequence[Path], target: Path, *options: str, references: Sequence[Path] = ()) -> None:
        """`target` is a library unless the options say otherwise. CalledProcessError has what the compiler said."""
        compiler = next(self.sdk.glob("sdk/*/Roslyn/bincore/csc.dll"))
        framework = next(self.sdk.glob("shared/Microsoft.NETCore.App/*"))
        known = [*framework.glob("System*.dll"), framework / "Microsoft.Win32.Primitives.dll", framework / "netstandard.dll"]
        command = [
            *(str(self.dotnet), "exec", "--roll-forward-on-no-candidate-fx", "2", str(compiler)),
            *("-nologo", "-nostdlib", "-deterministic", "-optimize", "-langversion:7.3", "-target:library", f"-out:{target}"),
            *(f"-reference:{file}" for file in [*sorted(known), *references]),
            *options,
            *map(str, files),
        ]
        variables = {"LD_LIBRARY_PATH": str(self.libraries), "DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}
        environment = {**os.environ, **variables}
        subprocess.run(command, check=True, env=environment, timeout=_COMPILE_SECONDS, stdout=subprocess.PIPE, text=True)


async def find_compiler(cache_dir: Path, sdk: Path) -> Compiler | None:
    """Of what is there already."""
    found = await finder_for([FAMILY], Places([]), cache_dir).find()
    runner = next((found[name] for name in RUNNERS if name in found), None)
    if runner is None or not sdk.is_dir():
        return None
    return Compiler(runner.executable, runner.language_root / "lib", sdk)


async def get_compiler(cache_dir: Path, sdk: Path) -> Compiler:
    """Fetches what is not there yet, once however many ask."""
    async with building(sdk.parent, sdk.name) as content:
        if not sdk.is_dir():
            await SDK.fetch(content, print)
            content.rename(sdk)
        return await _installed_compiler(cache_dir, sdk)


async def _installed_compiler(cache_dir: Path, sdk: Path) -> Compiler:
    compiler = await find_compiler(cache_dir, sdk)
    if compiler is None:
        await install(RUNNERS[0], cache_dir, print)
        compiler = await find_compiler(cache_dir, sdk)
    assert compiler is not None
    return compiler


def build(compiler: Compiler, target: Path) -> None:
    """The name of `target` is in it, so that is to be that of `DLL`."""
    with tempfile.TemporaryDirectory() as folder:
        core, made_from, made = (Path(folder, name) for name in ("Amazon.Lambda.Core.dll", "Digest.cs", target.name))
        made_from.write_text(f'[assembly: System.Reflection.AssemblyMetadata("Sources-Digest", "{digest()}")]\n')
        compiler.compile(sorted(INTERFACE.glob("*.cs")), core)
        strict = ("-target:exe", "-warn:4", "-warnaserror")
        compiler.compile([*sorted(SOURCE.glob("*.cs")), made_from], made, *strict, references=[core])
        target.write_bytes(made.read_bytes())


def main(cache_dir: Path, sdk: Path, command: str) -> None:
    """`command` is "build", or "fetch" for what a build needs alone."""
    try:
        compiler = asyncio.run(get_compiler(cache_dir, sdk))
        if command == "build":
            build(compiler, DLL)
    except InstallError as error:
        raise SystemExit(f"{error}.") from error
    except subprocess.CalledProcessError as error:  # what is wrong with the sources is on the compiler's standard output
        raise SystemExit(error.stdout) from error


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute(), sys.argv[3])
