"""What a family has to say for the cases of `runtime_cases`: its functions, what is peculiar to them, and what it has not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lambdad.runtimes.find import Interpreter
from support.runtime_cases import Case

Write = Callable[[str, Path, Interpreter], str]


@dataclass(frozen=True)
class Functions:
    """The same behaviour by the same names in one language.

    `write` puts the function of one of `names` (`Case.source`) into a folder, built if it has to be, and returns its handler.
    `write_shared`, if there is one, does so with a function that does what the one does whose name is the qualifier of the ARN
    that it is invoked by; it saves a process for each case that could do without.

    `expected` is what comes of a case, by its name, where it differs from the case's own; `dashes` are the cases that the
    language has nothing for, each with the reason and with the suite that holds what it has instead. In both a function stands
    for what differs between runtimes; it gets the identifier.
    """

    names: Collection[str]
    write: Write
    expected: Mapping[str, Any] = field(default_factory=dict)
    dashes: Mapping[str, str | Callable[[str], str | None]] = field(default_factory=dict)
    write_shared: Callable[[Path, Interpreter], str] | None = None

    def expectation(self, case: Case, runtime: str) -> Any:
        value = self.expected.get(case.name, case.expected)
        return value(runtime) if callable(value) else value

    def dash(self, case: Case, runtime: str) -> str | None:
        """Why there is nothing for the case."""
        reason = self.dashes.get(case.name)
        return reason(runtime) if callable(reason) else reason


Source = str | tuple[str, str]  #: a text, perhaps with its handler where that is not app.handler


def of_sources(sources: Mapping[str, Source], ending: str, shared: Source, **more: Any) -> Functions:
    """Of a language whose source is the package: app.py is the text that belongs to a name. `shared` is the text that finds
    the others as case_NAME.py beside it."""

    def write(name: str, folder: Path, interpreter: Interpreter) -> str:
        return _write(sources[name], folder / f"app.{ending}")

    def write_shared(folder: Path, interpreter: Interpreter) -> str:
        for name, source in sources.items():
            _write(source, folder / f"case_{name}.{ending}")
        return _write(shared, folder / f"app.{ending}")

    return Functions(sources.keys(), write, write_shared=write_shared, **more)


def _write(source: Source, file: Path) -> str:
    text, handler = (source, "app.handler") if isinstance(source, str) else source
    file.write_text(text, encoding="utf-8")
    return handler
