"""Builds client/clibrary-*.so from source/lambdad/runtime/CLibrary.c: `make java-client`, with a C compiler for each machine.

They are kept beside the jar, for the same reason: docs/decisions/0014-java-client.md. The same source and compiler give the
same bytes.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

from lambdad.runtimes.java.family import CLIENT, LIBRARY_MACHINES
from lambdad.runtimes.java.jar import SOURCE

C_SOURCE = SOURCE / "lambdad/runtime/CLibrary.c"
#: What it calls is found, when it is loaded, in the C library that the virtual machine uses, whichever that is.
_OPTIONS = (
    *("-std=gnu11", "-Os", "-fPIC", "-shared", "-nostdlib", "-fvisibility=hidden", "-fno-stack-protector"),
    *("-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror", "-s"),
    *("-Wl,--build-id=none", "-Wl,--hash-style=gnu", "-Wl,-z,now", "-Wl,-z,norelro", "-Wl,-z,noexecstack"),
    "-Wl,-z,noseparate-code",
)
_MADE_OF = re.compile(rb"source ([0-9a-f]{64}), (gcc [\d.]+, ld [\d.]+)\0")


def library(machine: str) -> Path:
    """For a machine as Java calls it. A process loads it from /var/runtime: CLibrary.java."""
    return CLIENT / f"clibrary-{machine}.so"


def digest() -> str:
    return hashlib.sha256(C_SOURCE.read_bytes()).hexdigest()


def made_of(file: Path) -> tuple[str, str]:
    """The digest of the source that a library was made from, and by which tools."""
    found = _MADE_OF.search(file.read_bytes())
    assert found is not None, file
    return found[1].decode(), found[2].decode()


def compiler(machine: str) -> str | None:
    """On PATH."""
    return shutil.which(f"{LIBRARY_MACHINES[machine]}-linux-gnu-gcc")


def tools(gcc: str) -> str:
    """ "gcc 12.2.0, ld 2.40": on both the bytes depend."""
    version = subprocess.run([gcc, "-dumpfullversion"], check=True, capture_output=True, text=True).stdout.strip()
    linker = subprocess.run([gcc, "-Wl,--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"(\d+(?:\.\d+)+)$", linker.splitlines()[0])
    assert found is not None, linker
    return f"gcc {version}, ld {found[1]}"


def build(gcc: str, javac: str, target: Path) -> None:
    """`javac`, of a JDK, has the header of Java's interface for C beside it."""
    headers = Path(javac).resolve().parents[1] / "include"
    mark = f'-DMADE_OF="source {digest()}, {tools(gcc)}"'
    includes = (f"-I{headers}", f"-I{headers / 'linux'}")
    subprocess.run([gcc, *_OPTIONS, mark, *includes, "-o", str(target), str(C_SOURCE)], check=True)
    target.chmod(0o644)


if __name__ == "__main__":
    javac = shutil.which("javac")
    if javac is None:
        raise SystemExit("There is no javac on PATH (Debian: apt-get install openjdk-17-jdk-headless).")
    for machine, name in LIBRARY_MACHINES.items():
        gcc = compiler(machine)
        if gcc is None:
            package = f"gcc-{name.replace('_', '-')}-linux-gnu"
            raise SystemExit(f"There is no {name}-linux-gnu-gcc on PATH (Debian: apt-get install {package}).")
        build(gcc, javac, library(machine))
