""".NET Core 2.1 to .NET 10: any `dotnet` with the runtime of that version, with the client that `source/` is compiled to.

One `dotnet` serves as many versions as there are beside it in shared/Microsoft.NETCore.App.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from lambdad.model.runtime_program import StartCommand
from lambdad.runtimes.dotnet.dotnet_source import sources
from lambdad.runtimes.family import Family, inside
from lambdad.runtimes.find import Interpreter, Lookup

CLIENT = Path(__file__).parent / "client"
RUNTIMES = ("dotnetcore2.1", "dotnetcore3.1", "dotnet6", "dotnet8", "dotnet10")
STAND_INS = ("dotnetcore2.2", "dotnetcore3.0", "dotnet5.0", "dotnet7", "dotnet9")
_OPENSSL = ("libssl.so.1.1", "libssl.so.1.0.2", "libssl.so.1.0.0", "libssl.so.10")
_LIBRARIES = ("lib", "lib64", "usr/lib", "usr/lib64", "usr/local/lib", "usr/lib/*-linux-gnu", "lib/*-linux-gnu")
_RUNTIME = re.compile(r"^Microsoft\.NETCore\.App (\d+)\.(\d+)\.(\d+)(-\S+)? \[", re.MULTILINE)


def read(path: Path, output: str) -> Sequence[Interpreter]:
    """One for each runtime of a version that has a name on AWS, or may stand in for such a one."""
    executable = path.resolve()
    root = executable.parents[1] if executable.parent.name == "bin" else executable.parent
    problem = None
    if root in (Path("/"), Path("/usr"), Path("/usr/local"), Path.home()):
        problem = f"{executable} is not in a folder of its own that a sandbox could be shown."
    found = []
    for major, minor, patch, candidate in _RUNTIME.findall(output):
        name = _name(int(major), int(minor))
        if name in RUNTIMES or name in STAND_INS:
            version = int(major), int(minor), int(patch)
            lacking = f"{executable} ends at the first hash without OpenSSL 1.1 (libssl.so.1.1), which is not here."
            is_lacking = version[0] < 5 and not _has_old_openssl(root)
            found.append(
                Interpreter(name, version, not candidate, executable, root, problem or (lacking if is_lacking else None))
            )
    return found


def _has_old_openssl(root: Path) -> bool:
    """.NET before 5 needs one. lambdad's own have it beside them; elsewhere than on Linux it is not looked for."""
    folders = [root / "lib", *(found for pattern in _LIBRARIES for found in Path("/").glob(pattern))]
    return sys.platform != "linux" or any((folder / name).exists() for folder in folders for name in _OPENSSL)


def _name(major: int, minor: int) -> str:
    """As AWS names them: with "core" up to 3.1, and the second number up to 5.0."""
    if major < 5:
        return f"dotnetcore{major}.{minor}"
    return f"dotnet{major}.{minor}" if (major, minor) == (5, 0) else f"dotnet{major}"


def start(interpreter: Interpreter) -> StartCommand:
    """Through a shell script, as on AWS: the function's own files name its dependencies and settings. It sees to a wrapper."""
    major, minor, _ = interpreter.version
    is_substitute = interpreter.runtime != _name(major, minor)
    return StartCommand(
        ("/bin/sh",),
        (
            "/var/runtime/bootstrap",
            inside(interpreter),
            str(major),
            interpreter.runtime,
            *(("substitute",) if is_substitute else ()),
        ),
    )


def advice(runtime: str) -> str:
    number = re.sub("dotnet(core)?", "", runtime)
    return f"put the .NET runtime {number} into ~/.dotnet or /usr/share/dotnet, or its dotnet on the PATH of lambdad"


FAMILY = Family(
    name="dotnet",
    language=".NET",
    runtimes=RUNTIMES,
    stand_ins=STAND_INS,
    client=CLIENT,
    lookup=Lookup(re.compile("dotnet"), ("--list-runtimes",), read),
    start=start,
    sources=sources,
    advice=advice,
)
