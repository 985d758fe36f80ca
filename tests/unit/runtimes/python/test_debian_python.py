"""A Python of Debian's packages, laid out as one that was built where it lies."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from lambdad.runtimes.python.debian_python import arrange, sources
from lambdad.runtimes.python.family import FAMILY, read_answer


def test_debian_has_some_of_awss_pythons() -> None:
    """Each a source with its release; nothing is offered for the others."""
    found = {name: [source.name for source in sources(name)] for name in FAMILY.runtimes}
    assert {name: names for name, names in found.items() if names} == {
        "python2.7": ["package python2.7 of Debian 11"],
        "python3.9": ["package python3.9 of Debian 11"],
        "python3.11": ["package python3.11 of Debian 12"],
        "python3.13": ["package python3.13 of Debian 13"],
        "python3.14": ["package python3.14 of Debian testing"],
        "python3.15": ["package python3.15 of Debian sid"],
    }


@pytest.mark.parametrize("libraries", ["lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu"])
def test_the_program_gives_way_to_a_script_beside_its_library(tmp_path: Path, libraries: str) -> None:
    """In bin/, with lib/ next to it; what belongs to Debian's own packages is left out."""
    names = ("os.py", "test/x.py", "EXTERNALLY-MANAGED")
    for name in (
        "usr/bin/python3.9",
        f"{libraries}/libc.so.6",
        "usr/share/x",
        *(f"usr/lib/python3.9/{name}" for name in names),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "usr/lib/python3/dist-packages").mkdir(parents=True)
    (tmp_path / "usr/lib/python3.9/sitecustomize.py").symlink_to("/etc/python3.9/sitecustomize.py")
    arrange(tmp_path, "python3.9")
    files = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if not path.is_dir()}
    programs = {"bin/python", "bin/python3", "bin/python3.9", "bin/python3.9.bin"}
    assert files == {*programs, f"{libraries.removeprefix('usr/')}/libc.so.6", "lib/python3.9/os.py"}
    assert (tmp_path / "bin/python").resolve().read_text().startswith("#!/bin/sh\n")
    assert {path.name for path in tmp_path.iterdir()} == {"bin", "lib"}


@pytest.mark.long
@pytest.mark.parametrize("name", ["python2.7", "python3.9", "python3.14"])
async def test_a_real_python_of_debian_runs_wherever_it_lies(name: str, tmp_path: Path) -> None:
    """Fetched by the machine's mirror, moved, and asked for what needs libraries of its own. It takes itself for the script,
    which starts it again from a link, and its library is compiled."""
    (source,) = sources(name)
    if source.problem() is not None:
        pytest.skip(str(source.problem()))
    await source.fetch(tmp_path / "made", lambda line: None)
    (tmp_path / "made").rename(tmp_path / "moved")
    program = tmp_path / "moved/bin" / name
    assert FAMILY.lookup is not None
    found = read_answer(subprocess.run([program, *FAMILY.lookup.probe], capture_output=True, text=True, check=True).stdout)
    assert found is not None
    assert (found.runtime, found.executable, found.language_root, found.problem) == (name, program, tmp_path / "moved", None)
    code = (
        "import json, ssl, sqlite3, lzma, ctypes, hashlib, os, subprocess, sys;"
        if name != "python2.7"
        else "import json, ssl, sqlite3, ctypes, hashlib, os, subprocess, sys;"
    ) + "print(subprocess.check_output([sys.executable, '-c', 'import json, sys; print(json.dumps(sys.prefix))']).decode())"
    link = tmp_path / "moved/bin/python"
    said = subprocess.run([link, "-c", code], capture_output=True, text=True, check=True, cwd="/").stdout
    assert json.loads(said) == str(tmp_path / "moved")
    library = tmp_path / "moved/lib" / name
    assert list(library.glob("os.pyc")) or list(library.glob("__pycache__/os.*.pyc"))
