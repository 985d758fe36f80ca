"""What a sandbox runs: a language installation together with its runtime client."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec


class StartCommand(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The command line of a runtime that is no Python, with paths as they are inside.

    In arguments `{memory:80}` stands for 80 per cent of the function's memory in MB, and `{memory_kb:80}` for the same in KB;
    `{memory_kb:80:1024}` leaves at least 1024 KB.
    """

    #: The first of these that is an executable file is run. `{python}` is the Python that lambdad brings along.
    programs: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    honours_wrapper: bool = False  #: AWS_LAMBDA_EXEC_WRAPPER is run in its place, with the command line as arguments
    #: Of the command of a container image, which is taken word by word: where it is run. Its program is searched in PATH.
    folder: str | None = None


@dataclass(frozen=True, slots=True)
class RuntimeProgram:
    """The language installation and runtime client that a sandbox runs.

    A runtime that is a Python is imported by the zygote, which is that Python. Any other has a `start`; the zygote is then
    lambdad's own Python, which is not /var/lang, and each fork becomes that command.
    """

    name: str  #: "python3.8"; sandboxes of one name may share a zygote
    interpreter: Path  #: the Python of the zygote, executable on this machine
    language_root: Path  #: the language's prefix, seen inside as /var/lang, but for one in /usr, which is seen as it is
    runtime_dir: Path  #: runtime client and SDK, seen inside as /var/runtime; has bootstrap.py, or what `start` names
    start: StartCommand | None = None
    python_root: Path | None = None  #: prefix of `interpreter` where that is not `language_root`
    #: All files of a container image, seen in the place of the machine's, of `runtime_dir` and of `language_root`.
    image_root: Path | None = None
