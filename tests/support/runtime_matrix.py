"""The page that says which runtime was seen to keep which case."""

from __future__ import annotations

from collections.abc import Mapping

from support.runtime_cases import CASES

_HEAD = """# Runtimes

<!-- Made by `make test-runtimes` from what it saw; do not edit. -->

Each case of `tests/support/runtime_cases.py` is a function in the runtime's language, run by its client on a real interpreter.
A dash: the language has another way, which its own suite holds.

"""


def matrix_page(outcomes: Mapping[tuple[str, str], str]) -> str:
    """`outcomes` by case and runtime: "yes", "no", or the reason why it was not tried."""
    runtimes = list(dict.fromkeys(runtime for _, runtime in outcomes))
    tried = [name for name in runtimes if any(outcomes.get((case.name, name)) in ("yes", "no") for case in CASES)]
    lines = [f"| case | {' | '.join(tried)} |", f"| --- |{' --- |' * len(tried)}"]
    for case in CASES:
        cells = [outcomes.get((case.name, name), "-") for name in tried]
        cells = [cell if cell in ("yes", "no") else "-" for cell in cells]
        lines.append(f"| {case.claim} | {' | '.join(cells)} |")
    missing = [name for name in runtimes if name not in tried]
    reasons = [f"- {name}: {outcomes[CASES[0].name, name]}" for name in missing]
    rest = "\nNot tried, since the machine of that run lacked them:\n\n" + "\n".join(reasons) + "\n" if reasons else ""
    return _HEAD + "\n".join(lines) + "\n" + rest
