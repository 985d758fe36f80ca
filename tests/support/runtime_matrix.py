"""The page that says which runtime was seen to keep which case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lambdad.runtimes.families import FAMILY_OF
from support.runtime_cases import CASES

_HEAD = """# Runtimes

<!-- Made by `make test-runtimes` from what it saw; do not edit. -->

Each case of `tests/support/runtime_cases.py` is a function in the runtime's language, run by its client on a real interpreter.
A dash: there is nothing to run, for a reason that is given below.

"""


def matrix_page(outcomes: Mapping[tuple[str, str], str]) -> str:
    """`outcomes` by case and runtime: "yes", "no", or the reason why it was not tried: that of a dash begins with "CASE: "."""
    runtimes = [name for name in dict.fromkeys(runtime for _, runtime in outcomes) if name in FAMILY_OF]
    tried = [name for name in runtimes if any(outcomes.get((case.name, name)) in ("yes", "no") for case in CASES)]
    lines = [f"| case | {' | '.join(tried)} |", f"| --- |{' --- |' * len(tried)}"]
    for case in CASES:
        cells = [outcomes.get((case.name, name), "-") for name in tried]
        cells = [cell if cell in ("yes", "no") else "-" for cell in cells]
        lines.append(f"| `{case.name}`: {case.claim} | {' | '.join(cells)} |")
    missing = [name for name in runtimes if name not in tried]
    return "\n".join([_HEAD + "\n".join(lines), *_dashes(outcomes, tried), *_missing(outcomes, missing)]) + "\n"


def _dashes(outcomes: Mapping[tuple[str, str], str], tried: Sequence[str]) -> list[str]:
    found: dict[tuple[str, str], list[str]] = {}  #: the cases by language and reason
    for case in CASES:
        for name in tried:
            outcome = outcomes.get((case.name, name), "yes")
            if outcome not in ("yes", "no"):
                cases = found.setdefault((FAMILY_OF[name].language, outcome.removeprefix(f"{case.name}: ")), [])
                cases.extend([case.name] if case.name not in cases else [])
    rows = [
        f"- {language}, {', '.join(f'`{case}`' for case in cases)}: {reason}" for (language, reason), cases in found.items()
    ]
    return ["", "## Dashes", "", *rows] if rows else []


def _missing(outcomes: Mapping[tuple[str, str], str], missing: Sequence[str]) -> list[str]:
    if not missing:
        return []
    total = len({runtime for _, runtime in outcomes if runtime in FAMILY_OF})
    head = f"{len(missing)} of {total} identifiers were not tried, since the machine of that run lacked what they need:"
    return ["", "## Not tried", "", head, "", *(f"- {name}: {outcomes[CASES[0].name, name]}" for name in missing)]
