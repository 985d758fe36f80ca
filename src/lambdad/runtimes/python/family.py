"""Python 2.7 to 3.15: interpreters on this machine, whose zygotes import the runtime client in `client/`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from lambdad.errors import SandboxError
from lambdad.runtimes.family import Family
from lambdad.runtimes.find import Interpreter, Lookup
from lambdad.runtimes.install import CommandError
from lambdad.runtimes.python.compile import compile_folder
from lambdad.runtimes.python.debian_python import sources
from lambdad.runtimes.python.sdk import sdk

RUNTIMES = ("python2.7", *(f"python3.{minor}" for minor in range(6, 16)))
CLIENT = Path(__file__).parent / "client"

#: Runs on every Python. A virtual environment answers with the installation behind it, whose files a sandbox can mount.
_PROBE = """
import json, platform, sys
try:
    import ctypes
    has_ctypes = True
except ImportError:
    has_ctypes = False
prefix = getattr(sys, "real_prefix", None) or getattr(sys, "base_prefix", None) or sys.prefix
print(json.dumps({
    "version": list(sys.version_info[:3]), "level": sys.version_info[3], "prefix": prefix, "executable": sys.executable,
    "implementation": platform.python_implementation(), "has_ctypes": has_ctypes,
}))
"""


def variables(runtime: str) -> Mapping[str, str]:
    number = tuple(map(int, runtime.removeprefix("python").split(".")))
    found = {} if number == (3, 7) else {"PYTHONPATH": "/var/runtime"}
    if number >= (3, 12):
        found["LC_CTYPE"] = "C.UTF-8"
    return found


def read_answers(path: Path, output: str) -> Sequence[Interpreter]:
    interpreter = read_answer(output)
    return [] if interpreter is None else [interpreter]


def read_answer(answer: str) -> Interpreter | None:
    """The interpreter of a probe's answer; None if it is no CPython or the answer makes no sense."""
    try:
        told = json.loads(answer)
        major, minor, micro = (int(part) for part in told["version"])
        prefix, executable = Path(told["prefix"]), Path(told["executable"])
    except (ValueError, KeyError, TypeError):
        return None
    if told.get("implementation") != "CPython":
        return None
    name = f"python{major}.{minor}"
    base = prefix / "bin" / name
    problem = (
        None if told.get("has_ctypes") else f"{executable} was built without ctypes, which lambdad needs to isolate functions."
    )
    return Interpreter(
        runtime=name,
        version=(major, minor, micro),
        is_final=told.get("level") == "final",
        executable=(base if base.is_file() else executable).resolve(),
        language_root=prefix.resolve(),
        problem=problem,
    )


async def compile_tree(interpreter: Interpreter, content: Path) -> None:
    """Sandboxes see the folder read-only, so its bytecode has to be there."""
    try:
        await compile_folder(interpreter.executable, interpreter.version, content)
    except (CommandError, TimeoutError, OSError) as error:
        raise SandboxError(f"The runtime client cannot be compiled for {interpreter.runtime}: {error}") from error


FAMILY = Family(
    name="python",
    language="Python",
    runtimes=RUNTIMES,
    client=CLIENT,
    lookup=Lookup(re.compile(r"python(2\.7|3\.\d+)"), ("-E", "-s", "-c", _PROBE), read_answers),
    is_python=True,
    variables=variables,
    sdk=sdk,
    sources=sources,
    advice=lambda runtime: f"install Python {runtime.removeprefix('python')} with pyenv, uv or the system's packages",
    finish=compile_tree,
)
