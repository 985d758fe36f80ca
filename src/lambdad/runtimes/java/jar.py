"""Builds client/client.jar from source/: `make java-client`, with a JDK of the release that the jar names.

The jar is kept beside its sources, since a Java runtime has no compiler: docs/decisions/0014-java-client.md. The same sources
and compiler give the same bytes.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
import zipfile
from pathlib import Path

FOLDER = Path(__file__).parent
SOURCE = FOLDER / "source"
JAR = FOLDER / "client" / "client.jar"
RELEASE = "8"  #: the oldest Java that is to run it
_DATE = (1980, 1, 1, 0, 0, 0)


def sources() -> list[Path]:
    return sorted(SOURCE.rglob("*.java"))


def digest() -> str:
    """Of all sources; the jar's manifest has the one that it was made from."""
    total = hashlib.sha256()
    for file in sources():
        total.update(file.relative_to(SOURCE).as_posix().encode() + b"\0" + file.read_bytes() + b"\0")
    return total.hexdigest()


def manifest(jar: Path) -> dict[str, str]:
    with zipfile.ZipFile(jar) as archive:
        lines = archive.read("META-INF/MANIFEST.MF").decode().splitlines()
    return dict(line.split(": ", 1) for line in lines if line)


def javac_release(javac: str) -> str:
    """ "17" of a compiler that calls itself javac 17.0.15."""
    said = subprocess.run([javac, "-version"], check=True, capture_output=True, text=True)
    found = re.search(r"javac (\d+)", said.stdout + said.stderr)
    assert found is not None, said
    return found[1]


def build(javac: str, target: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        options = ["-proc:none", "-implicit:none", "-Xlint:all,-options,-serial", "-Werror", "-encoding", "UTF-8"]
        command = [javac, "--release", RELEASE, *options, "-d", folder, *map(str, sources())]
        subprocess.run(command, check=True)
        classes = {_entry(file.relative_to(folder)): file.read_bytes() for file in sorted(Path(folder).rglob("*.class"))}
    head = f"Manifest-Version: 1.0\nSources-Digest: {digest()}\nCompiler-Release: {javac_release(javac)}\n"
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:  # compression differs between versions of zlib
        for name, data in [("META-INF/MANIFEST.MF", head.encode()), *classes.items()]:
            entry = zipfile.ZipInfo(name, _DATE)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, data)


def _entry(file: Path) -> str:
    """Classes of `rehearsed` are for the rehearsal alone, under a name by which no class loader finds them."""
    return file.as_posix() if file.parent.name != "rehearsed" else file.with_suffix(".rehearsal").as_posix()


if __name__ == "__main__":
    found = shutil.which("javac")
    if found is None:
        raise SystemExit("There is no javac on PATH (Debian: apt-get install openjdk-17-jdk-headless).")
    build(found, JAR)
