from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from lambdad.runtimes.java.jar import JAR, build, digest, javac_release, manifest


def test_the_jar_was_made_from_the_sources_beside_it() -> None:
    """Whoever changes a source has to build the jar again (`make java-client`)."""
    assert manifest(JAR)["Sources-Digest"] == digest()


def test_the_jar_is_what_its_compiler_makes_of_the_sources(tmp_path: Path) -> None:
    """Byte for byte, so that nothing is in it that nobody can read."""
    javac = shutil.which("javac")
    release = manifest(JAR)["Compiler-Release"]
    if javac is None or javac_release(javac) != release:
        pytest.skip(f"no javac {release} on PATH")
    build(javac, tmp_path / "client.jar")
    assert (tmp_path / "client.jar").read_bytes() == JAR.read_bytes()
