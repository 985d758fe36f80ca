from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest

from lambdad.runtimes.dotnet import dll
from lambdad.runtimes.dotnet.dll import DLL, build, digest
from lambdad.runtimes.install import Progress
from support.dotnet_function import compiler


def test_the_dll_was_made_from_the_sources_beside_it() -> None:
    """Whoever changes a source has to build the DLL again (`make dotnet-client`)."""
    assert digest().encode() in DLL.read_bytes()


def test_the_dll_is_what_its_compiler_makes_of_the_sources(tmp_path: Path) -> None:
    """Byte for byte, so that nothing is in it that nobody can read."""
    build(compiler(), tmp_path / DLL.name)
    assert (tmp_path / DLL.name).read_bytes() == DLL.read_bytes()


def test_what_is_wrong_with_the_sources_is_said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """In the compiler's own words, which it writes to its standard output."""

    async def found(cache_dir: Path, sdk: Path) -> dll.Compiler:
        return dll.Compiler(tmp_path, tmp_path, sdk)

    def refuse(compiler: dll.Compiler, target: Path) -> None:
        raise subprocess.CalledProcessError(1, ["csc"], output="Main.cs(1,1): error CS1002: ; expected\n")

    monkeypatch.setattr(dll, "get_compiler", found)
    monkeypatch.setattr(dll, "build", refuse)
    with pytest.raises(SystemExit, match=r"Main\.cs\(1,1\): error CS1002"):
        dll.main(tmp_path, tmp_path, "build")


async def test_several_builds_at_once_share_what_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where there is nothing yet, one of them fetches, and the others wait for it; nothing half made is left."""
    fetches: list[Path] = []

    class Source:
        async def fetch(self, target: Path, progress: Progress) -> None:
            fetches.append(target)
            target.mkdir()
            await asyncio.sleep(0)

    async def found(cache_dir: Path, sdk: Path) -> dll.Compiler:
        assert sdk.is_dir()
        return dll.Compiler(tmp_path, tmp_path, sdk)

    monkeypatch.setattr(dll, "SDK", Source())
    monkeypatch.setattr(dll, "find_compiler", found)
    sdk = tmp_path / "cache" / "sdk"
    made = await asyncio.gather(*(dll.get_compiler(tmp_path, sdk) for _ in range(3)))
    assert len(fetches) == 1
    assert {compiler.sdk for compiler in made} == {sdk}
    assert sorted(path.name for path in sdk.parent.iterdir()) == [".sdk.lock", "sdk"]
