"""What a family of runtimes is: the identifiers of one language, how its interpreters are found, and how it is started.

A family is a folder beside this file, of one shape: `family.py` with a `FAMILY`, and `client/` with what becomes /var/runtime.
A row in `families.py` adds it; nothing else names it.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lambdad.model.runtime_program import StartCommand
from lambdad.runtimes.find import Interpreter, Lookup
from lambdad.runtimes.sdk import Sdk
from lambdad.runtimes.source import Source


async def _nothing(interpreter: Interpreter, content: Path) -> None:
    """The folder is right as it is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    name: str  #: its folder's: "node"
    language: str  #: as one says it: "Node.js"
    runtimes: tuple[str, ...]  #: AWS's identifiers that it can run
    #: Interpreters that are of no identifier of AWS's, but may stand in for one of these where the settings say so.
    stand_ins: tuple[str, ...] = ()
    #: Folder whose files become /var/runtime; None where that is to be empty.
    client: Path | None
    #: Single files of other families' clients that come beside.
    shared: tuple[Path, ...] = ()
    #: How interpreters are found; None if nothing of the language has to be on the machine.
    lookup: Lookup | None
    #: The runtime is a Python and its client's `bootstrap.py` is imported by a zygote of it; otherwise there is a `start`.
    is_python: bool = False
    #: The command line that serves the Runtime API, with paths as they are inside. It finds the API by AWS_LAMBDA_RUNTIME_API.
    start: Callable[[Interpreter], StartCommand] | None = None
    #: Of an interpreter that can be booted before there is a function: the names of the variables that it reads once, when
    #: it starts. What its client has to do for that: see `zygote_program.pre_boot`.
    start_names: Callable[[], re.Pattern[str] | None] = lambda: None
    #: Variables of this runtime which a function may replace (NODE_PATH), besides those of all.
    variables: Callable[[str], Mapping[str, str]] = lambda runtime: {}
    #: PATH and LD_LIBRARY_PATH begin with those of /var/lang.
    has_language_paths: bool = True
    #: The client writes messages in frames to the descriptor _LAMBDA_TELEMETRY_LOG_FD names; else each line is a message.
    has_frames: bool = True
    #: It also gets AWS_ACCESS_KEY and AWS_SECRET_KEY.
    has_old_key_names: bool = False
    #: The AWS SDK that it brings along.
    sdk: Callable[[str], Sdk | None] = lambda runtime: None
    #: Where an interpreter for this runtime can be fetched from, the best first, for `lambdad runtime install`.
    sources: Callable[[str], Sequence[Source]] = lambda runtime: ()
    #: What else to do about a runtime that is not there, in a sentence.
    advice: Callable[[str], str] = lambda runtime: f"install what {runtime} needs, with its program on the PATH of lambdad"
    #: Finishes a copy of `client` for one interpreter: compiles it, say. SandboxError where that cannot be done.
    finish: Callable[[Interpreter, Path], Awaitable[None]] = _nothing


def inside(interpreter: Interpreter) -> str:
    """Where an interpreter is inside a sandbox: below /var/lang, or where the machine has it if that is in /usr."""
    if interpreter.language_root.is_relative_to("/usr"):
        return str(interpreter.executable)
    return f"/var/lang/{interpreter.executable.relative_to(interpreter.language_root)}"
