"""The diagrams of docs/reference/states.md, drawn from the tables that the code goes by."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from lambdad.model import event_state, execution_environment, extension_session, function, runtime_session
from lambdad.sandbox import shell

_INTRO = """\
Each thing that has states has one table of them in the code, one function that applies it, and no other way from one
state to the next. What a diagram does not show is refused, or is a fault of lambdad's.
"""


@dataclass(frozen=True, slots=True)
class Diagram:
    title: str
    text: str
    names: Mapping[str, str]  #: identifier -> what the state is called; the first one is where it begins
    meanings: Mapping[str, str]  #: identifier -> a sentence, where there is one
    steps: Iterable[tuple[str, str, str]]  #: from, to, because of what

    def markdown(self) -> str:
        steps = list(self.steps)
        lines = ["stateDiagram-v2", *(f'    state "{name}" as {key}' for key, name in self.names.items())]
        lines.append(f"    [*] --> {next(iter(self.names))}")
        lines += [f"    {before} --> {after}" + (f" : {why}" if why else "") for before, after, why in steps]
        lines += [f"    {key} --> [*]" for key in self.names if all(before != key for before, _, _ in steps)]
        picture = "\n".join(["```mermaid", *lines, "```"])
        rows = "".join(f"| {self.names[key]} | {meaning} |\n" for key, meaning in self.meanings.items())
        table = f"\n| state | |\n| --- | --- |\n{rows}" if rows else ""
        return f"## {self.title}\n\n{self.text}\n\n{picture}\n{table}"


def diagrams() -> str:
    """The page without its heading."""
    return "\n".join([_INTRO, *(diagram.markdown() for diagram in _all())])


def _all() -> list[Diagram]:
    return [
        _of_enum(
            "Execution environment",
            "From its sandbox to its end; `lambdad health` counts those that are starting, idle and busy. "
            "[What happens in each state](../explanation/life-cycle.md).",
            execution_environment.TRANSITIONS,
        ),
        _of_enum(
            "Runtime",
            "As the Runtime API sees it, from one Init to the next reset. A request that does not fit is answered with 403 "
            "and the names of the states.",
            runtime_session.TRANSITIONS,
        ),
        _of_enum(
            "Extension",
            "As the Extensions API sees it, from one Init to the next reset. The names appear in the texts of refusals.",
            extension_session.TRANSITIONS,
        ),
        _of_function(),
        _of_enum(
            "Event of an asynchronous invocation",
            "From its acceptance to its end; every step is durable. [What happens when](../explanation/asynchronous.md).",
            event_state.TRANSITIONS,
        ),
        Diagram(
            "Sandbox of the `namespace` backend",
            "As the launcher sees it. It never goes back: no sandbox serves a second function.",
            {state: state for state in shell.NEXT},
            {},
            [(state, after, "") for state, following in shell.NEXT.items() for after in sorted(following)],
        ),
    ]


def _of_enum(title: str, text: str, table: Mapping[Any, Mapping[Any, Any]]) -> Diagram:
    kind: type[Enum] = type(next(iter(table)))
    return Diagram(
        title,
        text,
        {state.name.lower(): str(state.value) for state in kind},
        {name.lower(): meaning for name, meaning in _comments(kind).items()},
        [
            (state.name.lower(), after.name.lower(), event.name.lower().replace("_", " "))
            for state, following in table.items()
            for event, after in following.items()
        ],
    )


def _of_function() -> Diagram:
    """`State` and `LastUpdateStatus` together; each settles by itself, in the background."""
    steps = []
    for before, (success, failure) in function.SETTLING.items():
        steps += [(before, success, "made ready"), (before, failure, "cannot be made ready")]
    steps += [(before, after, "update accepted") for before, after in function.UPDATING.items()]
    steps += [(before, after, "not invoked for long") for before, after in function.RECLAIMING.items()]
    steps += [(before, after, "invoked") for before, after in function.WAKING.items()]
    states = dict.fromkeys(state for before, after, _ in steps for state in (before, after))
    return Diagram(
        "Function",
        "`State` and `LastUpdateStatus` of `$LATEST` and of each published version. While an update is in progress, "
        "invocations run the reading before it; deleting is possible in every state.",
        {_key(state): " / ".join(part for part in state if part) for state in states},
        {},
        [(_key(before), _key(after), why) for before, after, why in steps],
    )


def _key(state: tuple[str, str | None]) -> str:
    return "_".join(part.lower() for part in state if part)


def _comments(kind: type[Enum]) -> dict[str, str]:
    """What the comments behind the members of an enumeration say of them."""
    found = re.findall(r"^    ([A-Z_]+) = .*  #: (.*)$", inspect.getsource(kind), re.MULTILINE)
    return {name: meaning for name, meaning in found if name in kind.__members__}
