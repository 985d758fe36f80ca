from __future__ import annotations

from pathlib import Path

from lambdad.runtimes.dotnet.dll import DLL, build, digest
from support.dotnet_function import compiler


def test_the_dll_was_made_from_the_sources_beside_it() -> None:
    """Whoever changes a source has to build the DLL again (`make dotnet-client`)."""
    assert digest().encode() in DLL.read_bytes()


def test_the_dll_is_what_its_compiler_makes_of_the_sources(tmp_path: Path) -> None:
    """Byte for byte, so that nothing is in it that nobody can read."""
    build(compiler(), tmp_path / DLL.name)
    assert (tmp_path / DLL.name).read_bytes() == DLL.read_bytes()
