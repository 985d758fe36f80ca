from __future__ import annotations

import shutil
import struct
from pathlib import Path

import pytest

from lambdad.runtimes.java.family import LIBRARY_MACHINES
from lambdad.runtimes.java.native_library import build, compiler, digest, library, made_of, tools

#: By a machine's name in Java: its number in ELF.
ELF_MACHINES = {"amd64": 62, "aarch64": 183}


@pytest.mark.parametrize("machine", LIBRARY_MACHINES)
def test_each_library_was_made_from_the_source_beside_it(machine: str) -> None:
    """For that machine. Whoever changes the source has to build them again (`make java-client`)."""
    assert made_of(library(machine))[0] == digest()
    head = library(machine).read_bytes()[:20]
    assert head[:5] == b"\x7fELF\x02"
    assert struct.unpack("<H", head[18:]) == (ELF_MACHINES[machine],)


@pytest.mark.parametrize("machine", LIBRARY_MACHINES)
def test_each_library_is_what_its_compiler_makes_of_the_source(machine: str, tmp_path: Path) -> None:
    """Byte for byte, so that nothing is in it that nobody can read."""
    gcc, javac = compiler(machine), shutil.which("javac")
    wanted = made_of(library(machine))[1]
    if gcc is None or javac is None or tools(gcc) != wanted:
        pytest.skip(f"no javac, or no {LIBRARY_MACHINES[machine]}-linux-gnu-gcc on PATH with {wanted}")
    build(gcc, javac, tmp_path / "library.so")
    assert (tmp_path / "library.so").read_bytes() == library(machine).read_bytes()
