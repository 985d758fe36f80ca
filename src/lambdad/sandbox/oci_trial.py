"""Whether an OCI runtime can do here what will be asked of it: it makes one sandbox, in which a program runs and ends."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from lambdad.errors import SandboxError, StartupError
from lambdad.sandbox.oci_container import Container, Workshop
from lambdad.sandbox.oci_runtime import Program
from lambdad.sandbox.records import Program as RuntimeProgram
from lambdad.sandbox.records import Start

_WORD = b"it runs"
_MEMORY_MB, _TMP_MB = 128, 1
_NUMBER = -1  # no other sandbox has it


async def try_out(workshop: Workshop, folder: Path, uid: int, runtime: Program) -> None:
    """In the empty `folder`. StartupError with the reason."""
    (folder / "bootstrap.py").write_text(f"import os\nos.write(1, {_WORD!r})\n")
    container = Container(workshop, _start(folder), _NUMBER, uid)
    try:
        try:
            await container.make()
            await _run_program(container)
        finally:
            left = await container.unmake()
    except SandboxError as error:
        raise StartupError(f"no sandbox can be made with {runtime.path} ({runtime.name} {runtime.version}): {error}") from error
    if left is not None:
        raise StartupError(f"{runtime.path} ({runtime.name} {runtime.version}) leaves something of a sandbox: {left}")


def _start(folder: Path) -> Start:
    root = Path(sys.base_prefix).resolve()
    interpreter = root / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    executable = interpreter if interpreter.is_file() else Path(sys.executable)
    program = RuntimeProgram("trial", os.fspath(executable.resolve()), os.fspath(root), os.fspath(folder))
    return Start("trial", program, os.fspath(folder), None, _MEMORY_MB, _TMP_MB)


async def _run_program(container: Container) -> None:
    reader, writer = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        answer = await container.ask({"do": "runtime", "number": 1, "environment": {}}, writer)
        if answer != {"done": 1}:
            raise SandboxError(f"a program could not be started inside: {answer.get('reason', answer)}")
        end = await container.hear()
        said = os.read(reader, len(_WORD))
    except BlockingIOError as error:
        raise SandboxError("the output of a program inside does not arrive") from error
    finally:
        os.close(reader)
        os.close(writer)
    if (end, said) != ({"ended": 1, "code": 0, "signal": None}, _WORD):
        raise SandboxError(f"a program inside ended with {end}")
